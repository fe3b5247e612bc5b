"""The log of runs: what happened to each push, per service, and why nothing happened
where nothing did.

One JSON line per run in `<state>/log/<day>.jsonl`, written with one append so that
several processes can write; kept for as many days as the daemon keeps its own.
"""

from __future__ import annotations

import os
import time

from oberonc import files, jsontext
from oberonc.config import DAY
from oberonc.text import utc
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from oberonc.config import Config
    from oberonc.payload.schema import Payload

Record = dict[str, "Any"]


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
        "time": utc(at),
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
    append(os.path.join(config.state_folder, "log"), entry, config.daemon.keep)


def append(folder: str | Path, entry: Record, keep: float) -> None:
    """Append *entry* to its day's file in *folder*; days are kept for *keep* seconds.
    Raises OSError.
    """
    if not os.path.isdir(folder):
        files.make_private(folder)
    path = os.path.join(folder, f"{entry['time'][:10]}.jsonl")
    is_new = not os.path.exists(path)
    handle = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        if is_new:
            os.fchmod(handle, files.file_mode(folder))
        line = jsontext.plain(entry) + b"\n"
        os.write(handle, line if _ends_well(handle) else b"\n" + line)
    finally:
        os.close(handle)
    if is_new:
        _prune(folder, keep)


def _ends_well(handle: int) -> bool:
    """False where a full disk cut the last line: the next must not become a part of it."""
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"


def _prune(folder: str | Path, keep: float) -> None:
    oldest = time.strftime("%Y-%m-%d", time.gmtime(time.time() - keep - DAY))
    for name in os.listdir(folder):
        if name.endswith(".jsonl") and name < oldest:
            try:
                os.unlink(os.path.join(folder, name))
            except OSError:
                pass
