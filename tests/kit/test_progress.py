"""How far a delivery came is known to its next try, and to no other delivery."""

from pathlib import Path

import pytest

from oberonc.kit.progress import Progress


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a service."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_the_next_try_goes_on_where_the_last_one_ended(state: Path) -> None:
    first = Progress(state, "push/../1-mail")
    assert first.done == 0
    first.step()
    first.step()
    assert Progress(state, "push/../1-mail").done == 2
    assert Progress(state, "another").done == 0
    again = Progress(state, "push/../1-mail")
    again.step()
    again.end()
    assert Progress(state, "push/../1-mail").done == 0
    assert list(state.iterdir()) == [], "nothing is left of what is done"


def test_a_part_of_a_step_is_left_for_the_next_try(state: Path) -> None:
    first = Progress(state, "one")
    first.step()
    first.step({"kim", "ann"})
    second = Progress(state, "one")
    assert (second.done, second.later) == (2, {1: ["ann", "kim"]})
    second.again(1, ["kim"])
    second.step()
    third = Progress(state, "one")
    assert (third.done, third.later) == (3, {1: ["kim"]})
    third.again(1, ())
    assert Progress(state, "one").later == {}
    third.end()
    assert list(state.iterdir()) == []


def test_a_try_that_is_ended_while_it_writes_leaves_what_was_known(
    state: Path,
) -> None:
    Progress(state, "one").step()
    [file] = state.iterdir()
    file.with_suffix(".new").touch()  # begun, and not ended
    later = Progress(state, "one")
    assert later.done == 1
    later.step()
    later.end()
    assert list(state.iterdir()) == []
