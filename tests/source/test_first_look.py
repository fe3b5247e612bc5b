"""Pushes to a repository that nobody looked at before: whenever their hooks run, what
they brought is new once and published once.
"""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.config import Limits
from oberonc.source import memory, newness, repository
from tests.support.pushes import fast_import
from tests.support.repo import Repo

Move = tuple[str, str, str]
NOTHING = "0" * 40
WHO = "committer Ann Example <ann@example.org> 1767261600 +0200"


def graph(repo: Repo, parents: list[list[int]]) -> list[str]:
    """One commit for each of *parents*, which are places in this list; their ids."""
    refs = [f"refs/made/{n}" for n in range(len(parents))]
    lines = []
    for n, above in enumerate(parents):
        lines += [f"commit {refs[n]}", WHO, "data 1", f"{n}"]
        lines += [
            f"{'merge' if k else 'from'} {refs[place]}" for k, place in enumerate(above)
        ]
        lines.append("")
    fast_import(repo, "\n".join(lines).encode())
    return repo.git("rev-parse", *refs).split()


def stand(repo: Repo, refs: dict[str, str]) -> None:
    """Let *refs* be there, as nobody was told of."""
    lines = "".join(f"update {ref} {oid}\n" for ref, oid in refs.items())
    repo.sh("printf '%s' \"$LINES\" | git update-ref --stdin", LINES=lines)


def hook(repo: Repo, publish: tuple[str, ...], *moves: Move) -> newness.News:
    """What the hook tells of a push that made *moves*."""
    with memory.hold(str(repo.path)) as held:
        seen = repository.describe(repo.path, publish)
        updates = [newness.update(seen, *move) for move in moves]
        news = newness.news(seen, updates, Limits(), held.memory)
        held.save(seen.refs)
    return news


def commits(told: list[newness.News]) -> list[str]:
    return [oid for news in told for oid in news.commits]


def published(told: list[newness.News]) -> list[str]:
    return [oid for news in told for oid in news.published]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("base", [True, False], ids=["on a base", "in an empty one"])
def test_three_hooks_that_see_the_refs_of_all_tell_of_the_commit_once(
    bare: Repo, order: tuple[int, ...], base: bool
) -> None:
    below, above = graph(bare, [[], [0]])
    refs = [f"refs/heads/{name}" for name in ("main", "release", "next")]
    stand(bare, dict.fromkeys(refs, above))
    old = below if base else NOTHING
    told = [hook(bare, ("*",), (old, above, refs[n])) for n in order]
    new = [above] if base else [below, above]
    assert commits(told) == new
    assert published(told) == new


@pytest.mark.parametrize("options", ["", "-am text"], ids=["lightweight", "annotated"])
@pytest.mark.parametrize("tag_first", [True, False], ids=["tag first", "tag last"])
def test_a_branch_and_its_tag_that_see_each_other_tell_of_the_commit_once(
    bare: Repo, options: str, tag_first: bool
) -> None:
    below, above = graph(bare, [[], [0]])
    stand(bare, {"refs/heads/main": above})
    bare.sh(f"git tag {options} v1 main")
    moves = [
        (NOTHING, bare.git("rev-parse", "v1"), "refs/tags/v1"),
        (below, above, "refs/heads/main"),
    ]
    told = [
        hook(bare, ("HEAD",), move) for move in (moves if tag_first else moves[::-1])
    ]
    assert commits(told) == [above]
    assert published(told) == [above]


def test_a_tag_that_is_made_anew_where_it_stood_brings_nothing(bare: Repo) -> None:
    below, above = graph(bare, [[], [0]])
    stand(bare, {"refs/heads/main": below})
    bare.sh(f"git tag v1 {above}")
    hook(bare, ("HEAD",), (NOTHING, below, "refs/heads/main"))
    bare.sh(f"git tag -fam text v1 {above}")
    moved = (above, bare.git("rev-parse", "v1"), "refs/tags/v1")
    assert hook(bare, ("HEAD",), moved).commits == []


@given(st.data())
@settings(max_examples=60)
def test_whenever_pushes_and_their_hooks_run_what_they_bring_is_told_of_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Of branches that only grow; `main` was there before."""
    bare = Repo.init(tmp_path_factory.mktemp("git") / "shop.git", bare=True)
    parents: list[list[int]] = [[]]
    for n in range(1, data.draw(st.integers(2, 8), "commits")):
        above = st.lists(st.integers(0, n - 1), max_size=2, unique=True)
        parents.append(data.draw(above, "parents"))
    reach: list[set[int]] = []
    for n, places in enumerate(parents):
        reach.append({n}.union(*(reach[place] for place in places)))

    start: dict[str, int] = {}
    end: dict[str, int] = {}
    for name in ("main", "release", "topic", "side"):
        end[name] = data.draw(st.integers(0, len(parents) - 1), name)
        there = st.sampled_from(sorted(reach[end[name]]))
        if name == "main" or data.draw(st.booleans(), f"{name} was there"):
            start[name] = data.draw(there, f"{name} before")
    patterns = data.draw(st.sampled_from([("HEAD",), ("HEAD", "release"), ("*",)]))
    public = {"HEAD": {"main"}, "release": {"release"}, "*": set(end)}

    oids = graph(bare, parents)
    stand(bare, {f"refs/heads/{name}": oids[n] for name, n in start.items()})
    pushed: set[str] = set()
    told: list[newness.News] = []
    moved = [name for name in end if end[name] != start.get(name)]
    for name in data.draw(st.permutations([*moved, *moved]), "pushes, then hooks"):
        ref, new = f"refs/heads/{name}", oids[end[name]]
        if name in pushed:
            old = oids[start[name]] if name in start else NOTHING
            told.append(hook(bare, patterns, (old, new, ref)))
        else:
            stand(bare, {ref: new})
            pushed.add(name)

    def brought(names: set[str]) -> list[str]:
        known = set().union(*(reach[start[name]] for name in names & start.keys()))
        new = set().union(*(reach[end[name]] for name in names)) - known
        return sorted(oids[n] for n in new)

    assert sorted(commits(told)) == brought(set(end))
    assert sorted(published(told)) == brought(
        set().union(*(public[pattern] for pattern in patterns))
    )
