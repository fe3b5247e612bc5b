"""Who descends from whom, asked of as few git children as can be."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from oberonc.source.git import Git

#: {commit: its parents}, children before their parents.
Graph = dict[str, list[str]]
Pair = tuple[str, str]

#: Pairs for which a child each is cheaper than one that walks the history.
_FEW = 4


def walk(tips: Iterable[str], graph: Graph) -> tuple[set[str], set[str]]:
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


def not_ancestors(git: Git, pairs: list[Pair], graph: Graph) -> set[Pair]:
    """Those (old, new) of *pairs* whose old is no ancestor of its new; *graph* holds
    what is new beyond all olds.
    """
    pending = set(pairs) - _reached(graph.items(), set(pairs))
    if len(pending) > 1:
        beyond = git.beyond({old for old, _ in pending}, {new for _, new in pending})
        forced = {pair for pair in pending if pair[0] in beyond}
        pending -= forced
        if len(pending) > _FEW:
            return forced | (
                pending - _reached(git.history({new for _, new in pending}), pending)
            )
        return forced | {pair for pair in pending if not git.is_ancestor(*pair)}
    return {pair for pair in pending if not git.is_ancestor(*pair)}


def _reached(lines: Iterable[tuple[str, list[str]]], pairs: set[Pair]) -> set[Pair]:
    """Those of *pairs* whose old is reached from its new on *lines*, which give
    children before their parents.
    """
    order = list(pairs)
    carried: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for number, (old, new) in enumerate(order):
        carried[new] = carried.get(new, 0) | 1 << number
        wanted[old] = wanted.get(old, 0) | 1 << number
    found = sum(1 << number for number, (old, new) in enumerate(order) if old == new)
    everything = (1 << len(order)) - 1
    for oid, parents in lines:
        mask = carried.pop(oid, 0)
        for parent in parents if mask else ():
            carried[parent] = carried.get(parent, 0) | mask
            found |= mask & wanted.get(parent, 0)
        if found == everything:
            break
    return {pair for number, pair in enumerate(order) if found >> number & 1}


def within(git: Git, oids: set[str], tips: set[str]) -> set[str]:
    """Those of *oids* that *tips* reach; one walk through the history of *tips*."""
    pending = oids - tips
    found = oids & tips
    for oid, _ in git.history(tips) if pending and tips else ():
        if oid in pending:
            found.add(oid)
            pending.discard(oid)
            if not pending:
                break
    return found


def rooted(graph: Graph, foreign: set[str]) -> tuple[set[str], set[str]]:
    """The commits of *graph* that descend from something outside it that is not
    *foreign*; and the parents of these that do not: the tips of other histories that
    were merged in.
    """
    ours: set[str] = set()
    for oid in reversed(graph):
        if any(
            parent in ours or (parent not in graph and parent not in foreign)
            for parent in graph[oid]
        ):
            ours.add(oid)
    return ours, {
        parent
        for oid in ours
        for parent in graph[oid]
        if parent in graph and parent not in ours
    }
