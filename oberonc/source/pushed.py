"""What was pushed from here: from git's hook reference-transaction to one payload.

Git has no hook for "the push is done". But it then moves refs/remotes/origin/..., runs
reference-transaction, and says in the reflog that it was a push and no fetch. So
trackers that others see hear of a commit when others have it (docs/design.md).
"""

from __future__ import annotations

import os

from oberonc.payload.filters import acts_on_push
from oberonc.source import memory, newness, repository
from oberonc.source.collect import Source, payload
from oberonc.source.git import null_oid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oberonc.config import Config
    from oberonc.payload.schema import Payload
    from oberonc.source.git import Git
    from oberonc.source.newness import Update
    from oberonc.source.repository import Repository

#: What git writes into the reflog of refs/remotes/... when it has pushed.
_WORDS = "update by push"
#: Bytes of a reflog that are read from its end: one line and more.
_TAIL = 8192


def collect(
    git: Git,
    settings: dict[str, list[str]],
    config: Config,
    args: list[str],
    stdin: str,
) -> Payload | None:
    """The payload of what a push from here brought to the remote that the repository is
    named after; None where it was no push, or no service waits for one.
    """
    if args[:1] != ["committed"] or not repository.is_enabled(settings):
        return None
    waits = any(acts_on_push(service) for service in config.services.values())
    remote = repository.home_remote(settings)
    if not remote or not (waits or config.fault):
        return None
    place = f"refs/remotes/{remote}/"
    common = repository.common_dir(git.git_dir)
    moved = {}
    for line in stdin.split("\n"):
        _, new, ref = [*line.split(" ", 2), "", ""][:3]
        if not ref.startswith(place) or null_oid(new):
            continue
        move, _, words = _last(git, common, ref).partition("\t")
        if not words.startswith(_WORDS):
            break  # a fetch moves all of its refs together, and they may be thousands
        if old := _old(common, ref, new, move):
            moved[ref] = (old, new)
    if not moved:
        return None
    # Its name is the one it has there, whatever the clone was called before.
    there = {key: settings[key] for key in settings if key != repository.KNOWN_AS}
    repo = repository.describe(git.git_dir, config.publish, there)
    named = {
        f"refs/heads/{ref.removeprefix(place)}": move for ref, move in moved.items()
    }
    source, news = _read(repo, named, _others(git, place, moved), config)
    made = payload(source, news, config)
    return made | {"repository": made["repository"] | {"pushed_to": remote}}


def _last(git: Git, common: str, ref: str) -> str:
    """The last line of the reflog of *ref*; empty where it has none."""
    try:
        with open(os.path.join(common, "logs", ref), "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            line = log.read().rstrip(b"\n").rpartition(b"\n")[2]
    except (OSError, ValueError):
        return _asked(git, ref) if os.path.isdir(f"{common}/reftable") else ""
    return line.decode("utf-8", "replace")


def _asked(git: Git, ref: str) -> str:
    """The same where only git can read it (reftable), as a file would have it."""
    how = ("--no-show-signature", "--date=raw", "--format=%H <> %gd%x09%gs")
    line = git.read("log", "-g", "-1", *how, ref, "--", ok=(0, 128)).rstrip("\n")
    before = ("rev-parse", "--verify", "--quiet", f"{ref}@{{1}}")
    old = git.read(*before, ok=(0, 1, 128)).strip()
    return f"{old or '0' * line.find(' ')} {line}" if line else ""


def _old(common: str, ref: str, new: str, move: str) -> str:
    """Where *ref* was before the *move* to *new* that its reflog tells of; empty where
    it tells of another, or was read before.
    """
    old, there = [*move.split(" ", 2), "", ""][:2]
    moment = move.rpartition("> ")[2]
    ours = there == new and memory.is_first_time(common, ref, f"{old} {new} {moment}")
    return old if ours else ""


def _others(git: Git, place: str, moved: dict[str, tuple[str, str]]) -> set[str]:
    """What the remote had before, as far as that is known here."""
    rows = git.read("for-each-ref", "--format=%(objectname) %(refname)", place)
    stand = (line.partition(" ") for line in rows.split("\n")[:-1])
    known = {oid for oid, _, ref in stand if ref not in moved and ref != f"{place}HEAD"}
    return known | {old for old, _ in moved.values() if not null_oid(old)}


def _read(
    repo: Repository,
    named: dict[str, tuple[str, str]],
    others: set[str],
    config: Config,
) -> tuple[Source, newness.News]:
    updates: list[Update] = []
    branch: dict[str, str | None] = {}
    published: list[str] = []
    dropped: list[str] = []
    for ref, (old, new) in named.items():
        update = newness.update(repo, old, new, ref)
        created = update["created"]
        update["first"] = created and not others
        update["forced"] = not created and not repo.git.is_ancestor(old, new)
        graph, _ = repo.git.rev_list(
            [new], others if created else [old], config.limits.commits
        )
        branch |= dict.fromkeys(graph, update["name"])
        if update["publish"]:
            published += [oid for oid in reversed(graph) if oid not in published]
            dropped += repo.git.between(new, old) if update["forced"] else []
        updates.append(update)
    commits = [*published, *(oid for oid in branch if oid not in set(published))]
    news = newness.News(
        commits=commits[-config.limits.commits :],
        merged=[],
        published=published,
        branch=branch,
        total=len(commits),
        published_total=len(published),
        foreign=[],
        dropped=dropped[-config.limits.commits :],
        dropped_total=len(dropped),
        read={},
    )
    return Source(repo, "push", updates, [], []), news
