"""The last hour of a service as a small chart: what bars it has. Pure."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

#: Minutes, pixels of each, and of the chart's height.
MINUTES: Final = 60
STEP: Final = 2
HEIGHT: Final = 24
#: From the ground up.
_KINDS: Final = ("done", "retried", "dead")


class Bar(NamedTuple):
    """One kind in one minute."""

    kind: str
    x: int
    y: float
    width: int
    height: float


class Chart(NamedTuple):
    """Bars in a box, the same in words, and how long it took from push to end."""

    bars: list[Bar]
    label: str
    latency: str
    width: int = MINUTES * STEP
    height: int = HEIGHT


def chart(minutes: Sequence[dict[str, Any]], now: float) -> Chart:
    """Of *minutes*, rows of `stats`, those of the hour before *now*, seconds since 1970."""
    first = int(now // 60) - MINUTES + 1
    by_place = {
        place: row
        for row in minutes
        if 0 <= (place := int(row["began"]) // 60 - first) < MINUTES
    }
    highest = max((_sum(row) for row in by_place.values()), default=0)
    bars = [Bar("base", 0, HEIGHT - 1, MINUTES * STEP, 1)]
    for place, row in sorted(by_place.items()):
        top = HEIGHT - 1.0
        for kind in _KINDS:
            if row[kind]:
                # A single one is still seen beside many.
                height = max(1.5, round((HEIGHT - 1) * row[kind] / highest, 1))
                top = max(0.0, round(top - height, 1))
                bars.append(Bar(kind, place * STEP, top, STEP, height))
    rows = by_place.values()
    done, retried, dead = (sum(row[kind] for row in rows) for kind in _KINDS)
    label = f"Last hour: {done} done, {retried} tried again, {dead} given up"
    timed = [row for row in rows if row["latency"] is not None and row["done"]]
    if not timed:
        return Chart(bars, label, "")
    spent = sum(row["latency"] * row["done"] for row in timed)
    mean = spent / sum(row["done"] for row in timed)
    return Chart(bars, f"{label}, {_time(mean)} from push to end", _time(mean))


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def _sum(row: dict[str, Any]) -> int:
    return sum(row[kind] for kind in _KINDS)
