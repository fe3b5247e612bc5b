"""docs/plugins.md, followed word for word: its files are written and its commands run,
in an environment into which the plugin is installed from its wheel.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from oberonc.broker import request
from oberonc.testing import Answer, Server

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "plugins.md").read_text()
#: A file (its name, its text), or lines of a shell.
BLOCK = re.compile(
    r"^`(\S+)`:\n\n```\w+\n(.*?)^```$|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder `work`. The environment that the page has one make in it is there, and
    finds oberonc and pytest, which are this one's: there is nothing to download.
    """
    env = tmp_path / "work" / ".venv"
    venv.create(env)
    python = env / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.check_output([python, "-c", ask], text=True).strip()
    ours = sysconfig.get_path("purelib")
    (Path(site) / "ours.pth").write_text(f"{TOP}\n{ours}\n")
    (tmp_path / "bin").mkdir()
    for command, line in (
        (env / "bin" / "oberonc", f"{python} -I -m oberonc"),
        (tmp_path / "bin" / "python3", sys.executable),
    ):
        command.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        command.chmod(0o755)
    return tmp_path


def _run(place: Path, *words: str, code: int = 0) -> str:
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        words,
        cwd=place / "work",
        env=os.environ
        | {"PATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider"}
        | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Could not find" in done.stderr + done.stdout:
        pytest.skip("the package index is not reachable")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.timeout(600)  # pip asks the package index
def test_the_page_leads_to_a_tested_plugin_that_is_installed_from_a_wheel(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    work = place / "work"
    said, active = [], ""
    for block in BLOCK.finditer(PAGE):
        if block[1]:
            (work / block[1]).write_text(block[2])
            continue
        for line in block[3].splitlines():
            said.append(_run(place, "sh", "-ec", f"{active}\n{line}"))
            # It stays so in the reader's shell.
            active = line if line.startswith(". ") else active
    assert [re.findall(r"\d+ passed", text) for text in said if "passed" in text] == [
        ["8 passed"],
        ["3 passed"],
    ]
    assert "deploy (entry point of oberonc-deploy), time limit 60 s" in said[-1]
    given = ["--set", "token=env:TOKEN", "--yes"]
    with Server(Answer(201)) as server:
        url = f"url={server.url}"
        run = ["oberonc", "brokers", "run", "deploy", "--set", url, *given]
        ran = _run(place, "sh", "-ec", f"{active}\n{shlex.join(run)}")
    assert "deploy: done: deployed 9a8b7c6d" in ran
    assert server.requests[0].json()["stage"] == "live"


def test_the_page_has_the_environment_of_a_broker() -> None:
    for name in (*request._INHERITED, "LC_*"):
        assert f"`{name}`" in PAGE, name


#: A test that imports the class itself, whose methods want a `Payload`.
TYPED = """
from pathlib import Path
from deploy import Deploy
from oberonc import Payload, testing
def test_it(tmp_path: Path) -> None:
    given: Payload = testing.payload("push")
    assert testing.bound(Deploy, tmp_path, url="x", token="y").plan(testing.payload())
    testing.deliver(Deploy, given, tmp_path, url="x", token="y")
"""


def test_the_files_of_the_page_are_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "tests").mkdir()
    files = [block for block in BLOCK.finditer(PAGE) if block[1]]
    for block in files:
        (tmp_path / block[1]).write_text(block[2])
    (tmp_path / "typed.py").write_text(TYPED)
    argv = [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null"]
    done = subprocess.run(
        [*argv, "deploy.py", "tests/test_deploy.py", "typed.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
