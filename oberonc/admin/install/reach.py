"""Who will run a hook, and whether they reach
the interpreter and the package that it names.
"""

import os
import sys
from pathlib import Path

from oberonc.accounts import group_name
from oberonc.admin.install.places import SERVER_HOOKS, Layout
from oberonc.admin.install.script import ROOT
from oberonc.rights import EVERYBODY, Account, account, hurdle, members


def pushers(found: Layout) -> Account:
    """Whoever will run the hooks of *found*, as far as the modes of what a push writes
    to tell.
    """
    place = found.repository / "objects" if found.repository else found.path
    try:
        facts = place.stat()
    except OSError:
        return EVERYBODY
    if found.repository is None:
        # gitolite's folder is its account's; one of root's serves whoever pushes.
        return (
            account(facts.st_uid)
            if facts.st_uid or found.kind == "gitolite"
            else EVERYBODY
        )
    is_server = found.targets[0].hook in SERVER_HOOKS
    if is_server and facts.st_mode & 0o002:
        return EVERYBODY
    owner = account(facts.st_uid)
    # not the owner's own group
    if is_server and facts.st_mode & 0o020 and group_name(facts.st_gid) != owner.name:
        return members(facts.st_gid)
    return owner


def fault(who: Account, python: str = "", root: str = ROOT) -> str:
    """Why *who* could not run a hook that names *python* and *root*, and the way that
    works; else an empty string.

    Without *python*: this interpreter.
    """
    package = Path(root) / "oberonc"
    wanted = [
        (Path(python or sys.executable), 5),
        (package, 5),
        (package / "hook.py", 4),
    ]
    if python in ("", sys.executable):
        wanted.append((Path(os.__file__), 4))  # as good as any of its modules
    python = python or sys.executable
    venv = Path(python).parent.parent / "pyvenv.cfg"
    if venv.is_file():
        wanted.append((venv, 4))
    place = next(
        (place for path, bits in wanted if (place := hurdle(path, who, bits))), ""
    )
    if not place:
        return ""
    return (
        f"{who.name} cannot run {python}: {place} keeps them out; install oberonc where all who push may read it,"
        " such as python3 -m venv /opt/oberonc && /opt/oberonc/bin/pip install oberonc (under umask 022),"
        " then run /opt/oberonc/bin/oberonc hook install"
    )


def hidden(path: str | Path) -> bool:
    """Whether the way to *path* is closed to this account, so that it cannot tell what
    is there.
    """
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False
