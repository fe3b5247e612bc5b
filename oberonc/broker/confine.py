"""What a process that runs broker code may do to the machine: Linux calls Python has no
names for, and limits.
"""

import ctypes
import os
import resource
import signal
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
#: Numbers of system calls, the same on every machine, and what landlock(7) gives them.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_VERSION: Final = 1
_LANDLOCK_SCOPES: Final = 6
_SCOPE_SIGNAL: Final = 1 << 1
_LandlockRules: Final = ctypes.c_uint64 * 3
#: waitid(2): children of every kind.
_WALL: Final = 0x40000000
_libc: Final = ctypes.CDLL(None, use_errno=True)

#: Bytes of memory a broker may fill before its own allocation fails, instead of the
#: machine.
MOST_MEMORY: Final = 1 << 30
#: Files a worker may hold open.
MOST_FILES: Final = 256
#: Where the kernel looks first when memory runs out: at broker code, not at the daemon
#: that holds the queue.
OOM_SCORE: Final = 500


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when *parent*, which started it, ends."""
    with suppress(AttributeError):  # not Linux
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(0)


def outlive_parent() -> None:
    """Take `die_with_parent` back:
    from here on the end of the parent is seen on the channel.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends,
    so that none escapes.
    """
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> list[int]:
    """The processes this one is the parent of, whichever of its threads started them."""
    found: list[int] = []
    # Without what a pattern and Path objects cost.
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208
        with suppress(OSError), open(f"/proc/self/task/{task}/children") as listing:  # noqa: PTH123  it may have ended
            found += map(int, listing.read().split())
    return found


def has_children() -> bool:
    """Whether there are any, those that ended among them. Asked after each delivery."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL
    try:
        os.waitid(os.P_ALL, 0, how)
    except ChildProcessError:
        return False
    return True


def limit_memory() -> None:
    """Let an allocation beyond `MOST_MEMORY` fail in this process and its children;
    secrets stay out of core files.
    """
    _lower(resource.RLIMIT_DATA, MOST_MEMORY)
    _lower(resource.RLIMIT_CORE, 0)


def confine_worker() -> None:
    """Limits and rights of a daemon's worker; none can be taken back."""
    _lower(resource.RLIMIT_NOFILE, MOST_FILES)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    keep_signals_in()
    be_the_first_to_go()


def keep_signals_in() -> bool:
    """Let this process and what it starts signal and trace nobody else, where Linux can
    do that (6.12, landlock(7)).

    Call it after rights were given up (`PR_SET_NO_NEW_PRIVS`);
    False where it does not hold.
    """
    abi = _libc.syscall(
        _LANDLOCK_CREATE_RULESET,
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint32(_LANDLOCK_VERSION),
    )
    if abi < _LANDLOCK_SCOPES:
        return False
    # no file system, no network, signals
    rules = _LandlockRules(0, 0, _SCOPE_SIGNAL)
    handle = _libc.syscall(
        _LANDLOCK_CREATE_RULESET,
        rules,
        ctypes.c_size_t(ctypes.sizeof(rules)),
        ctypes.c_uint32(0),
    )
    if handle < 0:
        return False
    try:
        return bool(
            _libc.syscall(
                _LANDLOCK_RESTRICT_SELF, ctypes.c_int(handle), ctypes.c_uint32(0)
            )
            == 0
        )
    finally:
        os.close(handle)


def be_the_first_to_go() -> None:
    """Where the machine runs out of memory, end this process before others."""
    with suppress(OSError):
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(file, str(OOM_SCORE).encode())
        finally:
            os.close(file)


def _lower(what: int, limit: int) -> None:
    _soft, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    # Where a service manager's filter forbids the call, its own limits hold.
    with suppress(OSError, ValueError):
        resource.setrlimit(what, (limit, limit))
