"""OpenProject, on a loopback server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.forges import running
from tests.support.trackers.openproject import OpenProjectWorld
from tests.support.trackers.suite import Suite


@pytest.fixture
def world() -> Iterator[OpenProjectWorld]:
    yield from running(OpenProjectWorld)


class TestOpenProject(Suite):
    """All that every tracker is held to."""


def test_the_status_is_set_on_the_version_that_was_read(
    world: OpenProjectWorld, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))

    def rule(method: str, path: str) -> Spoil | None:
        if method == "PATCH" and not world.kept(issue).reached:
            world.reopen_by_hand(issue)
        return None

    world.relay.rule = rule
    with pytest.raises(Retry, match="somebody else changed the work package"):
        broker(world.settings, tmp_path).handle(pushed)
    assert not world.is_closed(issue)
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert len(world.comments(issue)) == 1


def test_a_close_that_the_workflow_does_not_offer_is_commented_on_as_what_it_is(
    world: OpenProjectWorld, tmp_path: Path
) -> None:
    world.contract.barred = ("Closed", "Rejected")
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    with pytest.raises(
        Reject, match="the workflow leads from New to no status that does"
    ):
        broker(world.settings, tmp_path).handle(pushed)
    (said,) = world.comments(issue)
    assert said.startswith("Referenced by")
    checks = broker(world.settings, tmp_path).check()
    assert [check.ok for check in checks] == [True, True, False, True]
    assert "not for Task" in checks[2].what


def test_a_resolution_names_a_status(world: OpenProjectWorld, tmp_path: Path) -> None:
    settings = world.settings | {"resolutions": {"wontfix": "Rejected"}}
    issue = world.new()
    pushed = payload(commit(f"wontfix {issue}", next(NUMBERS)))
    assert broker(settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert world.status_of(issue) == "Rejected"


def test_an_issue_counts_to_the_projects_above_its_own(
    world: OpenProjectWorld, tmp_path: Path
) -> None:
    ours, theirs = world.new(), world.new()
    world.kept(theirs).home = "shop"
    for project, bound in (("Web", False), ("all", True)):
        pushed = payload(commit(f"fixes {ours} and {theirs}", next(NUMBERS)))
        settings = world.settings | {"project": project}
        note = broker(settings, tmp_path).handle(pushed)
        assert ("is of shop, which this service is not bound to" in note) != bound
        assert world.is_closed(theirs) == bound


def test_nobody_is_mailed_where_the_settings_say_so(
    world: OpenProjectWorld, tmp_path: Path
) -> None:
    issue = world.new()
    settings = world.settings | {"notify": False}
    work_off(settings, tmp_path, payload(commit(f"fixes {issue}", next(NUMBERS))))
    changes = [
        seen
        for seen in world.relay.seen
        if seen.method == "PATCH" or "activities" in seen.path
    ]
    assert [seen.path.endswith("?notify=false") for seen in changes] == [True, True]
    assert json.loads(changes[0].body)["lockVersion"] == 0


def test_the_longest_name_of_a_status_is_the_one_that_was_reached(
    world: OpenProjectWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person gave it one while the close failed; it was never closed."""
    names = [("New", False), ("Not Closed", False), ("Closed", True)]
    monkeypatch.setattr("tests.support.trackers.openproject.STATUSES", names)
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    world.relay.rule = lambda method, path: (
        Spoil("answer", 500, (), "{}") if method == "PATCH" else None
    )
    with pytest.raises(Retry):
        broker(world.settings, tmp_path).handle(pushed)
    world.relay.spoil_nothing()
    world.reopen_by_hand(issue)
    told = "Status changed from New to Not Closed"
    world.kept(issue).history[-1]["details"] = [{"raw": told}]
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
