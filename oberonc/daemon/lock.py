"""Rights that one process of the machine can have, each proved by a lock on a file."""

import fcntl
import os
from pathlib import Path

from oberonc.errors import ConfigError, NotAccepted


class Lock:
    """An exclusive right, proved by a lock on *file* and held until the process ends;
    *what* names it.

    Raises NotAccepted where another daemon has
    it, ConfigError where the file cannot be had.
    """

    def __init__(self, file: Path, what: str) -> None:
        try:
            self._handle = os.open(
                file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise ConfigError(f"cannot lock {what}: {file}: {error.strerror}") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = (
                os.pread(self._handle, 32, 0).decode(errors="replace").strip()
                or "unknown"
            )
            os.close(self._handle)
            raise NotAccepted(
                f"a daemon runs already on {what} (pid {owner})"
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another daemon have it."""
        os.close(self._handle)
