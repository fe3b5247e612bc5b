"""What the webhooks brought before: so that a redelivery makes the same bytes, two hooks
of a forge tell of a push once, and a commit is new once.

Forges do not say which commits are new (GitHub does), and when a push was: the first
time that an event comes is kept, and which event brought a commit first.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from oberonc import files
from oberonc.payload.schema import Payload

#: Seconds for which all of it is remembered.
KEPT: Final = 90 * 86_400
#: Seconds within which the same move of the same ref, told of by another hook, is the
#: same push. A branch may go back and forth, so only its last move counts.
SAME: Final = 600

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event(id TEXT PRIMARY KEY, came REAL NOT NULL, stamp TEXT NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_came ON event(came);
CREATE TABLE IF NOT EXISTS seen(
  repository TEXT NOT NULL, oid TEXT NOT NULL, event TEXT NOT NULL, came REAL NOT NULL,
  PRIMARY KEY(repository, oid)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_came ON seen(came);
CREATE TABLE IF NOT EXISTS moved(
  repository TEXT NOT NULL, ref TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, event TEXT NOT NULL,
  came REAL NOT NULL, PRIMARY KEY(repository, ref)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS moved_came ON moved(came);
"""


class Ledger:
    """The file in *folder*; several threads may use it."""

    def __init__(self, folder: Path) -> None:
        files.make_private(folder)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            folder / "webhooks.sqlite", isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._swept = 0.0

    def first_came(self, event: str, stamp: str) -> str:
        """The stamp that *event* came with first: *stamp*, if it never came before."""
        with self._lock:
            self._sweep()
            self._db.execute(
                "INSERT INTO event VALUES(?, ?, ?) ON CONFLICT DO NOTHING",
                (event, time.time(), stamp),
            )
            row = self._db.execute("SELECT stamp FROM event WHERE id = ?", (event,))
            return str(row.fetchone()[0])

    def seen(self, repository: str, oids: Sequence[str], event: str) -> set[str]:
        """Those of *oids* that another event than *event* brought."""
        with self._lock:
            rows = self._db.execute(
                "SELECT oid FROM seen WHERE repository = ? AND event <> ?"
                " AND oid IN (SELECT value FROM json_each(?))",
                (repository, event, json.dumps(list(oids))),
            )
            return {row[0] for row in rows}

    def told_of(self, payload: Payload) -> str:
        """The event that told of all the moves of *payload* just now, or an empty
        string.
        """
        repository, events = payload["repository"]["full_name"], set()
        with self._lock:
            for update in payload["updates"]:
                row = self._db.execute(
                    "SELECT event FROM moved WHERE repository = ? AND ref = ? AND old = ? AND new = ?"
                    " AND came > ? AND event <> ?",
                    (
                        *(repository, update["ref"], update["old"], update["new"]),
                        *(time.time() - SAME, payload["id"]),
                    ),
                ).fetchone()
                if row is None:
                    return ""
                events.add(row[0])
        return min(events, default="")

    def note(self, payload: Payload) -> None:
        """*payload* is accepted: its moves and its commits are known from now on."""
        repository, event = payload["repository"]["full_name"], payload["id"]
        now = time.time()
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._note(repository, event, now, payload)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _note(self, repository: str, event: str, now: float, payload: Payload) -> None:
        self._many(
            "INSERT INTO seen VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING",
            ((repository, e["raw_node"], event, now) for e in payload["commits"]),
        )
        self._many(
            "REPLACE INTO moved VALUES(?, ?, ?, ?, ?, ?)",
            (
                (repository, u["ref"], u["old"], u["new"], event, now)
                for u in payload["updates"]
            ),
        )

    def _many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._db.executemany(sql, rows)

    def _sweep(self) -> None:
        now = time.time()
        if now - self._swept > 3600:
            self._swept = now
            before = (now - KEPT,)
            self._db.execute("DELETE FROM event WHERE came < ?", before)
            self._db.execute("DELETE FROM seen WHERE came < ?", before)
            self._db.execute("DELETE FROM moved WHERE came < ?", before)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()
