"""Is it well? What waits, what needs a person."""

import time
from typing import Any

from oberonc.text import span
from oberonc.web.daemon import ask
from oberonc.web.page import words
from oberonc.web.page.chart import MINUTES, chart
from oberonc.web.page.frame import Asked, Shown


def show(asked: Asked) -> Shown:
    """The first page."""
    stats = ask(asked.config, "stats", minutes=MINUTES, each=True)["stats"]
    minutes: dict[str, list[dict[str, Any]]] = {}
    for row in stats["minutes"]:
        minutes.setdefault(row["service"], []).append(row)
    now = time.time()
    services = [
        _service(name, row) | {"chart": chart(minutes.get(name, []), now)}
        for name, row in stats["services"].items()
    ]
    context = {
        "needs": words.needs(stats),
        "services": services,
        "stats": stats,
        "uptime": span(stats["uptime"]),
    }
    return Shown("now.html", context)


def _service(name: str, row: dict[str, Any]) -> dict[str, Any]:
    oldest = row["oldest"]
    return row | {
        "name": name,
        "state": words.state(row),
        "since": "" if oldest is None else span(oldest),
        "last_error_at": words.moment(row["last_error_ms"]),
    }
