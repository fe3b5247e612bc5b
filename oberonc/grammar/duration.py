"""Times as people write them after a reference: `@1h30`, `@3:15`, and `1w 2d 4h 30m` of
a smart command.
"""

import re
from typing import Final

#: Seconds; a day has eight hours and a week five days.
UNITS: Final = {
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 28_800),
    **dict.fromkeys(("w", "week", "weeks"), 144_000),
    "mo": 576_000,
}
_RUN: Final = re.compile(r"[0-9A-Za-z.,:]{1,40}")
_PART: Final = re.compile(r"([0-9]{1,4})(?:[.,]([0-9]{1,2}))?([a-z]{1,7})")
_CLOCK: Final = re.compile(r"([0-9]{1,4}):([0-5][0-9])")
_BARE: Final = re.compile(r"([0-9]{1,4})(?:[.,]([0-9]{1,2}))?")


def time_at(text: str, place: int, decimal: bool) -> "tuple[int, int] | None":
    """The seconds written at *place*, right after the `@`, and where they end."""
    run = _RUN.match(text, place)
    if not run:
        return None
    written = run[0].rstrip(".,:")
    end = place + len(written)
    follows = text[end : end + 1]
    seconds = seconds_of(written.lower(), decimal)
    if seconds is None or follows.isalnum() or follows in ("_", "@"):
        return None
    return seconds, end


def seconds_of(written: str, decimal: bool = False) -> int | None:
    """The seconds of a whole duration: parts with units, `3h15`, `3:15`, or hours alone
    where *decimal*.
    """
    if clock := _CLOCK.fullmatch(written):
        return int(clock[1]) * 3_600 + int(clock[2]) * 60
    if bare := _BARE.fullmatch(written):
        return _share(bare[1], bare[2], 3_600) if decimal else None
    return _parts(written)


def _parts(written: str) -> int | None:
    total, place = 0, 0
    for _ in range(5):
        part = _PART.match(written, place)
        if not part or part[3] not in UNITS:
            return None
        total += _share(part[1], part[2], UNITS[part[3]])
        place = part.end()
        rest = written[place:]
        if not rest:
            return total
        if part[3] == "h" and len(rest) == 2 and rest.isdigit():  # 3h15
            return total + int(rest) * 60
    return None


def _share(whole: str, fraction: str | None, unit: int) -> int:
    return int(whole) * unit + (
        int(fraction) * unit // 10 ** len(fraction) if fraction else 0
    )
