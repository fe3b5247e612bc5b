"""Which kept deliveries of a service are handed over, where brokers run here: what is
too old or was overtaken by a later push is left out, what goes together is joined.

Loaded where a service says so.
"""

import time
from typing import NamedTuple

from oberonc.config import Limits, Service
from oberonc.delivery.kept import Kept
from oberonc.payload.schema import dumps


class LeftOut(NamedTuple):
    """A delivery that is not handed over: one of `kept.LEFT_OUT`, and why."""

    kept: Kept
    outcome: str
    note: str


def left_out(service: Service, entries: list[Kept]) -> list[LeftOut]:
    """Those of *entries*, oldest first, that the service does not want any more."""
    found: list[LeftOut] = []
    #: {ref: the newest push that moved it}
    later: dict[str, str] = {}
    digests: dict[str, list[Kept]] = {}
    for kept in reversed(entries):
        state = kept.services[service.name]
        if state.asked:
            continue
        if state.digest:
            digests.setdefault(state.digest, []).append(kept)
        elif _is_old(service, kept):
            found.append(LeftOut(kept, "expired", _too_old(service)))
        elif service.collapse:
            payload = kept.choice(service).payload or {"updates": []}
            refs = [update["ref"] for update in payload["updates"]]
            if refs and all(ref in later for ref in refs):
                into = sorted({later[ref][:8] for ref in refs})
                note = f"collapsed into {', '.join(into[:5])}"
                found.append(LeftOut(kept, "collapsed", note))
            for ref in refs:
                later.setdefault(ref, kept.payload["id"])
    for members in digests.values():
        # Its bytes stay the same, so it is left out as a whole.
        if all(_is_old(service, kept) for kept in members):
            note = _too_old(service)
            found += [LeftOut(kept, "expired", note) for kept in members]
    return found


def _is_old(service: Service, kept: Kept) -> bool:
    age = time.time() - kept.services[service.name].first
    return bool(service.max_age) and age > service.max_age


def _too_old(service: Service) -> str:
    return f"older than {service.max_age:g} s"


def batches(
    service: Service | None, name: str, entries: list[Kept], limits: Limits
) -> list[list[Kept]]:
    """*entries*, oldest first, as they are handed over: most alone, those of a digest
    together, and those that were tried as they were then.
    """
    found: list[list[Kept]] = []
    size = 0
    fresh = False
    for kept in entries:
        state = kept.services[name]
        if state.digest:
            if not found or found[-1][0].services[name].digest != state.digest:
                found.append([])
            found[-1].append(kept)
            fresh = False
        elif (
            service is None
            or not service.digest
            or state.attempts
            or state.asked
            or kept.payload["event"] == "dead"  # a notice says other things
            or kept.choice(service).payload is None
        ):
            found.append([kept])
            fresh = False
        else:
            more = len(dumps(kept.payload))
            full = fresh and (
                size + more > limits.bytes or len(found[-1]) >= limits.updates
            )
            if not fresh or full:
                found.append([])
                size = 0
            found[-1].append(kept)
            size += more
            fresh = True
    return found
