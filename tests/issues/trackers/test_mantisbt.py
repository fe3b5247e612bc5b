"""MantisBT, on a loopback server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.forges import running
from tests.support.trackers.mantisbt import MantisBTWorld, resolution
from tests.support.trackers.suite import Suite


@pytest.fixture
def world() -> Iterator[MantisBTWorld]:
    yield from running(MantisBTWorld)


class TestMantisBT(Suite):
    """All that every tracker is held to."""


def test_note_and_status_are_one_change_of_the_issue_that_was_read(
    world: MantisBTWorld, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))

    def rule(method: str, path: str) -> Spoil | None:
        if method == "PATCH" and not world.kept(issue).history:
            world.reopen_by_hand(issue)
        return None

    world.relay.rule = rule
    with pytest.raises(Retry, match="somebody else changed the issue"):
        broker(world.settings, tmp_path).handle(pushed)
    assert not world.is_closed(issue)
    assert not world.comments(issue)
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert len(world.comments(issue)) == 1
    assert world.relay.writes() == 2


@pytest.mark.parametrize(
    ("why", "number"),
    [("fixed", 20), ("wontfix", 90), ("invalid", 70), ("duplicate", 60)],
)
def test_each_way_to_close_has_its_resolution(
    world: MantisBTWorld, tmp_path: Path, why: str, number: int
) -> None:
    issue = world.new()
    pushed = payload(commit(f"closes {issue} as {why}", next(NUMBERS)))
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert resolution(world.kept(issue)) == number
    again = payload(commit(f"reopens {issue}", next(NUMBERS)))
    assert broker(world.settings, tmp_path).handle(again) == f"reopened {issue}"
    assert resolution(world.kept(issue)) == 30
    assert world.status_of(issue) == "feedback"


def test_a_developer_closes_and_is_told_that_resolved_issues_are_read_only(
    world: MantisBTWorld, tmp_path: Path
) -> None:
    world.contract.level = 55
    checks = broker(world.settings, tmp_path).check()
    assert [check.ok for check in checks] == [True, True, True, False]
    assert "a manager" in checks[-1].mend
    opened, resolved = world.new(), world.new(closed=True)
    pushed = payload(commit(f"fixes {opened}, {resolved}", next(NUMBERS)))
    with pytest.raises(Reject, match=f"{resolved} may not be changed") as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert f"closed {opened}" in str(caught.value)
    assert world.is_closed(opened)


def test_where_the_history_may_not_be_seen_the_status_decides(
    world: MantisBTWorld, tmp_path: Path
) -> None:
    world.contract.shows_history = False
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    world.relay.spoil_write(0, Spoil("drop"))
    note, _ = work_off(world.settings, tmp_path, pushed)
    assert note == f"closed {issue}"
    assert len(world.comments(issue)) == 1


def test_nothing_of_a_message_is_markup(world: MantisBTWorld, tmp_path: Path) -> None:
    issue = world.new()
    text = f"refs {issue}\n\n@root #12 ~34 <b>x</b> <a href=x> *y*"
    pushed = payload(commit(text, next(NUMBERS), author="Ann #12 ~3 @root"))
    broker(world.settings, tmp_path).handle(pushed)
    (said,) = world.comments(issue)
    for live in ("#1", "~3", "@r", "<b", "</", "<a"):
        assert live not in said


@pytest.mark.parametrize("place", ["/api/rest/index.php", "/api/rest", ""])
def test_the_address_may_name_the_interface(
    world: MantisBTWorld, tmp_path: Path, place: str
) -> None:
    settings = world.settings | {"url": f"{world.relay.url}{place}"}
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    assert broker(settings, tmp_path).handle(pushed) == f"closed {issue}"
    start = f"{place or '/api/rest'}/issues/"
    assert sum(seen.path.startswith(start) for seen in world.relay.seen) == 2
