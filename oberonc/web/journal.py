"""The log of the HTTP face: lines on stderr, where the service manager has them."""

import logging
import sys
import traceback
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

from oberonc.redaction import redact
from oberonc.text import one_line

#: Characters of a line, and of what an exception says.
LONGEST: Final = 1000
_SAID: Final = 200
#: Calls of an exception that are named, the innermost first.
_CALLS: Final = 12
#: What no line may have in it.
_secrets: Final[list[str]] = []


def say(text: str) -> None:
    """Write one line; what strangers chose in it is made visible."""
    sys.stderr.write(f"oberonc web: {one_line(text, LONGEST)}\n")
    sys.stderr.flush()


def fault(error: BaseException) -> str:
    """What nobody expected, and where in the code it was: one line without what came in,
    but for what *error* itself says of it.
    """
    frames = traceback.extract_tb(error.__traceback__)[: -_CALLS - 1 : -1]
    calls = (
        f"{'/'.join(PurePath(one.filename).parts[-2:])}:{one.lineno} {one.name}"
        for one in frames
    )
    said = one_line(redact(str(error), _secrets), _SAID)
    return f"unexpected {type(error).__name__}: {said}; at {', '.join(calls)}"


class _Journal(logging.Handler):
    """Writes what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None and record.name == "django.request":
            return  # an answer that was meant: `access` has a line for it
        text = redact(record.getMessage().strip(), _secrets)
        say(f"{text}: {fault(error)}" if error else text)


def listen(secrets: Iterable[str]) -> None:
    """Write what libraries log from now on; *secrets* are in none of it."""
    _secrets[:] = secrets
    logging.basicConfig(level=logging.WARNING, handlers=[_Journal()])
    # It would tell of each odd request, without saying who sent it.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
