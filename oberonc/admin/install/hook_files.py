"""Puts the hooks in place, finds them again, takes them away.

`places` knows where hooks go, `script` what stands in them, `reach` who could run them,
`notes` what else the administrator should know. Only what was named is written to: a
repository, or a folder that serves many.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from oberonc import files
from oberonc.admin.install import managers, reach
from oberonc.admin.install.places import Layout, Target
from oberonc.admin.install.script import (
    KEPT,
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
from oberonc.source import memory
from oberonc.source.opening import HOOKS, PUSHED
from oberonc.text import one_line


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
        if target.tool is None:
            _refuse(target)
    fault = reach.fault(reach.pushers(found))
    if fault:
        raise NotAllowed(fault)


def _refuse(target: Target) -> None:
    before = target.file.parent / KEPT / target.hook
    if target.there == "another hook" and target.file.name != target.hook:
        # In a folder whose files all run, a second
        # name would make the old hook run twice.
        raise NotAllowed(f"{target.file} is in the way: it is not ours; rename it")
    if target.there == "another hook" and _is_kept(target) is False:
        raise NotAllowed(
            f"{before} is in the way: it is what {target.file} was before oberonc, and not what it is"
            " now; look at both and remove that one"
        )
    there = next(
        path
        for path in (target.folder, *target.folder.parents)
        if os.path.lexists(path)
    )
    if not os.access(there, os.W_OK | os.X_OK):
        raise NotAllowed(f"cannot write {target.file}: {there} is not yours to change")


def _is_kept(target: Target) -> bool | None:
    """Whether what was kept for *target* is what stands there now as another hook, as
    when a tool wrote its own anew over ours; None where nothing is kept.
    """
    kept = target.file.parent / KEPT / target.hook
    if not os.path.lexists(kept):
        return None
    text = read_text(kept)
    return text != "" and text == read_text(target.file)


def install(target: Target) -> str:
    """Write one hook that `refuse` let pass; a hook that was there is kept, under its
    own name, and run first. Returns what was done.
    """
    name = target.file.name
    try:
        with files.folder(target.folder, make=True) as folder:
            if target.there == "another hook":
                _keep(folder, target)
            try:
                files.put(folder, name, os.fsencode(script(target.hook)), 0o755)
            except OSError:
                if target.there == "another hook" and not files.is_there(folder, name):
                    _put_back(folder, target, name)
                raise
            return (
                f"{target.file} (runs {KEPT}/{target.hook} first)"
                if files.is_there(folder, f"{KEPT}/{target.hook}")
                else str(target.file)
            )
    except OSError as error:
        raise NotAllowed(f"cannot write {target.file}: {error.strerror}") from None


def _keep(folder: int, target: Target) -> None:
    """Move the hook that is there into our folder, with links to what lies beside it:
    hooks look for more in the folder they are in.
    """
    with files.folder(target.folder / KEPT, make=True) as kept:
        for beside in files.names(folder):
            if beside not in (KEPT, *HOOKS) and not beside.endswith(".sample"):
                with contextlib.suppress(FileExistsError):
                    os.symlink(f"../{beside}", beside, dir_fd=kept)
        _move(folder, target.hook, kept, target.hook, lambda place: f"../{place}")


def _put_back(folder: int, target: Target, name: str | None) -> bool:
    """Make the hook that was kept the hook *name* again, or remove it where that is
    None; False where there is none.
    """
    try:
        with files.folder(target.folder / KEPT) as kept:
            if not files.is_there(kept, target.hook):
                return False
            if name:
                _move(kept, target.hook, folder, name, lambda place: place[3:])
            else:
                os.unlink(target.hook, dir_fd=kept)
            left = files.names(kept)
            if not set(HOOKS) & set(left):
                for link in left:
                    os.unlink(link, dir_fd=kept)
                os.rmdir(KEPT, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _move(
    source: int, old: str, target: int, new: str, turned: Callable[[str], str]
) -> None:
    """Move a hook; where it is a link, *turned* makes of where it leads to what leads
    there from the new folder.
    """
    try:
        place = os.readlink(old, dir_fd=source)
    except OSError:
        place = "/"
    if place.startswith("/"):
        os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=target)
    os.symlink(turned(place), new, dir_fd=target)
    os.unlink(old, dir_fd=source)


def uninstall(target: Target) -> list[str]:
    """Take our hook away, also from where a tool put it, and put back the one before
    it; returns what was done.
    """
    ours = [target.file] if target.there == "ours" else []
    done, file = [], target.file
    try:
        with (
            contextlib.suppress(FileNotFoundError),
            files.folder(target.folder) as folder,
        ):
            for file in [*ours, *managers.displaced(target.file)]:
                if _put_back(folder, target, file.name):
                    done.append(f"removed {file} (put back what was there before)")
                else:
                    os.unlink(file.name, dir_fd=folder)
                    done.append(f"removed {file}")
            file = target.file.parent / KEPT / target.hook
            if not done and _is_kept(target) is not None:
                done.append(_without_ours(folder, target))
    except OSError as error:
        raise NotAllowed(f"cannot remove {file}: {error.strerror}") from None
    return done


def _without_ours(folder: int, target: Target) -> str:
    """What becomes of the hook that was kept, where somebody took ours away."""
    kept = target.file.parent / KEPT / target.hook
    if target.there == "nothing":
        _put_back(folder, target, target.file.name)
        return f"put back {target.file}, which was there before"
    if _is_kept(target):
        _put_back(folder, target, None)
        return f"removed {kept} (it is what {target.file} is again)"
    return f"left {kept}, which was {target.file} before oberonc; another hook is there now"


def states(found: Layout) -> dict[State, list[Target]]:
    """How the hooks of *found* stand, and which of them stand so."""
    known: dict[State, list[Target]] = {}
    for target in found.targets:
        known.setdefault(_state(found, target), []).append(target)
    return known


def _state(found: Layout, target: Target) -> State:
    """How the hook *target* of *found* stands. Reads; runs nothing that the file names."""
    if target.there != "ours":
        return _of_tool(found, target) or _absent(found, target)
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
    if target.tool:
        return State(
            True,
            f"installed, until {target.tool.name} runs and removes it; {_lines_for(target.tool)}",
        )
    return State(
        True,
        "installed, for all that this folder serves"
        if found.elsewhere
        else "installed",
    )


def _of_tool(found: Layout, target: Target) -> State | None:
    """How a hook stands that a tool, or somebody's own hook, may run; None where it
    does not.
    """
    tool = target.tool
    if managers.runs(target.hook, target.file):
        return State(True, "run by the hook that is there")
    if tool is None:
        return None
    if tool.runs and target.there == "another hook":
        return State(True, f"run by {tool.name}, as {tool.file} says")
    if tool.runs:
        return State(False, f"broken: not run before `{tool.then or tool.name}` is")
    # Something was told of here: the hooks were installed, and not taken away.
    told = found.repository and memory.is_kept(str(found.repository))
    return State(
        not told,
        f"{'broken' if told else 'not installed'}: it is {tool.name}'s; {_lines_for(tool)}",
    )


def _lines_for(tool: managers.Tool) -> str:
    return f"`oberonc hook install` shows the lines for {tool.file}"


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
    told = found.repository and memory.is_kept(str(found.repository))
    if target.hook == PUSHED and told:
        return State(
            False,
            "broken: not installed, so a tracker that others see hears of no push;"
            " run `oberonc hook install` again",
        )
    beside = [each for each in found.targets if each.there == "ours"]
    if told and target.there == "another hook":
        return State(
            False,
            "broken: another hook took its place; `oberonc hook install` keeps that one and runs it first",
        )
    if told and beside:
        return State(False, "broken: it is missing; run `oberonc hook install` again")
    return State(
        True,
        "not installed"
        + (" (another hook is there)" if target.there == "another hook" else ""),
    )
