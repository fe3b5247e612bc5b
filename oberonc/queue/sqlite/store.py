"""What all parts of the SQLite engine stand on: the connection, batches, counters, and
what an error means.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from oberonc.errors import DiskFailed
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.opening import open_database
from oberonc.queue.sqlite.space import BALLAST_BYTES, RESERVE_BYTES, Space
from oberonc.queue.values import Room, StorageFull

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Store")

#: delivery.state
READY: Final = 0
LEASED: Final = 1
DONE: Final = 2
DEAD: Final = 3
CANCELLED: Final = 4
STATES: Final = ("ready", "leased", "done", "dead", "cancelled")

#: The tally of deliveries in a state now; the other tallies only grow.
NOW: Final = "now."

#: Checkpoint after this many changed rows or accepted bytes, whichever comes first.
CHECKPOINT_ROWS: Final = 20_000
CHECKPOINT_BYTES: Final = 16 << 20

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


def durable(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Outside a batch, a call is a batch of its own."""

    @wraps(method)
    def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.in_batch:
            return method(self, *args, **kwargs)
        with self.batch():
            return method(self, *args, **kwargs)

    return cast(Callable[Concatenate[S, P], R], call)


class Tallies:
    """Counters per service, kept in memory and written with the batch that changed
    them.
    """

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con
        self._kept: dict[tuple[str, str], int] = {
            (service, name): n
            for service, name, n in con.execute("SELECT service, name, n FROM tally")
        }
        self._changed: dict[tuple[str, str], int] = {}

    def add(self, service: str, name: str, n: int = 1) -> None:
        """Count *n* more."""
        key = (service, name)
        self._changed[key] = self._changed.get(key, 0) + n

    def place(self, service: str, state: int, parked: int, n: int = 1) -> None:
        """*n* more deliveries are in *state*; `parked` counts those among the ready
        ones.
        """
        self.add(service, NOW + STATES[state], n)
        if state == READY and parked:
            self.add(service, NOW + "parked", n)

    def get(self, service: str, name: str) -> int:
        """The count, changes of this batch included."""
        key = (service, name)
        return self._kept.get(key, 0) + self._changed.get(key, 0)

    def by_service(self) -> dict[str, dict[str, int]]:
        """{service: {name: count}}."""
        table: dict[str, dict[str, int]] = {}
        for service, name in self._kept | self._changed:
            table.setdefault(service, {})[name] = self.get(service, name)
        return table

    def write(self) -> None:
        """Put the changes into the transaction."""
        rows = [(*key, n) for key, n in self._changed.items() if n]
        self._con.executemany(
            "INSERT INTO tally VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            rows,
        )

    def settle(self, *, committed: bool) -> None:
        """The transaction is over: the changes count, or never happened."""
        if committed:
            for key, n in self._changed.items():
                self._kept[key] = self._kept.get(key, 0) + n
        self._changed.clear()


class Store(Queue):
    """The database and its transactions; the parts of the engine derive from this."""

    def __init__(
        self,
        path: Path,
        *,
        reserve: int = RESERVE_BYTES,
        ballast: int = BALLAST_BYTES,
        force: bool = False,
        synchronous: str = "FULL",
        rng: random.Random | None = None,
    ) -> None:
        self.path = path
        self.con = open_database(path, force=force, synchronous=synchronous)
        self.in_batch = False
        self._failure: DiskFailed | None = None
        self._space = Space(path, reserve, ballast)
        self._unsynced_rows = self.con.total_changes
        self._unsynced_bytes = 0
        self.rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self.tallies = Tallies(self.con)
        self.age = self._meta("age")
        self.forget()

    def forget(self) -> None:
        """Drop what is remembered of rows that a failed transaction may have taken
        back.
        """

    @contextmanager
    def batch(self) -> Iterator[None]:
        if self._failure:
            raise self._failure
        if self.in_batch:
            raise RuntimeError("a batch inside a batch")
        self._space.look()
        age = self.age
        committed = False
        try:
            self.con.execute("BEGIN IMMEDIATE")
            self.in_batch = True
            yield
            self.tallies.write()
            self.con.execute("COMMIT")
            committed = True
        except sqlite3.Error as error:
            raise self._meaning(error) from error
        finally:
            self.in_batch = False
            self.tallies.settle(committed=committed)
            if not committed:
                self.age = age
                self.forget()
                self._roll_back()

    def _roll_back(self) -> None:
        # On a failed disk nothing is touched again; a full one has often rolled back
        # already.
        if not self._failure and self.con.in_transaction:
            self.con.execute("ROLLBACK")

    def _meaning(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return StorageFull(f"{self.path}: the disk is full")
        if code not in _FATAL:
            return error
        # A COMMIT that failed to sync can still be found after a restart: unknown, not
        # "no".
        self._failure = DiskFailed(f"{self.path}: {error} ({error.sqlite_errorname})")
        _ABANDONED.append(self.con)
        return self._failure

    def checkpoint(self, *, idle: bool = False) -> None:
        if self._failure:
            raise self._failure
        rows = self.con.total_changes - self._unsynced_rows
        if (
            not idle
            and rows < CHECKPOINT_ROWS
            and self._unsynced_bytes < CHECKPOINT_BYTES
        ):
            return
        try:
            if idle:
                self.con.execute("PRAGMA incremental_vacuum(200)").fetchall()
            self.con.execute(
                f"PRAGMA wal_checkpoint({'TRUNCATE' if idle else 'PASSIVE'})"
            ).fetchall()
        except sqlite3.Error as error:
            meaning = self._meaning(error)
            if not isinstance(meaning, StorageFull):
                raise meaning from error
            # The log keeps growing meanwhile; nothing is lost, and the next call tries
            # again.
            return
        self._unsynced_rows = self.con.total_changes
        self._unsynced_bytes = 0

    def wrote(self, size: int) -> None:
        """Remember *size* bytes towards the next checkpoint."""
        self._unsynced_bytes += size

    @property
    def room(self) -> Room:
        return self._space.room

    def keep_free(self, threshold: int) -> None:
        self._space.reserve = threshold
        self._space.look()

    def release_reserve(self) -> None:
        self._space.release()

    def close(self) -> None:
        if self._failure:
            return
        try:
            self.con.execute("REPLACE INTO meta VALUES('clean', 1)")
            self.checkpoint(idle=True)
        except sqlite3.Error as error:
            if isinstance(meaning := self._meaning(error), DiskFailed):
                raise meaning from error
        self.con.close()

    def _meta(self, key: str) -> int:
        row = self.con.execute(
            "SELECT value FROM meta WHERE key = ?", (key,)
        ).fetchone()
        return int(row[0]) if row else 0

    def _set_meta(self, key: str, value: int) -> None:
        self.con.execute("REPLACE INTO meta VALUES(?, ?)", (key, value))

    def _rows(self, sql: str, **values: Any) -> list[Any]:
        return self.con.execute(sql, values).fetchall()

    def _row(self, sql: str, **values: Any) -> Any:
        return self.con.execute(sql, values).fetchone()
