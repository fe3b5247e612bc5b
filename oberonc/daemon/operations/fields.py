"""What may stand at a key of a request; a fault raises BadInput."""

import re
from typing import Any, Final

from oberonc.errors import BadInput
from oberonc.queue.values import LogQuery

Request = dict[str, Any]
#: Rows one answer holds at most, and numbers one request names.
MOST_ROWS: Final = 1000
#: Events one answer tells of at most, and of how many of them by their id.
MOST_TOLD: Final = 200
MOST_IDS: Final = 100
#: Hex digits an id must be given with, and the most it can have.
SHORTEST_KEY: Final = 4
LONGEST_KEY: Final = 64
_ID: Final = re.compile("[0-9a-f]{32}").fullmatch


def text(request: Request, key: str) -> str | None:
    """The text at *key*, or None. Raises BadInput for what is not printable."""
    value = request.get(key)
    if value is None or (isinstance(value, str) and value.isprintable()):
        return value
    raise BadInput(f"'{key}' must be printable text")


def number(request: Request, key: str, default: int | None = None) -> int:
    """The whole number at *key*, from 0 on, or *default*. Raises BadInput."""
    value = request.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62:
        return value
    raise BadInput(f"'{key}' must be a whole number")


def numbers(request: Request, key: str) -> list[int]:
    """The whole numbers at *key*, at most `MOST_ROWS`. Raises BadInput."""
    values = request.get(key)
    if not isinstance(values, list) or len(values) > MOST_ROWS:
        raise BadInput(f"'{key}' must be a list of at most {MOST_ROWS} whole numbers")
    return [number({key: value}, key) for value in values]


def choice(request: Request, key: str, choices: tuple[str, ...]) -> str | None:
    """The text at *key*, one of *choices*, or None. Raises BadInput."""
    value = text(request, key)
    if value is None or value in choices:
        return value
    raise BadInput(f"'{key}' must be one of {', '.join(choices)}")


def log_query(request: Request) -> LogQuery:
    """What `log` is asked for; see there."""
    key, ids = (text(request, "key") or "").lower(), request.get("ids") or []
    if key and (
        set(key) - set("0123456789abcdef")
        or not SHORTEST_KEY <= len(key) <= LONGEST_KEY
    ):
        raise BadInput(
            f"give {SHORTEST_KEY} to {LONGEST_KEY} hex digits of an event's or a commit's id"
        )
    if (
        not isinstance(ids, list)
        or len(ids) > MOST_IDS
        or not all(isinstance(id, str) and _ID(id) for id in ids)
    ):
        raise BadInput(
            f"'ids' must be a list of at most {MOST_IDS} ids of 32 hex digits"
        )
    after = None if request.get("after") is None else number(request, "after")
    limit = min(number(request, "limit", 20), MOST_TOLD)
    return LogQuery(
        key,
        tuple(map(bytes.fromhex, ids)),
        after,
        bool(request.get("cut")),
        None,
        limit,
    )
