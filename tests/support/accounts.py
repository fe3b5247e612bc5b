"""Several accounts of the machine, and the command installed where all of them may read it."""

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import paths
from oberonc.accounts import EVERYBODY, account
from oberonc.install import reach
from tests.support.command import Command

#: Accounts that every system has: one for the daemon, one that pushes, one that has nothing to do with either.
DAEMON, PUSHER, STRANGER = 1, 5, 65534
#: Debian's own, which everybody may run.
PYTHON = Path("/usr/bin/python3")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs several accounts, which only root can be")


class Elsewhere(Command):
    """The command of the copy in *folder*, with this environment's libraries, run by the account *uid*."""

    def __init__(self, folder: Path | None, uid: int | None = None) -> None:
        self.folder = folder
        self.uid = uid

    @property
    def argv(self) -> list[str]:
        """As the installed command would be found on PATH."""
        if self.folder is None:
            return super().argv
        places = f"sys.path[:0] = [{str(self.folder)!r}]; sys.path.append({sysconfig.get_path('purelib')!r})"
        return [str(PYTHON), "-I", "-c", f"import sys; {places}; from oberonc.cli import main; main()"]

    def by(self, uid: int) -> "Elsewhere":
        """The same as another account."""
        return Elsewhere(self.folder, uid)

    @property
    def account(self) -> dict[str, Any]:
        """What `subprocess` needs to be that account."""
        if self.uid is None:
            return {}
        groups = sorted(account(self.uid).groups)
        return {"user": self.uid, "group": groups[0], "extra_groups": groups}


@pytest.fixture
def open_oberonc() -> Iterator[Elsewhere]:
    """`oberonc`, installed where every account may read it."""
    if not reach.fault(EVERYBODY):
        yield Elsewhere(None)
        return
    if not PYTHON.exists():
        pytest.skip("needs an interpreter that every account may run")
    folder = Path(tempfile.mkdtemp(prefix="ob-", dir="/tmp"))
    top, libraries = Path(paths.__file__).parents[1], Path(sysconfig.get_path("purelib"))
    for name in ("oberonc", "hooks", "brokers"):
        shutil.copytree(top / name, folder / name)
    if any(
        not os.access(place, os.R_OK) or not place.stat().st_mode & 0o001 for place in (libraries, *libraries.parents)
    ):
        pytest.skip("needs libraries that every account may read")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    try:
        yield Elsewhere(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
