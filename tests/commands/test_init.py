"""`oberonc init`: a configuration to start from, and never a change of one that is there."""

import tomllib
from pathlib import Path

import pytest

from tests.support.admin import Admin
from tests.support.command import Command


def test_the_written_file_is_in_force_and_is_never_overwritten(admin: Admin, oberonc: Command) -> None:
    file = admin.folder / "config.toml"
    assert oberonc("init").out == f"wrote {file}\n"
    before = file.read_bytes()
    assert oberonc("config", "--json").json["services.issues.tracker"]["from"] == str(file)
    assert "exists already; nothing was written" in oberonc("init", code=78).err
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", ["link", "dangling"])
def test_a_link_is_not_written_through(admin: Admin, oberonc: Command, tmp_path: Path, kind: str) -> None:
    admin.folder.mkdir(parents=True)
    if kind == "link":
        (tmp_path / "real").write_text("")
    (admin.folder / "config.toml").symlink_to(tmp_path / "real")
    oberonc("init", code=78)
    assert not (tmp_path / "real").exists() or (tmp_path / "real").read_text() == ""


def test_every_line_that_is_commented_out_is_valid(admin: Admin, oberonc: Command) -> None:
    oberonc("init")
    text = (admin.folder / "config.toml").read_text().splitlines()
    lines = [line.removeprefix("# ") if " = " in line and line.startswith("# ") else line for line in text]
    admin.configure("\n".join(lines))
    assert admin.load().services["issues"].paths == ("apps/**",)


def test_system_files_go_below_root_and_all_or_nothing(oberonc: Command, tmp_path: Path) -> None:
    root = tmp_path / "root"
    said = oberonc("init", "--system", "--root", root)
    written = [Path(line.removeprefix("wrote ")) for line in said.out.splitlines()]
    assert root / "etc/oberonc/config.toml" in written
    assert all(path.is_file() for path in written)
    assert tomllib.loads((root / "etc/oberonc/config.toml").read_text())["delivery"] == "daemon"
    (root / "etc/oberonc/config.toml").unlink()
    oberonc("init", "--system", "--root", root, code=78)
    assert not (root / "etc/oberonc/config.toml").exists()
    assert "--root goes with --system" in oberonc("init", "--root", root, code=2).err


def test_a_folder_that_takes_no_file_is_one_line(oberonc: Command) -> None:
    done = oberonc("init", "--system", "--root", "/proc/none", code=77)
    assert done.err.count("\n") == 1
