"""What an operation answers, and how it says no."""

from typing import Any, Final

from oberonc.delivery import frames
from oberonc.errors import BadInput, NotAccepted, NotAllowed, OberoncError

#: Milliseconds after which a refused client may try again.
RETRY_MS: Final = 500

#: What `error` of an answer may be.
ERRORS: Final = (
    "invalid",
    "too_large",
    "version",
    "unsupported",
    "conflict",
    "forbidden",
    "busy",
    "storage_low",
    "stopping",
    "timeout",
    "failed",
)

Answer = dict[str, Any]


def refusal(error: str, message: str, **more: Any) -> Answer:
    """An answer that says what is wrong; *error*, one of `ERRORS`, is for programs."""
    return {"ok": False, "error": error, "message": message, **more}


def busy(message: str) -> Answer:
    """The refusal of what can be tried again soon."""
    return refusal("busy", message, retry_ms=RETRY_MS)


def refused(error: OberoncError) -> Answer:
    """The answer to a request that *error* ended."""
    if isinstance(error, NotAccepted):
        return busy(str(error))
    if isinstance(error, frames.BadFrame):
        return refusal(error.kind, str(error))
    if isinstance(error, BadInput):
        return refusal("invalid", str(error))
    if isinstance(error, NotAllowed):
        return refusal("forbidden", str(error))
    return refusal("failed", str(error))
