"""A configuration that is broken: the push is handed over or kept, and the one line
says what is to be mended.
"""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from oberonc import hook
from oberonc.delivery import spool
from tests.support.admin import Admin
from tests.support.command import Command, Done
from tests.support.daemon_site import Site, recorder
from tests.support.pushes import put_hook
from tests.support.repo import Repo

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to give a file to somebody else"
)


def _chown(file: Path) -> None:
    os.chown(file, 54321, -1)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


#: What somebody did to a good file, and what the line says of it.
SLIPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown key": (
        lambda file: file.write_text("unknown = 1\n" + file.read_text()),
        "unknown key 'unknown'",
    ),
    "wrong type": (
        lambda file: file.write_text("publish = 'main'\n" + file.read_text()),
        "must be a list of texts",
    ),
    "broken TOML": (
        lambda file: file.write_text("x = = 1\n" + file.read_text()),
        "is not valid TOML",
    ),
    "broken service": (
        lambda file: file.write_text(file.read_text() + "[services.x]\nbrokr = 1\n"),
        "names no broker",
    ),
    "broken table": (
        lambda file: file.write_text(file.read_text() + "[services.x\n"),
        "is not valid TOML",
    ),
    "not UTF-8": (
        lambda file: file.write_bytes(file.read_bytes() + b"# \xe9\n"),
        "it is not UTF-8",
    ),
}
#: After these nothing of the file is believed.
REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "mode": (lambda file: file.chmod(0o646), "can be written by everybody"),
    "folder": (_folder, "it is a folder and not a file"),
    "owner": (_chown, "belongs to uid 54321"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_running_daemon_gets_the_push_all_the_same(
    site: Site, bare: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slip: str
) -> None:
    site.write("rec", recorder())
    site.start()
    monkeypatch.setenv("OBERONC_CONFIG", str(site.file))
    good = site.file.read_bytes()
    break_it, said = SLIPS[slip]
    break_it(site.file)
    put_hook(bare.path / "hooks", "post-receive")
    work = bare.clone(tmp_path / "work")
    work.commit("one")
    lines = [line for line in work.push("main").splitlines() if "oberonc" in line]
    assert len(lines) == 1
    assert f"the configuration is broken: {site.file}" in lines[0]
    assert said in lines[0]
    assert "queued 1 commit" in lines[0]
    site.file.write_bytes(good)
    site.settled(done=1)


def test_commands_that_only_ask_the_daemon_work_and_say_what_is_broken(
    site: Site, oberonc: Command
) -> None:
    site.write("rec", recorder())
    site.start()
    site.file.write_text("unknown = 1\n" + site.file.read_text())

    def ask(*words: str) -> Done:
        done = oberonc("--config", site.file, *words)
        assert done.err.splitlines()[0] == (
            f"oberonc: the configuration is broken: {site.file}: unknown key 'unknown'"
        )
        return done

    assert ask("stats", "--json").json["generation"] == 1
    assert ask("queue", "list", "--json").json == []
    assert ask("brokers", "--json").json["daemon"]["generation"] == 1
    ask("log")
    ask("queue", "pause", "rec")
    ask("backup", str(site.folder / "copy.sqlite"))
    # The daemon reads the file too, and refuses it.
    assert (
        "nothing changed"
        in oberonc("--config", site.file, "reload", code=1).err.splitlines()[-1]
    )


def test_a_file_that_was_named_and_tells_nothing_leads_to_no_other_daemon(
    oberonc: Command, tmp_path: Path
) -> None:
    assert (
        "No such file"
        in oberonc("--config", tmp_path / "none.toml", "stats", code=78).err
    )


def _push(bare: Repo, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hook's line for a push of one commit, run in this process."""
    work = bare.clone(bare.path.parent / "work")
    oid = work.commit("one")
    work.push("main")
    monkeypatch.chdir(bare.path)
    monkeypatch.setenv("GIT_DIR", ".")
    return hook.run("post-receive", [], f"{'0' * 40} {oid} refs/heads/main\n")


@pytest.mark.parametrize("slip", [*SLIPS, *REFUSALS])
def test_where_no_daemon_answers_the_push_is_where_the_daemon_looks(
    bare: Repo, short_dir: Path, monkeypatch: pytest.MonkeyPatch, slip: str
) -> None:
    if slip == "owner" and os.geteuid() != 0:
        pytest.skip("needs root to give a file to somebody else")
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    for name in ("SYSTEM", "SOCKETS", "SPOOL"):
        (short_dir / name).mkdir()
        monkeypatch.setattr(f"oberonc.paths.{name}", short_dir / name)
    file = short_dir / "SYSTEM" / "config.toml"
    file.write_text(
        f'delivery = "daemon"\nspool = "{short_dir / "SPOOL"}"\n[daemon]\nsocket = "{short_dir / "SOCKETS" / "s"}"\n'
    )
    break_it, said = (SLIPS | REFUSALS)[slip]
    break_it(file)
    line = _push(bare, monkeypatch)
    assert (
        line.startswith(f"the configuration is broken: {file}")
        or f"the configuration {file}" in line
    )
    assert said in line
    assert "spooled 1 commit" in line
    assert len(spool.listing(short_dir / "SPOOL")) == 1


def test_where_nothing_takes_the_push_the_line_says_both_and_the_next_one_tells_of_it(
    admin: Admin, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (admin.home / "file").touch()
    put_hook(repo.path / ".git" / "hooks", "post-commit")
    good = f"delivery = 'daemon'\nspool = '{admin.home / 'spool'}'\ndaemon.socket = '{admin.home / 's'}'\n"
    file = admin.configure(good)
    repo.commit("base")
    file.write_text(f"unknown = 1\nspool = '{admin.home / 'file'}'\n")
    line = repo.sh("git commit --allow-empty -q -m one")
    assert line.count("\n") == 1
    assert (
        f"the configuration is broken: {file}: unknown key 'unknown'; cannot keep the push in"
        in line
    )
    file.write_text(good)
    assert "spooled 2 commits" in repo.sh("git commit --allow-empty -q -m two")


@pytest.mark.parametrize("slip", SLIPS)
def test_brokers_that_would_run_in_the_hook_get_it_once_the_file_is_mended(
    admin: Admin, repo: Repo, oberonc: Command, slip: str
) -> None:
    admin.handle("rec", "open(DONE, 'a').write(payload['commits'][0]['message'])")
    good = f"spool = '{admin.home / 'kept'}'\n[services.one]\nbroker = 'rec'\n"
    put_hook(repo.path / ".git" / "hooks", "post-commit")
    file = admin.configure(good)
    break_it, said = SLIPS[slip]
    break_it(file)
    line = repo.sh("git commit --allow-empty -q -m one")
    assert line.count("\n") == 1
    assert said in line
    assert "kept 1 commit" in line
    assert "the next push or `oberonc send --spooled` delivers it" in line
    assert admin.lines() == []
    admin.configure(good)
    assert "one: done" in oberonc("send", "--spooled").out
    assert admin.lines() == ["one"]


def test_a_pushers_own_file_takes_no_push_away_from_the_machines_daemon(
    admin: Admin, bare: Repo, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.configure(f"delivery = 'here'\nspool = '{admin.home / 'mine'}'\n")
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    monkeypatch.setattr("oberonc.paths.SYSTEM", short_dir)
    (short_dir / "config.toml").write_text(
        "user_config = false\ndelivery = 'daemon'\n"
        f"spool = '{short_dir / 'spool'}'\ndaemon.socket = '{short_dir / 's'}'\n"
    )
    assert _push(bare, monkeypatch).startswith("spooled 1 commit")
    assert len(spool.listing(short_dir / "spool")) == 1
    assert not (admin.home / "mine").exists()


@pytest.mark.parametrize(
    "value", ["maybe", "", "\\t", "[a-", "**/**", "x" * 3000, "\\342\\200\\256", "-1"]
)
@pytest.mark.parametrize(
    "key", ["name", "owner", "url", "defaultBranch", "publish", "service", "enabled"]
)
def test_no_value_of_a_repositorys_own_keys_loses_a_push(
    home: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    (home / ".config/oberonc").mkdir(parents=True)
    (home / ".config/oberonc/config.toml").write_text(
        f"delivery = 'daemon'\nspool = '{home / 'spool'}'\ndaemon.socket = '{home / 'none.sock'}'\n"
    )
    repo.commit("one")
    repo.sh(f"git config oberonc.{key} \"$(printf '{value}')\"")
    monkeypatch.chdir(repo.path)
    assert hook.run("post-commit", [], "").startswith("spooled 1 commit")
    [kept] = spool.listing(home / "spool")
    spool.read(kept)


@pytest.mark.parametrize("home", ["relative", "", "/proc/nothing/there", "/dev/null"])
def test_no_home_loses_a_push(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, short_dir: Path, home: str
) -> None:
    """Where the user's folder is cannot be told, or is no folder: the machine's file is
    enough.
    """
    repo.commit("one")
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    monkeypatch.setattr("oberonc.paths.SYSTEM", short_dir)
    (short_dir / "config.toml").write_text(
        f"delivery = 'daemon'\nspool = '{short_dir / 'spool'}'\ndaemon.socket = '{short_dir / 's'}'\n"
    )
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CONFIG_HOME", home)
    monkeypatch.setenv("XDG_STATE_HOME", home)
    account = list(pwd.getpwuid(os.geteuid()))
    account[5] = str(short_dir / "account")  # its real home stays as it is
    monkeypatch.setattr("pwd.getpwuid", lambda _: pwd.struct_passwd(account))
    monkeypatch.chdir(repo.path)
    assert "spooled 1 commit" in hook.run("post-commit", [], "")
    assert len(spool.listing(short_dir / "spool")) == 1
    assert not (repo.path / "relative").exists()
