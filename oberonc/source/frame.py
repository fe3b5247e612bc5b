"""What every payload has, whatever it tells: when it was made, and by whom."""

from __future__ import annotations

import os

from oberonc import accounts
from oberonc.payload.schema import SCHEMA, new_id, now
from oberonc.text import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oberonc.payload.schema import Payload


def frame(about: Payload, canon_url: str, event: str) -> Payload:
    """What every payload has, with empty lists for what only a push brings; *about* is
    its `repository`.
    """
    return {
        "schema": SCHEMA,
        "id": new_id(),
        "event": event,
        "time": now(),
        "user": pusher(),
        "submitter": submitter(),
        "canon_url": canon_url,
        "repository": about,
        "updates": [],
        "commits": [],
        "merged": [],
        "foreign": [],
        "dropped": [],
        "dropped_total": 0,
        "push_options": [],
    }


def pusher() -> str | None:
    """Who pushed, as the server in front of git knows them; else the system's user.

    OBERONC_USER is for servers where all share one account: `authorized_keys` sets it
    per key. Whoever has a shell may set any of them; the daemon believes them of
    accounts that run git for others only.
    """
    for name in (
        "GL_USERNAME",
        "GITEA_PUSHER_NAME",
        "GL_USER",
        "OBERONC_USER",
        "REMOTE_USER",
    ):
        if os.environ.get(name):
            return clean(os.environ[name])
    return accounts.name(os.geteuid()) or os.environ.get("USER") or None


def submitter() -> dict[str, Any]:
    """Whose process this is, as the daemon will say it:
    {"uid": N, "name": "account" or null}.
    """
    return {"uid": os.geteuid(), "name": accounts.name(os.geteuid())}
