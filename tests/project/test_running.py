"""The suite runs as its reader runs it: with any number of processes, and without the
plugin for them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

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
