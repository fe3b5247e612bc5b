"""Rights that one process of the machine can have, each proved by a lock on a file."""

import fcntl
import os
from pathlib import Path
from typing import Self

from oberonc import accounts
from oberonc.errors import ConfigError, NotAccepted


def claim(state: Path) -> "Lock":
    """The right to the state folder, which is made where it is missing. Raises
    NotAccepted where a daemon has it, ConfigError where it cannot be had, or where a
    stranger could have put something into it.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = state.stat()
    except OSError as error:
        raise ConfigError(
            f"cannot make the state folder {state}: {error.strerror}"
        ) from None
    if facts.st_uid != os.geteuid():
        whose, mine = accounts.person(facts.st_uid), accounts.person(os.geteuid())
        # To chown what is another account's would take it from the daemon whose it is.
        mend = f"run the daemon as {whose}" if facts.st_uid else f"chown it to {mine}"
        raise ConfigError(
            f"the state folder {state} belongs to {whose}: {mend}, or give {mine} a `state` of its own"
        )
    if facts.st_mode & 0o002:
        raise ConfigError(
            f"everybody may write the state folder {state}: chmod o-w it, and look at what is in it"
        )
    return Lock(state / "daemon.lock", f"the state folder {state}")


class Lock:
    """An exclusive right, proved by a lock on *file* and held until it is released or
    the process ends; *what* names it.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let another daemon have it."""
        os.close(self._handle)
