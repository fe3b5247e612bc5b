"""The only door to the `git` child: a scrubbed environment, argv lists, oids on stdin,
bytes out.

Messages are read by `git log --encoding=UTF-8`, not by GitPython, which ignores a
commit's `encoding` header (3.2.1 compares ten bytes with nine). Nothing here imports
more than a hook can afford.
"""

from __future__ import annotations

import os

from oberonc.errors import BadInput, ConfigError
from oberonc.paths import absolute
from oberonc.process import Child, git_environment
from oberonc.text import one_line
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from io import BufferedReader
    from pathlib import Path

    from oberonc.source.commits import Commit

#: The setting with which git runs no hook: also `init` and `symbolic-ref` run
#: reference-transaction, which `core.hooksPath` of the account may have (git 2.46).
NO_HOOKS = "core.hooksPath=/dev/null"
_CHUNK = 1 << 16


class Ref(NamedTuple):
    """A ref as it stands; *commit* is empty where git would have to peel more than
    once, or finds none.

    *target* is the ref that it is another name of (a symbolic ref), or empty.
    """

    name: str
    oid: str
    commit: str
    head: bool
    target: str


def null_oid(oid: str) -> bool:
    """Whether *oid* is git's "nothing": 40 or 64 zeros."""
    return bool(oid) and not oid.strip("0")


class Git:
    """The repository at *git_dir*, an absolute path."""

    def __init__(self, git_dir: str | Path) -> None:
        self.git_dir = absolute(git_dir)
        self._head = ["git", f"--git-dir={self.git_dir}", "-c", "core.fsmonitor=false"]

    def _start(self, args: tuple[str, ...], lines: Iterable[str] = ()) -> Child:
        try:
            return Child(
                [*self._head, *args],
                git_environment(),
                "".join(f"{line}\n" for line in lines).encode(),
            )
        except FileNotFoundError:
            raise ConfigError("cannot find git: it is not on PATH") from None

    def check(self, code: int, errors: bytes, ok: tuple[int, ...] = (0,)) -> None:
        """Raise BadInput with git's own first line unless it ended with a code in *ok*."""
        if code not in ok:
            why = (
                errors.decode("utf-8", "replace").removeprefix("fatal: ")
                or f"ended with {code}"
            )
            raise BadInput(f"git in {self.git_dir}: {one_line(why)}")

    def read(
        self, *args: str, lines: Iterable[str] = (), ok: tuple[int, ...] = (0,)
    ) -> str:
        """Everything git prints, as text."""
        return self._finish(self._start(args, lines), ok)

    def read_path(self, *args: str) -> str:
        """The path that git prints, as the system has it: it need not be UTF-8."""
        child = self._start(args, ())
        out = child.stdout.read()
        self.check(*child.wait(), (0,))
        return os.fsdecode(out.removesuffix(b"\n"))

    def _finish(self, child: Child, ok: tuple[int, ...] = (0,)) -> str:
        out = child.stdout.read()
        self.check(*child.wait(), ok)
        return out.decode("utf-8", "replace")

    def _stream(self, *args: str, lines: Iterable[str]) -> _Stream:
        """What git prints, while it prints."""
        return _Stream(self, self._start(args, lines))

    def ask_config(self) -> Callable[[], dict[str, list[str]]]:
        """`config()` in two steps: git is at work until the result is called."""
        child = self._start(_CONFIG)
        return lambda: _as_config(self._finish(child))

    def config(self) -> dict[str, list[str]]:
        """The effective git config: {key: values in order};
        section and variable in lower case.
        """
        return _as_config(self.read(*_CONFIG))

    def refs(self) -> dict[str, Ref]:
        """Branches and tags,
        and what the remote `origin` calls its default branch, by full name.
        """
        return _as_refs(self.read(*_REFS))

    def targets(self, refs: Iterable[str]) -> dict[str, str]:
        """Those of *refs* that are another name of one: {name: ref}."""
        found = self.read(
            "for-each-ref", "--format=%(refname)%00%(symref)", "refs/heads"
        )
        rows = (line.split("\0") for line in found.split("\n")[:-1])
        wanted = set(refs)
        return {name: target for name, target in rows if target and name in wanted}

    def head_ref(self) -> str:
        """The full ref HEAD names (it need not exist),
        or an empty string when HEAD is detached.
        """
        return self.read("symbolic-ref", "-q", "HEAD", ok=(0, 1)).strip()

    def peel(self, rev: str) -> str:
        """The commit *rev* stands for, or an empty string."""
        output = self.read(
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{rev}^{{commit}}",
            ok=(0, 1, 128),
        )
        oid = output.strip()
        return oid if oid.isalnum() else ""  # "^main" is no commit, it excludes one

    def peel_all(self, oids: Iterable[str]) -> dict[str, str]:
        """{oid: the commit it stands for}, by one child;
        what stands for no commit is left out.
        """
        wanted = list(oids)
        lines = [f"{oid}^{{commit}}" for oid in wanted]
        output = (
            self.read(
                "cat-file", "--batch-check=%(objectname)", lines=lines
            ).splitlines()
            if wanted
            else []
        )
        return {
            oid: commit
            for oid, commit in zip(wanted, output, strict=True)
            if commit.isalnum()
        }

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether *old* is *new* or one of its ancestors; a missing object is not."""
        return self._start(("merge-base", "--is-ancestor", old, new)).wait()[0] == 0

    def rev_list(
        self, wanted: Iterable[str], known: Iterable[str], cap: int
    ) -> tuple[dict[str, list[str]], int]:
        """Commits reachable from *wanted* and not from *known*:
        the newest *cap* with their parents, and how many there
        are in all. Children come before their parents.
        """
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        graph = {}
        with self._stream(*_WALK, "--parents", lines=lines) as out:
            for raw in out:
                oid, *parents = raw.decode().split()
                graph[oid] = parents
                if len(graph) >= cap:
                    break
            total = len(graph) + _count_lines(out)
        return graph, total

    def count(self, wanted: Iterable[str], known: Iterable[str]) -> int:
        """How many commits are reachable from *wanted* and not from *known*."""
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        return int(self.read(*_COUNT, lines=lines))

    def between(self, old: str, new: str) -> list[str]:
        """The commits of old..new, oldest first."""
        return self.read(*_WALK, "--reverse", lines=(new, f"^{old}")).split()

    def history(self, tips: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
        """Every commit that *tips* reach, with its parents;
        children come before their parents.
        """
        with self._stream(*_WALK, "--parents", lines=tips) as out:
            for raw in out:
                oid, *parents = raw.decode().split()
                yield oid, parents

    def beyond(self, oids: Iterable[str], known: Iterable[str]) -> set[str]:
        """Those of the commits *oids* that *known* do not reach;
        a missing one is not among them.
        """
        wanted = set(oids)
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        with self._stream(*_WALK, lines=lines) as out:
            return {oid for raw in out if (oid := raw.decode().strip()) in wanted}

    def has_roots(self, wanted: Iterable[str], known: Iterable[str]) -> bool:
        """Whether a commit without parents is
        reachable from *wanted* and not from *known*.
        """
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        return bool(self.read(*_WALK, "--max-parents=0", "--max-count=1", lines=lines))

    def edge(self, wanted: Iterable[str], known: Iterable[str]) -> set[str]:
        """The parents of what is reachable from *wanted* and not from *known*, as far
        as *known* reaches them.
        """
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        with self._stream(*_WALK, "--boundary", lines=lines) as out:
            return {raw[1:].decode().strip() for raw in out if raw.startswith(b"-")}

    def log(
        self, oids: Iterable[str], message_cap: int, files_cap: int, files: bool = True
    ) -> Generator[Commit]:
        """The commits *oids*, in that order, from one `git log`; memory holds one at a
        time.

        Without *files* no tree is read.
        A merge's files are those it brought to its first parent.
        """
        how = ("--no-walk=unsorted", "--name-status" if files else "--no-patch")
        return self._log(how, oids, message_cap, files_cap)

    def log_new(
        self,
        wanted: Iterable[str],
        known: Iterable[str],
        most: int,
        message_cap: int,
        files_cap: int,
    ) -> Generator[Commit]:
        """The commits that `rev_list` finds, the newest *most*, as `log` reads them."""
        lines = [*wanted, *(f"^{oid}" for oid in known)]
        how = ("--topo-order", "--ignore-missing", f"--max-count={most}")
        return self._log((*how, "--name-status"), lines, message_cap, files_cap)

    def _log(
        self, how: Iterable[str], lines: Iterable[str], message_cap: int, files_cap: int
    ) -> Generator[Commit]:
        from oberonc.source.commits import (
            LOG,
            parse,
        )  # not for a push that nobody wants

        with self._stream(*LOG, *how, lines=lines) as out:
            yield from parse(out.read1, message_cap, files_cap)

    def start_diffs(self, oids: list[str]) -> Child:
        """A child that prints each of the commits *oids* in a line, and below it what
        it changes; of a merge what it brought to its first parent.
        """
        return self._start(_DIFFS, oids)


class _Stream:
    """As a context: what a child of *git* prints; raises BadInput at its end where git
    failed.
    """

    def __init__(self, git: Git, child: Child) -> None:
        self._git, self._child = git, child

    def __enter__(self) -> BufferedReader:
        return self._child.stdout

    def __exit__(self, kind: object, *_: object) -> None:
        code, errors = self._child.wait()
        if kind is None:
            self._git.check(code, errors)


#: The symbolic ref that names the default branch of where a repository was cloned from.
ORIGIN = "refs/remotes/origin/HEAD"
_WALK = ("rev-list", "--topo-order", "--ignore-missing", "--stdin")
_COUNT = ("rev-list", "--count", "--ignore-missing", "--stdin")
_CONFIG = ("config", "--list", "-z")
_REFS = (
    "for-each-ref",
    "--format=%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(*objecttype)%00%(HEAD)%00%(symref)",
    "refs/heads",
    "refs/tags",
    ORIGIN,
)


def _as_config(output: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in output.split("\0"):
        key, given, value = entry.partition("\n")
        if key:
            # A variable without "=" is git's short way to say true.
            found.setdefault(key, []).append(value if given else "true")
    return found


def _as_refs(output: str) -> dict[str, Ref]:
    # split("\n"): a ref's name may hold what else ends a line for str.splitlines,
    # U+2028 among it.
    found = {}
    for line in output.split("\n")[:-1]:
        name, oid, kind, peeled, peeled_kind, head, target = line.split("\0")
        commit = oid if kind == "commit" else peeled if peeled_kind == "commit" else ""
        found[name] = Ref(name, oid, commit, head == "*", target)
    return found


#: Options that undo what git configuration could add to the output, take from it, or
#: run. Of files above the threshold git says that they differ, and reads neither.
_DIFFS = (
    "-c",
    "core.bigFileThreshold=16m",
    "diff-tree",
    "--stdin",
    "--always",
    "--root",
    "--patch",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-renames",
    "--no-relative",
    "--submodule=short",
    "--ignore-submodules=none",
    "-O/dev/null",
    "--diff-merges=first-parent",
)


def _count_lines(stream: BufferedReader) -> int:
    count = 0
    while chunk := stream.read(_CHUNK):
        count += chunk.count(b"\n")
    return count
