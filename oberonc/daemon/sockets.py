"""The daemon's claim on its state folder, and its sockets: bound here, or handed over by systemd.

Who owns the sockets is decided by the lock, never by a pid file or by trying to connect: a socket file left
by a daemon that was killed is removed only while the lock is held.
"""

import fcntl
import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from oberonc.config import Config
from oberonc.errors import ConfigError, NotAccepted
from oberonc.registry import unsafe

#: Connections that may wait while the daemon starts or is busy.
BACKLOG: Final = 1024
#: Bytes of the longest path a Unix socket can have.
LONGEST_PATH: Final = 107
#: The kernel's uid for a peer from a user namespace that means nothing here.
OVERFLOW_UID: Final = 65534
_SO_PEERGROUPS: Final = 59
_FIRST_PASSED_FD: Final = 3


class Peer(NamedTuple):
    """Who is on the other end, as the kernel says."""

    pid: int
    uid: int
    groups: frozenset[int]


class Lock:
    """The exclusive right to a state folder, held until the process ends."""

    def __init__(self, state: Path) -> None:
        self._handle = os.open(state / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._handle, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise NotAccepted(f"a daemon runs already on {state} (pid {owner})") from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another daemon start."""
        os.close(self._handle)


class Listeners(NamedTuple):
    """The listening sockets. *ours* are the files to remove at the end; systemd keeps its own."""

    submit: socket.socket
    control: socket.socket
    ours: tuple[Path, ...]

    def remove(self) -> None:
        """Take our socket files away, while the lock is still held."""
        for path in self.ours:
            path.unlink(missing_ok=True)


def listen(config: Config) -> Listeners:
    """Both sockets, from systemd where it passed them. Raises ConfigError."""
    found = passed_sockets()
    ours = []
    for name, path, mode in (("submit", config.daemon.socket, 0o660), ("control", config.daemon.control, 0o600)):
        if name not in found:
            found[name] = _bind(path, mode)
            ours.append(path)
    return Listeners(found["submit"], found["control"], tuple(ours))


def passed_sockets() -> dict[str, socket.socket]:
    """The sockets systemd passed to this process, by the name in its unit."""
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    count, pid = (os.environ.pop(key, "0") for key in ("LISTEN_FDS", "LISTEN_PID"))
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    passed = {}
    for index in range(int(count)):
        fd = _FIRST_PASSED_FD + index
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise ConfigError(f"LISTEN_FDS is {count}, but file descriptor {fd} is no socket")
        os.set_inheritable(fd, False)
        name = names[index] if index < len(names) else ""
        # Without names, as from systemd-socket-activate, the first one is the submit socket.
        if name not in ("submit", "control"):
            name = ("submit", "control")[index] if index < 2 else name
        passed[name] = socket.socket(fileno=fd)
    return passed


def peer(connection: socket.socket) -> Peer:
    """Who connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, gid = struct.unpack("3i", raw)
    groups = {gid}
    with suppress(OSError):
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4096)
        groups.update(struct.unpack(f"{len(raw) // 4}I", raw))
    return Peer(pid, uid, frozenset(groups))


def allowed(who: Peer, listener: socket.socket) -> bool:
    """Whether the mode of the socket's file lets *who* in; root and we ourselves always may."""
    if who.uid in (0, os.geteuid()):
        return True
    if who.uid == OVERFLOW_UID:
        return False
    try:
        facts = Path(listener.getsockname()).stat()
    except OSError:
        return False
    return bool(
        (facts.st_uid == who.uid and facts.st_mode & stat.S_IWUSR)
        or (facts.st_gid in who.groups and facts.st_mode & stat.S_IWGRP)
        or facts.st_mode & stat.S_IWOTH
    )


def _bind(path: Path, mode: int) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigError(f"the socket's path {path} has over {LONGEST_PATH} bytes: set daemon.socket to a shorter one")
    _make_folder(path.parent)
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is there and is no socket: move it away, or set another daemon.socket")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        raise ConfigError(f"cannot make the socket {path}: {error.strerror}") from None
    finally:
        os.umask(before)
    path.chmod(mode)
    listener.listen(BACKLOG)
    return listener


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        try:
            folder.mkdir(parents=True, mode=0o755)
            folder.chmod(0o755)
        except OSError as error:
            raise ConfigError(f"cannot make {folder} for the sockets: {error.strerror}") from None
    fault = unsafe(folder)
    if fault:
        raise ConfigError(f"the sockets cannot be in {folder}: {fault}")
