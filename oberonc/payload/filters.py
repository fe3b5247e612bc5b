"""Which services a payload is for, and why not. Pure functions.

A service sees the payload cut down to the updates and commits that passed its filters.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from oberonc.config import Service
from oberonc.payload.globs import passes, ref_values
from oberonc.text import listed

Payload = dict[str, Any]


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
_NUMBER = r"(?<![\w#&/])#[1-9][0-9]{0,9}(?!\w)"


def choose(service: Service, payload: Payload) -> Choice:
    """What *service* gets of *payload*.
    Never changes *payload*; entries are shared, not copied.
    """
    name = payload["repository"]["full_name"]
    if not _is_wanted(service.name, payload["repository"].get("services")):
        return Choice(None, "git config oberonc.service of the repository names others")
    if _skipped(service.name, payload["push_options"]):
        return Choice(None, "skipped by a push option")
    if not passes(service.repositories, [name]):
        return Choice(None, f"repository {name} is not in `repositories`")
    updates = [
        u for u in payload["updates"] if passes(service.refs, ref_values(u["ref"]))
    ]
    if payload["updates"] and not updates:
        commits = [*payload["commits"], *payload["merged"]]
        return _nothing(
            "no ref of the push is in `refs`",
            _with_issues(service, commits, "no ref of the push is in `refs`"),
        )
    if (payload["commits"] or updates) and not (
        service.refs or service.paths or service.authors
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
        passes(service.refs, ref_values(update["ref"])) for update in payload["updates"]
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
        self._branches = {u["name"] for u in updates if u["kind"] == "branch"}
        self._loose = (
            any(u["kind"] != "branch" for u in updates) or not payload["updates"]
        )
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
        if not self._service.refs:
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
            return (
                "there is no commit on a ref in `refs`"
                if self._service.refs
                else "there is no commit"
            )
        if not on_path:
            return "no commit touches a file in `paths`"
        return "no commit is by an author in `authors`"

    def held_back(self) -> str:
        """What the left out commits name, and the filters that left them out."""
        everything = [*self._payload["commits"], *self._payload["merged"]]
        whys = (
            "its commit is on no ref in `refs`",
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
