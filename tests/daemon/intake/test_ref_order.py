"""Pushes of the spool are put into the order in which their refs moved, wherever that
can be told.
"""

from itertools import pairwise
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from oberonc.daemon.intake.ref_order import Kept, in_ref_order
from tests.support.store_values import submission

NOTHING = "0" * 40


def _kept(
    number: int, moves: dict[str, tuple[str, str]], repo: str = "web/shop"
) -> Kept:
    return Kept(Path(f"{number:03}.ob"), submission(number, repo), moves)


def _chain(states: list[str], repo: str = "web/shop") -> list[Kept]:
    """Pushes that move one branch from state to state."""
    steps = pairwise(states)
    return [
        _kept(number, {"refs/heads/main": step}, repo)
        for number, step in enumerate(steps)
    ]


@given(st.integers(0, 20), st.randoms())
def test_any_mix_of_a_chain_is_put_right(length: int, random: Random) -> None:
    chain = _chain([f"{state:040x}" for state in range(length + 1)])
    mixed = random.sample(chain, len(chain))
    assert in_ref_order(mixed) == chain


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_nothing_is_lost_or_doubled_and_what_is_in_order_stays(
    states: list[str],
) -> None:
    """Branches that go back and forth included."""
    chain = _chain(states)
    assert in_ref_order(chain) == chain


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xy"),
            st.sampled_from("mn"),
            st.sampled_from("abc"),
            st.sampled_from("abc"),
        )
    )
)
def test_anything_is_kept_and_repositories_do_not_meddle(
    pushes: list[tuple[str, str, str, str]],
) -> None:
    mixed = [
        _kept(number, {ref: (old, new)}, repo)
        for number, (repo, ref, old, new) in enumerate(pushes)
    ]
    ordered = in_ref_order(mixed)
    assert sorted(push.file for push in ordered) == [push.file for push in mixed]
    for repo in "xy":
        alone = in_ref_order([push for push in mixed if push.submission.repo == repo])
        assert [push for push in ordered if push.submission.repo == repo] == alone


def test_a_branch_deleted_and_made_again_is_a_chain_too() -> None:
    chain = _chain(["a" * 40, NOTHING, "b" * 40])
    assert in_ref_order(chain[::-1]) == chain


def test_one_branch_of_several_is_enough() -> None:
    first = _kept(1, {"refs/heads/main": ("a", "b"), "refs/tags/v1": (NOTHING, "b")})
    second = _kept(2, {"refs/heads/main": ("b", "c"), "refs/heads/other": ("x", "y")})
    assert in_ref_order([second, first]) == [first, second]
