"""SQLite files that several processes and several users write: how they are opened, and
with which rights.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oberonc.accounts import group_name, person
from oberonc.errors import NotAllowed, OberoncError

#: Seconds to wait for another writer before giving up.
BUSY_LIMIT = 20.0


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """The database at *path* to be written, made with *schema* when it is not there
    yet.
    """
    try:
        _create(path)
        db = sqlite3.connect(path, timeout=BUSY_LIMIT, isolation_level=None)
        # Not WAL: its shared-memory file would belong to whoever came first, and keep
        # other users out.
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        if _is_empty(db):
            with writing(db):
                for statement in schema.split(";"):
                    db.execute(statement)
    except PermissionError:
        raise NotAllowed(f"you may not write {path}: {_who_may(path)}") from None
    except (OSError, sqlite3.Error) as error:
        raise OberoncError(f"{path} cannot be used: {error}") from None
    return db


def look(path: Path, schema: str) -> sqlite3.Connection:
    """The database at *path* to be read; where there is none yet, an empty one in
    memory. Makes nothing on the disk.
    """
    try:
        with path.open("rb"):
            pass
        # The file's own mode decides whether a transaction that a crash left half done
        # can be put back.
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_LIMIT,
            isolation_level=None,
        )
        if not _is_empty(db):
            return db
        db.close()
    except PermissionError:
        raise NotAllowed(f"you may not read {path}: {_who_may(path)}") from None
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, sqlite3.Error) as error:
        raise OberoncError(f"{path} cannot be used: {error}") from None
    empty = sqlite3.connect(":memory:", isolation_level=None)
    empty.executescript(schema)
    return empty


def fault(path: Path) -> str:
    """Why this account could not write the database at *path*, as far as looking tells;
    else an empty string.
    """
    try:
        there = next(
            place for place in (path.parent, *path.parent.parents) if place.exists()
        )
        file, folder = (path.stat() if path.exists() else None), there.stat()
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"you may not write {there}: {_who_may(path)}"
    if file and not os.access(path, os.R_OK | os.W_OK):
        return f"you may not write {path}: {_who_may(path)}"
    if (
        file
        and file.st_uid != folder.st_uid
        and not (folder.st_mode & file.st_mode & stat.S_IWGRP)
    ):
        return f"{path} is not {person(folder.st_uid)}'s, whose folder it is in: chown --reference={there} {path}"
    return ""


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _who_may(path: Path) -> str:
    """Who must run this instead."""
    for place in (path.parent, *path.parent.parents):
        with suppress(OSError):
            facts = place.stat()
            if facts.st_uid == os.geteuid():
                return (
                    f"the mode of it or of its folder forbids it: chmod u+rwX {place}"
                )
            owner = person(facts.st_uid)
            if place != path.parent:
                return (
                    f"{path.parent} is not there, and {place} is {owner}'s; set `state`, or HOME,"
                    " to a folder of your own"
                )
            group = (
                f", or be in the group {group_name(facts.st_gid)}"
                if facts.st_mode & stat.S_IWGRP
                else ""
            )
            return f"run this as {owner} (sudo -u {owner} ...){group}"
    return "its folder cannot be seen"


def _create(path: Path) -> None:
    """Make an empty file that the group may write where it may write the folder,
    whatever the umask says.

    What root makes in the folder of another account is that account's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.stat()
    with suppress(FileExistsError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            if os.geteuid() == 0:
                os.fchown(handle, folder.st_uid, folder.st_gid)
            os.fchmod(handle, 0o660 if folder.st_mode & stat.S_IWGRP else 0o600)
        finally:
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


@contextmanager
def reading(db: sqlite3.Connection) -> Iterator[None]:
    """One view of the database for several questions."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
