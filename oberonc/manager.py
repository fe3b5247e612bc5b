"""The service manager: what it is told (ready, reloading, stopping, a line of status,
still alive), and the sockets it passes.
"""

import os
import socket
import stat
import time
from contextlib import suppress
from typing import Final

from oberonc.errors import ConfigError
from oberonc.text import one_line

#: The first one, from sd_listen_fds(3).
_FIRST_PASSED_FD: Final = 3


def passed_sockets() -> list[tuple[str, socket.socket]]:
    """The sockets systemd passed to this process, each with its name in the unit, or an
    empty one. Raises ConfigError where it did not do what it says.
    """
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    count, pid = (os.environ.pop(key, "0") for key in ("LISTEN_FDS", "LISTEN_PID"))
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    passed = []
    for index in range(int(count)):
        fd = _FIRST_PASSED_FD + index
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise ConfigError(
                f"LISTEN_FDS is {count}, but file descriptor {fd} is no socket"
            )
        os.set_inheritable(fd, False)
        name = names[index] if index < len(names) else ""
        passed.append((name, socket.socket(fileno=fd)))
    return passed


class Notifier:
    """Speaks sd_notify; says nothing where nobody listens."""

    def __init__(self) -> None:
        # Taken out of the environment: no child of ours is the service.
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        interval = os.environ.pop("WATCHDOG_USEC", "")
        os.environ.pop("WATCHDOG_PID", None)
        #: Seconds between signs of life, or None where nobody wants them.
        self.watchdog = (
            int(interval) / 2_000_000 if interval.isdigit() and int(interval) else None
        )

    def ready(self, status: str) -> None:
        """Requests are answered from now on."""
        self._send("READY=1", f"STATUS={one_line(status)}", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """A reload began; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """The stop began and may take *seconds*."""
        self._send(
            "STOPPING=1",
            "STATUS=finishing what runs",
            f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}",
        )

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={one_line(text)}")

    def alive(self) -> None:
        """The event loop and the writer thread both move."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            suppress(OSError),
            socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
            ) as channel,
        ):
            channel.setblocking(False)
            channel.sendto("\n".join(lines).encode(), address)
