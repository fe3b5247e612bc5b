"""The daemon's sockets: bound here, or handed over by systemd.

Who owns the sockets is decided by a lock beside each, held for life, never by a pid
file: a socket file left by a daemon that was killed is removed only while its lock is
held, and only when nobody listens on it any more (systemd listens without our lock).
"""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from oberonc.broker.registry import unsafe
from oberonc.config import Config
from oberonc.daemon.lock import Lock
from oberonc.errors import ConfigError, NotAccepted
from oberonc.manager import passed_sockets

#: Connections that may wait while the daemon starts or is busy.
BACKLOG: Final = 1024
#: Bytes of the longest path a Unix socket can have.
LONGEST_PATH: Final = 107


class Listeners(NamedTuple):
    """The listening sockets. *ours* are the files to remove at the end, and their
    locks; systemd keeps its own.
    """

    submit: socket.socket
    control: socket.socket
    ours: tuple[tuple[Path, Lock], ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Take our socket files away, while their locks are still held."""
        for path, lock in self.ours:
            path.unlink(missing_ok=True)
            lock.release()


def listen(config: Config) -> Listeners:
    """Both sockets, from systemd where it passed them.

    Raises ConfigError, or NotAccepted where another daemon lives on one of them; then
    both are as they were.
    """
    found = _passed()
    missing = [
        (name, path, mode)
        for name, path, mode in (
            ("submit", config.daemon.socket, 0o660),
            ("control", config.daemon.control, 0o600),
        )
        if name not in found
    ]
    ours = tuple((path, _claim(path)) for _, path, _ in missing)
    for name, path, mode in missing:
        found[name] = _bind(path, mode)
    return Listeners(found["submit"], found["control"], ours)


def _passed() -> dict[str, socket.socket]:
    """The sockets systemd passed to the daemon, by the name in its unit."""
    found = {}
    for index, (given, passed) in enumerate(passed_sockets()):
        # Without names, as from systemd-socket-activate,
        # the first one is the submit socket.
        order = ("submit", "control", given)[min(index, 2)]
        found[given if given in ("submit", "control") else order] = passed
    return found


def _claim(path: Path) -> Lock:
    """The right to make the socket *path*."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigError(
            f"the socket's path {path} has over {LONGEST_PATH} bytes: set daemon.socket to a shorter one"
        )
    _make_folder(path.parent)
    lock = Lock(path.with_name(f"{path.name}.lock"), f"the socket {path}")
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(
                f"{path} is there and is no socket: move it away, or set another daemon.socket"
            )
        if _is_served(path):
            raise NotAccepted(
                f"somebody listens on {path} already: systemd, or another daemon; nothing was changed"
            )
    return lock


def _is_served(path: Path) -> bool:
    """Whether anybody listens on *path*; where it cannot be told, it is left alone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _bind(path: Path, mode: int) -> socket.socket:
    path.unlink(missing_ok=True)
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
            raise ConfigError(
                f"cannot make {folder} for the sockets: {error.strerror}"
            ) from None
    fault = unsafe(folder)
    if fault:
        raise ConfigError(f"the sockets cannot be in {folder}: {fault}")
