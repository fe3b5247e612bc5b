"""The log of runs: what happened to each push, per service, and why nothing happened
where nothing did.

One JSON line per run in `<state>/log/<day>.jsonl`, written with one append so that
several processes can write; kept for as many days as the daemon keeps its own.
"""

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oberonc import files
from oberonc.config import DAY, Config
from oberonc.errors import NotAllowed
from oberonc.payload.schema import Payload

Record = dict[str, Any]
_KEYS = {"time", "id", "via", "event", "repository", "updates", "commits", "services"}


class Result(NamedTuple):
    """What became of a payload for one service in one run.

    *why* is the filter's reason. *outcome* is done, retry, crash, dead, expired or
    collapsed, and empty where the service gets nothing. *attempt* counts from 1 and is None where none was
    due; *kept* is the file of a dead letter.
    """

    why: str
    outcome: str = ""
    note: str = ""
    attempt: int | None = None
    took_ms: int = 0
    output: str = ""
    kept: str = ""

    def as_json(self) -> Record:
        """As the log and `--json` have it, without what says nothing."""
        found: Record = {"why": self.why}
        if self.outcome:
            found |= {"outcome": self.outcome, "note": self.note}
        if self.attempt is not None:
            found |= {"attempt": self.attempt, "took_ms": self.took_ms}
        if self.output:
            found["output"] = self.output
        if self.kept:
            found["kept"] = self.kept
        return found


def record(
    payload: Payload, via: str, services: dict[str, Record], at: float | None = None
) -> Record:
    """What is kept of one run, per service what became of it: ids and decisions, no
    text of commits. *at* is when it was, in seconds since 1970, by default now.
    """
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        "id": payload["id"],
        "via": via,
        "event": payload["event"],
        "repository": payload["repository"]["full_name"],
        "user": payload["user"],
        "submitter": payload.get("submitter"),
        "updates": [
            {"ref": u["ref"], "old": u["old"], "new": u["new"]}
            for u in payload["updates"]
        ],
        "commits": [c["raw_node"] for c in [*payload["commits"], *payload["merged"]]],
        "commits_total": payload.get("commits_total"),
        "truncated": payload.get("truncated", False),
        "services": services,
    }


def write(config: Config, entry: Record) -> None:
    """Append *entry*. Raises OSError where the state folder cannot be written."""
    append(config.state / "log", entry, config.daemon.keep)


def append(folder: Path, entry: Record, keep: float) -> None:
    """Append *entry* to its day's file in *folder*; days are kept for *keep* seconds.
    Raises OSError.
    """
    if not folder.is_dir():
        files.make_private(folder)
    path = folder / f"{entry['time'][:10]}.jsonl"
    is_new = not path.exists()
    handle = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        if is_new:
            os.fchmod(handle, files.file_mode(folder))
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        os.write(handle, line if _ends_well(handle) else b"\n" + line)
    finally:
        os.close(handle)
    if is_new:
        _prune(folder, keep)


def _ends_well(handle: int) -> bool:
    """False where a full disk cut the last line: the next must not become a part of it."""
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"


def _prune(folder: Path, keep: float) -> None:
    oldest = time.strftime("%Y-%m-%d", time.gmtime(time.time() - keep - DAY))
    for path in folder.glob("*.jsonl"):
        if path.stem < oldest:
            with contextlib.suppress(OSError):
                path.unlink()


def find(config: Config, key: str) -> list[Record]:
    """Records of the event or commit whose id begins with *key*, oldest first."""
    return [entry for entry in _records(config) if _is_about(entry, key)]


def recent(config: Config, count: int) -> list[Record]:
    """The latest *count* records, oldest first."""
    return list(deque(_records(config), maxlen=count))


def newest_first(folder: Path) -> Iterator[Record]:
    """What was appended in *folder*. Raises NotAllowed where it is somebody else's."""
    for path in reversed(_files(folder)):
        with _readable():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from filter(None, map(_object, reversed(lines)))


class Tail:
    """What is added to the log after now."""

    def __init__(self, config: Config) -> None:
        self._folder = config.state / "log"
        self._read = {path: _end_of_lines(path) for path in _files(self._folder)}

    def fresh(self) -> Iterator[Record]:
        """The records since the last call, oldest first; half a line waits for its end."""
        for path in _files(self._folder):
            with _readable(), path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                text = stream.read()
                text = text[: text.rfind(b"\n") + 1]
                self._read[path] = self._read.get(path, 0) + len(text)
                yield from filter(
                    None, map(_record, text.decode("utf-8", "replace").splitlines())
                )


def _end_of_lines(path: Path) -> int:
    """Where the last whole line of *path* ends: somebody may be writing the next one."""
    with _readable(), path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - (1 << 16))
            stream.seek(begin)
            place = stream.read(end - begin).rfind(b"\n")
            if place >= 0:
                return begin + place + 1
            end = begin
    return 0


def _is_about(entry: Record, key: str) -> bool:
    ids = [entry["id"], *entry["commits"], *(u["new"] for u in entry["updates"])]
    return any(oid.startswith(key) for oid in ids)


def _records(config: Config) -> Iterator[Record]:
    """Every readable record, oldest first;
    raises NotAllowed where the log is somebody else's.
    """
    for path in _files(config.state / "log"):
        with _readable(), path.open(encoding="utf-8", errors="replace") as lines:
            yield from filter(None, map(_record, lines))


def _files(folder: Path) -> list[Path]:
    with _readable():
        return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")
    return []


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Around reading: what is not there is empty,
    what is somebody else's raises NotAllowed.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise NotAllowed(
            f"cannot read the log {error.filename}: {error.strerror}"
        ) from None


def _record(line: str) -> Record | None:
    found = _object(line)
    return found if found is not None and found.keys() >= _KEYS else None


def _object(line: str) -> Record | None:
    # A line cut by a full disk is no reason to hide the others.
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
