"""What a push brought: commits new to the repository, and commits that newly reached a
publish ref.

They are different sets. A chat wants the first; an issue must act on the second, or a
merged branch closes nothing and a feature branch closes too early. Only branches and
tags count as "the repository": notes, pull request refs and a server's own namespaces
neither bring commits nor hide them. "Before" is what the repository's memory was told
of, not what its refs are now: another push may have moved them meanwhile.
"""

from __future__ import annotations

from oberonc.errors import BadInput
from oberonc.source import ancestry
from oberonc.source.ancestry import walk
from oberonc.source.entries import commit_entry, weight
from oberonc.source.git import null_oid
from oberonc.source.memory import hold
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oberonc.config import Limits
    from oberonc.source.ancestry import Graph
    from oberonc.source.entries import Entries
    from oberonc.source.memory import Memory
    from oberonc.source.repository import Repository

Update = dict[str, "Any"]


class News(NamedTuple):
    """Oids oldest first; *branch* names the branch each belongs to (None: a tag's).

    `total` and `published_total` count what the lists were cut from. `foreign` are
    those of `published` that belong to another project's history, which a merge brought
    in. `dropped` were published, until this push took them off the publish refs;
    `dropped_total` counts them.
    """

    commits: list[str]
    merged: list[str]
    published: list[str]
    branch: dict[str, str | None]
    total: int
    published_total: int
    foreign: list[str]
    dropped: list[str]
    dropped_total: int
    #: Commits that were read on the way, all but their `branch`.
    read: Entries


class _Before(NamedTuple):
    """What was told of before the push: where each ref stood, and the tips of all that
    was known and published.
    """

    refs: dict[str, str]
    known: set[str]
    published: set[str]


def update(repo: Repository, old: str, new: str, ref: str) -> Update:
    """One ref update as the payload has it; `news` finds `forced`, and `first`: it made
    a publish ref of a history that shares nothing with what was published before.
    """
    ref = repo.aliases.get(ref, ref)
    kind = {"refs/heads/": "branch", "refs/tags/": "tag"}.get(
        "/".join(ref.split("/")[:2]) + "/", "other"
    )
    return {
        "ref": ref,
        "kind": kind,
        "name": ref.split("/", 2)[-1] if kind != "other" else ref,
        "old": old,
        "new": new,
        "created": null_oid(old),
        "deleted": null_oid(new),
        "forced": False,
        "publish": kind == "branch" and repo.publishes(ref),
        "first": False,
    }


def news(
    repo: Repository, updates: list[Update], limits: Limits, memory: Memory
) -> News:
    """Compute both sets for all *updates* of a push together, set their `forced` and
    `first`, and tell *memory*.

    One `git log`, which reads the commits as well; more only when what reached a
    publish ref was in the repository before, when a publish ref was forced, and beyond
    the *limits*.
    """
    cap = limits.commits
    tips = _tips(repo, updates)
    before = _before(repo, updates, tips, memory)
    graph, total, read = _new(repo, set(tips.values()), before.known, limits)
    new = {tips[u["ref"]] for u in updates if u["publish"] and u["ref"] in tips}
    published, published_total = _published(repo, new, before, graph, total, cap)
    graph, merged = _split(repo, graph, total, published, before, cap)
    _set_forced(repo, updates, graph)
    foreign = _strangers(
        repo, updates, tips, before, memory, published, published_total
    )
    dropped, dropped_total = _dropped(
        repo, updates, new, before, memory, bool(published), cap
    )
    branch = _attribute(updates, tips, graph) | _attribute(
        [u for u in updates if u["publish"]], tips, published
    )
    _tell(repo, updates, before, memory)
    return News(
        commits=list(graph)[::-1],
        merged=merged[::-1],
        published=list(published)[::-1],
        branch=branch,
        total=total,
        published_total=published_total,
        foreign=[oid for oid in published if oid in foreign][::-1],
        dropped=dropped[::-1],
        dropped_total=dropped_total,
        read=read,
    )


def _new(
    repo: Repository, tips: set[str], known: set[str], limits: Limits
) -> tuple[Graph, int, Entries]:
    """What *tips* reach and *known* does not: the newest `limits.commits`, how many
    there are, and those of them that a payload has room for.
    """
    read: Entries = {}
    graph: Graph = {}
    if not tips:
        return graph, 0, read
    asked = sorted(tips), sorted(known)
    commits = repo.git.log_new(*asked, limits.commits + 1, limits.message, limits.files)
    try:
        room = limits.bytes
        for commit in commits:
            if len(read) == limits.commits:
                return graph, repo.git.count(*asked), read
            if room <= 0:
                break
            graph[commit.oid] = commit.parents
            # made while git reads the next ones
            read[commit.oid] = entry = commit_entry(commit, None, repo.link)
            room -= weight(entry)
        else:
            return graph, len(graph), read
    except BadInput:  # a partial clone has no trees
        read.clear()
    finally:
        commits.close()
    return *repo.git.rev_list(*asked, limits.commits), read


def look(repo: Repository) -> None:
    """Remember where *repo* stands, unless something is remembered already: what is
    there is history.
    """
    with hold(repo.common) as held:
        if held.memory.first_look:
            held.memory.look()
            unborn = not any(map(repo.publishes, repo.refs))
            for ref in repo.refs.values():
                held.memory.tell(
                    ref.name,
                    ref.oid,
                    repo.publishes(ref.name) or (unborn and _is_branch(ref.name)),
                )
            held.save(repo.refs)


def _is_branch(ref: str) -> bool:
    return ref.startswith("refs/heads/")


def _before(
    repo: Repository, updates: list[Update], tips: dict[str, str], memory: Memory
) -> _Before:
    for alias, ref in repo.aliases.items():
        memory.rename(alias, ref)
    moved = {u["ref"]: u for u in updates if u["kind"] != "other"}
    # Of a ref that is pushed to where it was found, the first look came too late; unless
    # a tag was made anew where it stood. One child for all: there may be thousands.
    found = {ref: tip for ref, tip in tips.items() if memory.is_found(ref, tip)}
    stood = repo.git.peel_all({moved[ref]["old"] for ref in found})
    late = {ref for ref, tip in found.items() if stood.get(moved[ref]["old"]) != tip}
    if late:
        memory.restart(late)
    refs = {ref: told.oid for ref, told in memory.refs.items()}
    if memory.first_look:
        refs |= {
            ref.name: ref.commit or ref.oid
            for ref in repo.refs.values()
            if ref.name not in moved
        }
    refs |= {
        ref: u["old"]
        for ref, u in moved.items()
        if ref not in refs and not u["created"]
    }
    published = {
        oid for ref, oid in refs.items() if _was_published(repo, memory, ref)
    } | set(memory.left)
    if memory.first_look and not published:
        # The publish ref may have had another name: what any branch had may have been
        # published, long ago.
        published = {oid for ref, oid in refs.items() if _is_branch(ref)}
    return _Before(refs, {*refs.values(), *memory.left}, published)


def _was_published(repo: Repository, memory: Memory, ref: str) -> bool:
    return (ref in memory.refs and memory.refs[ref].publish) or (
        _is_branch(ref) and repo.publishes(ref)
    )


def _tips(repo: Repository, updates: list[Update]) -> dict[str, str]:
    """{ref: the commit it now stands for}; refs that stand for no commit are left out."""
    standing = {ref.oid: ref.commit for ref in repo.refs.values() if ref.commit}
    asked = {
        u["ref"]: u["new"] for u in updates if not u["deleted"] and u["kind"] != "other"
    }
    # A ref may have moved again since; what was pushed is what counts.
    standing |= repo.git.peel_all(
        {oid for oid in asked.values() if oid not in standing}
    )
    return {ref: standing[oid] for ref, oid in asked.items() if oid in standing}


def _published(
    repo: Repository, new: set[str], before: _Before, graph: Graph, total: int, cap: int
) -> tuple[Graph, int]:
    """What newly reached a publish ref by its new tips *new*, the newest *cap*, and how
    many there are.
    """
    seen, edge = walk(new, graph)
    if edge <= before.published:
        return {oid: graph[oid] for oid in graph if oid in seen}, len(seen)
    return repo.git.rev_list(sorted(new), sorted(before.published), cap)


def _split(
    repo: Repository,
    graph: Graph,
    total: int,
    published: Graph,
    before: _Before,
    cap: int,
) -> tuple[Graph, list[str]]:
    """The new commits that are told of, and those of *published* that are not new.

    Where *graph* was cut, the ones that were published take the place of others.
    """
    missing = [oid for oid in published if oid not in graph]
    if total <= len(graph) or not missing:
        return graph, missing
    cut_off = repo.git.beyond(missing, before.known)
    others = [oid for oid in graph if oid not in published]
    spare = max(0, cap - len(cut_off) - (len(graph) - len(others)))
    away = set(others[spare:])
    chosen = {oid: parents for oid, parents in graph.items() if oid not in away}
    chosen |= {oid: published[oid] for oid in missing if oid in cut_off}
    return chosen, [oid for oid in missing if oid not in cut_off]


def _attribute(
    updates: list[Update], tips: dict[str, str], graph: Graph
) -> dict[str, str | None]:
    """Give each commit one ref: publish branches first, then branches, tags last."""
    ranked = sorted(updates, key=lambda u: (u["kind"] != "branch", not u["publish"]))
    owner: dict[str, str | None] = {}
    for u in ranked:
        todo = [tips[u["ref"]]] if u["ref"] in tips else []
        while todo:
            oid = todo.pop()
            if oid in graph and oid not in owner:
                owner[oid] = u["name"] if u["kind"] == "branch" else None
                todo.extend(graph[oid])
    return owner


def _set_forced(repo: Repository, updates: list[Update], graph: Graph) -> None:
    moved = [
        u for u in updates if not (u["created"] or u["deleted"] or u["old"] == u["new"])
    ]
    pairs = [(u["old"], u["new"]) for u in moved if u["kind"] != "tag"]
    forced = ancestry.not_ancestors(repo.git, pairs, graph)
    for u in moved:
        u["forced"] = u["kind"] == "tag" or (u["old"], u["new"]) in forced


def _strangers(
    repo: Repository,
    updates: list[Update],
    tips: dict[str, str],
    before: _Before,
    memory: Memory,
    published: Graph,
    total: int,
) -> set[str]:
    """Those of *published* that another project's history brought; sets `first` on the
    updates that made a publish ref of a history of its own.
    """
    created = [u for u in updates if u["publish"] and u["created"] and u["ref"] in tips]
    if total > len(published):
        # Nobody knows where the lines that were cut lead: is there a root among them,
        # or an end in foreign history?
        new = [tips[u["ref"]] for u in updates if u["publish"] and u["ref"] in tips]
        came_whole = repo.git.has_roots(new, before.published)
        for u in created:
            u["first"] = came_whole
        if not came_whole and memory.foreign:
            edge = repo.git.edge(new, before.published)
            came_whole = bool(ancestry.within(repo.git, edge, memory.foreign))
        return (
            set(published)
            if came_whole and not created and not repo.is_shallow()
            else set()
        )
    edge = {
        parent
        for parents in published.values()
        for parent in parents
        if parent not in published
    }
    ours, entries = ancestry.rooted(
        published, ancestry.within(repo.git, edge - before.published, memory.foreign)
    )
    for u in created:
        u["first"] = tips[u["ref"]] in published and tips[u["ref"]] not in ours
    if not entries or repo.is_shallow():
        return set()
    for oid in entries:
        memory.merge_foreign(oid)
    return walk(
        entries, {oid: parents for oid, parents in published.items() if oid not in ours}
    )[0]


def _dropped(
    repo: Repository,
    updates: list[Update],
    new: set[str],
    before: _Before,
    memory: Memory,
    fresh: bool,
    cap: int,
) -> tuple[list[str], int]:
    """What this push took off the publish refs, and what an earlier one did without
    putting anything in its place: the newest *cap* of it, newest first, and how much it
    is. Looked for only where something *fresh* was published.
    """
    moved = {u["ref"]: u for u in updates if u["publish"]}
    stood = {ref: oid for ref, oid in before.refs.items() if ref in moved}
    gone = {oid for ref, oid in stood.items() if _left(repo, moved[ref], oid)}
    waiting = {oid for oid, waits in memory.left.items() if waits}
    for oid in gone | waiting if fresh else gone - waiting:
        memory.leave(oid, waiting=not fresh)
    gone |= waiting
    if not gone or not fresh:
        return [], 0
    stands = new | {
        oid
        for ref, oid in before.refs.items()
        if ref not in moved and _was_published(repo, memory, ref)
    }
    graph, total = repo.git.rev_list(sorted(gone), sorted(stands), cap)
    return list(graph), total


def _left(repo: Repository, u: Update, stood: str) -> bool:
    """Whether the ref, which *stood* there when it was told of last, does not lead
    there any more.
    """
    if u["old"] == stood or u["deleted"]:
        return bool(u["forced"] or u["deleted"])
    return not repo.git.is_ancestor(stood, u["new"])


def _tell(
    repo: Repository, updates: list[Update], before: _Before, memory: Memory
) -> None:
    """Let *memory* know what is told of now."""
    moved = {u["ref"]: u for u in updates if u["kind"] != "other"}
    if memory.first_look:
        memory.look()
        # Where no publish ref exists, the one there was may have had any name.
        unborn = not any(
            _was_published(repo, memory, ref) for ref in [*before.refs, *moved]
        )
        for ref, oid in before.refs.items():
            if ref not in moved:
                memory.find(
                    ref, oid, _is_branch(ref) and (unborn or repo.publishes(ref))
                )
            elif unborn and _is_branch(ref):
                memory.leave(oid, waiting=False)
    for ref, u in moved.items():
        shows = memory.first_look or ref in memory.late
        memory.tell(ref, u["new"], u["publish"], u["old"] if shows else "")
