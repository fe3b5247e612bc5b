"""The log of runs: what happened to each push, per service, and why nothing happened where nothing did.

One JSON line per run in `<state>/log/<day>.jsonl`, written with one append so that several processes can write;
kept for as many days as the daemon keeps its own.
"""

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oberonc.config import DAY, Config
from oberonc.payload import Payload
from oberonc.spool import file_mode, make_private

Record = dict[str, Any]


def record(payload: Payload, via: str, services: dict[str, Record]) -> Record:
    """What is kept of one run: ids and decisions, no text of commits."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "id": payload["id"],
        "via": via,
        "event": payload["event"],
        "repository": payload["repository"]["full_name"],
        "user": payload["user"],
        "updates": [{"ref": u["ref"], "old": u["old"], "new": u["new"]} for u in payload["updates"]],
        "commits": [c["raw_node"] for c in [*payload["commits"], *payload["merged"]]],
        "services": services,
    }


def write(config: Config, entry: Record) -> None:
    """Append *entry*. Raises OSError where the state folder cannot be written."""
    folder = config.state / "log"
    if not folder.is_dir():
        make_private(folder)
    path = folder / f"{entry['time'][:10]}.jsonl"
    is_new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if is_new:
            os.fchmod(handle, file_mode(folder))
        os.write(handle, json.dumps(entry, separators=(",", ":")).encode() + b"\n")
    finally:
        os.close(handle)
    if is_new:
        _prune(folder, config.daemon.keep)


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


def _is_about(entry: Record, key: str) -> bool:
    ids = [entry["id"], *entry["commits"], *(u["new"] for u in entry["updates"])]
    return any(oid.startswith(key) for oid in ids)


def _records(config: Config) -> Iterator[Record]:
    for path in sorted((config.state / "log").glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                # A line cut by a full disk is no reason to hide the others.
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
