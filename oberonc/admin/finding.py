"""What is said of one thing that was looked at: by doctor, and by a check of a broker."""

from typing import NamedTuple


class Finding(NamedTuple):
    """Does it hold (None: this account cannot know), what is it, what mends it."""

    ok: bool | None
    what: str
    mend: str = ""
