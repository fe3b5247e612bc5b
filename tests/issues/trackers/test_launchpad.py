"""Launchpad, on a loopback server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload
from tests.support.trackers.forges import running
from tests.support.trackers.launchpad import LaunchpadWorld
from tests.support.trackers.suite import Suite


@pytest.fixture
def world() -> Iterator[LaunchpadWorld]:
    yield from running(LaunchpadWorld)


class TestLaunchpad(Suite):
    """All that every tracker is held to."""


@pytest.mark.parametrize("form", ["fixes lp:%s", "fixed it (LP: #%s)", "fixes bug %s"])
def test_a_bug_is_closed_in_launchpads_own_words_and_in_our_project_alone(
    world: LaunchpadWorld, tmp_path: Path, form: str
) -> None:
    issue = world.new()
    pushed = payload(commit(form % issue[1:], next(NUMBERS)))
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert world.status_of(issue) == "Fix Released"
    changes = [seen.path for seen in world.relay.seen if seen.method == "PATCH"]
    assert changes == [f"/devel/hello/+bug/{issue[1:]}"]


def test_a_bug_of_other_projects_is_left_alone(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.kept(issue).home = "shop"
    note = broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert f"{issue} is of else, which this service is not bound to" in note
    assert not world.comments(issue)


def test_a_status_of_the_settings_counts_as_closed(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    made = broker(world.settings | {"close": "Fix Committed"}, tmp_path)
    issue = world.new()
    for said in (f"closed {issue}", f"{issue} was closed already"):
        note = made.handle(payload(commit(f"fixes {issue}", next(NUMBERS))))
        assert said in note
    assert world.status_of(issue) == "Fix Committed"


def test_the_task_that_was_read_is_changed_and_no_other(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))

    def rule(method: str, path: str) -> Spoil | None:
        if method == "PATCH" and not world.kept(issue).history:
            world.reopen_by_hand(issue)
        return None

    world.relay.rule = rule
    with pytest.raises(Retry, match="somebody else changed the bug"):
        broker(world.settings, tmp_path).handle(pushed)
    assert not world.is_closed(issue)
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert len(world.comments(issue)) == 1


def test_a_status_for_supervisors_alone_is_told_of_the_bug_and_not_of_the_token(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    world.contract.supervises = False
    checks = broker(world.settings, tmp_path).check()
    assert [check.ok for check in checks] == [True, True, False]
    first, second = world.new(), world.new()
    pushed = payload(commit(f"wontfix {first}, fixes {second}", next(NUMBERS)))
    with pytest.raises(Reject, match=f"{first} may not be changed") as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert "Only Bug Supervisors may" in str(caught.value)
    assert "CREDENTIALS" not in str(caught.value)
    assert f"closed {second}" in str(caught.value)
    assert world.comments(first)[0].startswith("Referenced by")


def test_a_bug_that_may_not_be_seen_is_named_and_the_rest_goes_on(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    hidden, seen = world.new(), world.new()
    told = Spoil("answer", 401, (), "(<Bug at 0x7f>, 'title', 'launchpad.View')")
    world.relay.rule = lambda method, path: (
        told if f"/bugs/{hidden[1:]}/" in path else None
    )
    pushed = payload(commit(f"fixes {hidden}, {seen}", next(NUMBERS)))
    note = broker(world.settings, tmp_path).handle(pushed)
    assert f"{hidden} may not be seen with these credentials: " in note
    assert f"closed {seen}" in note


def test_a_project_whose_bugs_are_elsewhere_is_told(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    checks = broker(world.settings | {"project": "else"}, tmp_path).check()
    assert [check.ok for check in checks] == [True, False, False]
    checks = broker(world.settings | {"project": "nowhere"}, tmp_path).check()
    assert not checks[1].ok
    world.contract.problems.clear()  # it has no page for that


def test_a_token_that_launchpad_does_not_know_is_not_shown(
    world: LaunchpadWorld, tmp_path: Path
) -> None:
    settings = world.settings | {"token": "t0ken-that-is-old"}
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    with pytest.raises(Retry, match=r"CREDENTIALS refused: .*Unknown access") as caught:
        broker(settings, tmp_path).handle(pushed)
    assert "t0ken" not in str(caught.value)
    assert caught.value.after == 600.0
