"""What doctor says of one thing it looked at."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at: does it hold (None: this account cannot know), what is it, what mends it."""

    ok: bool | None
    what: str
    mend: str = ""


def count(number: int, thing: str) -> str:
    """`1 push`, `2 pushes`: *thing* in the plural where it is one."""
    many = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}es" if thing.endswith("sh") else f"{thing}s"
    return f"{number} {thing if number == 1 else many}"
