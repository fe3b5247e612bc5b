"""An interpreter that those who push cannot reach is refused when the hook is
installed, with the way that works.
"""

import grp
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.admin.install import hook_files, places, reach
from oberonc.errors import NotAllowed
from oberonc.rights import EVERYBODY, Account, account, as_account, hurdle, members
from tests.support.accounts import needs_root
from tests.support.command import Command
from tests.support.repo import Repo

NOBODY = 65534


@pytest.fixture
def deep(short_dir: Path) -> Iterator[Path]:
    """A file that everybody may read, with a folder above it that its test may close."""
    short_dir.chmod(0o755)
    file = short_dir / "home" / "venv" / "python"
    file.parent.mkdir(parents=True)
    file.touch()
    file.chmod(0o755)
    yield file
    (short_dir / "home").chmod(0o755)


@pytest.mark.parametrize(
    ("mode", "who", "kept"),
    [
        (0o755, EVERYBODY, False),
        (0o711, EVERYBODY, False),
        (0o700, EVERYBODY, True),
        (0o750, EVERYBODY, True),
        (0o750, members(os.getegid()), False),
        (0o701, members(os.getegid()), True),
        (0o700, account(os.geteuid()), False),
    ],
)
def test_the_modes_of_what_lies_above_decide(
    deep: Path, mode: int, who: Account, kept: bool
) -> None:
    os.chown(deep.parents[1], -1, os.getegid())
    deep.parents[1].chmod(mode)
    assert hurdle(deep, who, 5) == (
        f"{deep.parents[1]} (mode {mode:04o})" if kept else ""
    )


@pytest.mark.parametrize("kind", ["file", "folder", "relative", "chain", "circle"])
def test_links_on_the_way_are_followed_as_the_kernel_does(
    deep: Path, kind: str
) -> None:
    top = deep.parents[2]
    link = top / "link"
    target = {
        "file": deep,
        "folder": deep.parent,
        "relative": Path("home/../home/venv"),
        "chain": top / "two",
        "circle": link,
    }
    link.symlink_to(target[kind])
    (top / "two").symlink_to(deep.parent)
    way = link if kind == "file" else link / "python"
    if kind == "circle":
        assert hurdle(way, EVERYBODY, 5)
        return
    assert hurdle(way, EVERYBODY, 5) == ""
    deep.parents[1].chmod(0o700)
    assert hurdle(way, EVERYBODY, 5) == f"{deep.parents[1]} (mode 0700)"


def test_a_file_that_may_be_passed_to_but_not_read_or_run_is_a_hurdle(
    deep: Path,
) -> None:
    deep.chmod(0o744)
    assert hurdle(deep, EVERYBODY, 5) == f"{deep} (mode 0744)"
    assert hurdle(deep, EVERYBODY, 4) == ""
    deep.unlink()
    assert "No such file" in hurdle(deep, EVERYBODY, 4)


@pytest.mark.parametrize("shared", ["owner", "group", "everybody", "owner's group"])
def test_who_pushes_is_told_by_what_a_push_writes_to(bare: Repo, shared: str) -> None:
    objects = bare.path / "objects"
    gid = next(
        group.gr_gid
        for group in grp.getgrall()
        if group.gr_name != account(os.geteuid()).name
    )
    if shared == "group" and os.geteuid() == 0:
        os.chown(objects, -1, gid)
    elif shared == "group":
        pytest.skip("needs a second group, which only root can give")
    objects.chmod(
        {"owner": 0o755, "group": 0o2775, "everybody": 0o777, "owner's group": 0o775}[
            shared
        ]
    )
    who = reach.pushers(places.layout(bare.path))
    own = account(os.geteuid())
    if (
        shared == "owner's group"
        and grp.getgrgid(objects.stat().st_gid).gr_name != own.name
    ):
        own = members(objects.stat().st_gid)
    assert who == {"group": members(gid), "everybody": EVERYBODY}.get(shared, own)


@needs_root
def test_a_repository_of_an_account_that_cannot_reach_the_interpreter_is_refused(
    bare: Repo, deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["chown", "-R", str(NOBODY), bare.path], check=True)
    shutil.copy("/bin/true", deep)
    (deep.parents[1]).chmod(0o700)
    monkeypatch.setattr("sys.executable", str(deep))
    said = r"nobody cannot run .*/home \(mode 0700\).*/opt/oberonc/bin/oberonc hook"
    with pytest.raises(NotAllowed, match=said):
        hook_files.refuse(places.layout(bare.path))
    assert re.match(said, reach.fault(account(NOBODY), "/bin/sh", str(deep.parents[1])))
    assert not (bare.path / "hooks" / "post-receive").exists()


@needs_root
def test_an_account_reaches_what_is_installed_for_everybody_and_status_says_so(
    bare: Repo, open_oberonc: Command
) -> None:
    bare.path.parent.chmod(0o755)
    subprocess.run(["chown", "-R", str(NOBODY), bare.path], check=True)
    open_oberonc("hook", "install", bare.path)
    assert (
        open_oberonc("hook", "status", "--json", bare.path).json[0]["state"]
        == "installed"
    )


@needs_root
def test_work_as_another_account_is_its_own_and_faults_come_back() -> None:
    assert as_account(NOBODY, lambda: [os.getuid(), os.geteuid(), os.getgid()])[:2] == [
        NOBODY,
        NOBODY,
    ]
    with pytest.raises(NotAllowed, match=r"as nobody: .*Permission denied"):
        as_account(NOBODY, lambda: Path("/root/x").read_text())
    assert os.getuid() == 0
