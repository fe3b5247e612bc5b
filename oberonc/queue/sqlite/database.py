"""What all parts of the SQLite engine stand on: the connection, batches, and what an
error means.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from oberonc.errors import DiskFailed
from oberonc.policy import HOUR
from oberonc.queue.sqlite.opening import open_database
from oberonc.queue.sqlite.periods import Periods
from oberonc.queue.sqlite.space import Space
from oberonc.queue.sqlite.tallies import Tallies
from oberonc.queue.values import Room, StorageFull

#: Checkpoint after this many changed rows or accepted bytes, whichever comes first.
CHECKPOINT_ROWS: Final = 20_000
CHECKPOINT_BYTES: Final = 16 << 20

#: Two looks at the clock add at most this to the observed age: a leap expires nothing.
_STEP_MS: Final = HOUR

#: Errors after which what is on the disk is unknown.
_FATAL: Final = frozenset(
    (
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    )
)

#: Connections whose disk failed. Closing one would sync again, and that sync could
#: succeed without the data: they stay open until the process exits.
_ABANDONED: Final[list[sqlite3.Connection]] = []


class Known:
    """What is known of rows without reading them. A new one begins where a transaction
    was taken back, or rows were changed at large.
    """

    def __init__(self) -> None:
        #: {(service, repository): (lane, its hold_ms)}
        self.lanes: dict[tuple[str, str], tuple[int, int | None]] = {}
        #: `seq` of the newest event there ever was.
        self.last_seq: int | None = None
        #: False: no delivery is suspect. Only the death of a daemon makes one.
        self.may_have_suspects = True


class Database:
    """The connection and its transactions."""

    def __init__(
        self, path: Path, low_space: int, ballast: int, force: bool, synchronous: str
    ) -> None:
        self.path = path
        self.con = open_database(path, force=force, synchronous=synchronous)
        self.space = Space(path, low_space, ballast)
        self.tallies = Tallies(self.con)
        self.periods = Periods(self.con)
        self.known = Known()
        #: The time that the queue itself has seen pass, in milliseconds.
        self.age = self.meta("age")
        #: The wall clock then; 0: before the first look.
        self.seen_ms = self.meta("last_ms")
        self.in_batch = False
        self._failure: DiskFailed | None = None
        #: Bytes of bodies since the last checkpoint, and `total_changes` at it.
        self.written = 0
        self._rows = self.con.total_changes

    @contextmanager
    def batch(self) -> Iterator[None]:
        """See `Queue.batch`."""
        if self._failure:
            raise self._failure
        if self.in_batch:
            raise RuntimeError("a batch inside a batch")
        self.space.look()
        observed = self.age, self.seen_ms
        committed = False
        try:
            self.con.execute("BEGIN IMMEDIATE")
            self.in_batch = True
            yield
            self.tallies.write()
            self.periods.write()
            self.con.execute("COMMIT")
            committed = True
        except sqlite3.Error as error:
            raise self._meaning(error) from error
        finally:
            self.in_batch = False
            self.tallies.settle(committed=committed)
            self.periods.settle()
            if not committed:
                self.age, self.seen_ms = observed
                self.known = Known()
                # On a failed disk nothing is touched again; a full one has often
                # rolled back already.
                if not self._failure and self.con.in_transaction:
                    self.con.execute("ROLLBACK")

    def _meaning(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            self.space.release()
            return StorageFull(f"{self.path}: the disk is full")
        if code not in _FATAL:
            return error
        # A COMMIT that failed to sync can still be found after a restart: unknown, not
        # "no".
        self._failure = DiskFailed(f"{self.path}: {error} ({error.sqlite_errorname})")
        _ABANDONED.append(self.con)
        return self._failure

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """All rows of an answer."""
        return self.con.execute(sql, values).fetchall()

    def row(self, sql: str, **values: Any) -> Any:
        """The first row of an answer, or None."""
        return self.con.execute(sql, values).fetchone()

    def meta(self, key: str) -> int:
        """A number of the queue itself; 0 where it was never set."""
        found = self.row("SELECT value FROM meta WHERE key = :key", key=key)
        return int(found[0]) if found else 0

    def set_meta(self, key: str, value: int) -> None:
        """Keep a number of the queue itself."""
        self.con.execute("REPLACE INTO meta VALUES(?, ?)", (key, value))

    def age_at(self, now: int) -> int:
        """The observed age at *now*."""
        last = self.seen_ms or now
        return self.age + max(0, min(now - last, _STEP_MS))

    def observe(self, now: int) -> int:
        """Count the time since the last look; returns when that was."""
        last = self.seen_ms or now
        self.age, self.seen_ms = self.age_at(now), now
        self.set_meta("age", self.age)
        self.set_meta("last_ms", now)
        return last

    def room(self) -> Room:
        """See `Queue.room`."""
        return self.space.room

    def maintain(self, *, idle: bool = False) -> None:
        """Bring the log that SQLite writes ahead into the file once it is long enough;
        *idle*: now, and shrink both.
        """
        if self._failure:
            raise self._failure
        rows = self.con.total_changes - self._rows
        if not idle and rows < CHECKPOINT_ROWS and self.written < CHECKPOINT_BYTES:
            return
        try:
            if idle:
                self.con.execute("PRAGMA incremental_vacuum(200)").fetchall()
            how = "TRUNCATE" if idle else "PASSIVE"
            self.con.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
        except sqlite3.Error as error:
            meaning = self._meaning(error)
            if not isinstance(meaning, StorageFull):
                raise meaning from error
            # The log keeps growing meanwhile; nothing is lost, and the next call tries
            # again.
            return
        self._rows = self.con.total_changes
        self.written = 0

    def close(self) -> None:
        """See `Queue.close`."""
        if self._failure:
            return
        try:
            self.set_meta("clean", 1)
            self.maintain(idle=True)
        except sqlite3.Error as error:
            if isinstance(meaning := self._meaning(error), DiskFailed):
                raise meaning from error
        self.con.close()


class Part:
    """Some of the queue's operations on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._con = database.con


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Part)


def durable(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Outside a batch, a call is a batch of its own."""

    @wraps(method)
    def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        database = self._database
        if database.in_batch:
            return method(self, *args, **kwargs)
        with database.batch():
            return method(self, *args, **kwargs)

    return cast(Callable[Concatenate[S, P], R], call)
