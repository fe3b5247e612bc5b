"""What is kept in the spool while brokers run here: the entries of a repository, and
what they have used up.

An entry is on disk before a broker starts and is removed when all its services ended;
an attempt is counted there before it begins.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oberonc.budget import Budget
from oberonc.config import Config
from oberonc.delivery import spool
from oberonc.errors import NotAllowed, OberoncError
from oberonc.payload import schema as payloads
from oberonc.payload.schema import Payload

State = dict[str, Any]


def fresh() -> State:
    """What a delivery has used up before its first attempt."""
    return {
        "attempts": 0,
        "crashes": 0,
        "orphans": 0,
        "first": time.time(),
        "due": 0.0,
        "running": False,
        "error": "",
    }


class Kept:
    """One entry of the spool while it is worked on, shared by the lanes of its
    services.
    """

    def __init__(self, folder: Path, path: Path, entry: spool.Entry) -> None:
        self._folder, self._path = folder, path
        self._lock = threading.Lock()
        self.payload: Payload = entry["payload"]
        self.services: dict[str, State] = entry["services"]
        self.changed = False

    def begin(self, service: str) -> None:
        """Count an attempt, durably, before it begins: a broker that kills everything
        uses up its budget too.
        """
        with self._lock:
            state = self.services[service]
            self.services[service] = state | {
                "attempts": state["attempts"] + 1,
                "running": True,
            }
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
        spool.put(
            self._folder,
            {"payload": self.payload, "services": self.services},
            self._path.name,
        )

    def close(self) -> None:
        """Leave on disk what did not end. Where the disk refuses, the older file stays
        and is worked off again.
        """
        with contextlib.suppress(OSError, OberoncError):
            if not self.services:
                spool.remove(self._path)
            elif self.changed:
                self._save()


def entries(config: Config, repository: str, budget: Budget) -> list[Kept]:
    """The readable kept entries of *repository*, oldest first, as many as there is time
    to read.

    What is damaged goes to bad/ with its reason.
    """
    found: list[Kept] = []
    for path, entry in _readable(config, repository):
        if budget.left() <= 0:
            break
        if entry["payload"]["repository"]["full_name"] == repository:
            states = entry.get("services")
            # None: kept for a daemon that is no longer wanted; it goes to all that
            # match.
            names = config.services if states is None else states
            entry["services"] = {
                name: fresh() | (states or {}).get(name, {}) for name in names
            }
            found.append(Kept(config.spool, path, entry))
    return found


def _readable(
    config: Config, repository: str | None = None
) -> Iterator[tuple[Path, spool.Entry]]:
    """The good files, one at a time: a spool may hold far more than a hook has memory
    for.
    """
    for path in spool.listing(config.spool, repository):
        try:
            entry = spool.read(path)
            fault = payloads.check(entry["payload"]) or _misfit(entry.get("services"))
        except spool.Damaged as error:
            fault = str(error)
        except OSError:
            # gone meanwhile, or not ours to read: nothing is wrong with the file
            continue
        if fault:
            with contextlib.suppress(OSError):
                spool.reject(path, fault)
        else:
            yield path, entry


def _misfit(states: Any) -> str:
    """What is wrong with the `services` of an entry, or an empty string."""
    numbers = ("attempts", "crashes", "orphans", "first", "due")
    good = states is None or (
        isinstance(states, dict)
        and all(isinstance(state, dict) for state in states.values())
        and all(
            isinstance(state.get(key, 0), (int, float))
            for state in states.values()
            for key in numbers
        )
    )
    return "" if good else "its services are not what was written"


def repositories(config: Config) -> list[str]:
    """The repositories that have something in the spool. Raises NotAllowed where it is
    somebody else's.
    """
    new = config.spool / "new"
    try:
        next(new.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise NotAllowed(
            f"cannot look into the spool {new}: {error.strerror}"
        ) from None
    return list(
        dict.fromkeys(
            entry["payload"]["repository"]["full_name"]
            for _, entry in _readable(config)
        )
    )


def waiting(config: Config) -> list[dict[str, Any]]:
    """What `oberonc send --spooled` would try: event, repository, service, attempts so
    far and the last error.
    """
    repositories(config)  # raises where the spool is somebody else's
    return [
        {
            "id": entry["payload"]["id"],
            "repository": entry["payload"]["repository"]["full_name"],
            "service": name,
        }
        | {"attempts": state.get("attempts", 0), "error": str(state.get("error", ""))}
        for _, entry in _readable(config)
        for name, state in (
            entry.get("services") or {key: {} for key in config.services}
        ).items()
    ]
