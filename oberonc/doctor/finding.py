"""What doctor says of one thing it looked at."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at: does it hold (None: this account cannot know), what is it, what mends it."""

    ok: bool | None
    what: str
    mend: str = ""
