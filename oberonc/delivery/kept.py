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
from typing import Any, NamedTuple

from oberonc.broker.budget import Budget
from oberonc.config import Config, Service
from oberonc.delivery import spool
from oberonc.errors import NotAllowed, OberoncError
from oberonc.payload import filters
from oberonc.payload.filters import Choice
from oberonc.payload.schema import Payload

#: How a delivery ends that is handed over to nobody.
LEFT_OUT = ("expired", "collapsed")


class State(NamedTuple):
    """What a delivery has used up, as the spool keeps it."""

    attempts: int = 0
    crashes: int = 0
    orphans: int = 0
    #: When it was kept, and until when its broker does not want it: seconds since 1970.
    first: float = 0.0
    due: float = 0.0
    #: Whether an attempt was begun of which no end is known.
    running: bool = False
    error: str = ""
    #: The first push of those it was handed over with, and is again.
    digest: str = ""
    #: Whether a person asked for it again: then it goes alone, whatever came later.
    asked: bool = False


class Kept:
    """One entry of the spool while it is worked on, shared by the lanes of its
    services.

    *choices* are what the filters said of it in this process, if they were asked.
    """

    def __init__(
        self,
        path: Path,
        payload: Payload,
        services: dict[str, State],
        choices: dict[str, Choice],
    ) -> None:
        self.path = path
        self.payload = payload
        self.services = services
        self.choices = choices
        self._lock = threading.Lock()
        self._changed = False
        self._written: spool.Written | None = None

    def choice(self, service: Service) -> Choice:
        """What *service* gets of it now."""
        known = self.choices.get(service.name)
        if known is None:
            known = self.choices[service.name] = filters.choose(service, self.payload)
        return known

    def begin(self, service: str) -> None:
        """Count an attempt, durably, before it begins: a broker that kills everything
        uses up its budget too.
        """
        with self._lock:
            state = self.services[service]
            self.services[service] = state._replace(
                attempts=state.attempts + 1, running=True
            )
            self.save()

    def change(self, service: str, **facts: Any) -> None:
        """Set *facts* in the state of a service; on disk with the next save."""
        with self._lock:
            self.services[service] = self.services[service]._replace(**facts)
            self._changed = True

    def end(self, service: str) -> None:
        """The delivery ended, one way or the other."""
        with self._lock:
            del self.services[service]
            self._changed = True

    def save(self) -> None:
        """Write it to its file. Raises NotAccepted when the disk does not take it."""
        states = {name: state._asdict() for name, state in self.services.items()}
        entry = {"payload": self.payload, "services": states}
        folder = self.path.parent.parent
        self._written = spool.write(folder, entry, self.path.name)

    def is_untouched(self) -> bool:
        """Whether its file is the one that was written here:
        another process may have worked on it.
        """
        return self._written is not None and self._written.is_untouched()

    def close(self) -> None:
        """Leave on disk what did not end. Where the disk refuses, the older file stays
        and is worked off again.
        """
        with contextlib.suppress(OSError, OberoncError):
            if not self.services:
                spool.remove(self.path)
            elif self._changed:
                self.save()


def keep(folder: Path, payload: Payload, choices: dict[str, Choice]) -> Kept:
    """Keep *payload* in the spool *folder* for the services that get what *choices*
    say. Raises NotAccepted when the disk does not take it.
    """
    states = {name: State(first=time.time()) for name in choices}
    kept = Kept(folder / "new" / spool.new_name(payload), payload, states, choices)
    kept.save()
    return kept


def entries(
    config: Config, repository: str, budget: Budget, own: Kept | None = None
) -> list[Kept]:
    """The readable kept entries of *repository*, oldest first, as many as there is time
    to read; *own*, kept by this process, among them.

    What is damaged goes to bad/ with its reason.
    """
    found: list[Kept] = []
    for path in spool.listing(config.spool, repository):
        if budget.left() <= 0:
            break
        if own and path == own.path and own.is_untouched():
            found.append(own)
            continue
        entry = _read(path)
        if entry is None or entry["payload"]["repository"]["full_name"] != repository:
            continue
        kept = Kept(path, entry["payload"], _states(config, entry), {})
        if own and path == own.path:
            kept.choices = own.choices
            for name in kept.services.keys() - own.services.keys():
                kept.end(name)  # it ended here, which was not written yet
        found.append(kept)
    return found


def _states(config: Config, entry: spool.Entry) -> dict[str, State]:
    stored = entry.get("services")
    if stored is None:
        # Kept for a daemon that is no longer wanted; it goes to all that match.
        stored = {name: {} for name in config.services}
    now = time.time()
    return {
        name: State(
            **{"first": now}
            | {key: value for key, value in state.items() if key in State._fields}
        )
        for name, state in stored.items()
    }


def _read(path: Path) -> spool.Entry | None:
    """The entry in *path*; None where it is not ours to read, gone meanwhile, or
    damaged: then it goes to bad/.
    """
    from oberonc.payload.check import check  # few hooks meet a file that was kept

    try:
        entry = spool.read(path)
        fault = check(entry["payload"], notices=True)
        states = entry.get("services")
        numbers = ("attempts", "crashes", "orphans", "first", "due")
        if not fault and not (
            states is None
            or (
                isinstance(states, dict)
                and all(isinstance(state, dict) for state in states.values())
                and all(
                    isinstance(state.get("digest", ""), str)
                    for state in states.values()
                )
                and all(
                    isinstance(state.get(key, 0), (int, float))
                    for state in states.values()
                    for key in numbers
                )
            )
        ):
            fault = "its services are not what was written"
    except spool.Damaged as error:
        fault = str(error)
    except OSError:
        return None
    if not fault:
        return entry
    with contextlib.suppress(OSError):
        spool.reject(path, fault)
    return None


def every(config: Config) -> Iterator[Kept]:
    """The good entries, one at a time: a spool may hold far more than a hook has memory
    for. Raises NotAllowed where it is somebody else's.
    """
    new = config.spool / "new"
    try:
        next(new.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise NotAllowed(
            f"cannot look into the spool {new}: {error.strerror}"
        ) from None
    for path in spool.listing(config.spool):
        entry = _read(path)
        if entry is not None:
            yield Kept(path, entry["payload"], _states(config, entry), {})


def repositories(config: Config) -> list[str]:
    """The repositories that have something in the spool. Raises NotAllowed where it is
    somebody else's.
    """
    names = (entry.payload["repository"]["full_name"] for entry in every(config))
    return list(dict.fromkeys(names))


def waiting(config: Config) -> list[dict[str, Any]]:
    """What `oberonc send --spooled` would try: event, repository, service, attempts so
    far and the last error.
    """
    return [
        {
            "id": entry.payload["id"],
            "repository": entry.payload["repository"]["full_name"],
            "service": name,
            "attempts": state.attempts,
            "error": str(state.error),
        }
        for entry in every(config)
        for name, state in entry.services.items()
    ]
