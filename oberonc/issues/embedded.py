"""The embedded issue tracker: one SQLite file in the state folder, issues numbered per
repository.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from oberonc.errors import BadInput
from oberonc.issues.sqlite_files import connect, look, reading, writing
from oberonc.text import utc

#: Its tables.
SCHEMA = """
CREATE TABLE IF NOT EXISTS issue (
    repository TEXT NOT NULL, number INTEGER NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL,
    resolution TEXT NOT NULL DEFAULT '', time REAL NOT NULL,
    PRIMARY KEY (repository, number)) STRICT;
CREATE TABLE IF NOT EXISTS comment (
    id INTEGER PRIMARY KEY, repository TEXT NOT NULL, number INTEGER NOT NULL, author TEXT NOT NULL,
    text TEXT NOT NULL, "commit" TEXT, time REAL NOT NULL, key TEXT UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS work (
    key TEXT PRIMARY KEY, repository TEXT NOT NULL, number INTEGER NOT NULL, author TEXT NOT NULL,
    seconds INTEGER NOT NULL, time REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS change (
    key TEXT PRIMARY KEY, repository TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,
    time REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS comment_of ON comment (repository, number)
"""
#: The highest number SQLite, JSON readers and people agree on.
_LAST = 10**10


class Row(NamedTuple):
    """An issue as `oberonc issues list` shows it."""

    number: int
    title: str
    state: str


class IssueFile:
    """The issues of all repositories; every method is one transaction."""

    def __init__(self, state: Path) -> None:
        self.path = state / "tracker.sqlite"

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        with closing(connect(self.path, SCHEMA)) as db, writing(db):
            yield db

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        with closing(look(self.path, SCHEMA)) as db, reading(db):
            yield db

    def new(self, repository: str, title: str) -> int:
        """Open an issue; its number."""
        if not title.strip():
            raise BadInput("an issue needs a title")
        with self._open() as db:
            query = (
                "SELECT coalesce(max(number), 0) + 1 FROM issue WHERE repository = ?"
            )
            number: int = db.execute(query, (repository,)).fetchone()[0]
            row = (repository, number, title, "open", time.time())
            db.execute(
                "INSERT INTO issue (repository, number, title, state, time) VALUES (?, ?, ?, ?, ?)",
                row,
            )
        return number

    def issues(self, repository: str) -> list[Row]:
        """Its issues, oldest first."""
        with self._look() as db:
            query = "SELECT number, title, state FROM issue WHERE repository = ? ORDER BY number"
            return [Row(*row) for row in db.execute(query, (repository,))]

    def show(self, repository: str, number: int) -> dict[str, Any]:
        """The issue as `oberonc issues show --json` prints it."""
        with self._look() as db:
            issue = _issue(db, repository, number)
            query = 'SELECT author, text, "commit", time FROM comment WHERE repository = ? AND number = ? ORDER BY id'
            comments = [
                {"author": author, "text": text, "commit": commit, "time": utc(when)}
                for author, text, commit, when in db.execute(
                    query, (repository, number)
                )
            ]
        return {
            "repository": repository,
            "number": number,
            "title": issue.title,
            "state": issue.state,
            "comments": comments,
        }

    def state(self, repository: str, number: int) -> str:
        """`open` or `closed`."""
        with self._look() as db:
            return _issue(db, repository, number).state

    def comment(
        self,
        repository: str,
        number: int,
        author: str,
        text: str,
        commit: str | None = None,
        key: str | None = None,
    ) -> None:
        """Add a comment; a *key* that is there already adds nothing."""
        with self._open() as db:
            _issue(db, repository, number)
            row = (repository, number, author, text, commit, time.time(), key)
            db.execute(
                'INSERT INTO comment (repository, number, author, text, "commit", time, key)'
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                row,
            )

    def set_state(
        self,
        repository: str,
        number: int,
        state: str,
        resolution: str = "",
        key: str | None = None,
    ) -> None:
        """Open or close; a *key* that is there already changes nothing, whatever a
        person did since.
        """
        with self._open() as db:
            _issue(db, repository, number)
            if key is not None:
                row = (key, repository, number, state, time.time())
                if not db.execute(
                    "INSERT INTO change VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    row,
                ).rowcount:
                    return
            db.execute(
                "UPDATE issue SET state = ?, resolution = ? WHERE repository = ? AND number = ?",
                (state, resolution, repository, number),
            )

    def log_time(
        self, repository: str, number: int, author: str, seconds: int, key: str
    ) -> None:
        """Add *seconds* of work; a *key* that is there already adds nothing."""
        with self._open() as db:
            _issue(db, repository, number)
            row = (key, repository, number, author, seconds, time.time())
            db.execute(
                "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row
            )

    def seconds(self, repository: str, number: int) -> int:
        """The work logged on the issue."""
        with self._look() as db:
            _issue(db, repository, number)
            query = "SELECT coalesce(sum(seconds), 0) FROM work WHERE repository = ? AND number = ?"
            return int(db.execute(query, (repository, number)).fetchone()[0])


def _issue(db: Connection, repository: str, number: int) -> Row:
    query = "SELECT number, title, state FROM issue WHERE repository = ? AND number = ?"
    row = (
        db.execute(query, (repository, number)).fetchone()
        if 0 < number < _LAST
        else None
    )
    if row is None:
        raise BadInput(
            f"{repository} has no issue #{number}; `oberonc issues list` shows those it has"
        )
    return Row(*row)
