"""Events and deliveries as JSON rows, for `queue`, `log` and `event.show`."""

import json
from collections.abc import Iterable
from typing import Any

from oberonc import accounts
from oberonc.delivery import log
from oberonc.queue.values import Attempt, Delivery, Event, Stats

Row = dict[str, Any]


def delivery(value: Delivery) -> Row:
    """A delivery with its attempts."""
    row = value._asdict()
    return row | {
        "event": value.event.hex(),
        "repository": row.pop("repo"),
        "submitter": _submitter(row.pop("peer_uid")),
        "attempts": [attempt._asdict() for attempt in value.attempts],
    }


def services(known: Stats, deliveries: Iterable[Delivery]) -> dict[str, Row]:
    """By name what else the services of *deliveries* make them wait for."""
    named = {delivery.service for delivery in deliveries}
    return {
        name: {
            "breaker": row.breaker,
            "probe_due_ms": row.probe_due_ms,
            "next_ms": row.next_ms,
        }
        for name, row in known.services.items()
        if name in named
    }


def event(value: Event) -> Row:
    """An event with its decisions and deliveries, without its body."""
    row = value._asdict()
    del row["body"]
    return row | {
        "id": value.id.hex(),
        "repository": row.pop("repo"),
        "submitter": _submitter(row.pop("peer_uid")),
        "decisions": [decision._asdict() for decision in value.decisions],
        "deliveries": [delivery(found) for found in value.deliveries],
    }


def record(value: Event, *, outputs: bool = True) -> Row:
    """An event as the log of runs tells of it: per service what happened, or why
    nothing did.

    Its body is what `Queue.log_events` made of it. Without *outputs*, what brokers
    printed is left out.
    """
    payload = json.loads(value.body.decode("utf-8", "replace")) if value.body else {}
    found = {row.service: row for row in value.deliveries}
    services: dict[str, Row] = {
        decision.service: {"why": decision.reason} for decision in value.decisions
    }
    for name, row in found.items():
        services[name] = services.get(name, {}) | _outcome(row, outputs)
    known = {"user": None, "updates": [], "commits": [], "merged": []} | payload
    known |= {
        "id": value.id.hex(),
        "event": value.kind,
        "repository": {"full_name": value.repo},
        "submitter": payload.get("submitter") or _submitter(value.peer_uid),
    }
    entry = log.record(known, "daemon", services, value.accepted_ms / 1000)
    return entry | {"seq": value.seq}


def _submitter(uid: int) -> Row | None:
    """The account an event came from, as it is called today; None for what came before
    that was known.
    """
    return {"uid": uid, "name": accounts.name(uid)} if uid >= 0 else None


def _outcome(row: Delivery, outputs: bool) -> Row:
    last: Attempt | None = row.attempts[-1] if row.attempts else None
    words = {"ready": "waits", "leased": "runs"}
    shown: Row = {
        "outcome": words.get(row.state, row.state),
        "attempt": last.number if last else 0,
        "took_ms": last.took_ms if last else None,
        "note": row.note or (last.note if last else ""),
        "delivery": row.id,
    }
    if outputs:
        shown["output"] = last.output if last else ""
        shown["attempts"] = [attempt._asdict() for attempt in row.attempts]
    return shown
