"""How fast a service gets its deliveries, how old they may be, and which go together:
the keys `rate`, `max_age`, `collapse` and `digest` of a service, and how lengths of
time are written.

Loaded by a configuration that has one of these keys.
"""

import re
from typing import Any, Final

from oberonc.errors import ConfigError
from oberonc.text import one_line

#: Seconds of each unit.
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DAY: Final = 86_400
YEAR: Final = 365 * DAY
#: Deliveries in one unit of time at most: more is no limit.
MOST: Final = 1000
#: What `collapse` may be.
COLLAPSE: Final = "ref"


def seconds(text: str) -> int | None:
    """The length of time that is written as `30s`, `5m`, `6h`, `2d` or `1w`; None for
    anything else.
    """
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text, re.ASCII)
    return int(found[1]) * UNITS[found[2]] if found else None


def spacing(text: str) -> float | None:
    """The seconds from one delivery to the next of a rate that is written as `1/s`,
    `30/m`, `100/h` or `500/d`; None for anything else.
    """
    found = re.fullmatch(r"([0-9]{1,4})/([smhd])", text, re.ASCII)
    if not found or not 1 <= int(found[1]) <= MOST:
        return None
    return UNITS[found[2]] / int(found[1])


def checked(table: dict[str, Any], file: str, where: str) -> dict[str, Any]:
    """*table*, a service's general keys, with times in seconds. Raises ConfigError with
    file and key: *where* is what stands before the key.
    """
    read = dict(table)
    for key, most, said in (
        ("max_age", YEAR, '"6h": at least a second and at most 365d'),
        ("digest", DAY, '"5m": at least a second and at most a day'),
    ):
        if key in table:
            read[key] = seconds(table[key])
            if not read[key] or read[key] > most:
                raise _wrong(table, file, where, key, f"a time such as {said}")
    if "rate" in table:
        read["rate"] = spacing(table["rate"])
        if not read["rate"]:
            said = f'so many in a time, such as "1/s", "30/m", "100/h" or "500/d", and at most {MOST}'
            raise _wrong(table, file, where, "rate", said)
    if table.get("collapse", COLLAPSE) != COLLAPSE:
        raise _wrong(table, file, where, "collapse", f'"{COLLAPSE}"')
    for key in ("collapse", "digest"):
        if key in table and table.get("order") == "none":
            said = "needs an order among the deliveries: leave out `order` or this key"
            raise ConfigError(f"{file}: '{where}{key}' {said}")
    if {"max_age", "digest"} <= read.keys() and read["max_age"] <= read["digest"]:
        said = (
            "must be longer than `digest`: what waits for a digest grows as old as that"
        )
        raise ConfigError(f"{file}: '{where}max_age' {said}")
    return read


def _wrong(
    table: dict[str, Any], file: str, where: str, key: str, said: str
) -> ConfigError:
    given = one_line(table[key], 80)
    return ConfigError(f"{file}: '{where}{key}' must be {said}, not '{given}'")
