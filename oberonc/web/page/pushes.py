"""Pushes, and what became of each."""

import re
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from oberonc.payload import filters
from oberonc.piston import Problem
from oberonc.web.daemon import ask
from oberonc.web.page import words
from oberonc.web.page.frame import Asked, Shown

#: Pushes of a page; of one answer of the daemon; and so many of these are looked at for
#: a page.
LISTED: Final = 100
ASKED: Final = 200
LOOKS: Final = 5
#: Commits and refs of a push that are shown.
MOST_SHOWN: Final = 100
#: Characters of a message in a list.
SUBJECT: Final = 120
_ISSUE: Final = re.compile(r"(#|[A-Z][A-Z0-9_]{0,30}-)[1-9][0-9]{0,9}", re.ASCII)
_HEX: Final = frozenset("0123456789abcdef")


def show(asked: Asked) -> Shown:
    """The newest pushes, or those that are searched for."""
    wanted = asked.query.get("q", "").strip()[:200]
    repository = asked.query.get("repository", "").strip()[:300]
    start = asked.query.get("before", "")
    before = int(start) if start.isdecimal() and len(start) < 16 else None
    key = wanted.lower()
    is_id = 4 <= len(key) <= 64 and set(key) <= _HEX
    fields = {"key": key if is_id else "", "repository": repository or None}
    if not is_id and _ISSUE.fullmatch(wanted.upper()):
        fields["issue"], key = wanted.upper(), ""
    rows, after = _found(asked, fields, "" if is_id else key, before)
    said = {"q": wanted, "repository": repository, "before": after}
    older = urlencode({key: value for key, value in said.items() if value})
    context = {
        "q": wanted,
        "repository": repository,
        "is_id": is_id,
        "pushes": rows,
        "older": older if after is not None else "",
    }
    return Shown("pushes.html", context)


def _found(
    asked: Asked, fields: dict[str, Any], word: str, before: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Pushes that speak of *word*, the newest first, and where to go on, if anywhere: a
    page is looked for among so many, however few of them it is.
    """
    rows: list[dict[str, Any]] = []
    limit = ASKED if word else LISTED
    for _ in range(LOOKS):
        found = ask(asked.config, "event.list", limit=limit, before=before, **fields)
        made = map(_row, found["events"])
        rows += [row for row in made if not word or _speaks_of(row, word)]
        before = found["next"]
        if before is None or len(rows) >= LISTED:
            break
    return rows, before


def _row(event: dict[str, Any]) -> dict[str, Any]:
    services = [
        {"name": name, "outcome": row.get("outcome") or "nothing"}
        for name, row in event["services"].items()
    ]
    return {
        "id": event["id"],
        "time": event["time"],
        "kind": event["event"],
        "repository": event["repository"],
        "who": event["user"] or (event["submitter"] or {}).get("name") or "",
        "refs": [update["ref"] for update in event["updates"][:3]],
        "commits": event["commits_total"] or len(event["commits"]),
        "services": services,
        "notes": [row.get("note") or "" for row in event["services"].values()],
    }


def _speaks_of(row: dict[str, Any], word: str) -> bool:
    texts = [row["repository"], row["who"], *row["notes"]]
    return any(word in text.lower() for text in texts)


def one(asked: Asked, id: str) -> Shown:
    """The journey of a push."""
    if len(id) != 32 or not set(id) <= _HEX:
        raise Problem(404, "There is no such push.")
    found = ask(asked.config, "event.show", missing=404, id=id)
    event = found["event"]
    payload = event["payload"] or {}
    services = list(_journey(event, found["services"]))
    context = {
        "event": event,
        "accepted": words.moment(event["accepted_ms"]),
        "user": payload.get("user") or "",
        "submitter": (event["submitter"] or {}).get("name") or "",
        "summary": words.summary(services),
        "services": services,
        "updates": payload.get("updates", [])[:MOST_SHOWN],
        "truncated": payload.get("truncated", False),
        "kept": bool(payload),
        **_commits(payload),
    }
    return Shown("push.html", context)


def _journey(
    event: dict[str, Any], services: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """What each service made of it; *services* as the daemon tells of them."""
    now = time.time_ns() // 1_000_000
    decisions = {row["service"]: row for row in event["decisions"]}
    rows = {row["service"]: row for row in event["deliveries"]}
    for name in dict.fromkeys([*rows, *decisions]):
        row = rows.get(name)
        outcome = row["state"] if row else "nothing"
        attempts = [
            one | {"began": words.moment(one["began_ms"])}
            for one in (row["attempts"] if row else ())
        ]
        yield {
            "name": name,
            "outcome": outcome,
            "delivery": row["id"] if row else None,
            "told": words.told(decisions.get(name), row, services.get(name), now),
            "reason": decisions[name]["reason"] if name in decisions else "",
            "attempts": attempts,
            "may_retry": outcome not in ("nothing", "leased"),
            "may_drop": outcome in ("ready", "dead"),
        }


def _commits(payload: dict[str, Any]) -> dict[str, Any]:
    found = [*payload.get("commits", []), *payload.get("merged", [])]
    shown = [
        {
            "id": commit["raw_node"],
            "author": commit.get("author") or commit.get("raw_author") or "",
            "message": commit["message"],
            "names": filters.named([commit["message"]])[: filters.NAMED],
            "url": _link(commit.get("url")),
        }
        for commit in found[:MOST_SHOWN]
    ]
    return {"commits": shown, "more": len(found) - len(shown)}


def _link(url: Any) -> str:
    """*url*, where a browser that follows it does no more than go there."""
    try:
        good = isinstance(url, str) and urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return ""
    return url if good else ""
