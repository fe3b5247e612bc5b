"""What a service manager is told: ready, reloading, stopping, a line of status, still
alive.
"""

import os
import socket
import time
from contextlib import suppress

from oberonc.text import one_line


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
