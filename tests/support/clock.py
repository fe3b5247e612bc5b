"""A wall clock that a test sets, for processes that are started with it."""

import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """A clock that processes share which are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "clock.so", folder / "clock"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"],
            check=True,
            timeout=60,
        )
        self._file.write_bytes(bytes(8))
        with self._file.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(self._file)}

    def leap(self, seconds: int) -> None:
        """Be *seconds* ahead of the machine's."""
        self._page[:] = struct.pack("q", seconds)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    yield Clock(tmp_path)
