"""Deliveries where brokers run here, looked at and steered by hand: those that wait in
the spool, and dead letters. A daemon's are in its queue.
"""

import calendar
import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oberonc.broker.budget import Budget
from oberonc.config import Config
from oberonc.delivery import kept, local, log, spool
from oberonc.delivery.log import Result
from oberonc.errors import BadInput, NotAllowed, OberoncError
from oberonc.payload.check import loads
from oberonc.payload.schema import Payload

#: Seconds that is waited for a push that works on the same repository.
PATIENCE = 10.0
_MS = 1000


class Found(NamedTuple):
    """A delivery: its file, what it is of, and what is shown of it."""

    path: Path
    event: str
    service: str
    row: dict[str, Any]


def find(config: Config, **wanted: str | None) -> Iterator[Found]:
    """The deliveries that wait or are dead, the oldest first, of which `service`,
    `repository` and `state` are those *wanted*, where they are not None.

    Raises NotAllowed where the spool is somebody else's.
    """
    for found in (*_waiting(config), *_dead(config)):
        if all(value in (None, found.row[key]) for key, value in wanted.items()):
            yield found


def named(config: Config, names: tuple[str, ...]) -> list[Found]:
    """The deliveries called *names*: the first digits of the push's id, and the service,
    as `5f0c1a52-issues`. Raises BadInput where there is none.
    """
    every = list(find(config))
    chosen: list[Found] = []
    for name in dict.fromkeys(names):
        event, _, service = name.partition("-")
        fits = [
            found
            for found in every
            if event and found.event.startswith(event) and found.service == service
        ]
        if len({found.event for found in fits}) != 1:
            many = f"{len(fits)} deliveries are" if fits else "there is no delivery"
            raise BadInput(f"{many} called '{name}'; see `oberonc queue list`")
        chosen += fits
    return chosen


def retry(config: Config, chosen: list[Found]) -> dict[tuple[str, str], Result]:
    """Try the deliveries *chosen* now, dead ones as new ones, with what else waits for
    the same repositories; what became of each by event and service.
    """
    for found in chosen:
        if found.row["state"] == "dead":
            state = kept.State(first=time.time(), asked=True)._asdict()
            payload = _letter(found.path)
            spool.put(
                config.spool,
                {"payload": payload, "services": {found.service: state}},
            )
            _remove(found.path)
    repositories = {found.row["repository"] for found in chosen}
    return local.retry_all(config, Budget(), repositories)


def drop(config: Config, found: Found, who: str) -> None:
    """Give the delivery *found* up, in the name of *who*, and log that. Raises
    NotAccepted where a push works on it.
    """
    repository = found.row["repository"]
    deadline = time.monotonic() + PATIENCE
    with spool.lane(config.spool, repository, deadline) as mine:
        if not mine:
            raise BadInput(f"delivery {found.row['id']} is being worked on; try again")
        if found.row["state"] == "dead":
            payload = _letter(found.path)
            _remove(found.path)
        else:
            entries = kept.entries(config, repository, Budget())
            entry = next((each for each in entries if each.path == found.path), None)
            if entry is None or found.service not in entry.services:
                raise BadInput(f"delivery {found.row['id']} has ended meanwhile")
            payload = entry.payload
            digest = entry.services[found.service].digest
            if digest not in ("", payload["id"]):
                raise BadInput(
                    f"delivery {found.row['id']} is handed over together with {digest[:8]}-{found.service}"
                )
            entry.end(found.service)
            entry.close()
    gone = Result("matches", "cancelled", f"dropped by {who}").as_json()
    with contextlib.suppress(OSError):  # it is dropped all the same
        log.write(config, log.record(payload, "hand", {found.service: gone}))


def _waiting(config: Config) -> Iterator[Found]:
    for entry in kept.every(config):
        for name, state in entry.services.items():
            row = _row(entry.payload, name, "ready") | {
                "due_ms": int(state.due * _MS),
                "accepted_ms": int(state.first * _MS),
                "tries": state.attempts,
                "crashes": state.crashes,
                "note": str(state.error),
                "file": str(entry.path),
            }
            yield Found(entry.path, entry.payload["id"], name, row)


def _dead(config: Config) -> Iterator[Found]:
    folder = config.spool / "dead"
    try:
        files = [path for path in folder.iterdir() if path.suffix == ".json"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise NotAllowed(f"cannot look into {folder}: {error.strerror}") from None
    for path in sorted(files, key=_changed):
        with contextlib.suppress(OberoncError):  # somebody else's, or no letter
            payload = _letter(path)
            service = path.stem.removeprefix(f"{payload['id']}-")
            row = _row(payload, service, "dead") | {
                "accepted_ms": _accepted(payload),
                "note": spool.why_dead(path),
                "file": str(path),
            }
            yield Found(path, payload["id"], service, row)


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _accepted(payload: Payload) -> int:
    try:
        parsed = time.strptime(payload["time"], "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return 0
    return calendar.timegm(parsed) * _MS


def _row(payload: Payload, service: str, state: str) -> dict[str, Any]:
    """What a delivery of the daemon's queue has, too."""
    return {
        "id": f"{payload['id'][:8]}-{service}",
        "event": payload["id"],
        "service": service,
        "repository": payload["repository"]["full_name"],
        "state": state,
        "parked": False,
        "paused": False,
        "accepted_ms": 0,
        "due_ms": 0,
        "tries": 0,
        "crashes": 0,
        "note": "",
    }


def _letter(path: Path) -> Payload:
    """The payload of the dead letter *path*; raises BadInput."""
    try:
        # A FIFO or link planted here must neither block us nor lead us elsewhere.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags), "rb") as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > spool.LARGEST:
                raise BadInput(f"{path} is no dead letter")
            raw = stream.read(spool.LARGEST + 1)
            return loads(raw, str(path), notices=True)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None


def _remove(letter: Path) -> None:
    for path in (letter, letter.with_suffix(".why")):
        spool.remove(path)
