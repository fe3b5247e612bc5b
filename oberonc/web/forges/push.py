"""What forges say of a push, in one form, and the payload that is made of it.

A forge lists commits and not all it knows of them: files, parents or what was forced
may be missing, and long lists are cut. Such gaps are flagged where the forge tells, and
`docs/web.md` names them.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from oberonc.config import Limits
from oberonc.errors import BadInput
from oberonc.payload.check import check
from oberonc.payload.globs import matches
from oberonc.payload.schema import (
    LONGEST_NAME,
    LONGEST_PATH,
    SCHEMA,
    Payload,
    fit,
)
from oberonc.source.commits import Commit, cut
from oberonc.source.entries import change, commit_entry
from oberonc.source.git import null_oid
from oberonc.source.repository import publish_patterns

NOTHING: Final = "0" * 40
#: What moves there is a branch or a tag; a forge has other refs for itself.
PLACES: Final = ("refs/heads/", "refs/tags/")


class Listed(NamedTuple):
    """A commit that a forge lists. *distinct*: whether the repository had it not
    before; None where the forge does not say. *sure*: whether it is known to be of the
    ref that it is listed with.
    """

    commit: Commit
    url: str
    distinct: bool | None = None
    sure: bool = True


class Move(NamedTuple):
    """One ref that moved, and the commits listed with it, oldest first.

    *total* is how many there are, *cut* whether the list is known, or must be taken,
    for a part of them; *compare* is a link to all.
    """

    ref: str
    old: str
    new: str
    forced: bool = False
    listed: tuple[Listed, ...] = ()
    total: int = 0
    cut: bool = False
    compare: str = ""


class Push(NamedTuple):
    """One delivery. *page* is the address of the repository's page, or empty."""

    repository: str
    default_branch: str
    user: str
    page: str
    moves: tuple[Move, ...]
    push_options: tuple[str, ...] = ()


class Nothing(NamedTuple):
    """A delivery that asks for nothing, and why."""

    why: str


def event_id(webhook: str, delivery_id: str) -> str:
    """The id of the event that a delivery is: the same for each redelivery, and never
    that of another webhook's.
    """
    named = f"{webhook}\0{delivery_id}".encode("utf-8", "replace")
    return hashlib.sha256(named).hexdigest()[:32]


def payload(
    push: Push,
    name: str,
    time: str,
    *,
    publish: tuple[str, ...],
    seen: Collection[str],
    limits: Limits,
) -> Payload:
    """The payload, schema 1, of *push*, whose id is *name*, at *time*. *publish* are patterns as in
    the configuration; *seen* are ids of commits that were new in an earlier push.
    Raises BadInput for what is none.
    """
    default = f"refs/heads/{push.default_branch}" if push.default_branch else ""
    patterns = publish_patterns(publish, default, {})
    made: Payload = {
        "schema": SCHEMA,
        "id": name,
        "event": "push",
        "time": time,
        "user": _line(push.user)[:LONGEST_NAME] or None,
        "foreign": [],
        "dropped": [],
        "dropped_total": 0,
        "push_options": list(push.push_options),
    }
    made |= _about(push) | _news(push.moves, patterns, default, seen, limits)
    made = fit(made, limits)
    fault = check(made)
    if fault:
        raise BadInput(f"the webhook makes no payload: {fault}")
    return made


def _about(push: Push) -> Payload:
    """The repository, and the base of its links."""
    owner, _, last = push.repository.rpartition("/")
    base = push.page.removesuffix(f"/{push.repository}")
    about = {
        "name": last,
        "slug": last.lower(),
        "owner": owner,
        "absolute_url": f"/{push.repository}/",
        "website": push.page,
        "scm": "git",
        "fork": False,
        "is_private": False,
        "full_name": push.repository,
        "default_branch": push.default_branch,
    }
    return {"repository": about, "canon_url": base if base != push.page else ""}


def _news(
    moves: tuple[Move, ...],
    patterns: Sequence[str],
    default: str,
    seen: Collection[str],
    limits: Limits,
) -> Payload:
    """What moved, what is new and what is published by it."""
    updates: list[Payload] = []
    commits: dict[str, Payload] = {}
    merged: dict[str, Payload] = {}
    published: dict[str, None] = {}
    unlisted = 0
    all_publish = all(_publishes(patterns, move.ref) for move in moves if move.listed)
    # Those that publish come first: what they bring is not taken for another branch's.
    for move in sorted(moves, key=lambda move: not _publishes(patterns, move.ref)):
        publishes = _publishes(patterns, move.ref)
        updates.append(_update(move, publishes, default))
        unlisted += max(0, move.total - len(move.listed))
        for listed in move.listed:
            oid = listed.commit.oid
            if oid in commits or oid in merged:
                continue
            if publishes and not (listed.sure or all_publish):
                continue  # its issues may be those of a branch that does not publish
            known = oid in seen if listed.distinct is None else not listed.distinct
            if not known:
                commits[oid] = _entry(listed, move.ref, limits)
            elif publishes:
                merged[oid] = _entry(listed, move.ref, limits)
            if publishes:
                # A merged branch's `fixes #42` is listed as known before; it is now
                # that it is published.
                published[oid] = None
    entries = {
        key: list(some.values())[-limits.commits :]
        for key, some in (("commits", commits), ("merged", merged))
    }
    kept = {entry["raw_node"] for some in entries.values() for entry in some}
    cut = any("truncated" in entry for some in entries.values() for entry in some)
    return {
        "updates": updates[: limits.updates],
        "commits": entries["commits"],
        "merged": entries["merged"],
        "published": [oid for oid in published if oid in kept],
        "commits_total": len(commits) + unlisted,
        "published_total": len(published),
        "truncated": cut
        or unlisted > 0
        or any(move.cut for move in moves)
        or len(kept) < len(commits) + len(merged)
        or len(updates) > limits.updates,
    }


def _publishes(patterns: Sequence[str], ref: str) -> bool:
    return any(matches(pattern, ref) for pattern in patterns)


def _update(move: Move, publishes: bool, default: str) -> Payload:
    kind, short = "other", move.ref
    for known, folder in (("branch", "refs/heads/"), ("tag", "refs/tags/")):
        if move.ref.startswith(folder):
            kind, short = known, move.ref.removeprefix(folder)
    created, deleted = null_oid(move.old), null_oid(move.new)
    moved_tag = kind == "tag" and not created and not deleted
    link = {"compare": move.compare} if move.compare else {}
    return link | {
        "ref": move.ref[:LONGEST_PATH],
        "kind": kind,
        "name": short[:LONGEST_PATH],
        "old": move.old,
        "new": move.new,
        "created": created and not deleted,
        "deleted": deleted,
        "forced": move.forced or moved_tag,
        "publish": publishes,
        "first": created and not deleted and move.ref == default,
    }


def _entry(listed: Listed, ref: str, limits: Limits) -> Payload:
    commit = listed.commit
    # GitHub writes squash merges with CR LF.
    text = commit.message.replace("\r\n", "\n").replace("\0", "\ufffd")
    raw = text.encode("utf-8", "replace")
    commit = commit._replace(
        author=_line(commit.author),
        author_email=_line(commit.author_email),
        committer=_line(commit.committer),
        committer_email=_line(commit.committer_email),
        message=cut(raw, limits.message),
        files=commit.files[: limits.files],
        cut=len(raw) > limits.message or len(commit.files) > limits.files,
    )
    entry = commit_entry(commit, ref.removeprefix("refs/heads/"), "")
    # Whose date it is differs from forge to forge: with it a rebase would be another
    # change, and close an issue again.
    named = change(entry["raw_author"], (0, "+0000"), commit.message)
    return entry | {"url": listed.url, "change": named}


def moment(value: Any) -> tuple[int, str]:
    """A forge's time, ISO 8601 or milliseconds since 1970, as git has dates."""
    try:
        if isinstance(value, int):
            return value // 1000, "+0000"
        when = datetime.fromisoformat(value)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return int(when.timestamp()), when.strftime("%z")[:5]
    except (TypeError, ValueError, OverflowError):
        return 0, "+0000"


def _line(name: str) -> str:
    """*name* without what git takes out of the names of people, so that nobody who
    writes one down must think of it.
    """
    return re.sub(r"[\0-\x1f\x7f<>]+", " ", name).strip()


def person(raw: str) -> tuple[str, str]:
    """`Name <mail>` in its two parts."""
    found = re.fullmatch(r"([^<]*)<([^>]*)>\s*", raw)
    return (found[1].strip(), found[2]) if found else (raw, "")
