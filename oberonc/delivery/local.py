"""Runs deliveries in this process's children, and keeps in the spool what did not end
(`oberonc.delivery.kept`).

A push that is killed loses nothing: it is on disk before a broker starts. Per
repository one process works at a time; per service oldest first; services side by side.
The whole costs a push at most the longest of its brokers' limits, and a hook at most
its budget. What asks nothing of a service waits for nobody.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from oberonc.broker import registry, runner
from oberonc.broker.budget import Budget
from oberonc.config import DEFAULT_TIMEOUT, Config
from oberonc.delivery import kept, log, spool
from oberonc.delivery.kept import LEFT_OUT, Kept
from oberonc.delivery.lane import Lane, Means
from oberonc.delivery.log import Result
from oberonc.errors import NotAccepted, NotAllowed, OberoncError
from oberonc.payload import filters
from oberonc.payload.filters import Choice
from oberonc.payload.schema import Payload, now
from oberonc.text import one_line


def deliver(
    config: Config, payload: Payload, choices: dict[str, Choice], budget: Budget
) -> dict[str, Result]:
    """Run *payload* for the services that get what *choices* say, after what older
    pushes left undone for the same services.

    A service of which it asks nothing neither waits for what is older nor has it tried.
    Raises NotAccepted where the spool does not take it.
    """
    event, repository = payload["id"], payload["repository"]["full_name"]
    own = kept.keep(config.spool, payload, choices)
    with budget.interruptible():
        means = Means(config, registry.find(config), budget)
        results = {}
        if any(path != own.path for path in spool.listing(config.spool, repository)):
            results = _idle(means, own)
        for name in results:
            own.end(name)
        if not own.services:
            own.close()
            return results
        done = _work_off(means, repository, own=own)
    results |= {name: done[event, name] for name in choices if (event, name) in done}
    elsewhere = [name for name in choices if name not in results]
    if not elsewhere:
        return results
    # This process did not get to them: another push works, or worked, on them.
    if own.path.exists():
        note = "earlier pushes of this repository come first"
        return results | {
            name: Result(choices[name].reason, "retry", note) for name in elsewhere
        }
    from oberonc.delivery import runs  # seldom needed

    logged: dict[str, log.Record] = {}
    with contextlib.suppress(NotAllowed):
        for record in runs.find(config, event):
            logged |= record["services"]
    there = Result("", "done", "another push of this repository did it")
    for name in elsewhere:
        row = logged.get(name, there.as_json())
        known = {key: row[key] for key in Result._fields if key in row}
        results[name] = Result(**known | {"why": choices[name].reason})
    return results


def retry_all(
    config: Config,
    budget: Budget,
    only: set[str] | None = None,
    shown: Callable[[list[str]], Iterable[str]] = iter,
) -> dict[tuple[str, str], Result]:
    """Try every kept delivery of every repository once (`oberonc send --spooled`), or
    of those in *only*, and log what came of it; by event and service. *shown* passes
    the repositories on and shows how far it is.

    Raises NotAllowed where the spool is somebody else's.
    """
    results: dict[tuple[str, str], Result] = {}
    with budget.interruptible():
        for repository in shown(kept.repositories(config)):
            if not budget.interrupted and (only is None or repository in only):
                means = Means(config, registry.find(config), budget)
                turns = max(1, len(spool.listing(config.spool, repository)))
                results |= _work_off(means, repository, turns=turns)
    return results


def _idle(means: Means, own: Kept) -> dict[str, Result]:
    """What became of the deliveries of *own* where nothing is asked of the service; it
    is done then, whatever else waits.
    """
    found: dict[str, Result] = {}

    def ask(name: str, choice: Choice) -> None:
        assert choice.payload is not None
        began = time.monotonic()
        # what fails is tried when its turn comes
        with contextlib.suppress(OberoncError, OSError):
            limit = means.limit(name)
            service = means.config.services[name]
            place, request = means.prepare(service, choice.payload, limit)
            request = request._replace(only_idle=True)
            limit = min(limit, means.budget.left())
            outcome = runner.run(place, request, limit, means.budget)
            if outcome.kind == "done":
                took = round((time.monotonic() - began) * 1000)
                found[name] = Result(
                    choice.reason, "done", outcome.note, attempt=1, took_ms=took
                )

    _side_by_side(
        [
            threading.Thread(target=ask, args=item, daemon=True)
            for item in own.choices.items()
        ]
    )
    return found


def _side_by_side(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work_off(
    means: Means, repository: str, *, own: Kept | None = None, turns: int | None = None
) -> dict[tuple[str, str], Result]:
    """Try the kept deliveries of *repository* once, oldest first per service, and log
    what came of it.

    With *own*, only those of its services; its own are logged by
    the caller. A service gets its limit once, or *turns* times, and
    then whatever delay was asked for; waiting for other processes
    is included. What it does not reach in that time stays kept.
    """
    results: dict[tuple[str, str], Result] = {}
    config, budget = means.config, means.budget
    limits = {
        name: means.limit(name) for name in (own.services if own else config.services)
    }
    began = time.monotonic()
    patience = min(max(limits.values(), default=0), budget.left())
    with spool.lane(
        config.spool, repository, began + patience, lambda: budget.interrupted
    ) as mine:
        if not mine:
            return results
        spool.sweep(config.spool)
        found = kept.entries(config, repository, budget, own)
        names = dict.fromkeys(name for entry in found for name in entry.services)
        lanes: list[threading.Thread] = []
        for name in names:
            if own and name not in limits:
                continue
            limit = limits.get(name, DEFAULT_TIMEOUT)
            lanes.append(
                Lane(
                    name,
                    means,
                    [entry for entry in found if name in entry.services],
                    results,
                    limit=limit,
                    deadline=began + limit * (turns or 1),
                    at_once=turns is not None,
                )
            )
        _side_by_side(lanes)
        for entry in found:
            entry.close()
        for entry in found:
            # What only waited behind another is not a run.
            ended = {
                name: result.as_json()
                for (event, name), result in results.items()
                if event == entry.payload["id"]
                and (
                    result.attempt is not None
                    or not result.outcome
                    or result.outcome in LEFT_OUT
                )
            }
            if ended and not (own and entry.path == own.path):
                with contextlib.suppress(OSError):  # done all the same
                    log.write(config, log.record(entry.payload, "spool", ended))
    _tell(means, [row for entry in found for row in _given_up(entry, results)])
    return results


def _given_up(
    entry: Kept, results: dict[tuple[str, str], Result]
) -> Iterator[dict[str, Any]]:
    """What a notice says of the deliveries of *entry* that were given up now; nothing
    of a notice.
    """
    payload = entry.payload
    for (event, name), result in results.items():
        if (
            event == payload["id"]
            and result.outcome == "dead"
            and payload["event"] != "dead"
        ):
            yield {
                "delivery": f"{event[:8]}-{name}",
                "service": name,
                "repository": payload["repository"]["full_name"],
                "push": event,
                "accepted": payload["time"],
                "given_up": now(),
                "error": one_line(result.note),
            }


def _tell(means: Means, dead: list[dict[str, Any]]) -> None:
    """Have the services that want it told what was given up. It is kept as a push is,
    and tried again with the next one, or by `oberonc send --spooled`.
    """
    config = means.config
    names = [name for name, s in config.services.items() if "dead" in s.events]
    if not dead or not names:
        return
    from oberonc.payload.notice import MOST, REPOSITORY, notice  # seldom needed

    payload = notice(dead[:MOST], len(dead))
    told = {name: filters.choose(config.services[name], payload) for name in names}
    with contextlib.suppress(OSError, NotAccepted):  # what is dead is so all the same
        own = kept.keep(config.spool, payload, told)
        done = _work_off(means, REPOSITORY, own=own)
        ended = {
            name: result.as_json()
            for (event, name), result in done.items()
            if event == payload["id"]
        }
        log.write(config, log.record(payload, "here", ended))
