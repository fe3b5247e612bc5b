"""Events and deliveries as JSON rows, for `queue`, `log` and `event.show`."""

import json
import time
from typing import Any

from oberonc.daemon.peers import account
from oberonc.queue.base import Attempt, Delivery, Event

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


def record(value: Event) -> Row:
    """An event as the log of runs tells of it: per service what happened, or why nothing did."""
    payload = json.loads(value.body) if value.body else {}
    found = {row.service: row for row in value.deliveries}
    services: dict[str, Row] = {decision.service: {"why": decision.reason} for decision in value.decisions}
    for name, row in found.items():
        services[name] = services.get(name, {}) | _told(row)
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value.accepted_ms / 1000)),
        "id": value.id.hex(),
        "via": "daemon",
        "event": value.kind,
        "repository": value.repo,
        "user": payload.get("user"),
        "submitter": payload.get("submitter", _submitter(value.peer_uid)),
        "updates": [{key: u[key] for key in ("ref", "old", "new")} for u in payload.get("updates", [])],
        "commits": [c["raw_node"] for c in [*payload.get("commits", []), *payload.get("merged", [])]],
        "services": services,
    }


def _submitter(uid: int) -> Row | None:
    """The account an event came from, as it is called today; None for what came before that was known."""
    return {"uid": uid, "name": account(uid)} if uid >= 0 else None


def _told(row: Delivery) -> Row:
    last: Attempt | None = row.attempts[-1] if row.attempts else None
    words = {"ready": "waits", "leased": "runs"}
    return {
        "outcome": words.get(row.state, row.state),
        "attempt": last.number if last else 0,
        "took_ms": last.took_ms if last else None,
        "note": row.note or (last.note if last else ""),
        "delivery": row.id,
        "output": last.output if last else "",
        "attempts": [attempt._asdict() for attempt in row.attempts],
    }
