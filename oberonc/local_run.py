"""Runs deliveries in this process's children, and keeps in the spool what did not end.

An entry is on disk before a broker starts and is removed when all its services ended, so a push that is
killed loses nothing; an attempt is counted there before it begins. Per repository one process works at a time;
per service oldest first; services side by side. The whole costs a push at most the longest of its brokers' limits.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oberonc import filters, log, registry, retry, runner, secrets, spool
from oberonc import payload as payloads
from oberonc.config import Config
from oberonc.errors import NotAllowed, OberoncError
from oberonc.payload import Payload
from oberonc.text import nearest, one_line

#: {(event id, service): what is logged of it}
Results = dict[tuple[str, str], dict[str, Any]]
State = dict[str, Any]

#: Seconds a broker may take to be loaded and asked for its limit.
ASK = 10.0
#: The longest limit there is, in seconds.
LONGEST = 7 * 86_400.0


def deliver(config: Config, payload: Payload, matching: dict[str, Payload]) -> dict[str, dict[str, Any]]:
    """Run *payload* for the services in *matching*, after what older pushes of the repository left undone."""
    path = spool.put(config.spool, {"payload": payload, "services": {name: _fresh() for name in matching}})
    done = work_off(config, payload["repository"]["full_name"], own=payload["id"])
    results = {name: done[payload["id"], name] for name in matching if (payload["id"], name) in done}
    missing_ones = [name for name in matching if name not in results]
    return results | (_elsewhere(config, payload["id"], path, missing_ones) if missing_ones else {})


def _elsewhere(config: Config, event: str, path: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What became of deliveries that this process did not get to: another push works, or worked, on them."""
    if path.exists():
        note = "an earlier push of this repository is still being worked on"
        return {name: {"outcome": "retry", "note": note} for name in names}
    logged: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(NotAllowed):
        for record in log.find(config, event):
            logged |= record["services"]
    taken = {"outcome": "done", "note": "another push of this repository did it"}
    return {name: logged.get(name, taken) for name in names}


def _fresh() -> State:
    return {"attempts": 0, "crashes": 0, "orphans": 0, "first": time.time(), "running": False, "error": ""}


def limits(config: Config, catalogue: registry.Catalogue) -> dict[str, float]:
    """Seconds one delivery of each service may take: what the service says, else what its broker's class says."""
    return {
        name: min(_limit(service.timeout, catalogue.places.get(service.broker)), LONGEST)
        for name, service in config.services.items()
    }


def _limit(said: float | None, place: registry.Place | None) -> float:
    if said is not None or place is None:
        return said or registry.DEFAULT_TIMEOUT
    declared = registry.declared_timeout(place)
    if declared is None:
        # It is computed or inherited: only the class itself can tell.
        declared = runner.ask(place, {"describe": True}, ASK).get("timeout")
    return declared or registry.DEFAULT_TIMEOUT


class _Kept:
    """One entry of the spool while it is worked on, shared by the lanes of its services."""

    def __init__(self, folder: Path, path: Path, entry: spool.Entry) -> None:
        self._folder, self._path = folder, path
        self._lock = threading.Lock()
        self.payload: Payload = entry["payload"]
        self.services: dict[str, State] = entry["services"]
        self.changed = False

    def begin(self, service: str) -> None:
        """Count an attempt, durably, before it begins: a broker that kills everything uses up its budget too."""
        with self._lock:
            state = self.services[service]
            self.services[service] = state | {"attempts": state["attempts"] + 1, "running": True}
            self._save()

    def note(self, service: str, **facts: Any) -> None:
        """Remember *facts* of a service; on disk with the next save."""
        with self._lock:
            self.services[service] = self.services[service] | facts
            self.changed = True

    def end(self, service: str) -> None:
        """The delivery ended, one way or the other."""
        with self._lock:
            del self.services[service]
            self.changed = True

    def _save(self) -> None:
        spool.put(self._folder, {"payload": self.payload, "services": self.services}, self._path.name)

    def close(self) -> None:
        """Leave on disk what did not end. Where the disk refuses, the older file stays and is worked off again."""
        with contextlib.suppress(OSError, OberoncError):
            if not self.services:
                spool.remove(self._path)
            elif self.changed:
                self._save()


def work_off(config: Config, repository: str, turns: int = 1, own: str = "") -> Results:
    """Try every kept delivery of *repository* once, oldest first per service, and log what came of it.

    A service gets its limit *turns* times, waiting for other processes included; what it does not reach in that
    time stays kept. The event *own* is logged by the caller.
    """
    results: Results = {}
    catalogue = registry.find(config)
    limit = limits(config, catalogue)
    began = time.monotonic()
    with spool.lane(config.spool, repository, began + max(limit.values(), default=0)) as mine:
        if not mine:
            return results
        spool.sweep(config.spool)
        entries = _entries(config, repository)
        names = dict.fromkeys(name for kept in entries for name in kept.services)
        lanes = []
        for name in names:
            allowed = limit.get(name, registry.DEFAULT_TIMEOUT)
            run = _Run(config, catalogue, allowed, began + allowed * turns)
            lanes.append(_Lane(name, run, [kept for kept in entries if name in kept.services], results))
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        for kept in entries:
            kept.close()
        _log(config, [kept.payload for kept in entries if kept.payload["id"] != own], results)
    return results


def _entries(config: Config, repository: str) -> list[_Kept]:
    """The readable kept entries of *repository*; what is damaged goes to bad/ with its reason."""
    found = []
    for path, entry in _readable(config, repository):
        if entry["payload"]["repository"]["full_name"] == repository:
            states = entry.get("services")
            # None: kept for a daemon that is no longer wanted; it goes to all that match.
            names = config.services if states is None else states
            entry["services"] = {name: _fresh() | (states or {}).get(name, {}) for name in names}
            found.append(_Kept(config.spool, path, entry))
    return found


def _readable(config: Config, repository: str | None = None) -> Iterator[tuple[Path, spool.Entry]]:
    """The good files, one at a time: a spool may hold far more than a hook has memory for."""
    for path in spool.listing(config.spool, repository):
        try:
            entry = spool.read(path)
            fault = payloads.check(entry["payload"]) or _misfit(entry.get("services"))
        except spool.Damaged as error:
            fault = str(error)
        except OSError:
            continue  # gone meanwhile, or not ours to read: nothing is wrong with the file
        if fault:
            with contextlib.suppress(OSError):
                spool.reject(path, fault)
        else:
            yield path, entry


def _misfit(states: Any) -> str:
    """What is wrong with the `services` of an entry, or an empty string."""
    numbers = ("attempts", "crashes", "orphans", "first")
    good = states is None or (
        isinstance(states, dict)
        and all(isinstance(state, dict) for state in states.values())
        and all(isinstance(state.get(key, 0), (int, float)) for state in states.values() for key in numbers)
    )
    return "" if good else "its services are not what was written"


def repositories(config: Config) -> list[str]:
    """The repositories that have something in the spool. Raises NotAllowed where it is somebody else's."""
    new = config.spool / "new"
    try:
        next(new.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise NotAllowed(f"cannot look into the spool {new}: {error.strerror}") from None
    return list(dict.fromkeys(entry["payload"]["repository"]["full_name"] for _, entry in _readable(config)))


def waiting(config: Config) -> list[dict[str, Any]]:
    """What `retry_all` would try: event, repository, service, attempts so far and the last error."""
    repositories(config)  # raises where the spool is somebody else's
    return [
        {"id": entry["payload"]["id"], "repository": entry["payload"]["repository"]["full_name"], "service": name}
        | {"attempts": state.get("attempts", 0), "error": str(state.get("error", ""))}
        for _, entry in _readable(config)
        for name, state in (entry.get("services") or {key: {} for key in config.services}).items()
    ]


class _Run:
    """What the attempts of one service have in common."""

    def __init__(self, config: Config, catalogue: registry.Catalogue, limit: float, deadline: float) -> None:
        self.config = config
        self._catalogue, self._limit, self._deadline = catalogue, limit, deadline

    def attempt(self, kept: _Kept, name: str, gap: bool) -> dict[str, Any]:
        """Try one delivery; returns what is logged of it, without an outcome where a filter kept it back."""
        began = time.monotonic()
        try:
            reason, outcome = self._run(kept, name, gap)
        except OberoncError as error:
            # The configuration may be mended: the delivery waits for that.
            reason, outcome = "matches", runner.Outcome("retry", str(error))
        except OSError as error:
            reason, outcome = "matches", runner.Outcome("retry", f"cannot run the broker: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  a payload that trips us must not take its neighbours with it
            reason, outcome = (
                "matches",
                runner.Outcome("retry", f"unexpected {type(error).__name__}: {one_line(str(error))}"),
            )
        if outcome is None:
            return {"why": reason}
        result: dict[str, Any] = {"why": reason, "outcome": outcome.kind, "note": outcome.note}
        result |= {"attempt": kept.services[name]["attempts"], "took_ms": round((time.monotonic() - began) * 1000)}
        if outcome.output:
            result["output"] = outcome.output[:2000]
        return self._verdict(kept, name, result)

    def _run(self, kept: _Kept, name: str, gap: bool) -> tuple[str, runner.Outcome | None]:
        service = self.config.services.get(name)
        if service is None:
            return "matches", runner.Outcome("dead", f"service '{name}' is no longer configured")
        chosen = filters.choose(service, kept.payload)
        if chosen.payload is None:
            return chosen.reason, None
        left = self._deadline - time.monotonic()
        if left <= 0:
            return chosen.reason, runner.Outcome("retry", "the time of this push was used up by earlier deliveries")
        if self._is_orphaned(kept, name):
            return chosen.reason, runner.Outcome("dead", "everything around it was ended each time while it ran")
        place, limit = self._place(service.broker, name), self._limit if self._is_most(left) else left
        settings, attempt = secrets.resolve(service), kept.services[name]["attempts"] + 1
        asked = runner.request(service, settings, chosen.payload, str(self.config.state), limit, attempt)
        asked["order"] = {"gap": gap}
        kept.begin(name)
        outcome = runner.run(place, asked, limit)
        # Ended early because older deliveries had used up the push's time: nobody's fault.
        fault = outcome.kind == "crash" and limit == self._limit
        kept.note(name, running=False, crashes=kept.services[name]["crashes"] + fault)
        return chosen.reason, outcome

    def _is_most(self, left: float) -> bool:
        """Whether *left* is as good as the whole limit: looking into the spool takes its moment."""
        return left >= self._limit * 0.9

    @staticmethod
    def _is_orphaned(kept: _Kept, name: str) -> bool:
        """Whether this delivery took its push down with it too often; an attempt without an end counts."""
        state = kept.services[name]
        if state["running"]:
            kept.note(name, running=False, orphans=state["orphans"] + 1)
        return bool(kept.services[name]["orphans"] >= retry.ORPHANS)

    def _place(self, broker: str, name: str) -> registry.Place:
        place = self._catalogue.places.get(broker)
        if place is None:
            raise registry.BrokenBroker(missing(self._catalogue, broker, name))
        return place

    def _verdict(self, kept: _Kept, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """*result*, made a dead letter where its budget is used up; a dead one is kept as a file."""
        state = kept.services[name]
        if result["outcome"] in ("retry", "crash"):
            kept.note(name, error=result["note"])
            old = time.time() - state["first"] >= retry.GIVE_UP_MS / retry.SECOND
            if not old and state["crashes"] < retry.CRASHES:
                return result
        elif result["outcome"] == "done":
            return result
        try:
            letter = spool.bury(self.config.spool, kept.payload, name)
        except OSError as error:
            return result | {"outcome": "retry", "note": f"{result['note']} (not put aside: {error.strerror})"}
        return result | {"outcome": "dead", "kept": str(letter)}


class _Lane(threading.Thread):
    """One service's deliveries of one repository, in order, until one does not end or time is up."""

    def __init__(self, name: str, run: _Run, entries: list[_Kept], results: Results) -> None:
        super().__init__(name=f"service {name}", daemon=True)
        self._service, self._run, self._entries, self._results = name, run, entries, results

    def run(self) -> None:
        gap = False
        for index, kept in enumerate(self._entries):
            result = self._run.attempt(kept, self._service, gap)
            self._results[kept.payload["id"], self._service] = result
            if result.get("outcome") not in ("retry", "crash"):
                kept.end(self._service)
                gap = gap or result.get("outcome") == "dead"
                continue
            gap = True
            if not self._may_pass(kept.services[self._service]):
                self._wait_behind(self._entries[index + 1 :], result["note"])
                return

    def _may_pass(self, state: State) -> bool:
        """Whether later deliveries may overtake this one: it had its lane for `hold` seconds, or order is none."""
        service = self._run.config.services.get(self._service)
        if service is None or service.order == "none":
            return True
        return service.order == "bounded" and bool(time.time() - state["first"] >= service.hold)

    def _wait_behind(self, later: list[_Kept], error: str) -> None:
        for kept in later:
            result = {"why": "matches", "outcome": "retry", "note": f"waits behind an earlier delivery: {error}"}
            self._results[kept.payload["id"], self._service] = result


def missing(catalogue: registry.Catalogue, broker: str, service: str) -> str:
    """Why *broker* cannot be used by *service*, with what to do."""
    near = nearest(broker, list(catalogue.places))
    return (
        catalogue.why(broker)
        or f"service '{service}' names broker '{broker}', which is not there{near}; see `oberonc brokers`"
    )


def retry_all(config: Config) -> Results:
    """Try every kept delivery of every repository once (`oberonc send --spooled`), and log what came of it."""
    results: Results = {}
    for repository in repositories(config):
        results |= work_off(config, repository, turns=max(1, len(spool.listing(config.spool))))
    return results


def _log(config: Config, events: list[Payload], results: Results) -> None:
    for payload in events:
        services = {name: result for (event, name), result in results.items() if event == payload["id"]}
        # What only waited behind another is not a run.
        services = {name: row for name, row in services.items() if "attempt" in row or "outcome" not in row}
        if services:
            with contextlib.suppress(OSError):  # done all the same
                log.write(config, log.record(payload, "spool", services))
