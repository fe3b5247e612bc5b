"""Every exception that crosses a module border, and the exit code each one means.

An `OberoncError` carries one line for the user: what, where, what to do. `cli.py`
prints it and exits with its `exit_code`; a hook prints it and exits 0. `Retry` and
`Reject` are what brokers raise.
"""


class OberoncError(Exception):
    """Something a user can cause or mend; never shown with a traceback."""

    exit_code = 3


class Failed(OberoncError):
    """A broker failed, or a delivery is dead."""

    exit_code = 1


class UsageError(OberoncError):
    """The command's words are off."""

    exit_code = 2


class BadInput(OberoncError):
    """A range, payload, message or issue number that cannot be used."""

    exit_code = 65


class Unreachable(OberoncError):
    """The daemon does not answer."""

    exit_code = 69


class DiskFailed(OberoncError):
    """The disk failed under the daemon;
    it recovers from what the disk holds when started again.
    """

    exit_code = 74


class NotAccepted(OberoncError):
    """Not taken now and not kept; try again."""

    exit_code = 75


class NotAllowed(OberoncError):
    """The caller may not do this,
    or a file is readable or writable by people it must not be.
    """

    exit_code = 77


class ConfigError(OberoncError):
    """The configuration, or the code of a broker it names, cannot be used."""

    exit_code = 78


class Retry(Exception):
    """Raised by a broker: this delivery again, later.

    `after` is in seconds (None: the policy decides). `progress=True` says that this
    turn did part of the work and only ran out of time or of the server's rate limit: it
    counts as no failed try, but its time counts.
    """

    def __init__(
        self, reason: str = "", *, after: float | None = None, progress: bool = False
    ) -> None:
        super().__init__(
            reason or (f"again in {after:g} s" if after is not None else "again later")
        )
        self.after = after
        self.progress = progress


class Reject(Exception):
    """Raised by a broker: this delivery can never succeed; make it a dead letter."""
