"""The only door to the `git` child: a scrubbed environment, argv lists, oids on stdin, bytes out.

Messages are read by `git log --encoding=UTF-8`, not by GitPython, which ignores a commit's `encoding` header
(3.2.1 compares ten bytes with nine). Nothing here imports more than a hook can afford.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from oberonc.errors import BadInput, ConfigError
from oberonc.text import one_line

#: GIT_* variables that say where git and its configuration are. Every other one is dropped: in a hook GIT_DIR
#: is relative and beats `-C`, GIT_INDEX_FILE and GIT_CONFIG_COUNT belong to whoever pushed or committed.
_KEPT = ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH")
_CHUNK = 1 << 16


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


class Ref(NamedTuple):
    """A ref as it stands; *commit* is what it peels to, empty where that is no commit."""

    name: str
    oid: str
    commit: str
    head: bool


def environment() -> dict[str, str]:
    """The environment of every git child, and of every broker."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT}
    kept.setdefault("PATH", os.defpath)
    return kept | {
        "LC_ALL": "C.UTF-8",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def null_oid(oid: str) -> bool:
    """Whether *oid* is git's "nothing": 40 or 64 zeros."""
    return bool(oid) and not oid.strip("0")


class Git:
    """The repository at *git_dir*, an absolute path."""

    def __init__(self, git_dir: str | Path) -> None:
        self.git_dir = str(Path(git_dir).absolute())
        self._head = ["git", f"--git-dir={self.git_dir}", "-c", "core.fsmonitor=false"]

    def open(self, *args: str, lines: Iterable[str] = ()) -> subprocess.Popen[bytes]:
        """Start git; *lines* are written to its stdin, which every command used here reads to the end first."""
        try:
            child = subprocess.Popen(
                [*self._head, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd=self.git_dir,
            )
        except FileNotFoundError as error:
            missing = self.git_dir if error.filename == self.git_dir else "git (it is not on PATH)"
            raise ConfigError(f"cannot find {missing}") from None
        assert child.stdin is not None
        try:
            with child.stdin as stdin:
                stdin.write("".join(f"{line}\n" for line in lines).encode())
        except BrokenPipeError:
            pass  # git ended early; `close` says why
        return child

    def close(self, child: subprocess.Popen[bytes], ok: tuple[int, ...] = (0,)) -> int:
        """Wait for *child*; raises BadInput with git's own first line unless it ended with a code in *ok*."""
        assert child.stdout is not None and child.stderr is not None
        with child.stdout, child.stderr:
            said = child.stderr.read(4096).decode("utf-8", "replace")
        code = child.wait()
        if code not in ok:
            raise BadInput(f"git in {self.git_dir}: {one_line(said.removeprefix('fatal: ') or f'ended with {code}')}")
        return code

    def read(self, *args: str, lines: Iterable[str] = (), ok: tuple[int, ...] = (0,)) -> str:
        """Everything git prints, as text."""
        child = self.open(*args, lines=lines)
        assert child.stdout is not None
        said = child.stdout.read()
        self.close(child, ok)
        return said.decode("utf-8", "replace")

    def config(self) -> dict[str, list[str]]:
        """The effective git config: {key: values in order}; section and variable in lower case."""
        found: dict[str, list[str]] = {}
        for entry in self.read("config", "--list", "-z").split("\0"):
            key, _, value = entry.partition("\n")
            if key:
                found.setdefault(key, []).append(value)
        return found

    def refs(self) -> dict[str, Ref]:
        """Branches and tags by full name."""
        fmt = "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(*objecttype)%00%(HEAD)"
        found = {}
        for line in self.read("for-each-ref", f"--format={fmt}", "refs/heads", "refs/tags").splitlines():
            name, oid, kind, peeled, peeled_kind, head = line.split("\0")
            commit = oid if kind == "commit" else peeled if peeled_kind == "commit" else ""
            found[name] = Ref(name, oid, commit, head == "*")
        return found

    def head_ref(self) -> str:
        """The full ref HEAD names (it need not exist), or an empty string when HEAD is detached."""
        return self.read("symbolic-ref", "-q", "HEAD", ok=(0, 1)).strip()

    def peel(self, rev: str) -> str:
        """The commit *rev* stands for, or an empty string."""
        return self.read(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}", ok=(0, 1, 128)
        ).strip()

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether *old* is *new* or one of its ancestors; a missing object is not."""
        child = self.open("merge-base", "--is-ancestor", old, new)
        return self.close(child, ok=(0, 1, 128)) == 0

    def rev_list(self, wanted: Iterable[str], known: Iterable[str], cap: int) -> tuple[dict[str, list[str]], int]:
        """Commits reachable from *wanted* and not from *known*: the newest *cap* with their parents, and how many
        there are in all. Children come before their parents."""
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        child = self.open("rev-list", "--topo-order", "--parents", "--ignore-missing", "--stdin", lines=lines)
        assert child.stdout is not None
        graph = {}
        for raw in child.stdout:
            oid, *parents = raw.decode().split()
            graph[oid] = parents
            if len(graph) >= cap:
                break
        total = len(graph) + _count_lines(child.stdout)
        self.close(child)
        return graph, total

    def log(self, oids: Iterable[str], message_cap: int, files_cap: int) -> Iterator[Commit]:
        """The commits *oids*, in that order, from one `git log`; memory holds one at a time."""
        child = self.open(*_LOG, lines=oids)
        assert child.stdout is not None
        yield from _commits(_Tokens(child.stdout, message_cap + 1), message_cap, files_cap)
        self.close(child)


#: Options that undo what a user's own git configuration could add to the output.
_LOG = (
    "log",
    "-z",
    "--stdin",
    "--no-walk=unsorted",
    "--encoding=UTF-8",
    "--date=raw",
    "--no-show-signature",
    "--no-color",
    "--no-notes",
    "--name-status",
    "--no-renames",
    "--no-relative",
    "--diff-merges=off",
    "--format=tformat:%H%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B",
)


class _Tokens:
    """NUL-terminated tokens of a stream, each kept only up to *cap* bytes."""

    def __init__(self, stream: IO[bytes], cap: int) -> None:
        self._read: Callable[[int], bytes] = stream.read
        self._cap = cap
        self._rest = b""
        self._ready: list[bytes] = []

    def next(self) -> bytes | None:
        """The next token, or None at the end."""
        while not self._ready:
            chunk = self._read(_CHUNK)
            if not chunk:
                return None
            *whole, rest = chunk.split(b"\0")
            if whole:
                whole[0] = self._rest + whole[0]
                self._ready = whole[::-1]
                self._rest = rest
            else:
                # A 1 MB message: what is over the cap is not kept while it streams by.
                self._rest = (self._rest + rest)[: self._cap + _CHUNK]
        return self._ready.pop()


def _commits(tokens: _Tokens, message_cap: int, files_cap: int) -> Iterator[Commit]:
    oid = tokens.next()
    while oid is not None:
        fields = [tokens.next() or b"" for _ in range(8)]
        # `log -z` puts a newline before the first status; a status is one letter, an oid 40 or 64 digits.
        files: list[tuple[str, str]] = []
        count = 0
        following = tokens.next()
        while following is not None and len(following.strip()) == 1:
            path = tokens.next() or b""
            count += 1
            if len(files) < files_cap:
                files.append((following.strip().decode(), path.decode("utf-8", "replace")))
            following = tokens.next()
        yield _commit(oid, fields, files, message_cap, count > files_cap)
        oid = following


def _commit(oid: bytes, fields: list[bytes], files: list[tuple[str, str]], cap: int, files_cut: bool) -> Commit:
    raw = fields[7]
    parents, name, mail, when, c_name, c_mail, c_when = (f.decode("utf-8", "replace") for f in fields[:7])
    return Commit(
        oid=oid.decode(),
        parents=parents.split(),
        author=name,
        author_email=mail,
        author_date=_date(when),
        committer=c_name,
        committer_email=c_mail,
        committer_date=_date(c_when),
        message=_cut(raw, cap),
        files=files,
        cut=files_cut or len(raw) > cap,
    )


def _cut(raw: bytes, cap: int) -> str:
    if len(raw) <= cap:
        return raw.decode("utf-8", "replace")
    # Cutting bytes may halve a character; the half is dropped, not shown as a fault of the commit.
    return raw[:cap].decode("utf-8", "replace").rstrip("\ufffd")


def _date(raw: str) -> tuple[int, str]:
    seconds, _, zone = raw.partition(" ")
    try:
        return int(seconds), zone or "+0000"
    except ValueError:
        return 0, "+0000"


def _count_lines(stream: IO[bytes]) -> int:
    count = 0
    while chunk := stream.read(_CHUNK):
        count += chunk.count(b"\n")
    return count
