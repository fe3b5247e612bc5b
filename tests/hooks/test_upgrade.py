"""While the package is being replaced a hook waits a moment, then hands over or says
one line; no push is lost.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import pytest

import oberonc
from oberonc.admin.install.script import ROOT, script
from oberonc.delivery import spool
from tests.support.repo import Repo


class Replaced:
    """A bare repository whose hook runs a copy of the package, and the folder of
    commands that the hook finds first.
    """

    def __init__(
        self, folder: Path, bare: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.root = folder / "site"
        self.package = self.root / "oberonc"
        self.commands = folder / "commands"
        self.commands.mkdir()
        self.spool = home / "spool"
        self.whole()
        hook = bare.path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(
            script("post-receive").replace(
                f"\nroot={quote(ROOT)}\n", f"\nroot={quote(str(self.root))}\n"
            )
        )
        hook.chmod(0o755)
        configuration = home / ".config" / "oberonc" / "config.toml"
        configuration.parent.mkdir(parents=True)
        socket = home / "none.sock"
        configuration.write_text(
            f'delivery = "daemon"\nspool = "{self.spool}"\n[daemon]\nsocket = "{socket}"\n'
        )
        monkeypatch.setenv("PATH", f"{self.commands}:/usr/local/bin:/usr/bin:/bin")
        self.command("sleep", "exit 0")
        self.work = bare.clone(folder / "work")

    def whole(self) -> None:
        """Put the whole package in its place."""
        shutil.rmtree(self.package, ignore_errors=True)
        source = Path(oberonc.__file__).parent
        shutil.copytree(
            source, self.package, ignore=shutil.ignore_patterns("__pycache__")
        )

    def command(self, name: str, text: str) -> None:
        """A program on the hook's PATH."""
        file = self.commands / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def push(self) -> tuple[str, list[str]]:
        """Push a new commit; its id, and what the hook said."""
        oid = self.work.commit("a change")
        said = [line.strip() for line in self.work.push("main").splitlines()]
        return oid, [
            line for line in said if line.startswith("remote:") and line != "remote:"
        ]

    def delivered(self) -> set[str]:
        """The commits of every push that was kept."""
        entries = [spool.read(path) for path in spool.listing(self.spool)]
        return {
            commit["raw_node"]
            for entry in entries
            for commit in entry["payload"]["commits"]
        }


@pytest.fixture
def replaced(
    tmp_path: Path, bare: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Replaced:
    """A hook that has delivered a push."""
    made = Replaced(tmp_path, bare, home, monkeypatch)
    oid, said = made.push()
    assert len(said) == 1
    assert "spooled 1 commit" in said[0]
    assert made.delivered() == {oid}
    return made


def _gone(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def _cut(place: Path) -> None:
    raw = place.read_bytes()
    # within a statement, wherever half of it is
    place.write_bytes(raw[: len(raw) // 2] + b"\n(")


def _empty(place: Path) -> None:
    place.write_bytes(b"")


FAULTS: list[tuple[str, Callable[[Path], None]]] = [
    (".", _gone),
    ("hook.py", _gone),
    ("hook.py", _cut),
    ("hook.py", _empty),
    ("__init__.py", _cut),
    ("config.py", _gone),
    ("delivery/report.py", _cut),
    ("source/hooks.py", _empty),
    ("delivery/handover.py", _gone),
    ("delivery/spool.py", _cut),
    ("delivery/spool.py", _gone),
]


@pytest.mark.parametrize(
    ("place", "fault"),
    FAULTS,
    ids=[f"{place} {fault.__name__}" for place, fault in FAULTS],
)
def test_what_is_half_there_says_one_line_and_the_next_push_delivers_both(
    replaced: Replaced, place: str, fault: Callable[[Path], None]
) -> None:
    fault(replaced.package / place)
    missed, said = replaced.push()
    assert len(said) == 1, said
    assert "is it being replaced?" in said[0]
    assert "next push" in said[0]
    assert missed not in replaced.delivered()
    replaced.whole()
    later, said = replaced.push()
    assert {missed, later} <= replaced.delivered()
    assert "spooled 2 commits" in said[0]


def test_a_package_that_comes_back_within_a_moment_costs_nothing_but_that(
    replaced: Replaced, tmp_path: Path
) -> None:
    aside = replaced.package.rename(tmp_path / "aside")
    replaced.command("sleep", f"mv {aside} {replaced.package}")
    oid, said = replaced.push()
    assert "spooled 1 commit" in said[0]
    assert oid in replaced.delivered()


@pytest.mark.parametrize("status", [1, 2, 134])
def test_a_command_on_path_that_cannot_run_either_shows_no_traceback(
    replaced: Replaced, status: int
) -> None:
    _gone(replaced.package)
    replaced.command(
        "oberonc", f"echo Traceback >&2; echo '  File x' >&2; exit {status}"
    )
    _, said = replaced.push()
    assert len(said) == 1, said
    assert "Traceback" not in said[0]


def test_without_a_memory_the_line_does_not_promise_the_next_push(
    replaced: Replaced, bare: Repo
) -> None:
    shutil.rmtree(bare.path / "oberonc")
    _gone(replaced.package)
    _, said = replaced.push()
    assert (
        "nothing was delivered: once it is back, 'oberonc send --rev A..B' does that"
        in said[0]
    )
