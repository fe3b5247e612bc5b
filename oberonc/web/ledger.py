"""What the webhooks brought before: so that a redelivery makes the same bytes, two hooks
of a forge tell of a push once, and a commit is new once.

Forges do not say which commits are new (GitHub does), and when a push was: the first
time that an event comes is kept, and which event brought a commit first.
"""

import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

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


class _Job:
    """A change that waits for its commit."""

    def __init__(self, change: Callable[[sqlite3.Connection], Any]) -> None:
        self.change = change
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False


class Ledger:
    """The file in *folder*; several threads may use it.

    Changes that come while one is synced go together with the next: whoever gets to
    write does so for all who wait.
    """

    def __init__(self, folder: Path) -> None:
        files.make_private(folder)
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._db = self._open(folder)
        self._db.executescript(_SCHEMA)
        #: What is looked up waits for nobody's sync.
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
        """The stamp that *event* came with first: *stamp*, if it never came before."""

        def keep(db: sqlite3.Connection) -> str:
            self._sweep(db)
            db.execute(
                "INSERT INTO event VALUES(?, ?, ?) ON CONFLICT DO NOTHING",
                (event, time.time(), stamp),
            )
            row = db.execute("SELECT stamp FROM event WHERE id = ?", (event,))
            return str(row.fetchone()[0])

        found: str = self._change(keep)
        return found

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
        """The event that told of all the moves of *payload* just now, or an empty
        string.
        """
        repository, events = payload["repository"]["full_name"], set()
        with self._reading:
            for update in payload["updates"]:
                row = self._reader.execute(
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

        def keep(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO seen VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    (repository, entry["raw_node"], event, now)
                    for entry in payload["commits"]
                ),
            )
            db.executemany(
                "REPLACE INTO moved VALUES(?, ?, ?, ?, ?, ?)",
                (
                    (repository, u["ref"], u["old"], u["new"], event, now)
                    for u in payload["updates"]
                ),
            )

        self._change(keep)

    def _change(self, change: Callable[[sqlite3.Connection], Any]) -> Any:
        """What *change* returns, once what it did is durable."""
        mine = _Job(change)
        self._waiting.append(mine)
        with self._writing:
            if not mine.done:
                jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
                self._commit(jobs)
                if mine.error and len(jobs) > 1:
                    # Whose fault it was shows when each goes by itself.
                    for job in jobs:
                        self._commit([job])
        if mine.error:
            raise mine.error
        return mine.result

    def _commit(self, jobs: Sequence[_Job]) -> None:
        error: BaseException | None = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.result = job.change(self._db)
            self._db.execute("COMMIT")
        except Exception as failure:  # noqa: BLE001 - who waits gets it
            error = failure
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        for job in jobs:
            job.done, job.error = True, error

    def _sweep(self, db: sqlite3.Connection) -> None:
        now = time.time()
        if now - self._swept > 3600:
            self._swept = now
            before = (now - KEPT,)
            db.execute("DELETE FROM event WHERE came < ?", before)
            db.execute("DELETE FROM seen WHERE came < ?", before)
            db.execute("DELETE FROM moved WHERE came < ?", before)

    def close(self) -> None:
        """Let go of the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._db.close()
