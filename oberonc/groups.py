"""A child that leads a process group of its own, and how it is ended with all that it
started.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess


def tell(pid: int, number: int) -> None:
    """Send the signal *number* to what is left of the group that *pid* leads."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the child ended. It is not reaped here: as long as it is not, its number
    and its group's stay ours.
    """
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return child.poll() is not None
    return child.returncode is not None or (
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    )


def end(child: subprocess.Popen[bytes], patience: float, grace: float) -> None:
    """End what is left of the child's group, processes that it left behind among it;
    reap the child last. It may end by itself for *patience* seconds, and has *grace*
    seconds more to put its things away.
    """
    if not _ends_within(child, patience):
        tell(child.pid, signal.SIGTERM)
        _ends_within(child, grace)
    tell(child.pid, signal.SIGKILL)
    from subprocess import TimeoutExpired  # a broker's host has no children of its kind

    # stuck in the kernel: nobody can wait for that
    with suppress(TimeoutExpired):
        child.wait(10)


def _ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not has_ended(child) and time.monotonic() < deadline:
        time.sleep(0.005)
    return has_ended(child)
