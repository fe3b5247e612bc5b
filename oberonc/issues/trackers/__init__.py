"""The trackers the issue broker can act on, one file each, loaded by name."""

from importlib import import_module
from typing import TYPE_CHECKING

from oberonc.text import nearest

if TYPE_CHECKING:
    from oberonc.issues.trackers.base import Tracker

#: The setting `tracker`, and where the class for it is.
CLASSES = {
    "local": "local:Local",
    "github": "github:GitHub",
    "gitlab": "gitlab:GitLab",
    "gitea": "gitea:Gitea",
    "forgejo": "gitea:Gitea",
    "jira": "jira:Jira",
    "redmine": "redmine:Redmine",
    "trac": "trac:Trac",
    "trac-ticketrpc": "ticketrpc:TicketRpc",
    "bugzilla": "bugzilla:Bugzilla",
    "roundup": "roundup:Roundup",
    "rt": "rt:RequestTracker",
    "youtrack": "youtrack:YouTrack",
    "linear": "linear:Linear",
}


def load(kind: str) -> "type[Tracker]":
    """The class for the setting `tracker`; ValueError for one there is not."""
    if kind not in CLASSES:
        known = ", ".join(CLASSES)
        raise ValueError(
            f"tracker = '{kind}' is not one of {known}{nearest(kind, list(CLASSES))}"
        )
    module, name = CLASSES[kind].split(":")
    found: type[Tracker] = getattr(
        import_module(f"oberonc.issues.trackers.{module}"), name
    )
    return found
