"""`oberonc init`: a configuration to start from, and never a change of one that is
there.
"""

import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest

from oberonc.commands import init
from oberonc.errors import NotAllowed
from oberonc.issues.trackers import CLASSES, load
from tests.support.admin import Admin
from tests.support.command import Command, Done
from tests.support.repo import Repo


def test_the_written_file_is_in_force_and_is_never_overwritten(
    admin: Admin, oberonc: Command
) -> None:
    file = admin.folder / "config.toml"
    assert oberonc("init").out == f"wrote {file}\n"
    before = file.read_bytes()
    assert oberonc("config", "--json").json["services.issues.tracker"]["from"] == str(
        file
    )
    assert "exists already; nothing was written" in oberonc("init", code=78).err
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["link", "dangling"])
def test_a_link_is_not_written_through(
    admin: Admin, oberonc: Command, tmp_path: Path, kind: str
) -> None:
    admin.folder.mkdir(parents=True)
    if kind == "link":
        (tmp_path / "real").write_text("")
    (admin.folder / "config.toml").symlink_to(tmp_path / "real")
    oberonc("init", code=78)
    assert not (tmp_path / "real").exists() or (tmp_path / "real").read_text() == ""


def test_every_line_that_is_commented_out_is_valid(
    admin: Admin, oberonc: Command
) -> None:
    oberonc("init")
    text = (admin.folder / "config.toml").read_text().splitlines()
    lines = [
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in text
    ]
    admin.configure("\n".join(lines))
    assert admin.load().services["issues"].paths == ("apps/**",)


def _written(said: Done) -> dict[Path, str]:
    """What was done with which file."""
    rows = [line.split(" ", 1) for line in said.out.splitlines()]
    return {
        Path(row[1]): row[0]
        for row in rows
        if row[0] in ("wrote", "same", "kept", "differs", "replaced")
    }


def test_for_packagers_units_go_to_usr_lib_and_run_usr_bin(
    oberonc: Command, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    written = _written(oberonc("init", "--system", "--root", root))
    assert {str(path.relative_to(root)) for path in written} == {
        "etc/oberonc/config.toml",
        "usr/lib/systemd/system/oberonc.service",
        "usr/lib/systemd/system/oberonc.socket",
        "usr/lib/systemd/system/oberonc-control.socket",
        "usr/lib/systemd/system/oberonc-web.service",
        "usr/lib/systemd/system/oberonc-web.socket",
        "usr/lib/systemd/system/oberonc-mirror.service",
        "usr/lib/systemd/system/oberonc-mirror.timer",
        "usr/lib/tmpfiles.d/oberonc.conf",
        "usr/lib/sysusers.d/oberonc.conf",
    }
    unit = (root / "usr/lib/systemd/system/oberonc.service").read_text()
    assert "ExecStart=/usr/bin/oberonc --config" in unit
    assert sys.executable not in unit
    settings = tomllib.loads((root / "etc/oberonc/config.toml").read_text())
    assert (settings["delivery"], settings["user_config"]) == ("daemon", False)
    for words in (("--root", root), ("--force",)):
        assert "goes with --system" in oberonc("init", *words, code=2).err


def test_run_again_it_writes_what_is_missing_and_shows_what_differs(
    oberonc: Command, tmp_path: Path
) -> None:
    again = ("init", "--system", "--root", tmp_path)
    first = _written(oberonc(*again))
    assert set(_written(oberonc(*again)).values()) == {"same"}
    missing, changed = (
        tmp_path / "usr/lib/tmpfiles.d/oberonc.conf",
        tmp_path / "usr/lib/systemd/system/oberonc.service",
    )
    missing.unlink()
    shipped = changed.read_text()
    changed.write_text(shipped.replace("WatchdogSec=30", "WatchdogSec=90"))
    said = oberonc(*again, code=1)
    assert "-WatchdogSec=90\n+WatchdogSec=30\n" in said.out
    assert _written(said) == dict.fromkeys(first, "same") | {
        missing: "wrote",
        changed: "differs",
    }
    assert "WatchdogSec=90" in changed.read_text()
    assert _written(oberonc(*again, "--force"))[changed] == "replaced"
    assert changed.read_text() == shipped


def test_the_configuration_of_the_administrator_and_a_masked_unit_are_never_replaced(
    oberonc: Command, tmp_path: Path
) -> None:
    again = ("init", "--system", "--root", tmp_path, "--force")
    oberonc(*again)
    config, unit = (
        tmp_path / "etc/oberonc/config.toml",
        tmp_path / "usr/lib/systemd/system/oberonc.socket",
    )
    config.write_text('delivery = "here"\n')
    unit.unlink()
    unit.symlink_to("/dev/null")
    done = _written(oberonc(*again))
    assert (done[config], done[unit]) == ("kept", "kept")
    assert config.read_text() == 'delivery = "here"\n'
    assert unit.is_symlink()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(
    oberonc: Command, tmp_path: Path, umask: int
) -> None:
    os.umask(umask)
    root = tmp_path / "root"
    oberonc("init", "--system", "--root", root)
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (
            0o755 if path.is_dir() else 0o644
        ), path


def test_a_daemon_that_could_not_run_this_interpreter_gets_no_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "python").touch(0o755)
    closed.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(closed / "bin" / "python"))
    monkeypatch.setattr(
        init,
        "_system_files",
        lambda root: pytest.fail("something would have been written"),
    )
    with pytest.raises(
        NotAllowed,
        match=r"an account of its own: everybody cannot run .*bin/oberonc init --system",
    ):
        init.command.main(["--system"], standalone_mode=False)


def test_a_folder_that_takes_no_file_is_one_line(oberonc: Command) -> None:
    done = oberonc("init", "--system", "--root", "/proc/none", code=77)
    assert done.err.count("\n") == 1


def _tool(folder: Path, name: str) -> dict[str, str]:
    folder.mkdir()
    (folder / name).write_text("#!/bin/sh\necho secret\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.timeout(600)  # it runs a command or two for each tracker
def test_a_tracker_gets_a_service_that_counts(
    oberonc: Command, home: Path, repo: Repo, tmp_path: Path
) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    wanted: dict[str, list[str]] = {name: [] for name in CLASSES if name != "local"}
    for name in wanted:
        needs = load(name).needs
        wanted[name] += ["--url", "https://t.example"] if "url" in needs else []
        wanted[name] += ["--project", "PROJ"] if "project" in needs else []
        wanted[name] += ["--user", "bot"] if "user" in needs else []
        if wanted[name]:
            assert "needs --" in oberonc("init", "--tracker", name, code=2).err
        said = oberonc("init", "--tracker", name, *wanted[name], cwd=repo.path)
        assert f"`oberonc brokers test {name}`" in said.err
        shown = oberonc("config", "--json").json
        assert shown[f"services.{name}.tracker"]["value"] == name
        for need in needs:
            assert any(f"\n{key} = " in file.read_text() for key in need.split("|"))
        file.unlink()
    env = _tool(tmp_path / "bin", "gh")
    repo.git("remote", "add", "origin", "git@git.example.org:octo/hello.git")
    oberonc("init", "--tracker", "github", cwd=repo.path, env=env)
    text = file.read_text()
    assert 'url = "https://git.example.org"' in text
    assert 'token = "cmd:gh auth token --hostname git.example.org"' in text
    said = oberonc("init", "--tracker", "gitea", code=78, cwd=repo.path)
    assert 'url = "https://git.example.org"' in said.out
    assert "exists already" in said.err
    assert file.read_text() == text


def test_the_address_of_a_tracker_is_that_of_the_web_where_origin_says_it(
    oberonc: Command, home: Path, repo: Repo
) -> None:
    repo.git("remote", "add", "origin", "nowhere")
    file = home / ".config" / "oberonc" / "config.toml"
    for kind, address, url in (
        (
            "gitlab",
            "https://me@git.example.org:8443/a/b/c.git",
            "https://git.example.org:8443",
        ),
        ("gitea", "http://git.lan:3000/octo/hello", "http://git.lan:3000"),
        ("gitea", "ssh://git@git.lan:2222/octo/hello", "https://git.lan"),
        ("github", "ssh://git@ssh.github.com:443/octo/hello", ""),
        ("gitlab", "https://gitlab.com/octo/hello", ""),
    ):
        repo.git("remote", "set-url", "origin", address)
        oberonc("init", "--tracker", kind, cwd=repo.path)
        assert (f'url = "{url}"\n' in file.read_text()) == bool(url)
        assert ("url" in file.read_text()) == bool(url)
        file.unlink()


def test_a_service_on_the_embedded_tracker_needs_no_secret_and_folders_are_readable(
    oberonc: Command, home: Path, tmp_path: Path
) -> None:
    oberonc("init", "--tracker", "local")
    file = home / ".config" / "oberonc" / "config.toml"
    assert "password" not in file.read_text()
    oberonc("brokers", "test", "issues")
    other = {"XDG_CONFIG_HOME": str(tmp_path / "zu Hause, für mich")}
    oberonc("init", "--tracker", "github", env=other)
    text = (tmp_path / "zu Hause, für mich" / "oberonc" / "config.toml").read_text()
    assert f'"file:{tmp_path}/zu Hause, für mich/oberonc/github-token"' in text
    assert oberonc("config", "--json", env=other).json["services.github.tracker"]
