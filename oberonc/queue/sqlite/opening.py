"""Open the queue's database: the order of the steps is what makes it safe.

One connection, in exclusive mode before anything touches the file: no shared-memory
file, no second reader, and the WAL-reset bug of SQLite below 3.51.3, which needs two
connections, cannot happen.
"""

import ctypes
import os
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Final

from oberonc.errors import ConfigError, DiskFailed, NotAccepted

APPLICATION_ID: Final = 0x4F42524E  # "OBRN"
USER_VERSION: Final = 4

#: (pragma, value to set, value to read back), in this order. Ids may be random (a
#: webhook's is), and then each event writes a page of their index whole: small pages
#: keep that cheap in a deep queue. auto_vacuum is ignored after WAL is on; synchronous=NORMAL would not sync at
#: COMMIT; checkpoints are called by us, because the automatic ones hide their errors.
_PRAGMAS: Final = (
    ("page_size", "1024", 1024),
    ("auto_vacuum", "INCREMENTAL", 2),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cell_size_check", "ON", 1),
    ("journal_size_limit", "67108864", 67108864),
    ("temp_store", "MEMORY", 2),
    ("wal_autocheckpoint", "0", 0),
    ("cache_size", "-40000", -40000),
)

#: What makes a queue of each earlier format one of the next. The columns of a table
#: stand in the order of `schema.sql`, where a column that came later is the last one.
_MIGRATIONS: Final = {
    1: (
        "ALTER TABLE lane ADD COLUMN oldest INTEGER",
        "CREATE INDEX lane_oldest ON lane(service, oldest) WHERE oldest IS NOT NULL",
        "UPDATE lane SET oldest = (SELECT min(seq) FROM delivery WHERE lane = lane.id AND state IN (0, 1))",
        "CREATE TABLE untold(delivery INTEGER PRIMARY KEY REFERENCES delivery(id) ON DELETE CASCADE) STRICT",
    ),
    2: (
        "ALTER TABLE service ADD COLUMN next_ms INTEGER",
        # More states: a condition of a table cannot be changed.
        """CREATE TABLE delivery_3(
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          seq INTEGER NOT NULL REFERENCES event(seq) ON DELETE CASCADE,
          lane INTEGER NOT NULL,
          state INTEGER NOT NULL DEFAULT 0 CHECK(state BETWEEN 0 AND 6),
          parked INTEGER NOT NULL DEFAULT 0 CHECK(parked IN (0, 1)),
          suspect INTEGER NOT NULL DEFAULT 0 CHECK(suspect IN (0, 1)),
          attempt INTEGER NOT NULL DEFAULT 0,
          due_ms INTEGER NOT NULL,
          since_ms INTEGER,
          turns INTEGER NOT NULL DEFAULT 0,
          tries INTEGER NOT NULL DEFAULT 0,
          crashes INTEGER NOT NULL DEFAULT 0,
          orphans INTEGER NOT NULL DEFAULT 0,
          waited_ms INTEGER NOT NULL DEFAULT 0,
          blocked_ms INTEGER NOT NULL DEFAULT 0,
          ended_ms INTEGER,
          note TEXT NOT NULL DEFAULT '',
          born_age INTEGER NOT NULL DEFAULT 0,
          joined INTEGER,
          members INTEGER NOT NULL DEFAULT 0,
          CHECK((state > 1) = (ended_ms IS NOT NULL)),
          CHECK(state <> 1 OR attempt > 0),
          UNIQUE(seq, lane)) STRICT""",
        # What waits is as old as this upgrade: nothing expires too early.
        """INSERT INTO delivery_3 SELECT *, coalesce((SELECT value FROM meta WHERE key = 'age'), 0), NULL, 0
          FROM delivery ORDER BY id""",
        "DELETE FROM sqlite_sequence WHERE name = 'delivery_3'",
        "INSERT INTO sqlite_sequence SELECT 'delivery_3', seq FROM sqlite_sequence WHERE name = 'delivery'",
        "DROP TABLE delivery",
        "ALTER TABLE delivery_3 RENAME TO delivery",
        "CREATE UNIQUE INDEX delivery_one_leased ON delivery(lane) WHERE state = 1",
        "CREATE INDEX delivery_head ON delivery(lane, seq) WHERE state = 0 AND parked = 0 AND joined IS NULL",
        "CREATE INDEX delivery_parked ON delivery(lane, due_ms) WHERE state = 0 AND parked = 1 AND joined IS NULL",
        "CREATE INDEX delivery_passed ON delivery(lane, seq) WHERE state = 0 AND parked = 1",
        "CREATE INDEX delivery_dead ON delivery(lane, seq) WHERE state = 3",
        "CREATE INDEX delivery_suspect ON delivery(id) WHERE suspect = 1",
        "CREATE INDEX delivery_joined ON delivery(joined, seq) WHERE joined IS NOT NULL",
        """CREATE TABLE moved(lane INTEGER NOT NULL, ref TEXT NOT NULL,
          delivery INTEGER NOT NULL REFERENCES delivery(id) ON DELETE CASCADE,
          PRIMARY KEY(lane, ref, delivery)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX moved_delivery ON moved(delivery)",
    ),
    3: (
        """CREATE TABLE period(
          span_ms INTEGER NOT NULL CHECK(span_ms IN (60000, 3600000)), began_ms INTEGER NOT NULL,
          service TEXT NOT NULL, accepted INTEGER NOT NULL, done INTEGER NOT NULL, retried INTEGER NOT NULL,
          dead INTEGER NOT NULL, took_ms INTEGER NOT NULL,
          PRIMARY KEY(span_ms, began_ms, service)) STRICT, WITHOUT ROWID""",
    ),
}


#: Where locks, mmap or fsync are not what SQLite needs. From statfs(2).
_UNSAFE: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x65735546: "FUSE",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x01021997: "9P",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x786F4256: "VirtualBox shared folders",
}


def open_database(
    path: Path, *, force: bool = False, synchronous: str = "FULL"
) -> sqlite3.Connection:
    """The one connection to the queue at *path*, made when it is missing.

    Raises ConfigError for a file that is not ours, newer than us, damaged, or on a file
    system that cannot keep it (*force* overrides the last), NotAccepted when another
    process has it. *synchronous* is for the test that shows what a weaker one loses.
    """
    unsafe = None if force else unsafe_filesystem(path.parent)
    if unsafe:
        raise ConfigError(
            f"{path}: the queue cannot live on {unsafe}; put `state` on a local disk"
        )
    _create(path)
    con = sqlite3.connect(
        path,
        isolation_level=None,
        timeout=5,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        _prepare(con, path, synchronous)
    except BaseException as error:
        con.close()
        raise _explained(error, path) from error
    return con


def unsafe_filesystem(folder: Path) -> str | None:
    """The name of the file system of *folder* where a database must not live there,
    else None.
    """
    if not sys.platform.startswith("linux"):
        return None
    # struct statfs has some 120 bytes; f_type comes first
    answer = ctypes.create_string_buffer(512)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(folder), answer):
        raise ConfigError(f"{folder}: {os.strerror(ctypes.get_errno())}")
    magic = ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF
    return _UNSAFE.get(magic)


def _create(path: Path) -> None:
    """Make the file with our mode, which SQLite gives to its log too; never follow a
    link.

    Its name becomes durable with the log's: SQLite syncs the folder when it makes that.
    """
    try:
        descriptor = os.open(
            path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise ConfigError(f"{path}: cannot open the queue: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path}: not a regular file")
    finally:
        os.close(descriptor)


def _prepare(con: sqlite3.Connection, path: Path, synchronous: str) -> None:
    # First of all: reading anything before it creates the shared-memory file and takes
    # a shared lock.
    con.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Before anything is written: a file of somebody else stays as it was.
    new = _is_new(con, path)
    for name, value, expected in _PRAGMAS:
        if name == "synchronous" and synchronous != "FULL":
            con.execute(f"PRAGMA synchronous = {synchronous}")
            continue
        con.execute(f"PRAGMA {name} = {value}").fetchall()
        if _read(con, name) != expected:
            raise ConfigError(
                f"{path}: SQLite does not keep {name} = {value} here; is this a local disk?"
            )
    if _read(con, "locking_mode") != "exclusive" or _read(con, "mmap_size") not in (
        None,
        0,
    ):
        raise ConfigError(
            f"{path}: SQLite refuses exclusive mode without memory mapping"
        )
    if new:
        _write_schema(con)
    else:
        if not _stopped_cleanly(con):
            _check(con, path)
        _migrate(con)
    con.execute("REPLACE INTO meta VALUES('clean', 0)")


def _read(con: sqlite3.Connection, pragma: str) -> object:
    row = con.execute(f"PRAGMA {pragma}").fetchone()
    return row[0] if row else None


def _is_new(con: sqlite3.Connection, path: Path) -> bool:
    if not con.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() and not _read(
        con, "application_id"
    ):
        return True
    if _read(con, "application_id") != APPLICATION_ID:
        raise ConfigError(
            f"{path}: a database, but not a queue of oberonc; it was left as it is"
        )
    version = _read(con, "user_version")
    if version != USER_VERSION and version not in _MIGRATIONS:
        raise ConfigError(
            f"{path}: written by another version of oberonc (format {version}, this one reads {USER_VERSION})"
        )
    return False


def _write_schema(con: sqlite3.Connection) -> None:
    text = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    con.execute("BEGIN IMMEDIATE")
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            con.execute(statement)
            statement = ""
    con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    con.execute(f"PRAGMA user_version = {USER_VERSION}")
    con.execute("COMMIT")


def _migrate(con: sqlite3.Connection) -> None:
    """Bring an older format up to ours, each step in one transaction with its number."""
    # A table that is made anew must not take with it what refers to its rows.
    con.execute("PRAGMA foreign_keys = OFF")
    while (version := con.execute("PRAGMA user_version").fetchone()[0]) < USER_VERSION:
        con.execute("BEGIN IMMEDIATE")
        try:
            for statement in _MIGRATIONS[version]:
                con.execute(statement)
            con.execute(f"PRAGMA user_version = {version + 1}")
            con.execute("COMMIT")
        except BaseException:
            if con.in_transaction:
                con.execute("ROLLBACK")
            raise
    con.execute("PRAGMA foreign_keys = ON")


def _stopped_cleanly(con: sqlite3.Connection) -> bool:
    return bool(
        con.execute("SELECT 1 FROM meta WHERE key = 'clean' AND value = 1").fetchone()
    )


def _check(con: sqlite3.Connection, path: Path) -> None:
    """Look for damage after a stop that was not clean."""
    found = con.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise ConfigError(
            f"{path}: the queue is damaged ({found}); move it aside, or restore a backup"
        )


def _explained(error: BaseException, path: Path) -> BaseException:
    if not isinstance(error, sqlite3.Error):
        return error
    code = error.sqlite_errorcode & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return NotAccepted(f"{path}: another process has the queue open")
    if code == sqlite3.SQLITE_NOTADB:
        return ConfigError(f"{path}: not a database; it was left as it is")
    if code == sqlite3.SQLITE_CORRUPT:
        return ConfigError(
            f"{path}: the queue is damaged ({error}); move it aside, or restore a backup"
        )
    if code == sqlite3.SQLITE_FULL:
        return NotAccepted(f"{path}: no room on the disk to open the queue")
    return DiskFailed(f"{path}: {error}")
