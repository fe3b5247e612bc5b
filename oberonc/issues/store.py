"""SQLite files that several processes and several users write: how they are opened, and with which rights."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oberonc.errors import NotAllowed, OberoncError

#: Seconds to wait for another writer before giving up.
BUSY_LIMIT = 20.0


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """The database at *path*, made with *schema* when it is not there yet."""
    try:
        _create(path)
        db = sqlite3.connect(path, timeout=BUSY_LIMIT, isolation_level=None)
        # Not WAL: its shared-memory file would belong to whoever came first, and keep other users out.
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            with writing(db):
                for statement in schema.split(";"):
                    db.execute(statement)
    except PermissionError as error:
        who = "everyone who pushes must be allowed to write the state folder"
        raise NotAllowed(f"{path} may not be written ({error.strerror}); {who}") from None
    except (OSError, sqlite3.Error) as error:
        raise OberoncError(f"{path} cannot be used: {error}") from None
    return db


def _create(path: Path) -> None:
    """Make an empty file that the group may write where it may write the folder, whatever the umask says."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = path.parent.stat().st_mode & stat.S_IWGRP
    with suppress(FileExistsError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.fchmod(handle, 0o660 if shared else 0o600)
        os.close(handle)


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the write lock from its first statement on."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
