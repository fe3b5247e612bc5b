"""The trackers the issue broker can act on, one file each, loaded by name."""

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from oberonc.broker.loading import load_subclass, trackers
from oberonc.broker.registry import BrokenBroker
from oberonc.grammar.words import words_for
from oberonc.text import nearest

if TYPE_CHECKING:
    from oberonc.issues.trackers.base import Tracker

#: Python 3.11 counts the depth of what it compiles for all threads together, and fails
#: where two compile at once: one plugin is loaded at a time.
_LOADING: Final = threading.Lock()

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
    "kanboard": "kanboard:Kanboard",
    "phabricator": "phabricator:Phabricator",
    "phorge": "phabricator:Phabricator",
    "azure": "azure:Azure",
    "openproject": "openproject:OpenProject",
    "trello": "trello:Trello",
    "mantisbt": "mantisbt:MantisBT",
    "asana": "asana:Asana",
    "launchpad": "launchpad:Launchpad",
}


def load(kind: str) -> "type[Tracker]":
    """The class for the setting `tracker`, ours or a plugin's; ValueError for one there
    is not, or that cannot be used.
    """
    if kind in trackers:
        return _plugin(kind)
    if kind not in CLASSES:
        known = [*CLASSES, *trackers]
        raise ValueError(
            f"tracker = '{kind}' is not one of {', '.join(known)}{nearest(kind, known)}"
        )
    module, name = CLASSES[kind].split(":")
    found: type[Tracker] = getattr(
        import_module(f"oberonc.issues.trackers.{module}"), name
    )
    return found


def describe_plugins() -> dict[str, dict[str, Any]]:
    """Of each tracker that is a plugin, by name: the settings it `needs` and its
    `words`; or why it cannot be used (`error`).
    """
    found: dict[str, dict[str, Any]] = {}
    for name in trackers:
        try:
            kind = load(name)
            words = words_for("local", None, kind.words)
        except ValueError as error:
            found[name] = {"error": str(error)}
            continue
        own = {key: getattr(words, key) for key in kind.words}
        found[name] = {"needs": kind.needs, "words": own}
    return found


def _plugin(kind: str) -> "type[Tracker]":
    from oberonc.issues.trackers.base import Tracker

    place = trackers[kind]
    where = place.file or place.origin
    if kind in CLASSES:
        raise ValueError(f"tracker '{kind}' is oberonc's own: rename {where}")
    try:
        with _LOADING:
            found = load_subclass(place, Tracker)  # type: ignore[type-abstract]
    except BrokenBroker as error:
        raise ValueError(f"tracker '{kind}': {error}") from None
    if getattr(found, "kind", None) != kind:
        raise ValueError(f"tracker '{kind}': {where} needs kind = \"{kind}\"")
    return found
