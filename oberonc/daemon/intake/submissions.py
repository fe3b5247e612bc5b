"""From a payload to what the queue keeps: checked, stamped with who submitted it, with
each service's decision.

Who submitted comes from the kernel (the socket's peer, the spool file's owner), never
from the payload. Who pushed (`user`) is believed only of accounts that run git for
others.
"""

import os
from typing import Any, NamedTuple

from oberonc import accounts, jsontext
from oberonc.config import Config
from oberonc.errors import BadInput
from oberonc.payload import filters
from oberonc.payload.schema import check
from oberonc.queue.values import Decision, Route, Submission
from oberonc.text import one_line


class Sender(NamedTuple):
    """The account a payload came from, how it came, and whether it can only have come
    from there.
    """

    uid: int
    origin: str = "socket"
    proven: bool = True


def submission(
    config: Config, payload: Any, sender: Sender, only: dict[str, Any] | None = None
) -> Submission:
    """*payload* with what every configured service's filters say of it. Raises
    BadInput.

    *only* names the services that have not had it yet, when others were served before.
    """
    fault = check(payload)
    if fault:
        raise BadInput(f"not a payload of schema 1: {fault}")
    try:
        return _submission(config, payload, sender, only)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise BadInput(
            f"not a payload of schema 1: {type(error).__name__}: {one_line(str(error))}"
        ) from None


def _submission(
    config: Config, payload: Any, sender: Sender, only: dict[str, Any] | None
) -> Submission:
    came = (
        payload.raw
        if isinstance(payload, jsontext.Received)
        else jsontext.canonical(payload)
    )
    stamped = _stamped(config, payload, sender)
    decisions = tuple(
        _decide(config, stamped, name, only)
        for name in [*config.services, *_left(config, only)]
    )
    wanted = [
        config.services[decision.service] for decision in decisions if decision.matched
    ]
    return Submission(
        id=bytes.fromhex(payload["id"]),
        body=came if stamped is payload else jsontext.canonical(stamped),
        repo=payload["repository"]["full_name"],
        kind=payload["event"],
        origin=sender.origin,
        peer_uid=sender.uid,
        routes=tuple(Route(s.name, s.order, int(s.hold * 1000)) for s in wanted),  # type: ignore[arg-type]
        decisions=decisions,
        commits=_commits(payload),
        came=came,
    )


def _stamped(config: Config, payload: Any, sender: Sender) -> Any:
    """*payload* itself where it says of its sender what we know, as our client's does;
    else a copy that does.
    """
    name = accounts.name(sender.uid)
    submitter = {"uid": sender.uid, "name": name}
    may_name = sender.proven and (
        sender.uid == os.geteuid() or name in config.daemon.trusted
    )
    user = payload["user"] if may_name else name
    # By their bytes: for Python true and 1.0 are 1.
    if payload["user"] == user and jsontext.canonical(
        payload.get("submitter")
    ) == jsontext.canonical(submitter):
        return payload
    return {**payload, "user": user, "submitter": submitter}


def _decide(
    config: Config, payload: dict[str, Any], name: str, only: dict[str, Any] | None
) -> Decision:
    if only is not None and name not in only:
        return Decision(
            name,
            matched=False,
            reason="it was served before the daemon took the push over",
        )
    if name not in config.services:
        return Decision(
            name, matched=False, reason="the service is no longer configured"
        )
    choice = filters.choose(config.services[name], payload)
    return Decision(name, choice.payload is not None, choice.reason)


def _left(config: Config, only: dict[str, Any] | None) -> list[str]:
    return [name for name in only or () if name not in config.services]


def _commits(payload: dict[str, Any]) -> tuple[str, ...]:
    found = {commit["raw_node"] for commit in [*payload["commits"], *payload["merged"]]}
    found |= {update["new"] for update in payload["updates"]}
    # The event's own id, as long as a commit's, is found by its beginning in the same
    # way.
    return (payload["id"] + "0" * 8, *sorted(oid for oid in found if oid.strip("0")))
