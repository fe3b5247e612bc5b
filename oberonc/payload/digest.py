"""Several payloads of one repository as one: what a service with a `digest` gets. Pure
functions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from oberonc.payload.schema import Payload

#: Lists that are joined in the order of the pushes.
_LISTS = ("updates", "commits", "merged", "published", "foreign", "dropped")
_COUNTS = ("commits_total", "published_total", "dropped_total")


def joined(payloads: Sequence[Payload]) -> Payload:
    """*payloads*, oldest first, as one of schema 1; the same ones always make the same.

    It has the id of the first, and `digest`, the ids of all. What is said of a whole
    push is there where all say the same: who pushed, and the options.
    """
    first, last = payloads[0], payloads[-1]
    if len(payloads) == 1:
        return first
    made = last | {"id": first["id"], "time": first["time"]}
    for key in _LISTS:
        if any(key in payload for payload in payloads):
            made[key] = [item for payload in payloads for item in payload.get(key, ())]
    for key in _COUNTS:
        if any(key in payload for payload in payloads):
            made[key] = sum(payload.get(key, 0) for payload in payloads)
    for key in ("published", "foreign"):
        if key in made:
            made[key] = list(dict.fromkeys(made[key]))
    made["commits"], told = _once(made["commits"], set()), made["commits"]
    made["commits_total"] -= len(told) - len(made["commits"])
    # What was new with one push and published with a later one is new.
    new = {commit["raw_node"] for commit in made["commits"]}
    made["merged"] = _once(made["merged"], new)
    made["truncated"] = any(payload["truncated"] for payload in payloads)
    made["push_options"] = [
        option
        for option in first["push_options"]
        if all(option in payload["push_options"] for payload in payloads)
    ]
    for key, otherwise in (("user", None), ("event", "push"), ("submitter", None)):
        said = [payload.get(key) for payload in payloads]
        if any(one != said[0] for one in said):
            made[key] = otherwise
    if made.get("submitter", {}) is None:
        del made["submitter"]
    return made | {"digest": [payload["id"] for payload in payloads]}


def moves(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The updates of *payload*, and of a digest those of one ref as the one move that
    they come to: who tells of it, or acts on it, would else do so again for each push.

    A ref that is deleted in the end has its deletion besides: what it brought before
    may be on another branch by now, and is told of nowhere else.
    """
    if "digest" not in payload:
        return list(payload["updates"])
    made: dict[str, dict[str, Any]] = {}
    deleted: dict[str, dict[str, Any]] = {}
    for update in payload["updates"]:
        ref = update["ref"]
        if update["deleted"]:
            deleted[ref] = update
            continue
        gone = deleted.pop(ref, None)
        before = made.get(ref, gone)
        made[ref] = _both(before, update, gone is not None) if before else update
    return [*made.values(), *deleted.values()]


def beside(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """What of a digest came without a push, or by a tag alone, as a payload; None where
    there is none of it.
    """
    if "digest" not in payload or not payload["updates"]:
        return None
    moved = {
        u["name"] for u in moves(payload) if u["kind"] == "branch" and not u["deleted"]
    }
    rest = [commit for commit in payload["commits"] if commit["branch"] not in moved]
    return {**payload, "updates": [], "commits": rest, "merged": []} if rest else None


def _both(
    before: dict[str, Any], update: Mapping[str, Any], anew: bool
) -> dict[str, Any]:
    """One move of two, *anew* where the ref was deleted in between."""
    created = before["created"]
    both = {
        **update,
        "old": before["old"],
        "created": created,
        "forced": not created and (before["forced"] or update["forced"] or anew),
        "publish": before["publish"] or update["publish"],
    }
    both.pop("compare", None)  # which shows a part of it
    return both


def _once(commits: list[Payload], seen: set[str]) -> list[Payload]:
    """*commits* without those of *seen*, and each once."""
    seen = set(seen)
    kept = []
    for commit in commits:
        if commit["raw_node"] not in seen or not commit["raw_node"].strip("0"):
            seen.add(commit["raw_node"])
            kept.append(commit)
    return kept
