"""`oberonc demo` runs for real, touches nothing of the user's, and cleans up."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.children import end
from tests.support.command import Command
from tests.support.daemon_site import alive, descendants
from tests.support.eventually import eventually


def test_it_shows_each_step_and_cleans_up(
    oberonc: Command, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "it's a tmp"
    folder.mkdir()
    before = sorted(home.rglob("*"))
    said = oberonc(
        "demo",
        env={"TMPDIR": str(folder), "GIT_DIR": "/none", "XDG_STATE_HOME": "/none"},
    ).out
    assert "$ git push -q origin trunk" in said
    assert "oberonc: issues: closed #1" in said
    assert "closed" in said.split("$ oberonc issues show 1")[1]
    assert list(folder.iterdir()) == []
    assert sorted(home.rglob("*")) == before


def test_keep_leaves_the_folder_and_says_where(
    oberonc: Command, tmp_path: Path
) -> None:
    said = oberonc("demo", "--keep", env={"TMPDIR": str(tmp_path)}).out
    [folder] = tmp_path.glob("oberonc-demo-*")
    assert f"Everything is in {folder}" in said
    assert (folder / "shop.git" / "hooks" / "post-receive").is_file()


def test_without_git_it_is_one_line(oberonc: Command) -> None:
    done = oberonc("demo", code=1, env={"PATH": "/none"})
    assert done.err == "oberonc: the demonstration needs git, which is not on PATH\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_shown_until_it_is_ended_and_nothing_is_left(
    tmp_path: Path, scratch: Path, number: int
) -> None:
    log = tmp_path / "said"
    # A socket's path has at most 107 bytes: pytest's own folders are too deep.
    folder = scratch / "t"
    folder.mkdir()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "oberonc", "demo", "--web"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | {"TMPDIR": str(folder)},
        )

    def look() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"Look at (\S+/) - the token is (\S+)", log.read_text())

    try:
        found = eventually(look, 120, "no address")
        assert found
        address, token = found.groups()
        with urllib.request.urlopen(f"{address}login", timeout=60) as page:
            assert b"<form" in page.read()
        headers = {"Authorization": f"Bearer {token}"}
        asked = urllib.request.Request(f"{address}api/events", headers=headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert len(json.load(answer)) == 2
        below = descendants(process.pid)
        process.send_signal(number)
        assert process.wait(60) == 0, log.read_text()
        eventually(lambda: not any(map(alive, below)), 20, "processes were left behind")
        assert list(folder.iterdir()) == []
        assert "Traceback" not in log.read_text()
    finally:
        end(process)
        shutil.rmtree(folder)
