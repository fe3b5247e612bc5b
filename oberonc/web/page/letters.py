"""Deliveries: what was given up, what waits; again, or never."""

from typing import Any, Final
from urllib.parse import urlencode

from oberonc.piston import Problem
from oberonc.text import counted
from oberonc.web.daemon import ask
from oberonc.web.page import words
from oberonc.web.page.frame import Asked, Moved, Shown

#: Rows of a page; and of one action, as many as the daemon takes.
LISTED: Final = 100
MOST: Final = 1000
STATES: Final = (
    "dead",
    "ready",
    "leased",
    "done",
    "cancelled",
    "expired",
    "collapsed",
)
_VERBS: Final = {"retry": "tried again", "drop": "dropped"}
_FILTERS: Final = ("state", "service", "repository")


def show(asked: Asked) -> Shown:
    """Dead letters, or deliveries of another state, the newest first."""
    wanted = _wanted(asked.query)
    before = asked.query.get("before", "")
    start = int(before) if before.isdecimal() and len(before) < 16 else 2**53
    found = _list(asked, wanted, start, LISTED)
    rows = [row | {"accepted": words.moment(row["accepted_ms"])} for row in found]
    for row in rows:
        row["ended"] = words.moment(row["ended_ms"])
    older = ""
    if len(rows) == LISTED:
        older = urlencode(wanted | {"before": rows[-1]["id"]})
    context = {
        "wanted": wanted,
        "states": STATES,
        "letters": rows,
        "older": older,
        "most": MOST,
    }
    return Shown("letters.html", context)


def change(asked: Asked) -> Moved:
    """Retry or drop those that were chosen, or all that the filters let pass. Raises
    Problem.
    """
    verb, wanted = asked.field("verb"), _wanted({k: asked.field(k) for k in _FILTERS})
    if verb not in _VERBS:
        raise Problem(400, "Choose to retry or to drop.")
    if asked.field("all"):
        numbers = [row["id"] for row in _list(asked, wanted, 2**53, MOST)]
    else:
        given = asked.form.get("delivery", [])
        numbers = [int(one) for one in given if one.isdecimal() and len(one) < 16]
    back = asked.field("back")
    where = f"/pushes/{back}" if back.isalnum() else f"/letters?{urlencode(wanted)}"
    if not numbers:
        return Moved(where, "Nothing was chosen.")
    found = ask(asked.config, f"dead.{verb}", deliveries=numbers, **asked.acts())
    results = found["results"]
    wrong = [str(row["error"]) for row in results if "error" in row]
    count = counted(len(results) - len(wrong), "delivery", "deliveries")
    said = f"{count} {_VERBS[verb]}."
    if wrong:
        said += f" {len(wrong)} could not be: {wrong[0]}"
    return Moved(where, said)


def _wanted(fields: Any) -> dict[str, str]:
    found = {key: fields.get(key, "").strip()[:300] for key in _FILTERS}
    if found["state"] not in STATES:
        found["state"] = "dead"
    return found


def _list(
    asked: Asked, wanted: dict[str, str], before: int, limit: int
) -> list[dict[str, Any]]:
    chosen: dict[str, Any] = {key: value or None for key, value in wanted.items()}
    found = ask(asked.config, "delivery.list", limit=limit, before=before, **chosen)
    rows: list[dict[str, Any]] = found["deliveries"]
    return rows
