"""Runs deliveries in this process's children, and keeps in the spool what did not end.

An entry is on disk before a broker starts and is removed when all its services ended, so a push that is
killed loses nothing. Per repository one process works at a time; per service oldest first; services side by
side. The whole costs a push at most the longest of its brokers' limits.
"""

import threading
import time
from pathlib import Path
from typing import Any

from oberonc import filters, log, registry, retry, runner, secrets, spool
from oberonc.config import Config
from oberonc.errors import OberoncError
from oberonc.payload import Payload

Results = dict[str, dict[str, Any]]

#: Seconds a broker gets when neither its service nor its class says.
DEFAULT_TIMEOUT = 60.0


def deliver(config: Config, payload: Payload, matching: dict[str, Payload]) -> Results:
    """Run *payload* for the services in *matching*, after what older pushes of the repository left undone."""
    now = time.time()
    spool.put(config.spool, {"payload": payload, "services": {name: _fresh(now) for name in matching}})
    done = work_off(config, payload["repository"]["full_name"])
    held = {"outcome": "retry", "note": "an earlier push of this repository is still being worked on"}
    return {name: done.get((payload["id"], name), dict(held)) for name in matching}


def _fresh(now: float) -> dict[str, Any]:
    return {"attempts": 0, "crashes": 0, "first": now, "error": ""}


def limits(config: Config, catalogue: registry.Catalogue) -> dict[str, float]:
    """Seconds one delivery of each service may take: what the service says, else what its broker's class says."""
    found = {}
    for name, service in config.services.items():
        place = catalogue.places.get(service.broker)
        declared = registry.declared_timeout(place) if place is not None else None
        found[name] = service.timeout or declared or DEFAULT_TIMEOUT
    return found


def work_off(config: Config, repository: str, turns: int = 1) -> dict[tuple[str, str], dict[str, Any]]:
    """Try every kept delivery of *repository* once, oldest first per service; {(event id, service): result}.

    A service gets its limit *turns* times; what it does not reach in that time stays kept.
    """
    results: dict[tuple[str, str], dict[str, Any]] = {}
    catalogue = registry.find(config)
    limit = limits(config, catalogue)
    with spool.lane(config.spool, repository, time.monotonic() + max(limit.values(), default=0)) as mine:
        if not mine:
            return results
        entries = _entries(config, repository)
        names = {name for entry in entries.values() for name in entry["services"]}
        lanes = [
            _Lane(config, catalogue, name, entries, limit.get(name, DEFAULT_TIMEOUT), turns, results) for name in names
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        for path, entry in entries.items():
            _settle(config, path, entry)
    return results


def _entries(config: Config, repository: str) -> dict[Path, spool.Entry]:
    """The readable kept entries of *repository*; what is damaged goes to bad/ with its reason."""
    found = {}
    for path in spool.listing(config.spool):
        try:
            entry = spool.read(path)
        except FileNotFoundError:
            continue
        except spool.Damaged as error:
            spool.reject(path, str(error))
            continue
        if entry["payload"].get("repository", {}).get("full_name") == repository:
            if entry.get("services") is None:
                # Kept for a daemon that is no longer wanted: it goes to all that match.
                entry["services"] = {name: _fresh(time.time()) for name in config.services}
            found[path] = entry
    return found


def _settle(config: Config, path: Path, entry: spool.Entry) -> None:
    if entry["services"]:
        spool.put(config.spool, entry, path.name)
    else:
        spool.remove(path)


def repositories(config: Config) -> list[str]:
    """The repositories that have something in the spool."""
    names = []
    for path in spool.listing(config.spool):
        try:
            names.append(spool.read(path)["payload"]["repository"]["full_name"])
        except (FileNotFoundError, KeyError, TypeError):
            continue
        except spool.Damaged as error:
            spool.reject(path, str(error))
    return list(dict.fromkeys(names))


class _Lane(threading.Thread):
    """One service's deliveries of one repository, in order, until one does not end or time is up."""

    def __init__(
        self,
        config: Config,
        catalogue: registry.Catalogue,
        name: str,
        entries: dict[Path, spool.Entry],
        limit: float,
        turns: int,
        results: dict[tuple[str, str], dict[str, Any]],
    ) -> None:
        super().__init__(name=f"service {name}", daemon=True)
        self._config, self._catalogue, self._service = config, catalogue, name
        self._entries = [entry for entry in entries.values() if name in entry["services"]]
        self._limit, self._results = limit, results
        self._deadline = time.monotonic() + limit * turns

    def run(self) -> None:
        gap = False
        for entry in self._entries:
            state = entry["services"][self._service]
            result = self._attempt(entry["payload"], state, gap)
            self._results[(entry["payload"]["id"], self._service)] = result
            if result["outcome"] in ("done", "dead", "gone"):
                del entry["services"][self._service]
                gap = gap or result["outcome"] == "dead"
                continue
            gap = True
            if not self._may_pass(state):
                self._wait_behind(entry)
                return

    def _may_pass(self, state: dict[str, Any]) -> bool:
        """Whether later deliveries may overtake this one: it had its lane for `hold` seconds, or order is none."""
        service = self._config.services.get(self._service)
        if service is None or service.order == "none":
            return True
        return service.order == "bounded" and time.time() - state["first"] >= service.hold

    def _wait_behind(self, stuck: spool.Entry) -> None:
        blocked = f"waits behind an earlier delivery: {stuck['services'][self._service]['error']}"
        for entry in self._entries[self._entries.index(stuck) + 1 :]:
            result = {"why": "matches", "outcome": "retry", "note": blocked}
            self._results[(entry["payload"]["id"], self._service)] = result

    def _attempt(self, payload: Payload, state: dict[str, Any], gap: bool) -> dict[str, Any]:
        try:
            outcome, took = self._run(payload, state, gap)
        except OberoncError as error:
            # The configuration may be mended: the delivery waits for that.
            outcome, took = runner.Outcome("retry", str(error)), 0
        result = {
            "why": "matches",
            "outcome": outcome.kind,
            "note": outcome.note,
            "attempt": state["attempts"],
            "took_ms": took,
        }
        if outcome.output:
            result["output"] = outcome.output[:2000]
        if outcome.kind in ("retry", "crash"):
            state["error"] = outcome.note
            self._give_up(payload, state, result)
        elif outcome.kind == "dead":
            self._bury(payload, result)
        return result

    def _run(self, payload: Payload, state: dict[str, Any], gap: bool) -> tuple[runner.Outcome, int]:
        service = self._config.services.get(self._service)
        if service is None:
            return runner.Outcome("dead", f"service '{self._service}' is no longer configured"), 0
        left = self._deadline - time.monotonic()
        if left <= 0:
            return runner.Outcome("retry", "the time of this push was used up by earlier deliveries"), 0
        chosen = filters.choose(service, payload)
        if chosen.payload is None:
            return runner.Outcome("done", chosen.reason), 0
        place = self._place(service.broker)
        limit = min(self._limit, left)
        settings, attempt = secrets.resolve(service), state["attempts"] + 1
        asked = runner.request(service, settings, chosen.payload, str(self._config.state), limit, attempt)
        asked["order"] = {"gap": gap}
        # Counted before the code runs: a broker that kills everything must still use up its budget.
        state["attempts"] += 1
        began = time.monotonic()
        outcome = runner.run(place, asked, limit)
        # Ended early because older deliveries had used up the push's time: nobody's fault.
        if outcome.kind == "crash" and limit >= self._limit * 0.9:
            state["crashes"] += 1
        return outcome, round((time.monotonic() - began) * 1000)

    def _place(self, broker: str) -> registry.Place:
        place = self._catalogue.places.get(broker)
        if place is None:
            raise registry.BrokenBroker(missing(self._catalogue, broker, self._service))
        return place

    def _give_up(self, payload: Payload, state: dict[str, Any], result: dict[str, Any]) -> None:
        """Make a dead letter of a delivery that used up its budget."""
        old = time.time() - state["first"] >= retry.GIVE_UP_MS / retry.SECOND
        if old or state["crashes"] >= retry.CRASHES:
            result["outcome"] = "dead"
            self._bury(payload, result)

    def _bury(self, payload: Payload, result: dict[str, Any]) -> None:
        kept = spool.bury(self._config.spool, payload, self._service)
        result["kept"] = str(kept)


def missing(catalogue: registry.Catalogue, broker: str, service: str) -> str:
    """Why *broker* cannot be used by *service*, with what to do."""
    from oberonc.text import nearest

    if broker in catalogue.problems:
        return catalogue.problems[broker]
    near = nearest(broker, list(catalogue.places))
    return f"service '{service}' names broker '{broker}', which is not there{near}; see `oberonc brokers`"


def retry_all(config: Config) -> dict[tuple[str, str], dict[str, Any]]:
    """Try every kept delivery of every repository once (`oberonc send --spooled`), and log what came of it."""
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for repository in repositories(config):
        before = {entry["payload"]["id"]: entry["payload"] for entry in _entries(config, repository).values()}
        done = work_off(config, repository, turns=max(1, len(before)))
        results |= done
        _log(config, before, done)
    return results


def _log(config: Config, payloads: dict[str, Payload], done: dict[tuple[str, str], dict[str, Any]]) -> None:
    for event, payload in payloads.items():
        services = {name: result for (known, name), result in done.items() if known == event}
        if services:
            log.write(config, log.record(payload, "spool", services))
