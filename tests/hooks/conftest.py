"""What tests of hooks share."""

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import paths
from oberonc.accounts import EVERYBODY
from oberonc.install import reach
from tests.support.command import Command

#: Debian's own, which everybody may run.
PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def open_oberonc() -> Iterator[Command]:
    """`oberonc`, installed where every account may read it."""
    if not reach.fault(EVERYBODY):
        yield Command()
        return
    if not PYTHON.exists():
        pytest.skip("needs an interpreter that every account may run")
    folder = Path(tempfile.mkdtemp(prefix="ob-", dir="/tmp"))
    folder.chmod(0o755)
    top = Path(paths.__file__).parents[1]
    for name in ("oberonc", "hooks", "brokers"):
        shutil.copytree(top / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for place in (folder, *folder.rglob("*")):
        place.chmod(place.stat().st_mode | (0o555 if place.is_dir() else 0o444))
    try:
        yield Elsewhere(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Elsewhere(Command):
    """The command of the copy in *folder*, with this environment's libraries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def argv(self) -> list[str]:
        """As the installed command would be found on PATH."""
        folder = self.folder
        libraries = sysconfig.get_path("purelib")
        places = f"sys.path[:0] = [{str(folder)!r}]; sys.path.append({libraries!r})"
        return [str(PYTHON), "-I", "-c", f"import sys; {places}; from oberonc.cli import main; main()"]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account, which only root can be")
