"""A notice of what was given up: a payload of the kind `dead`. Pure functions."""

from typing import Any, Final

from oberonc.payload.schema import SCHEMA, Payload, new_id, now

#: What stands where a push has its repository's name, and the lane of all notices.
REPOSITORY: Final = "oberonc"
#: Dead letters one notice names; it counts all.
MOST: Final = 50


def notice(dead: list[dict[str, Any]], total: int) -> Payload:
    """What tells of *total* deliveries that were given up, *dead* the first of them."""
    made = {"id": new_id(), "time": now(), "dead": dead, "dead_total": total}
    return {**_EMPTY, **made}


#: Every key of schema 1, so that any broker can read it as it reads a push.
_EMPTY: Final[dict[str, Any]] = {
    "schema": SCHEMA,
    "event": "dead",
    "user": None,
    "canon_url": "",
    "repository": {
        "full_name": REPOSITORY,
        "name": REPOSITORY,
        "slug": REPOSITORY,
        "owner": "",
        "absolute_url": f"/{REPOSITORY}/",
        "website": "",
        "scm": "git",
        "fork": False,
        "is_private": False,
        "default_branch": "",
    },
    "updates": [],
    "commits": [],
    "merged": [],
    "published": [],
    "truncated": False,
    "commits_total": 0,
    "push_options": [],
}
