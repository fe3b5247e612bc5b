"""Commits as `git log` prints them: what it is asked, and how that is read. Memory holds
one commit at a time, and of its message and files no more than the limits.
"""

from __future__ import annotations

import codecs

from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 1 << 16
#: Texts in front of a commit's files.
_FIELDS = 9


class Commit(NamedTuple):
    """One commit as git tells it. Dates are (seconds since 1970, "+hhmm")."""

    oid: str
    parents: list[str]
    author: str
    author_email: str
    author_date: tuple[int, str]
    committer: str
    committer_email: str
    committer_date: tuple[int, str]
    message: str
    files: list[tuple[str, str]]
    cut: bool


#: Options that undo what git configuration could add to the output, take from it, or
#: run.
LOG = (
    "log",
    "-z",
    "--stdin",
    "--encoding=UTF-8",
    "--date=raw",
    "--no-show-signature",
    "--no-color",
    "--no-notes",
    "--no-decorate",
    "--no-mailmap",
    "--root",
    "--no-ext-diff",
    "--no-renames",
    "--no-relative",
    "--ignore-submodules=none",
    "-O/dev/null",
    "--diff-merges=first-parent",
    "--format=tformat:%H%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B",
)


class _Tokens:
    """Texts that end in NUL, of a stream; each kept only up to *cap* bytes."""

    def __init__(self, read: Callable[[int], bytes], cap: int) -> None:
        self._read, self._cap = read, cap
        self._rest = b""
        self.ended = False

    def more(self) -> list[bytes]:
        """The next ones; none at the end."""
        while chunk := self._read(_CHUNK):
            whole = (self._rest + chunk).split(b"\0")
            # A 1 MB message: what is over the cap is not kept while it streams by.
            self._rest = whole.pop()[: self._cap + _CHUNK]
            if whole:
                return whole
        self.ended = True
        return []


def parse(
    read: Callable[[int], bytes], message_cap: int, files_cap: int
) -> Iterator[Commit]:
    """The commits that `LOG` made git print, of each the first *message_cap* bytes of
    its message and *files_cap* files.
    """
    tokens = _Tokens(read, message_cap + 1)
    ready: list[bytes] = []
    at = 0
    while True:
        while len(ready) < at + _FIELDS and not tokens.ended:
            ready, at = ready[at:] + tokens.more(), 0
        if len(ready) < at + _FIELDS:
            return
        fields = ready[at : at + _FIELDS]
        at += _FIELDS
        files: list[tuple[str, str]] = []
        count = 0
        while True:
            if len(ready) < at + 2 and not tokens.ended:
                ready, at = ready[at:] + tokens.more(), 0
                continue
            # `log -z` puts a newline before the first status; a status is one letter,
            # an oid 40 or 64 digits.
            if len(ready) < at + 2 or len(kind := ready[at].strip()) != 1:
                break
            count += 1
            if count <= files_cap:
                path = ready[at + 1].decode("utf-8", "replace")
                files.append((kind.decode(), path))
            at += 2
        yield _commit(fields, files, message_cap, count > files_cap)


def _commit(
    fields: list[bytes], files: list[tuple[str, str]], cap: int, files_cut: bool
) -> Commit:
    raw = fields.pop()
    oid, parents, name, mail, when, c_name, c_mail, c_when = (
        b"\0".join(fields).decode("utf-8", "replace").split("\0")
    )
    return Commit(
        oid,
        parents.split(),
        name,
        mail,
        _date(when),
        c_name,
        c_mail,
        _date(c_when),
        cut(raw, cap),
        files,
        files_cut or len(raw) > cap,
    )


def cut(raw: bytes, cap: int) -> str:
    """The first *cap* bytes as text; half a character at the cut is dropped, not shown
    as a fault of the commit.
    """
    if len(raw) <= cap:
        return raw.decode("utf-8", "replace")
    return codecs.getincrementaldecoder("utf-8")("replace").decode(raw[:cap])


def _date(raw: str) -> tuple[int, str]:
    seconds, _, zone = raw.partition(" ")
    try:
        return int(seconds), zone or "+0000"
    except ValueError:
        return 0, "+0000"
