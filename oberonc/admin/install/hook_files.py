"""Puts the hooks in place, finds them again, takes them away.

`places` knows where hooks go, `script` what stands in them, `reach` who could run them,
`notes` what else the administrator should know. Only what was named is written to: a
repository, or a folder that serves many.
"""

import os
import subprocess
import sys
from typing import NamedTuple

from oberonc import files
from oberonc.admin.install import reach
from oberonc.admin.install.places import Layout, Target
from oberonc.admin.install.script import (
    ROOT,
    boot,
    filled,
    flags,
    read_ours,
    read_text,
    script,
)
from oberonc.errors import Failed, NotAllowed
from oberonc.process import environment
from oberonc.text import one_line

CHAINED = ".before-oberonc"


class State(NamedTuple):
    """How a hook stands: *ok* is False where git runs it in vain, None where this
    account cannot know.
    """

    ok: bool | None
    text: str


def prove() -> None:
    """Raise Failed when the line that the hooks would run does not work, tried with the
    environment git gives it.
    """
    kept = ("PATH", "HOME", "USER", "LOGNAME", "LANG")
    env = {name: value for name, value in environment().items() if name in kept}
    line = [sys.executable, *flags().split(), "-c", boot(), ROOT, "check"]
    try:
        done = subprocess.run(
            line,
            capture_output=True,
            text=True,
            env=env,
            cwd="/",
            timeout=60,
            check=False,
        )
        fault = (
            ""
            if done.returncode == 0 and done.stdout == "ok\n"
            else done.stderr or "it said nothing"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    if fault:
        raise Failed(
            f"{sys.executable} {flags()} does not run oberonc.hook, so no hook was written: {one_line(fault)}"
        )


def refuse(found: Layout) -> None:
    """Raise NotAllowed where `install` would not write all of *found*; changes nothing."""
    if found.elsewhere:
        raise NotAllowed(found.elsewhere)
    for target in found.targets:
        _refuse(target)
    fault = reach.fault(reach.pushers(found))
    if fault:
        raise NotAllowed(fault)


def _refuse(target: Target) -> None:
    before = target.file.with_name(_before(target))
    if target.there == "another hook" and target.file.name != target.hook:
        # In a folder whose files all run, a second
        # name would make the old hook run twice.
        raise NotAllowed(f"{target.file} is in the way: it is not ours; rename it")
    if target.there == "another hook" and os.path.lexists(before):
        raise NotAllowed(
            f"{before} is in the way: it holds the hook of an earlier install; look at it and remove it"
        )
    there = next(
        path
        for path in (target.folder, *target.folder.parents)
        if os.path.lexists(path)
    )
    if not os.access(there, os.W_OK | os.X_OK):
        raise NotAllowed(f"cannot write {target.file}: {there} is not yours to change")


def _before(target: Target) -> str:
    """The name under which the hook that was there before ours is kept."""
    return target.hook + CHAINED


def install(target: Target) -> str:
    """Write one hook that `refuse` let pass; a hook that was there is kept and run
    first. Returns what was done.
    """
    name, before = target.file.name, _before(target)
    try:
        with files.folder(target.folder, make=True) as folder:
            if target.there == "another hook":
                files.move(folder, name, before)
            try:
                files.put(folder, name, script(target.hook).encode(), 0o755)
            except OSError:
                if target.there == "another hook" and not files.is_there(folder, name):
                    files.move(folder, before, name)
                raise
            return (
                f"{target.file} (runs {before} first)"
                if files.is_there(folder, before)
                else str(target.file)
            )
    except OSError as error:
        raise NotAllowed(f"cannot write {target.file}: {error.strerror}") from None


def uninstall(target: Target) -> str:
    """Take our hook away and put back the one before it; returns what was done, empty
    for nothing.
    """
    if target.there != "ours":
        return ""
    name, before = target.file.name, _before(target)
    try:
        with files.folder(target.folder) as folder:
            if files.is_there(folder, before):
                files.move(folder, before, name)
                return f"{target.file} (put back what was there before)"
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        raise NotAllowed(f"cannot remove {target.file}: {error.strerror}") from None
    return str(target.file)


def state(found: Layout, target: Target) -> State:
    """How the hook *target* of *found* stands. Reads; runs nothing that the file names."""
    if target.there != "ours":
        return _absent(found, target)
    there = filled(read_text(target.file))
    if not os.access(target.file, os.X_OK):
        return State(False, f"not run by git: chmod +x {target.file}")
    if there is None or there.name != target.hook:
        return State(
            False,
            "broken: not what this version writes; run `oberonc hook install` again",
        )
    package = os.path.join(there.root, "oberonc", "hook.py")  # noqa: PTH118
    for path, right in ((there.python, os.X_OK), (package, os.R_OK)):
        if reach.hidden(path):
            return State(
                None, f"installed for {there.python}, but you may not see {path}"
            )
        if not os.access(path, right):
            return State(
                False, f"broken: {path} is gone; run `oberonc hook install` again"
            )
    fault = reach.fault(reach.pushers(found), there.python, there.root)
    if fault:
        return State(False, f"broken: {fault}")
    return State(
        True,
        "installed, for all that this folder serves"
        if found.elsewhere
        else "installed",
    )


def _absent(found: Layout, target: Target) -> State:
    if reach.hidden(target.file):
        return State(None, f"you may not look into {target.folder}")
    own = (
        found.repository / "hooks" / target.hook
        if found.repository and found.elsewhere
        else target.file
    )
    if read_ours(own):
        return State(False, f"broken: git never runs {own}, but {target.file}")
    if found.elsewhere:
        return State(True, f"not installed: {found.elsewhere}")
    return State(
        True,
        "not installed"
        + (" (another hook is there)" if target.there == "another hook" else ""),
    )
