"""What doctor says of one thing it looked at."""

import os
from typing import NamedTuple

from oberonc import accounts
from oberonc.config import Config


class Finding(NamedTuple):
    """One thing that was looked at: does it hold (None: this account cannot know), what is it, what mends it."""

    ok: bool | None
    what: str
    mend: str = ""


def join(gid: int) -> str:
    """How this account comes into a group: it may be in it already, but not in this session."""
    me, group = accounts.account(os.geteuid()), accounts.group_name(gid)
    if gid in me.groups:
        return f"log in again: {me.name} is in the group {group} since this session began"
    return f"as the administrator: usermod -aG {group} {me.name}; then log in again"


def may_push(config: Config, ok: bool, what: str, mend: str) -> Finding:
    """What somebody needs who pushes; who administers the daemon need not."""
    administers = os.access(config.daemon.control, os.W_OK)
    return Finding(None if administers and not ok else ok, what, mend)
