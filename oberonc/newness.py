"""What a push brought: commits new to the repository, and commits that newly reached a publish ref.

They are different sets. A chat wants the first; an issue must act on the second, or a merged branch closes
nothing and a feature branch closes too early. Only branches and tags count as "the repository": notes, pull
request refs and a server's own namespaces neither bring commits nor hide them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from oberonc.git import null_oid
from oberonc.repository import Repository

Update = dict[str, Any]
Graph = dict[str, list[str]]


class News(NamedTuple):
    """Oids oldest first; *branch* names the branch each belongs to (None: a tag's); *total* counts the new ones."""

    commits: list[str]
    merged: list[str]
    published: list[str]
    branch: dict[str, str | None]
    total: int
    truncated: bool


def update(repo: Repository, old: str, new: str, ref: str) -> Update:
    """One ref update as the payload has it; `news` finds `forced`, and `first`: it made the first publish ref."""
    kind = {"refs/heads/": "branch", "refs/tags/": "tag"}.get("/".join(ref.split("/")[:2]) + "/", "other")
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


def news(repo: Repository, updates: list[Update], cap: int) -> News:
    """Compute both sets for all *updates* of a push together, and set their `forced`.

    One `git rev-list`; a second only when what reached a publish ref was in the repository before, or above *cap*.
    """
    pushed = {u["ref"] for u in updates}
    tips = _tips(repo, updates)
    olds = {u["old"] for u in updates if not u["created"] and u["kind"] != "other"}
    known = olds | {ref.commit or ref.oid for ref in repo.refs.values() if ref.name not in pushed}
    wanted = set(tips.values())
    graph, total = repo.git.rev_list(sorted(wanted), sorted(known), cap) if tips else ({}, 0)
    new, old = _publishing(repo, updates, tips)
    if (new, old) == (wanted, known):
        published, cut = graph, False
    else:
        published, cut = _published(repo, new, old, graph, cap)
    merged = [oid for oid in published if oid not in graph]
    branch = _attribute(updates, tips, graph) | _attribute([u for u in updates if u["publish"]], tips, published)
    _set_forced(repo, updates, graph)
    _set_first(repo, updates)
    return News(
        commits=list(graph)[::-1],
        merged=merged[::-1],
        published=list(published)[::-1],
        branch=branch,
        total=total,
        truncated=total > len(graph) or cut,
    )


def _tips(repo: Repository, updates: list[Update]) -> dict[str, str]:
    """{ref: the commit it now stands for}; refs that stand for no commit are left out."""
    standing = {ref.oid: ref.commit for ref in repo.refs.values() if ref.commit}
    asked = {u["ref"]: u["new"] for u in updates if not u["deleted"] and u["kind"] != "other"}
    # A ref may have moved again since; what was pushed is what counts.
    standing |= repo.git.peel_all({oid for oid in asked.values() if oid not in standing})
    return {ref: standing[oid] for ref, oid in asked.items() if oid in standing}


def _publishing(repo: Repository, updates: list[Update], tips: dict[str, str]) -> tuple[set[str], set[str]]:
    """What publish refs stand for now by this push, and what all of them stood for before it."""
    moved = [u for u in updates if u["publish"]]
    pushed = {u["ref"] for u in moved}
    old = {u["old"] for u in moved if not u["created"]}
    old |= {r.commit or r.oid for r in repo.refs.values() if r.name not in pushed and repo.publishes(r.name)}
    return {tips[ref] for ref in pushed if ref in tips}, old


def _published(repo: Repository, new: set[str], old: set[str], graph: Graph, cap: int) -> tuple[Graph, bool]:
    """What newly reached a publish ref, and whether it was cut."""
    seen, edge = _walk(new, graph)
    if edge <= old:
        return {oid: graph[oid] for oid in graph if oid in seen}, False
    found, total = repo.git.rev_list(sorted(new), sorted(old), cap)
    return found, total > len(found)


def _walk(tips: Iterable[str], graph: Graph) -> tuple[set[str], set[str]]:
    """The commits of *graph* reachable from *tips*, and the commits just outside it."""
    seen: set[str] = set()
    edge: set[str] = set()
    todo = list(tips)
    while todo:
        oid = todo.pop()
        if oid in seen:
            continue
        if oid not in graph:
            edge.add(oid)
            continue
        seen.add(oid)
        todo.extend(graph[oid])
    return seen, edge


def _attribute(updates: list[Update], tips: dict[str, str], graph: Graph) -> dict[str, str | None]:
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
    parents = {parent for oids in graph.values() for parent in oids}
    for u in updates:
        if u["created"] or u["deleted"] or u["old"] == u["new"]:
            continue
        if u["kind"] == "branch" and u["old"] in parents and u["old"] in _walk([u["new"]], graph)[1]:
            continue
        u["forced"] = u["kind"] == "tag" or not repo.git.is_ancestor(u["old"], u["new"])


def _set_first(repo: Repository, updates: list[Update]) -> None:
    moved = [u for u in updates if u["publish"] and not u["deleted"]]
    others = {ref for ref in repo.refs if repo.publishes(ref)} - {u["ref"] for u in moved}
    if not others and all(u["created"] for u in moved):
        for u in moved:
            u["first"] = True
