"""Which services a payload is for, and why not. Pure functions.

A service sees the payload cut down to the updates and commits that passed its filters.
"""

from __future__ import annotations

from oberonc.config import PUSHED
from oberonc.payload.globs import passes, ref_values
from oberonc.text import listed
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from oberonc.config import Service

Payload = dict[str, "Any"]


class Choice(NamedTuple):
    """What a service gets (None: nothing) and the filter's reason, for the log.

    `held_back` is told to who pushes:
    which issues the commits name that a filter kept from the service.
    """

    payload: Payload | None
    reason: str
    held_back: str = ""


#: Issues of left out commits that are named, the commits looked at, and how far each is
#: read: this is a hint in a sentence, and must cost the same whatever a stranger
#: writes.
NAMED = 6
_COMMITS = 100
_CHARACTERS = 2000
_MADE_HERE = (b'"event":"commit"', b'"event": "commit"')
_NUMBER = r"(?<![\w#&/])#[1-9][0-9]{0,9}(?!\w)"


def choose(service: Service, payload: Payload) -> Choice:
    """What *service* gets of *payload*.
    Never changes *payload*; entries are shared, not copied.
    """
    name = payload["repository"]["full_name"]
    if payload.get("event") == "dead":
        if "dead" in service.events:
            return Choice(payload, "matches")
        return Choice(None, "`dead` is not one of `events`")
    why = _too_early(service, payload)
    if why:
        return Choice(None, why)
    if not _is_wanted(service.name, payload["repository"].get("services")):
        return Choice(None, "git config oberonc.service of the repository names others")
    if _skipped(service.name, payload["push_options"]):
        return Choice(None, "skipped by a push option")
    if not passes(service.repositories, [name]):
        return Choice(None, f"repository {name} is not in `repositories`")
    on_ref = [
        u for u in payload["updates"] if passes(service.refs, ref_values(u["ref"]))
    ]
    updates = [u for u in on_ref if kind(u) in service.events]
    why = _unwanted(service, payload, bool(on_ref), bool(updates))
    if why:
        commits = [*payload["commits"], *payload["merged"]]
        return _nothing(why, _with_issues(service, commits, why))
    payload = _without_diffs(service, payload)
    if (
        (payload["commits"] or updates)
        and len(updates) == len(payload["updates"])
        and not (service.refs or service.paths or service.authors)
    ):
        return Choice(payload, "matches")
    kept = _Kept(service, payload, updates)
    if not (kept.commits or kept.merged) and (
        service.paths or service.authors or not updates
    ):
        return _nothing(kept.reason(), kept.held_back())
    held_back = kept.held_back()
    return Choice(
        payload | kept.changes(),
        f"matches; {held_back}" if held_back else "matches",
        held_back,
    )


def acts_on_push(service: Service) -> bool:
    """Whether others see what *service* does in a tracker: of what is committed in a
    clone it hears when that is pushed.
    """
    kind = service.settings.get("tracker", "local")
    return service.broker == "issues" and kind != "local"


def _too_early(service: Service, payload: Payload) -> str:
    """Why *service* is not told now of what was made in a clone: a tracker that others
    see is when it is pushed, everybody else when it is committed.
    """
    if "pushed_to" in payload["repository"]:
        return "" if acts_on_push(service) else "it was told when this was committed"
    here = payload.get("event") == "commit" and payload["updates"]
    return "it acts when this is pushed" if here and acts_on_push(service) else ""


def cuts(service: Service, body: bytes) -> bool:
    """Whether *service* may get less than all of the payload that *body* is as JSON."""
    return bool(
        service.refs
        or service.paths
        or service.authors
        or not {*PUSHED} <= {*service.events}
        or b'"pushed_to"' in body
        or (acts_on_push(service) and any(words in body for words in _MADE_HERE))
        # a quote within a text is written otherwise
        or (b'"diff"' in body and not service.diffs)
    )


def promised(service: Service, payload: Payload) -> Payload:
    """What *service* gets of *payload*, which was accepted for it: what was promised
    then is kept where its filters have changed and let nothing pass now.
    """
    chosen = choose(service, payload).payload
    return _without_diffs(service, payload) if chosen is None else chosen


def kind(update: Payload) -> str:
    """Which of the `events` of a service *update* is."""
    if not update["new"].strip("0"):
        return "delete"
    return "tag" if update["ref"].startswith("refs/tags/") else "push"


def _unwanted(service: Service, payload: Payload, on_ref: bool, of_kind: bool) -> str:
    """Why *service* wants nothing of what moved; empty where it may."""
    if payload["updates"]:
        if not on_ref:
            return "no ref of the push is in `refs`"
        return "" if of_kind else "nothing in the push is one of `events`"
    return "" if "push" in service.events else "it is no push, tag or delete"


def _without_diffs(service: Service, payload: Payload) -> Payload:
    """*payload* without diffs, unless *service* asks for them."""
    if service.diffs or not any("diff" in commit for commit in payload["commits"]):
        return payload
    ours = ("diff", "diff_truncated")
    commits = [
        {key: value for key, value in commit.items() if key not in ours}
        for commit in payload["commits"]
    ]
    return payload | {"commits": commits}


def _nothing(reason: str, held_back: str) -> Choice:
    return Choice(None, held_back or reason, held_back)


def _with_issues(service: Service, commits: list[Payload], why: str) -> str:
    """That *why* kept *commits* from *service*, with the issues they name; an empty
    string where they name none.
    """
    keys = [
        key
        for key in (
            service.settings.get("project"),
            *_texts(service.settings.get("projects")),
        )
        if _is_key(key)
    ]
    found = named([commit["message"] for commit in commits], keys)
    if not found:
        return ""
    return f"{listed(found, NAMED)} {'is' if len(found) == 1 else 'are'} named, and nothing is done: {why}"


def named(messages: list[str], keys: list[str] | None = None) -> list[str]:
    """The issues that *messages* seem to name: `#12`, and `KEY-12` for each of *keys*;
    a hint, not the grammar.
    """
    import re  # a push that no service wants is not asked for what it names

    pattern = re.compile(
        "|".join(
            [
                _NUMBER,
                *(rf"(?<![\w-]){key}-[1-9][0-9]{{0,9}}(?!\w)" for key in keys or ()),
            ]
        )
    )
    found: dict[str, None] = {}
    for message in messages[:_COMMITS]:
        found |= dict.fromkeys(pattern.findall(message[:_CHARACTERS]))
    return list(found)


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_key(value: Any) -> bool:
    """Whether *value* is the key of a project, as PROJ of PROJ-12."""
    import re

    return (
        isinstance(value, str)
        and re.fullmatch("[A-Z][A-Z0-9_]{1,20}", value) is not None
    )


def possible(service: Service, payload: Payload) -> bool:
    """False when *service* cannot match,
    whatever the commits say: then they need not be read.
    """
    repository = payload["repository"]
    if not _is_wanted(service.name, repository.get("services")) or _skipped(
        service.name, payload["push_options"]
    ):
        return False
    if not passes(service.repositories, [repository["full_name"]]):
        return False
    return any(
        kind(update) in service.events
        and passes(service.refs, ref_values(update["ref"]))
        for update in payload["updates"]
    )


def _is_wanted(service: str, names: list[str] | None) -> bool:
    # A repository may ask for some of the configured services; it cannot bring its own.
    return names is None or service in names


def _skipped(service: str, push_options: list[str]) -> bool:
    return any(
        option in ("oberonc.skip", f"oberonc.skip={service}") for option in push_options
    )


class _Kept:
    """The commits of a payload that pass the filters of a service."""

    def __init__(
        self, service: Service, payload: Payload, updates: list[Payload]
    ) -> None:
        self._service, self._payload, self._updates = service, payload, updates
        self._all = not service.refs and len(updates) == len(payload["updates"])
        brought = [u for u in updates if kind(u) != "delete"]
        self._branches = {u["name"] for u in brought if u["kind"] == "branch"}
        self._loose = any(u["kind"] == "tag" for u in brought) or not payload["updates"]
        on_ref = self._pass(self._on_ref, [*payload["commits"], *payload["merged"]])
        on_path = self._pass(self._on_path, on_ref) if service.paths else on_ref
        passed = self._pass(self._by_author, on_path) if service.authors else on_path
        self._stages = (on_ref, on_path, passed)
        oids = {commit["raw_node"] for commit in passed}
        self.commits = [c for c in payload["commits"] if c["raw_node"] in oids]
        self.merged = [c for c in payload["merged"] if c["raw_node"] in oids]
        self._oids = oids

    @staticmethod
    def _pass(test: Callable[[Payload], bool], commits: list[Payload]) -> list[Payload]:
        return [commit for commit in commits if test(commit)]

    def _on_ref(self, commit: Payload) -> bool:
        if self._all:
            return True
        if not self._payload["updates"]:
            return commit["branch"] is None or passes(
                self._service.refs, ref_values(f"refs/heads/{commit['branch']}")
            )
        return commit["branch"] in self._branches or (
            commit["branch"] is None and self._loose
        )

    def _on_path(self, commit: Payload) -> bool:
        return any(
            passes(self._service.paths, [entry["file"]]) for entry in commit["files"]
        )

    def _by_author(self, commit: Payload) -> bool:
        raw = commit["raw_author"]
        mail = raw.rpartition("<")[2].removesuffix(">")
        return passes(self._service.authors, [raw, mail, commit["author"]])

    def reason(self) -> str:
        """Which filter left nothing."""
        on_ref, on_path, _ = self._stages
        if not on_ref:
            if self._service.refs:
                return "there is no commit on a ref in `refs`"
            return "there is no commit" if self._all else "no commit is of `events`"
        if not on_path:
            return "no commit touches a file in `paths`"
        return "no commit is by an author in `authors`"

    def held_back(self) -> str:
        """What the left out commits name, and the filters that left them out."""
        everything = [*self._payload["commits"], *self._payload["merged"]]
        whys = (
            "its commit is on no ref in `refs`"
            if self._service.refs
            else "its commit came by none of `events`",
            "its commit touches no file in `paths`",
            "its commit is by no author in `authors`",
        )
        parts = []
        for before, after, why in zip(
            (everything, *self._stages), self._stages, whys, strict=False
        ):
            oids = {commit["raw_node"] for commit in after}
            parts.append(
                _with_issues(
                    self._service, [c for c in before if c["raw_node"] not in oids], why
                )
            )
        return "; ".join(filter(None, parts))

    def changes(self) -> Payload:
        """The keys of the payload that differ for this service."""
        oids = self._oids
        return {
            "updates": self._updates,
            "commits": self.commits,
            "merged": self.merged,
            "published": [oid for oid in self._payload["published"] if oid in oids],
        }
