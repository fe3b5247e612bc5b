"""Looking changes nothing: no command that only tells makes, owns or changes anything,
whoever runs it.
"""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from oberonc.issues.embedded import IssueFile
from tests.support.accounts import (
    DAEMON,
    PUSHER,
    PUSHERS,
    STRANGER,
    Elsewhere,
    needs_root,
)
from tests.support.command import Command
from tests.support.repo import Repo

#: Every command that tells, or only says what it would do.
LOOKS = (
    ("doctor",),
    ("brokers",),
    ("brokers", "test", "issues"),
    ("config",),
    ("log",),
    ("log", "abcd"),
    ("stats",),
    ("queue", "list"),
    ("issues", "list", "--repository", "shop"),
    ("issues", "show", "1", "--repository", "shop"),
    ("parse",),
    ("send", "--dry-run"),
    ("hook", "status"),
    ("hook", "install", "--dry-run"),
    ("hook", "uninstall", "--dry-run"),
)


def _everything(*tops: Path) -> dict[str, tuple[int, int, int, str]]:
    """Names, modes, owners and contents below *tops*."""
    found = {}
    for top in tops:
        for path in (top, *sorted(top.rglob("*"))):
            facts = path.lstat()
            is_file = stat.S_ISREG(facts.st_mode)
            content = (
                hashlib.sha256(path.read_bytes()).hexdigest()
                if is_file
                else str(path.is_symlink())
            )
            found[str(path)] = (facts.st_mode, facts.st_uid, facts.st_gid, content)
    return found


def _look(
    command: Command, words: tuple[str, ...], cwd: Path, config: Path | None = None
) -> None:
    """Run it, whatever it answers; a traceback is none of the answers."""
    done = subprocess.run(
        [*command.argv, *(["--config", str(config)] if config else []), *words],
        cwd=cwd,
        input="fixes #1",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **command.account,
    )
    assert "Traceback" not in done.stderr
    assert "oberonc: unexpected" not in done.stderr, f"{words}: {done.stderr}"


@pytest.fixture
def place(short_dir: Path) -> Path:
    """A folder that everybody may look into, with a bare repository in it."""
    short_dir.chmod(0o755)
    Repo.init(short_dir / "shop.git", bare=True)
    return short_dir


@pytest.mark.parametrize(
    "begun", [False, True], ids=["nothing is there", "an issue is there"]
)
def test_the_owner_looks(
    place: Path, home: Path, state: Path, oberonc: Command, begun: bool
) -> None:
    if begun:
        oberonc("issues", "new", "one", "--repository", "shop")
    before = _everything(place, home)
    for words in LOOKS:
        _look(oberonc, words, place / "shop.git")
        assert _everything(place, home) == before, words
    assert state.exists() == begun


@needs_root
@pytest.mark.parametrize("delivery", ["here", "daemon"])
@pytest.mark.parametrize(
    ("who", "begun"),
    [(0, True), (0, False), (DAEMON, True), (PUSHER, True), (STRANGER, True)],
    ids=["root", "root before the daemon", "owner", "pusher", "stranger"],
)
def test_whoever_looks_at_the_state_of_an_account(
    place: Path,
    home: Path,
    open_oberonc: Elsewhere,
    delivery: str,
    who: int,
    begun: bool,
) -> None:
    config = place / "config.toml"
    config.write_text(
        f'delivery = "{delivery}"\nstate = "{place}/state"\nspool = "{place}/spool"\n'
        f'[daemon]\nsocket = "{place}/submit.sock"\n'
    )
    for name, mode in (("state", 0o700), ("spool", 0o710)):
        (place / name).mkdir()
        (place / name).chmod(mode)
        os.chown(place / name, DAEMON, PUSHERS)
    if begun:
        open_oberonc.by(DAEMON)(
            "--config", config, "issues", "new", "one", "--repository", "shop"
        )
    command = open_oberonc if who == 0 else open_oberonc.by(who)
    before = _everything(place, home)
    for words in LOOKS:
        _look(command, words, place / "shop.git", config)
        assert _everything(place, home) == before, words


@needs_root
def test_what_root_writes_in_the_state_of_an_account_is_that_accounts(
    place: Path, open_oberonc: Elsewhere
) -> None:
    (place / "state").mkdir(mode=0o700)
    os.chown(place / "state", DAEMON, DAEMON)
    (place / "config.toml").write_text(f'state = "{place}/state"\n')
    words = ("--config", place / "config.toml", "issues")
    assert open_oberonc(*words, "new", "one", "--repository", "shop").out == "#1\n"
    assert (place / "state" / "tracker.sqlite").stat().st_uid == DAEMON
    assert (
        open_oberonc.by(DAEMON)(*words, "close", "1", "--repository", "shop").out
        == "closed #1\n"
    )
    for what in (("new", "two"), ("close", "1"), ("list",), ("show", "1")):
        said = open_oberonc.by(STRANGER)(
            *words, *what, "--repository", "shop", code=77
        ).err
        assert said.endswith("run this as daemon (sudo -u daemon ...)\n")
        assert said.count("\n") == 1


@needs_root
def test_who_has_no_home_is_told_to_have_a_state_folder_and_not_to_be_root(
    place: Path, open_oberonc: Elsewhere
) -> None:
    (place / "config.toml").write_text('state = "/nonexistent/state"\n')
    said = open_oberonc.by(STRANGER)(
        *("--config", place / "config.toml", "issues", "new", "one"),
        *("--repository", "shop"),
        code=77,
    ).err
    assert "/nonexistent/state is not there, and / is root's; set `state`" in said
    assert "sudo" not in said


def test_what_a_crash_left_half_done_is_put_back_before_it_is_read(
    tmp_path: Path,
) -> None:
    tracker = IssueFile(tmp_path)
    tracker.new("shop", "one")
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN');"
        "db.execute('PRAGMA cache_spill = 1'); db.execute('PRAGMA cache_size = 1');"
        "db.execute(\"UPDATE issue SET title = 'half'\");"
        "[db.execute(\"INSERT INTO comment (repository, number, author, text, time) VALUES ('shop', 1, 'x', ?, 0)\","
        " ('y' * 9000,)) for _ in range(50)]; os._exit(0)"
    )
    subprocess.run(["python3", "-c", script, tracker.path], check=True)
    assert (tmp_path / "tracker.sqlite-journal").exists()
    assert tracker.issues("shop")[0].title == "one"
