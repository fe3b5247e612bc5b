"""A push in the shape that GitHub's webhooks have, for what reads those."""

from collections.abc import Mapping
from typing import Any


def push(payload: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """What GitHub sends for one ref, as far as a push knows it.
    Source: docs.github.com, "Webhook events and payloads", push.
    """
    repository = payload["repository"]
    # What was merged came before what merges it.
    commits = [
        _commit(commit, distinct)
        for distinct, key in ((False, "merged"), (True, "commits"))
        for commit in payload[key]
        if update["kind"] == "branch" and not update["deleted"]
        if commit["branch"] == update["name"] or (not distinct and update["publish"])
    ]
    url = repository["website"]
    between = f"{update['old'][:12]}...{update['new'][:12]}"
    return {
        "ref": update["ref"],
        "before": update["old"],
        "after": update["new"],
        "created": update["created"],
        "deleted": update["deleted"],
        "forced": update["forced"],
        "base_ref": None,
        "compare": update.get("compare") or (f"{url}/compare/{between}" if url else ""),
        "commits": commits,
        "head_commit": commits[-1] if commits else None,
        "repository": {
            "name": repository["name"],
            "full_name": repository["full_name"],
            "owner": {"name": repository["owner"], "login": repository["owner"]},
            "html_url": url,
            "url": url,
            "clone_url": f"{url}.git" if url else "",
            "default_branch": repository["default_branch"],
        },
        "pusher": {"name": payload["user"] or "none"},
        "sender": {"login": payload["user"] or "none"},
    }


def _commit(commit: Mapping[str, Any], distinct: bool) -> dict[str, Any]:
    files: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
    for each in commit["files"]:
        files[each["type"]].append(each["file"])
    return {
        "id": commit["raw_node"],
        "message": commit["message"],
        "timestamp": commit["utctimestamp"].replace(" ", "T"),
        "url": commit["url"],
        "distinct": distinct,
        "author": _person(commit["raw_author"]),
        "committer": _person(commit["committer"]),
        **files,
    }


def _person(text: str) -> dict[str, str]:
    name, _, mail = text.rpartition(" <")
    return {"name": name, "email": mail.removesuffix(">")}
