"""What commits change: whole where it may be, bounded and flagged whatever is pushed,
and only for those who ask.
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc.payload.check import check
from oberonc.source import diffs
from oberonc.source.git import Git
from tests.support.pushes import Server
from tests.support.repo import Repo

WANTED = '[services.mail]\nbroker = "mail"\ndiffs = true\n'


@pytest.fixture
def asked(home: Path, bare: Repo) -> Server:
    """A server with a service that wants diffs."""
    return Server(home, bare, WANTED)


def shown(repo: Repo, oid: str) -> str:
    """What `git show` says that a commit changes."""
    return repo.git("show", "--format=", "--first-parent", "-m", oid) + "\n"


def test_each_new_commit_has_what_git_shows_of_it(asked: Server) -> None:
    work = asked.work
    work.commit("root", "a.txt", "one\ntwo\n")
    work.commit("change", "a.txt", "one\n2\nthree without an end")
    work.commit("nothing", "a.txt", "one\n2\nthree without an end")
    work.git("checkout", "-q", "-b", "topic", "HEAD~1")
    work.commit("beside", "dir/b c.txt", "b\n")
    work.git("checkout", "-q", "main")
    work.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
    payload = asked.push("main")
    commits = payload["commits"]
    assert len(commits) == 5
    assert [c["diff"].strip() for c in commits] == [
        shown(work, c["raw_node"]).strip() for c in commits
    ]
    assert sorted(c["diff"] == "" for c in commits) == [False] * 4 + [True]
    assert not any("diff_truncated" in c for c in commits)
    assert payload["truncated"] is False
    assert check(payload) == ""


@pytest.mark.parametrize("extra", ["", WANTED], ids=["nobody", "somebody"])
def test_git_is_asked_once_where_a_service_wants_them_and_else_not(
    home: Path, bare: Repo, tmp_path: Path, extra: str
) -> None:
    server, log = Server(home, bare, extra), tmp_path / "asked"
    server.work.commit("one")
    server.work.commit("two")
    server.work.git("config", "--global", "trace2.normalTarget", str(log))
    payload = server.push("main")
    asked = log.read_text()
    assert "rev-list" in asked
    assert len(re.findall("start git .*diff-tree", asked)) == bool(extra)
    assert ["diff" in c for c in payload["commits"]] == [bool(extra)] * 2


@pytest.mark.parametrize(
    "service",
    [
        'refs = ["release"]',
        'repositories = ["web/*"]',
        'events = ["delete"]',
        'authors = ["bot"]',
    ],
)
def test_a_push_that_the_service_does_not_get_has_none(
    home: Path, bare: Repo, service: str
) -> None:
    server = Server(home, bare, WANTED + service)
    server.work.commit("one")
    assert "diff" not in server.push("main")["commits"][0]


def test_text_is_made_valid_and_binaries_are_only_named(asked: Server) -> None:
    work = asked.work
    (work.path / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    (work.path / "late.txt").write_bytes(b"x\n" * 5000 + b"\0\x1b[31m\n")
    (work.path / "image.png").write_bytes(b"\x89PNG\0\xff" * 50_000)
    (work.path / "new\nline").write_text("a name that is no name\n")
    work.git("add", ".")
    work.git("commit", "-q", "-m", "odd")
    [commit] = asked.push("main")["commits"]
    lines = commit["diff"].split("\n")
    assert "+caf\ufffd" in lines
    assert "+\ufffd\x1b[31m" in lines
    assert "Binary files /dev/null and b/image.png differ" in lines
    assert '+++ "b/new\\nline"' in lines
    assert "diff_truncated" not in commit


def test_nothing_of_the_repositorys_configuration_runs_or_changes_them(
    asked: Server, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    (asked.bare.path / "info").mkdir(exist_ok=True)
    (asked.bare.path / "info" / "attributes").write_text("* diff=evil\n")
    for key, value in {
        "diff.external": f"touch {ran}; true",
        "diff.evil.command": f"touch {ran}; true",
        "diff.evil.textconv": f"touch {ran}; true",
        "diff.noprefix": "true",
        "diff.context": "0",
        "diff.algorithm": "patience",
        "diff.orderFile": str(tmp_path / "nowhere"),
        "color.ui": "always",
        "core.quotePath": "false",
    }.items():
        asked.bare.git("config", key, value)
    asked.work.commit("one", "a.txt", "one\n")
    asked.work.commit("two", "a.txt", "one\ntwo\n")
    commits = asked.push("main")["commits"]
    assert [c["diff"].strip() for c in commits] == [
        shown(asked.work, c["raw_node"]).strip() for c in commits
    ]
    assert not ran.exists()


def test_what_is_too_large_is_cut_at_a_line_and_flagged(
    asked: Server, bare: Repo
) -> None:
    work = asked.work
    work.commit("small", "a.txt", "a\n")
    work.commit("large", "b.txt", "0123456789 é\n" * 200_000)
    work.commit("after", "c.txt", "c\n")
    payload = asked.push("main")
    before, large, after = payload["commits"]
    assert len(large["diff"].encode()) <= diffs.EACH
    assert large["diff"].endswith("+0123456789 é\n")
    assert large["diff_truncated"] is True
    assert "+a\n" in before["diff"]
    assert "+c\n" in after["diff"]
    assert "diff_truncated" not in before | after
    assert payload["truncated"] is False, "what others get is whole"


def test_of_many_large_ones_the_newest_are_had(asked: Server) -> None:
    for number in range(20):
        asked.work.commit("large", "b.txt", f"{number} a line of it\n" * 20_000)
    commits = asked.push("main")["commits"]
    sizes = [len(c["diff"]) for c in commits]
    assert sum(sizes) <= diffs.TOTAL
    assert sizes[:3] == [0, 0, 0]
    assert all(size > diffs.EACH // 2 for size in sizes[5:])
    assert all(c["diff_truncated"] for c in commits)


def test_git_gets_so_much_time_and_no_more(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repo.commit("one")
    oids = [first, repo.commit("two")]
    monkeypatch.setattr(diffs, "SECONDS", 0.2)
    slow = f"printf '%s\\nsome\\n' {first}; exec sleep 60"
    git = _Fake(repo, slow)
    began = time.monotonic()
    assert diffs._read(git, oids) == [("some\n", False)]
    assert time.monotonic() - began < 20
    assert git.ended


def test_objects_that_are_missing_leave_out_what_cannot_be_had(repo: Repo) -> None:
    repo.commit("one", "a.txt", "a\n")
    oids = [repo.commit("two", "b.txt", "b\n"), repo.commit("three", "c.txt", "c\n")]
    blob = repo.git("rev-parse", "HEAD:c.txt")
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    git = Git(repo.path / ".git")
    [(two, whole), (_, missing)] = diffs._read(git, oids)
    assert ("+b\n" in two, whole, missing) == (True, True, False)
    [(text, last)] = diffs._read(git, oids[1:])
    assert ("+c\n" in text, last) == (False, False)


class _Fake(Git):
    """A repository whose diffs are what a script prints."""

    def __init__(self, repo: Repo, script: str) -> None:
        super().__init__(repo.path / ".git")
        self._script = script
        self.child: Any = None

    def start_diffs(self, oids: list[str]) -> Any:
        from oberonc.process import Child, environment

        self.child = Child(["sh", "-c", self._script], environment())
        return self.child

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return subprocess.run(["kill", "-0", str(self.child.pid)]).returncode != 0


LINES = st.lists(
    st.sampled_from(["+a", "-b", " ", "@@ -1 +1 @@", "\\ No newline", "+" + "a" * 40]),
    max_size=4,
).map(lambda lines: "".join(f"{line}\n" for line in lines).encode())


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 60))
def test_texts_are_told_apart_however_they_come_in_pieces(
    texts: list[bytes], piece: int, cap: int
) -> None:
    oids = [f"{number:040x}" for number in range(len(texts))]
    stream = b"".join(
        oid.encode() + b"\n" + text for oid, text in zip(oids, texts, strict=True)
    )
    output = _Pieces(stream, piece)
    output.until(oids[0], 0)
    for text, following in zip(texts, [*oids[1:], ""], strict=True):
        assert output.until(following, cap) == (text[:cap], len(text) <= cap)


class _Pieces(diffs._Output):
    """An output that comes *piece* bytes at a time."""

    def __init__(self, stream: bytes, piece: int) -> None:
        pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
        self._pieces: Callable[[], bytes] = iter([*pieces, b""]).__next__
        self._rest = b"\n"
        self.ended = self.stopped = False

    def _chunk(self) -> bytes:
        chunk = self._pieces()
        self.ended = self.stopped = not chunk
        return chunk
