"""How a command that failed ends: one line on stderr, and the exit code it means."""

import errno
import os
import sys

from oberonc.errors import DiskFailed, NotAllowed, OberoncError
from oberonc.text import one_line, visible

#: What the system says when the disk, not we, is at fault.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def code_of(error: Exception) -> int:
    """The exit code of *error*, of which the user was told."""
    if isinstance(error, OberoncError):
        complain(str(error))
        return error.exit_code
    if isinstance(error, PermissionError):
        complain(f"{error.filename or 'a file'}: {error.strerror}")
        return NotAllowed.exit_code
    if isinstance(error, OSError) and error.errno in _DISK:
        complain(f"{error.filename or 'cannot write'}: {error.strerror}")
        return DiskFailed.exit_code
    return _unexpected(error)


def complain(message: str) -> None:
    """One line on stderr, in which nothing steers a terminal."""
    try:
        print(f"oberonc: {visible(message)}", file=sys.stderr, flush=True)
    except OSError:
        return  # stderr is gone: the exit code still speaks


def _unexpected(error: Exception) -> int:
    """A bug: exit code 3, and the details in a file."""
    import tempfile
    import traceback

    details = visible("".join(traceback.format_exception(error)))
    try:
        handle, path = tempfile.mkstemp(prefix="oberonc-", suffix=".log")
        with os.fdopen(handle, "w", errors="backslashreplace") as log:
            log.write(details)
        where = f"the details are in {path}, please report them"
    except OSError:
        where = "the details could not be written, as no temporary folder takes a file"
    complain(f"unexpected {type(error).__name__}: {one_line(str(error), 120)}; {where}")
    return 3
