"""Which commits of a push are undone by later ones of the same push."""

import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from oberonc.issues.tasks import Commit

#: What git writes into a commit that undoes another; the second form is the first line
#: alone.
_REVERTS: Final = re.compile(r"\bthis reverts commit ([0-9a-f]{7,64})", re.IGNORECASE)
_TITLE: Final = re.compile(r"(revert|reapply) [\"“](.*)[\"”]", re.IGNORECASE)


def undone_by(commits: Iterable[Commit]) -> dict[str, str]:
    """For the id of each of *commits*, oldest first, that a later one undoes: that
    one's short id.

    A revert that is itself undone undoes nothing.
    """
    listed = list(commits)
    ids = sorted(str(commit["raw_node"]) for commit in listed)
    titles: dict[str, str] = {}
    undoes: dict[str, str] = {}
    for commit in listed:
        title = str(commit["message"]).lstrip().partition("\n")[0].strip()
        target = _named(commit["message"], ids) or titles.get(_undone_title(title))
        if target:
            undoes[commit["raw_node"]] = target
        titles[title] = commit["raw_node"]
    undone: dict[str, str] = {}
    for commit in reversed(listed):
        target = undoes.get(commit["raw_node"])
        if target and commit["raw_node"] not in undone:
            undone[target] = commit["node"]
    return undone


def _named(message: str, ids: list[str]) -> str | None:
    """The one of *ids*, in order, that the message says it reverts."""
    named = _REVERTS.search(message)
    if named is None:
        return None
    beginning = named[1].lower()
    place = bisect_left(ids, beginning)
    if place < len(ids) and ids[place].startswith(beginning):
        return ids[place]
    return None


def _undone_title(title: str) -> str:
    """The title of the commit that one called *title* undoes; a commit that reapplies
    undoes the revert.
    """
    quoted = _TITLE.match(title)
    if quoted is None:
        return ""
    return f'Revert "{quoted[2]}"' if quoted[1].lower() == "reapply" else quoted[2]
