"""The log of runs, read: who looks does, and no hook that hands over."""

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from oberonc.config import Config
from oberonc.delivery.log import Record
from oberonc.errors import NotAllowed

_KEYS = {"time", "id", "via", "event", "repository", "updates", "commits", "services"}


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
