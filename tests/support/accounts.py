"""Several accounts of the machine, and the command installed where all of them may read
it.
"""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import paths
from oberonc.admin.install import reach
from oberonc.rights import EVERYBODY, account, hurdle
from tests.support.command import Command

#: Accounts that every system has: one for the daemon, one that pushes, one that has
#: nothing to do with either.
DAEMON, PUSHER, STRANGER = 1, 5, 65534
#: The groups of the last two.
PUSHERS, STRANGERS = (
    next((entry.pw_gid for entry in pwd.getpwall() if entry.pw_uid == uid), uid)
    for uid in (PUSHER, STRANGER)
)
#: Debian's own, which everybody may run.
PYTHON = Path("/usr/bin/python3")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs several accounts, which only root can be"
)


class Elsewhere(Command):
    """The command of the environment whose interpreter is *python*, run by the account
    *uid*.
    """

    def __init__(self, python: Path, uid: int | None = None) -> None:
        self.python = python
        self.uid = uid

    @property
    def argv(self) -> list[str]:
        """As the installed command would be found on PATH."""
        return [str(self.python), "-I", "-m", self.module]

    def by(self, uid: int) -> "Elsewhere":
        """The same as another account."""
        return Elsewhere(self.python, uid)

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
    libraries = Path(sysconfig.get_path("purelib"))
    if not reach.fault(EVERYBODY):
        yield Elsewhere(Path(sys.executable))
        return
    if not PYTHON.exists() or hurdle(libraries, EVERYBODY):
        pytest.skip("needs an interpreter and libraries that every account may read")
    folder = Path(tempfile.mkdtemp(prefix="ob-", dir="/tmp"))
    try:
        top = Path(paths.__file__).parents[1]
        for name in ("oberonc", "hooks", "brokers"):
            shutil.copytree(top / name, folder / name)
        subprocess.run(
            [PYTHON, "-m", "venv", "--without-pip", folder / "venv"], check=True
        )
        [site] = (folder / "venv").glob("lib/python3.*/site-packages")
        (site / "copy.pth").write_text(f"{folder}\n{libraries}\n")
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        yield Elsewhere(folder / "venv" / "bin" / "python")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
