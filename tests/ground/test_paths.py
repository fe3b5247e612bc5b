"""Where things are, also where the environment says nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oberonc import paths


def test_folders_follow_the_environment(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    assert paths.homes().config == str(home / ".config" / "oberonc")
    assert paths.homes().state == str(home / ".local" / "state" / "oberonc")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert paths.homes().config == str(tmp_path / "c" / "oberonc")
    assert paths.homes().state == str(tmp_path / "s" / "oberonc")


def test_without_home_the_user_database_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    assert paths.home().startswith("/")


@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to become a user without a name"
)
def test_a_user_without_name_and_home_has_paths_all_the_same() -> None:
    script = "import os; from oberonc import paths; os.setuid(54321); os.environ.pop('HOME', None); print(paths.home())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("/\n", "")


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("pipx_metadata.json", "pipx inject oberonc 'oberonc[web]'"),
        ("uv-receipt.toml", "uv tool install 'oberonc[web]' (with"),
        ("pyvenv.cfg", f"{sys.executable} -m pip install 'oberonc[web]'"),
    ],
)
def test_an_extra_is_brought_by_what_brought_oberonc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str, command: str
) -> None:
    (tmp_path / mark).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert paths.adding("web").startswith(command)


def test_a_debian_package_has_another_one_for_what_the_face_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr/lib/oberonc")
    assert paths.adding("web") == "install the Debian package oberonc-web"
    assert "oberonc[amqp]" in paths.adding("amqp")


def test_where_there_is_no_pip_nothing_is_said_that_would_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    assert "-m pip" not in paths.adding("web")


def test_the_system_folder_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.homes().system is None
    monkeypatch.delenv("OBERONC_CONFIG_NOSYSTEM")
    assert paths.homes().system == "/etc/oberonc"


def test_what_is_shipped_is_there() -> None:
    assert (paths.bundled("brokers") / "issues.py").is_file()
    assert (paths.bundled("hooks") / "hook").is_file()


def test_a_child_imports_nothing_from_the_callers_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    done = subprocess.run(
        [sys.executable, *paths.isolation(), "-c", "import json"],
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0
