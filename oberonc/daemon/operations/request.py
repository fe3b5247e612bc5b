"""The values of a request, each checked as it is taken out. All raise BadInput."""

from typing import Any, Final

from oberonc.accounts import person
from oberonc.errors import BadInput

Request = dict[str, Any]

#: Rows one request may name, and one answer hold.
MOST_ROWS: Final = 1000
#: Characters of a name, and of a reason.
LONGEST_NAME: Final = 120
LONGEST_REASON: Final = 300


def text(request: Request, key: str) -> str | None:
    """Printable text; None where there is no *key*."""
    value = request.get(key)
    if value is None or (isinstance(value, str) and value.isprintable()):
        return value
    raise BadInput(f"'{key}' must be printable text")


def choice(request: Request, key: str, choices: tuple[str, ...]) -> str | None:
    """One of *choices*; None where there is no *key*."""
    value = text(request, key)
    if value is None or value in choices:
        return value
    raise BadInput(f"'{key}' must be one of {', '.join(choices)}")


def number(request: Request, key: str, default: int | None = None) -> int:
    """A whole number from 0 on that a column of the queue can hold."""
    value = request.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62:
        return value
    raise BadInput(f"'{key}' must be a whole number")


def optional_number(request: Request, key: str) -> int | None:
    """A number as above; None where there is no *key*, or it is null."""
    if request.get(key) is None:
        return None
    return number(request, key)


def numbers(request: Request, key: str) -> list[int]:
    """A list of such numbers."""
    values = request.get(key)
    if not isinstance(values, list) or len(values) > MOST_ROWS:
        raise BadInput(f"'{key}' must be a list of at most {MOST_ROWS} whole numbers")
    return [number({key: value}, key) for value in values]


def speaker(request: Request) -> str:
    """For whom the caller says it asks; empty: for itself."""
    return _short(request, "by", LONGEST_NAME)


def reason(request: Request) -> str:
    """Why it is done; empty where nobody says."""
    return _short(request, "reason", LONGEST_REASON)


def actor(request: Request, uid: int) -> str:
    """Who does it, in words: the caller's account, and for whom it says it asks."""
    name, account = speaker(request), person(uid)
    return f"{name} (through {account})" if name else account


def because(request: Request) -> str:
    """The reason, for the end of a line."""
    why = reason(request)
    return f": {why}" if why else ""


def _short(request: Request, key: str, most: int) -> str:
    value = text(request, key) or ""
    if len(value) > most:
        raise BadInput(f"'{key}' has over {most} characters")
    return value
