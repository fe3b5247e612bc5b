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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oberonc import policy
from oberonc.broker import registry, runner, secrets
from oberonc.broker.request import Request, first_attempt
from oberonc.budget import Budget
from oberonc.config import Config, Service
from oberonc.delivery import log, spool
from oberonc.delivery.kept import Kept, State, entries, fresh, repositories
from oberonc.errors import NotAllowed, OberoncError
from oberonc.payload import filters
from oberonc.payload.schema import Payload
from oberonc.text import one_line

#: {(event id, service): what is logged of it}
Results = dict[tuple[str, str], dict[str, Any]]

#: Seconds a broker may take to be loaded and asked for its limit.
ASK = 10.0
#: The longest limit there is, in seconds.
LONGEST = 7 * 86_400.0


def deliver(
    config: Config, payload: Payload, matching: dict[str, Payload], budget: Budget
) -> dict[str, dict[str, Any]]:
    """Run *payload* for the services in *matching*, after what older pushes left undone
    for the same services.

    A service of which it asks nothing neither waits for what is older nor has it tried.
    """
    event, repository = payload["id"], payload["repository"]["full_name"]
    path = spool.put(
        config.spool,
        {"payload": payload, "services": {name: fresh() for name in matching}},
    )
    with budget.interruptible():
        means = _Means(config, budget)
        others = any(file != path for file in spool.listing(config.spool, repository))
        idle = _idle(means, matching) if others else {}
        if len(idle) == len(matching):
            spool.remove(path)
            return idle
        done = _work_off(
            means,
            repository,
            names=[name for name in matching if name not in idle],
            own=event,
            ended=idle,
        )
    results = idle | {
        name: done[event, name] for name in matching if (event, name) in done
    }
    missing_ones = [name for name in matching if name not in results]
    return results | (
        _elsewhere(config, event, path, missing_ones) if missing_ones else {}
    )


def _elsewhere(
    config: Config, event: str, path: Path, names: list[str]
) -> dict[str, dict[str, Any]]:
    """What became of deliveries that this process did not get to: another push works,
    or worked, on them.
    """
    if path.exists():
        note = "earlier pushes of this repository come first"
        return {name: {"outcome": "retry", "note": note} for name in names}
    logged: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(NotAllowed):
        for record in log.find(config, event):
            logged |= record["services"]
    taken = {"outcome": "done", "note": "another push of this repository did it"}
    return {name: logged.get(name, taken) for name in names}


class _Means:
    """What every attempt of one run needs: the configuration, the brokers, and the time
    there is.
    """

    def __init__(self, config: Config, budget: Budget) -> None:
        self.config, self.budget = config, budget
        self._catalogue = registry.find(config)

    def place(self, service: Service) -> registry.Place:
        """Where the broker of *service* is. Raises BrokenBroker where it cannot be
        used.
        """
        place = self._catalogue.places.get(service.broker)
        if place is None:
            raise registry.BrokenBroker(
                self._catalogue.missing(service.broker, service.name)
            )
        return place

    def limit(self, name: str) -> float:
        """Seconds one delivery of service *name* may take: what the service says, else
        what its broker's class says.
        """
        service = self.config.services.get(name)
        if service is None:
            return registry.DEFAULT_TIMEOUT
        return min(
            self._limit(service.timeout, self._catalogue.places.get(service.broker)),
            LONGEST,
        )

    def _limit(self, said: float | None, place: registry.Place | None) -> float:
        if said is not None or place is None:
            return said or registry.DEFAULT_TIMEOUT
        declared = registry.declared_timeout(place)
        if declared is None:
            # It is computed or inherited: only the class itself can tell.
            declared = runner.ask(
                place, {"describe": True}, min(ASK, max(self.budget.left(), 0))
            ).get("timeout")
        return declared or registry.DEFAULT_TIMEOUT

    def request(
        self, service: Service, payload: Payload, limit: float, attempt: int = 1
    ) -> Request:
        """What an attempt is asked. Raises ConfigError or NotAllowed where a secret
        cannot be had.
        """
        settings = secrets.resolve(service, time.monotonic() + self.budget.left())
        state = str(self.config.state)
        asked = first_attempt(service, settings, payload, state, limit)
        return asked._replace(attempt=attempt)


def _idle(means: _Means, matching: dict[str, Payload]) -> dict[str, dict[str, Any]]:
    """What became of *matching* where nothing is asked of the service; it is done then,
    whatever else waits.
    """
    found: dict[str, dict[str, Any]] = {}

    def ask(name: str, payload: Payload) -> None:
        began = time.monotonic()
        service = means.config.services[name]
        limit = means.limit(name)
        # it is told of when its turn comes
        with contextlib.suppress(OberoncError, OSError):
            asked = means.request(service, payload, limit)._replace(only_idle=True)
            outcome = runner.run(
                means.place(service),
                asked,
                min(limit, means.budget.left()),
                means.budget,
            )
            if outcome.kind == "done":
                took = round((time.monotonic() - began) * 1000)
                found[name] = {
                    "why": "matches",
                    "outcome": "done",
                    "note": outcome.note,
                    "attempt": 1,
                    "took_ms": took,
                }

    _side_by_side(
        threading.Thread(target=ask, args=item, daemon=True)
        for item in matching.items()
    )
    return found


def _side_by_side(threads: Iterable[threading.Thread]) -> None:
    started = list(threads)
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def _work_off(
    means: _Means,
    repository: str,
    *,
    names: Iterable[str] | None = None,
    own: str = "",
    ended: Iterable[str] = (),
    turns: int | None = None,
) -> Results:
    """Try the kept deliveries of *repository* once, oldest first per service, and log
    what came of it.

    *names* are the services whose turn it is, all when None. A service gets its limit
    once, or *turns* times, and then whatever delay was asked for; waiting for other
    processes is included. What it does not reach in that time stays kept. The event
    *own* is logged by the caller; of it, the services *ended* are over.
    """
    results: Results = {}
    config, budget = means.config, means.budget
    limits = {
        name: means.limit(name)
        for name in (config.services if names is None else names)
    }
    began = time.monotonic()
    patience = min(max(limits.values(), default=0), budget.left())
    with spool.lane(
        config.spool, repository, began + patience, lambda: budget.interrupted
    ) as mine:
        if not mine:
            return results
        spool.sweep(config.spool)
        found = entries(config, repository, budget)
        for kept in found:
            for name in ended if kept.payload["id"] == own else ():
                kept.end(name)
        lanes = []
        for name in dict.fromkeys(
            name
            for kept in found
            for name in kept.services
            if names is None or name in limits
        ):
            limit = limits.get(name, registry.DEFAULT_TIMEOUT)
            run = _Run(
                means, limit, began + limit * (turns or 1), at_once=turns is not None
            )
            lanes.append(
                _Lane(
                    name,
                    run,
                    [kept for kept in found if name in kept.services],
                    results,
                )
            )
        _side_by_side(lanes)
        for kept in found:
            kept.close()
        _log(
            config,
            [kept.payload for kept in found if kept.payload["id"] != own],
            results,
        )
    return results


class _Run:
    """What the attempts of one service have in common."""

    def __init__(
        self, means: _Means, limit: float, deadline: float, at_once: bool
    ) -> None:
        self.config, self._means = means.config, means
        self._limit, self._deadline, self._at_once = limit, deadline, at_once

    def waits(self, state: State) -> float:
        """Seconds until a delivery that was put off by its broker is due; 0 where
        nobody waits for that.
        """
        left = float(state["due"] - time.time())
        # More than can be asked for is a clock that was set back.
        return (
            left
            if 0 < left <= policy.ASKED_MS / policy.SECOND and not self._at_once
            else 0.0
        )

    def attempt(self, kept: Kept, name: str, gap: bool) -> dict[str, Any]:
        """Try one delivery; returns what is logged of it, without an outcome where a
        filter kept it back.
        """
        began = time.monotonic()
        try:
            reason, outcome = self._run(kept, name, gap)
        except OberoncError as error:
            # The configuration may be mended: the delivery waits for that.
            reason, outcome = "matches", runner.Outcome("retry", str(error))
        except OSError as error:
            reason, outcome = (
                "matches",
                runner.Outcome(
                    "retry", f"cannot run the broker: {error.strerror or error}"
                ),
            )
        except Exception as error:  # noqa: BLE001  a payload that trips us must not take its neighbours with it
            reason, outcome = (
                "matches",
                runner.Outcome(
                    "retry",
                    f"unexpected {type(error).__name__}: {one_line(str(error))}",
                ),
            )
        if outcome is None:
            return {"why": reason}
        result: dict[str, Any] = {
            "why": reason,
            "outcome": outcome.kind,
            "note": outcome.note,
        }
        result |= {
            "attempt": kept.services[name]["attempts"],
            "took_ms": round((time.monotonic() - began) * 1000),
        }
        if outcome.output:
            result["output"] = outcome.output[:2000]
        # What was cut off is not charged: it may well be tried again.
        return (
            result | {"outcome": "retry"}
            if outcome.kind == "interrupted"
            else self._verdict(kept, name, result)
        )

    def _run(
        self, kept: Kept, name: str, gap: bool
    ) -> tuple[str, runner.Outcome | None]:
        service = self.config.services.get(name)
        if service is None:
            return "matches", runner.Outcome(
                "dead", f"service '{name}' is no longer configured"
            )
        chosen = filters.choose(service, kept.payload)
        if chosen.payload is None:
            return chosen.reason, None
        if self._is_orphaned(kept, name):
            return chosen.reason, runner.Outcome(
                "dead", "everything around it was ended each time while it ran"
            )
        place, attempt = self._means.place(service), kept.services[name]["attempts"] + 1
        asked = self._means.request(service, chosen.payload, self._limit, attempt)
        limit, why = self._time()
        if limit <= 0:
            return chosen.reason, runner.Outcome("interrupted", why)
        asked = asked._replace(timeout=limit, gap=gap)
        kept.begin(name)
        outcome = runner.run(place, asked, limit, self._means.budget)
        if outcome.kind == "crash" and (
            limit < self._limit or self._means.budget.interrupted
        ):
            # Ended early, because time was used up otherwise: nobody's fault.
            outcome = outcome._replace(
                kind="interrupted", note=self._time()[1] or outcome.note
            )
            kept.note(name, error=outcome.note)
        kept.note(
            name,
            running=False,
            crashes=kept.services[name]["crashes"] + (outcome.kind == "crash"),
        )
        if outcome.kind == "retry" and outcome.after:
            kept.note(
                name,
                due=time.time() + min(outcome.after, policy.ASKED_MS / policy.SECOND),
            )
        return chosen.reason, outcome

    def _time(self) -> tuple[float, str]:
        """Seconds the next attempt may take, and why it may take none."""
        left, budget = self._deadline - time.monotonic(), self._means.budget
        # Looking into the spool takes its moment: nearly the whole limit is as good as
        # the whole.
        limit = min(self._limit if left >= self._limit * 0.9 else left, budget.left())
        if limit > 0:
            return limit, ""
        return (
            limit,
            budget.why
            if budget.left() <= 0
            else "the time of this push was used up by earlier deliveries",
        )

    @staticmethod
    def _is_orphaned(kept: Kept, name: str) -> bool:
        """Whether this delivery took its push down with it too often; an attempt
        without an end counts.
        """
        state = kept.services[name]
        if state["running"]:
            kept.note(name, running=False, orphans=state["orphans"] + 1)
        spent = policy.Spent(orphans=kept.services[name]["orphans"])
        return bool(policy.exhausted(spent))

    def _verdict(self, kept: Kept, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """*result*, made a dead letter where its budget is used up; a dead one is kept
        as a file.
        """
        state = kept.services[name]
        if result["outcome"] in ("retry", "crash"):
            kept.note(name, error=result["note"])
            age = round((time.time() - state["first"]) * policy.SECOND)
            spent = policy.Spent(crashes=state["crashes"], waited_ms=age)
            if not policy.exhausted(spent):
                return result
        elif result["outcome"] == "done":
            return result
        try:
            letter = spool.bury(self.config.spool, kept.payload, name)
        except OSError as error:
            return result | {
                "outcome": "retry",
                "note": f"{result['note']} (not put aside: {error.strerror})",
            }
        return result | {"outcome": "dead", "kept": str(letter)}


class _Lane(threading.Thread):
    """One service's deliveries of one repository, in order, until one does not end or
    time is up.
    """

    def __init__(
        self, name: str, run: _Run, entries: list[Kept], results: Results
    ) -> None:
        super().__init__(name=f"service {name}", daemon=True)
        self._service, self._run, self._entries, self._results = (
            name,
            run,
            entries,
            results,
        )

    def run(self) -> None:
        gap = False
        for index, kept in enumerate(self._entries):
            result = self._put_off(kept) or self._run.attempt(kept, self._service, gap)
            self._results[kept.payload["id"], self._service] = result
            if result.get("outcome") not in ("retry", "crash"):
                kept.end(self._service)
                gap = gap or result.get("outcome") == "dead"
                continue
            gap = True
            if not self._may_pass(kept.services[self._service]):
                self._wait_behind(self._entries[index + 1 :], result["note"])
                return

    def _put_off(self, kept: Kept) -> dict[str, Any] | None:
        """What is said of a delivery whose broker asked for a delay that is not over;
        None for others.
        """
        wait = self._run.waits(kept.services[self._service])
        if wait <= 0:
            return None
        until = time.strftime("%H:%M:%SZ", time.gmtime(time.time() + wait))
        note = f"waits until {until}, as its broker asked: {kept.services[self._service]['error']}"
        return {"why": "matches", "outcome": "retry", "note": note}

    def _may_pass(self, state: State) -> bool:
        """Whether later deliveries may overtake this one: it had its lane for `hold`
        seconds, or order is none.
        """
        service = self._run.config.services.get(self._service)
        if service is None or service.order == "none":
            return True
        return service.order == "bounded" and bool(
            time.time() - state["first"] >= service.hold
        )

    def _wait_behind(self, later: list[Kept], error: str) -> None:
        for kept in later:
            result = {
                "why": "matches",
                "outcome": "retry",
                "note": f"waits behind an earlier delivery: {error}",
            }
            self._results[kept.payload["id"], self._service] = result


def retry_all(config: Config, budget: Budget) -> Results:
    """Try every kept delivery of every repository once (`oberonc send --spooled`), and
    log what came of it.
    """
    results: Results = {}
    with budget.interruptible():
        for repository in repositories(config):
            if not budget.interrupted:
                turns = max(1, len(spool.listing(config.spool, repository)))
                results |= _work_off(_Means(config, budget), repository, turns=turns)
    return results


def _log(config: Config, events: list[Payload], results: Results) -> None:
    for payload in events:
        services = {
            name: result
            for (event, name), result in results.items()
            if event == payload["id"]
        }
        # What only waited behind another is not a run.
        services = {
            name: row
            for name, row in services.items()
            if "attempt" in row or "outcome" not in row
        }
        if services:
            with contextlib.suppress(OSError):  # done all the same
                log.write(config, log.record(payload, "spool", services))
