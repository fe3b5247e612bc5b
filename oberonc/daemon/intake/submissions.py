"""From a payload to what the queue keeps: checked, stamped with who submitted it, with
each service's decision.
"""

from typing import Any

from oberonc import jsontext
from oberonc.config import Config, Service
from oberonc.daemon.intake.sender import Sender
from oberonc.errors import BadInput
from oberonc.payload import filters
from oberonc.payload.check import check
from oberonc.payload.schema import Payload
from oberonc.queue.values import Decision, Route, Submission
from oberonc.text import one_line


def submission(
    config: Config, payload: Any, sender: Sender, only: dict[str, Any] | None = None
) -> Submission:
    """*payload* with what every configured service's filters say of it. Raises
    BadInput.

    *only* names the services that have not had it yet, when others were served before.
    """
    try:
        fault = check(payload)
        if fault:
            raise BadInput(f"not a payload of schema 1: {fault}")
        if isinstance(payload, jsontext.Received):
            came = payload.raw
        else:
            came = jsontext.canonical(payload)
        stamped = sender.stamped(config, payload)
        decisions: list[Decision] = []
        routes: list[Route] = []
        for name, service in config.services.items():
            if only is not None and name not in only:
                reason = "it was served before the daemon took the push over"
                decisions.append(Decision(name, matched=False, reason=reason))
                continue
            choice = filters.choose(service, stamped)
            matched = choice.payload is not None
            decisions.append(Decision(name, matched, choice.reason))
            if choice.payload is not None:
                routes.append(_route(service, choice.payload))
        decisions += [
            Decision(name, matched=False, reason="the service is no longer configured")
            for name in only or ()
            if name not in config.services
        ]
        commits = {c["raw_node"] for c in [*payload["commits"], *payload["merged"]]}
        commits |= {update["new"] for update in payload["updates"]}
        # The event's own id, as long as a commit's, is found by its beginning in the
        # same way.
        own = payload["id"] + "0" * 8
        return Submission(
            id=bytes.fromhex(payload["id"]),
            body=came if stamped is payload else jsontext.canonical(stamped),
            repo=payload["repository"]["full_name"],
            kind=payload["event"],
            origin=sender.origin,
            peer_uid=sender.uid,
            routes=tuple(routes),
            decisions=tuple(decisions),
            commits=(own, *sorted(commit for commit in commits if commit.strip("0"))),
            came=came,
        )
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise BadInput(
            f"not a payload of schema 1: {type(error).__name__}: {one_line(str(error))}"
        ) from None


def _route(service: Service, payload: Payload) -> Route:
    """How what *service* gets of a push goes to it."""
    moved = [update["ref"] for update in payload["updates"] if service.collapse]
    return Route(
        service.name,
        service.order,  # type: ignore[arg-type]
        int(service.hold * 1000),
        int(service.digest * 1000),
        tuple(dict.fromkeys(moved)),
    )
