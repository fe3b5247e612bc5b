"""What the webhooks brought before: so that a redelivery makes the same bytes, two hooks
of a forge tell of a push once, and a commit is new once.

Forges do not say which commits are new (GitHub does), and when a push was: the first
time that an event comes is kept, and which event brought a commit first.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oberonc import files
from oberonc.payload.schema import Payload
from oberonc.source.git import null_oid

#: Seconds for which all of it is remembered.
KEPT: Final = 90 * 86_400
#: Seconds within which the same move of the same ref, told of by another hook, is the
#: same push; unless the ref was brought back meanwhile, from where it may move so again.
SAME: Final = 600

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event(id TEXT PRIMARY KEY, came REAL NOT NULL, stamp TEXT NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_came ON event(came);
CREATE TABLE IF NOT EXISTS seen(
  repository TEXT NOT NULL, oid TEXT NOT NULL, event TEXT NOT NULL, came REAL NOT NULL,
  PRIMARY KEY(repository, oid)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_came ON seen(came);
CREATE TABLE IF NOT EXISTS move(
  repository TEXT NOT NULL, ref TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, event TEXT NOT NULL,
  came REAL NOT NULL, PRIMARY KEY(repository, ref, old, new)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS move_came ON move(came);
CREATE TABLE IF NOT EXISTS same(id TEXT PRIMARY KEY, event TEXT NOT NULL, came REAL NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS same_came ON same(came);
"""


class Ledger:
    """The file in *folder*. Several threads may look things up; one at a time may put
    and sync, and those that look up do not wait for it.
    """

    def __init__(self, folder: Path) -> None:
        files.make_private(folder)
        self._db = self._open(folder)
        self._db.executescript(_SCHEMA)
        self._reading = threading.Lock()
        self._reader = self._open(folder)
        self._swept = 0.0

    def _open(self, folder: Path) -> sqlite3.Connection:
        made = sqlite3.connect(
            folder / "webhooks.sqlite", isolation_level=None, check_same_thread=False
        )
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("PRAGMA synchronous = FULL")
        return made

    def first_came(self, event: str, stamp: str) -> str:
        """The stamp that *event* came with first: *stamp*, if none was noted."""
        with self._reading:
            query = "SELECT stamp FROM event WHERE id = ?"
            row = self._reader.execute(query, (event,)).fetchone()
        return str(row[0]) if row else stamp

    def seen(self, repository: str, oids: Sequence[str], event: str) -> set[str]:
        """Those of *oids* that another event than *event* brought."""
        with self._reading:
            rows = self._reader.execute(
                "SELECT oid FROM seen WHERE repository = ? AND event <> ?"
                " AND oid IN (SELECT value FROM json_each(?))",
                (repository, event, json.dumps(list(oids))),
            )
            return {row[0] for row in rows}

    def told_of(self, payload: Payload) -> str:
        """The event that told of all the moves of *payload* just now, or before
        *payload* came first; else an empty string.
        """
        repository, events = payload["repository"]["full_name"], set()
        with self._reading:
            for update in payload["updates"]:
                row = self._reader.execute(
                    "SELECT event FROM same WHERE id = ?1 UNION ALL SELECT event FROM move"
                    " WHERE repository = ?2 AND ref = ?3 AND old = ?4 AND new = ?5"
                    " AND came > ?6 AND event <> ?1 LIMIT 1",
                    (
                        *(payload["id"], repository, update["ref"]),
                        *(update["old"], update["new"], time.time() - SAME),
                    ),
                ).fetchone()
                if row is None:
                    return ""
                events.add(row[0])
        return min(events, default="")

    def put(self, *told: tuple[Payload, str]) -> None:
        """Payloads are told of, each by an event: where that is its own, when it came,
        its commits and its moves are known, and durable, after `sync`. Waits for
        nothing.
        """
        now = time.time()
        same = [(each["id"], event, now) for each, event in told if event != each["id"]]
        payloads = [each for each, event in told if event == each["id"]]
        came = [(each["id"], now, each["time"]) for each in payloads]
        seen = [
            (each["repository"]["full_name"], entry["raw_node"], each["id"], now)
            for each in payloads
            for entry in each["commits"]
        ]
        moves = [
            (
                *(each["repository"]["full_name"], update["ref"]),
                *(update["old"], update["new"], each["id"], now),
            )
            for each in payloads
            for update in each["updates"]
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            known = "ON CONFLICT DO NOTHING"
            self._db.executemany(f"INSERT INTO event VALUES(?, ?, ?) {known}", came)
            self._db.executemany(f"INSERT INTO seen VALUES(?, ?, ?, ?) {known}", seen)
            self._db.executemany(
                "DELETE FROM move WHERE repository = ? AND ref = ? AND old = ?",
                ((name, ref, new) for name, ref, _, new, *_ in moves),
            )
            # What is made anew may be deleted anew, also where a forge does not say
            # from where.
            self._db.executemany(
                "DELETE FROM move WHERE repository = ? AND ref = ? AND old = new",
                (move[:2] for move in moves if null_oid(move[2])),
            )
            self._db.executemany("REPLACE INTO move VALUES(?, ?, ?, ?, ?, ?)", moves)
            self._db.executemany(f"INSERT INTO same VALUES(?, ?, ?) {known}", same)
            self._sweep(now)
        except BaseException:
            self._db.rollback()
            raise

    def sync(self) -> None:
        """What was put is durable when this returns; it takes as long as the disk."""
        with self._db:
            pass

    def _sweep(self, now: float) -> None:
        if now - self._swept > 3600:
            for table in ("event", "seen", "move", "same"):
                before = (now - KEPT,)
                self._db.execute(f"DELETE FROM {table} WHERE came < ?", before)  # noqa: S608
            self._swept = now

    def close(self) -> None:
        """Let go of the file."""
        with self._reading:
            self._reader.close()
        self._db.close()
