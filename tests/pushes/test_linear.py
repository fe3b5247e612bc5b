"""From the hook to the outcome, the work grows no quicker than what a stranger sent,
whatever part of it is long.

What is counted is lines run and calls made, Python's own among them, in one process;
not time.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from oberonc import config as configuration
from oberonc import jsontext
from oberonc.broker import loading, perform
from oberonc.broker.contract import BaseBroker
from oberonc.broker.request import first_attempt
from oberonc.config import Config
from oberonc.daemon.intake.sender import Sender
from oberonc.daemon.intake.submissions import submission
from oberonc.delivery import frames
from oberonc.source import hooks
from oberonc.source.collect import collect
from oberonc.source.opening import open_repository
from tests.support.admin import Admin
from tests.support.pushes import fast_import
from tests.support.repo import Repo

CONFIGURATION = """
[services.issues]
broker = "issues"
repositories = ["*", "!attic/**"]
refs = ["**", "!*/wip-*/**/x"]
paths = ["**", "!**/vendor/**/*.min.*"]
authors = ["!*bot*", "!*[*]*"]
import_above = 1000000
"""
ZERO = "0" * 40


def commit(
    branch: str,
    message: str,
    *files: str,
    author: str = "Ann Example <ann@example.org>",
    merges: int = 0,
) -> bytes:
    """A commit on *branch* for git fast-import; *merges* other roots are its parents
    too.
    """
    text = message.encode()
    lines = [b"commit refs/heads/%s" % branch.encode()]
    lines += [
        f"author {author} 1767261600 +0200".encode(),
        b"committer Ann <ann@example.org> 1767261600 +0200",
    ]
    lines += [b"data %d\n%s" % (len(text), text)]
    lines += [b"merge refs/heads/root-%d" % number for number in range(merges)]
    lines += [f"M 100644 inline {file}\ndata 0\n".encode() for file in files]
    return b"\n".join(lines) + b"\n"


def octopus(size: int) -> bytes:
    """A merge of *size* histories that have nothing in common."""
    roots = [commit(f"root-{number}", f"root {number}") for number in range(size)]
    return b"".join(roots) + commit("main", "merge, fixes #1", merges=size)


#: What is pushed, for a size. Each is something that whoever pushes chooses freely.
PUSHES: dict[str, Callable[[int], bytes]] = {
    "message": lambda size: commit(
        "main", "fixes #1 and tells more of it\n" * size, "f"
    ),
    "paragraphs": lambda size: commit("main", "-#2\n\n" * size, "f"),
    "links and quotes": lambda size: commit(
        "main", "[x](y) `z\n> fixes #1\n" * size, "f"
    ),
    "references": lambda size: commit(
        "main", "fixes " + ", ".join(f"#{n}" for n in range(1, size + 1)), "f"
    ),
    "trailers": lambda size: commit(
        "main", "title\n\nbody\n\n" + "Fixes: #1\nX-Y: z\n" * size, "f"
    ),
    "author's name": lambda size: commit(
        "main", "fixes #1", "f", author=f"{'bo' * size} <a@example.org>"
    ),
    "author's mail": lambda size: commit(
        "main", "fixes #1", "f", author=f"A <{'bo' * size}@example.org>"
    ),
    "path": lambda size: commit("main", "fixes #1", "vendor/" * size + "x.min"),
    "files": lambda size: commit(
        "main", "fixes #1", *(f"vendor/{n}/x.min.js" for n in range(size))
    ),
    "commits": lambda size: b"".join(
        commit("main", f"{n}, fixes #1", f"f{n % 7}") for n in range(size)
    ),
    "commits and files": lambda size: b"".join(
        commit("main", f"{n}, refs #1", *(f"d{m}/f" for m in range(8)))
        for n in range(size)
    ),
    "parents": octopus,
    "branches": lambda size: b"".join(
        commit(f"topic-{n}", f"{n}, fixes #1", "f") for n in range(size)
    ),
    "branch name": lambda size: commit("wip-/" * size + "x", "fixes #1", "f"),
}
#: Sizes that need no more than a moment under the eyes of the tracer; the second is
#: four times the first.
SIZES = {
    "message": 30,
    "paragraphs": 60,
    "links and quotes": 30,
    "references": 20,
    "trailers": 20,
    "parents": 8,
}
SIZES |= {"author's name": 120, "author's mail": 120, "path": 60, "branch name": 60}


class Counted:
    """Counts what this thread does within a `with` block."""

    work = 0

    def __enter__(self) -> "Counted":
        self._before = sys.gettrace(), sys.getprofile()
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before[0])
        sys.setprofile(self._before[1])

    def _trace(self, _frame: FrameType, event: str, _arg: object) -> Any:
        self.work += event == "line"
        return self._trace

    def _profile(self, _frame: FrameType, event: str, _arg: object) -> None:
        self.work += event in ("call", "c_call")


@pytest.fixture
def settings(admin: Admin) -> Config:
    admin.configure(CONFIGURATION)
    return configuration.load()


def handled(
    bare: Repo,
    stream: bytes,
    config: Config,
    broker: type[BaseBroker],
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """The work of one push of all that *stream* holds: hook, frame, acceptance, broker."""
    fast_import(bare, stream)
    refs = [
        line.split()
        for line in bare.git(
            "for-each-ref", "--format=%(objectname) %(refname)"
        ).splitlines()
    ]
    stdin = "".join(f"{ZERO} {oid} {ref}\n" for oid, ref in refs)
    monkeypatch.setenv("GIT_DIR", str(bare.path))
    with Counted() as counted:
        git = open_repository("post-receive")
        assert git
        call = hooks.read_call(git, git.config(), "post-receive", [], stdin)
        assert call
        collected = collect(call, config)
        assert collected
        _, payload = collected
        request = frames.decode_request(
            jsontext.canonical({"op": "submit", "payload": payload})
        )
        accepted = submission(config, request["payload"], Sender(os.getuid()))
        service = config.services["issues"]
        asked = first_attempt(
            service, service.settings, payload, str(config.state), 60.0
        )
        outcome = perform.perform(broker, asked)
    assert accepted.commits
    assert outcome.kind in ("done", "retry"), outcome
    return counted.work


@pytest.mark.parametrize("field", PUSHES)
def test_the_work_is_linear_in(
    field: str,
    tmp_path: Path,
    settings: Config,
    admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = loading.load(admin.place("issues"))
    size = SIZES.get(field, 12)
    works = [
        handled(
            Repo.init(tmp_path / f"{n}.git", bare=True),
            PUSHES[field](n),
            settings,
            broker,
            monkeypatch,
        )
        for n in (1, 1, size, 4 * size)
    ]
    _, nothing, small, large = works
    assert large - nothing <= 4.5 * (small - nothing) + 3000, works
