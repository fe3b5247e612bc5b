"""What mends what more than one part of doctor finds, for the account that looks."""

import os

from oberonc import accounts, rights
from oberonc.admin.finding import Finding
from oberonc.config import Config

#: What puts the folders of a server right.
SET_RIGHT = "as the administrator: give it the owner and modes it was set up with (systemd-tmpfiles --create)"


def join(facts: os.stat_result, bits: int) -> str:
    """How this account comes into the group of what *facts* tell of, which lets in by
    *bits* (4 read, 2 write, 1 pass).

    It may be in it already, but not in this session. Where the group may not either, or
    is root's, that is wrong.
    """
    if not facts.st_gid or facts.st_mode >> 3 & bits != bits:
        return SET_RIGHT
    me, group = rights.account(os.geteuid()), accounts.group_name(facts.st_gid)
    if facts.st_gid in me.groups:
        return (
            f"log in again: {me.name} is in the group {group} since this session began"
        )
    return f"as the administrator: usermod -aG {group} {me.name}; then log in again"


def may_push(config: Config, ok: bool, what: str, mend: str) -> Finding:
    """What somebody needs who pushes; who administers the daemon need not."""
    administers = os.access(config.daemon.control, os.W_OK)
    return Finding(None if administers and not ok else ok, what, mend)
