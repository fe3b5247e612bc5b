"""The suite runs as its reader runs it: with any number of processes, and without the
plugin for them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import group

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("how", [[], ["-n", "0"], ["-p", "no:xdist"]])
def test_one_file_runs(how: list[str], tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'base'}",
    ]
    done = subprocess.run(
        [*line, *how, "tests/ground/test_text.py"],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_tests_of_one_server_run_in_one_process(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "no:cacheprovider"]
    outer = {key for key in os.environ if key.startswith("PYTEST_XDIST")}
    environment = {key: os.environ[key] for key in os.environ.keys() - outer}
    done = subprocess.run(
        [
            *line,
            f"--basetemp={tmp_path / 'base'}",
            "tests/brokers/test_webhook_server.py",
        ],
        cwd=TOP,
        capture_output=True,
        text=True,
        env=environment,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = re.findall(r"^\[(gw\d)\].*webhook", done.stdout, re.MULTILINE)
    assert len(ran) > 2
    assert len(set(ran)) == 1


def test_what_is_prepared_once_has_a_group() -> None:
    """A fixture of a module or a session, in a test's file or beside it, is made by
    each process that runs one of its tests.
    """
    cheap = {"test_plans.py", "test_request_rows.py"}
    for file in sorted((TOP / "tests").rglob("test_*.py")):
        beside = file.with_name("conftest.py")
        both = file.read_text() + (beside.read_text() if beside.exists() else "")
        once = re.search(r'scope="(module|session)"', both)
        if once and file.name not in cheap and file.parent.name != "piston":
            assert group(file), f"{file.name} needs pytest.mark.xdist_group"
    assert group(TOP / "tests" / "system" / "test_access.py") == "system"
    assert not group(TOP / "tests" / "ground" / "test_text.py")
