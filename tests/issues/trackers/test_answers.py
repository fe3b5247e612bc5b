"""Whom a tracker's refusal is about: one issue, the credentials, or a server that is
not the tracker.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import Reject, Retry
from tests.support.trackers.forges import (
    ContractWorld,
    GiteaWorld,
    GitHubWorld,
    GitLabWorld,
    running,
)
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.others import BugzillaWorld, LinearWorld, XmlRpcWorld
from tests.support.trackers.others import YouTrackWorld as YouTrack
from tests.support.trackers.relay import WRITES, Rule, Spoil
from tests.support.trackers.suite import NUMBERS
from tests.support.trackers.world import broker, commit, payload

#: Those whose issues have addresses.
WORLDS: dict[str, type[ContractWorld]] = {
    "github": GitHubWorld,
    "gitlab": GitLabWorld,
    "gitea": GiteaWorld,
    "jira": JiraWorld,
    "jira-dc": DataCenterWorld,
    "bugzilla": BugzillaWorld,
    "youtrack": YouTrack,
}
PAGE = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>"


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(WORLDS[request.param])


@pytest.fixture(params=[*WORLDS, "linear", "trac"])
def every(request: pytest.FixtureRequest) -> Iterator[Any]:
    others = {"linear": LinearWorld, "trac": XmlRpcWorld}
    yield from running((WORLDS | others)[request.param])


def about(issue: str, spoil: Spoil, *, writes: bool = False) -> Rule:
    """What asks for *issue* (or changes it) gets *spoil*."""
    number = re.sub(r"\D", "", issue)
    place = re.compile(rf"/(?:issues?|bug)/(?:PROJ-)?{number}(?![0-9])")

    def rule(method: str, path: str) -> Spoil | None:
        return spoil if place.search(path) and (method in WRITES) >= writes else None

    return rule


def test_issues_that_may_not_be_seen_are_named_and_the_rest_goes_on(
    world: ContractWorld, tmp_path: Path
) -> None:
    hidden, seen = [world.new() for _ in range(4)], world.new()
    rules = [
        about(issue, Spoil("answer", 403, (), '{"message": "no"}')) for issue in hidden
    ]
    world.relay.rule = lambda method, path: next(
        filter(None, (rule(method, path) for rule in rules)), None
    )
    pushed = payload(commit(f"fixes {', '.join([*hidden, seen])}", next(NUMBERS)))
    note = broker(world.settings, tmp_path).handle(pushed)
    for issue in hidden:
        assert f"{issue} may not be seen with these credentials: " in note
    assert f"closed {seen}" in note
    assert world.is_closed(seen)
    assert "CREDENTIALS" not in note


def test_an_issue_that_may_not_be_changed_is_rejected_when_all_the_rest_is_done(
    world: ContractWorld, tmp_path: Path
) -> None:
    if isinstance(world, YouTrack):
        pytest.skip("its commands name the issue in the body")
    locked, free = world.new(), world.new()
    spoil = Spoil("answer", 403, (), '{"message": "is locked"}')
    world.relay.rule = about(locked, spoil, writes=True)
    pushed = payload(commit(f"fixes {locked} and {free}", next(NUMBERS)))
    with pytest.raises(Reject) as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert f"{locked} may not be changed with these credentials: " in str(caught.value)
    assert "is locked" in str(caught.value)
    assert world.is_closed(free)
    assert not world.comments(locked)


def test_credentials_that_nothing_takes_end_the_turn(
    world: ContractWorld, tmp_path: Path
) -> None:
    issues = [world.new() for _ in range(9)]
    world.relay.rule = lambda method, path: Spoil("answer", 403, (), "{}")
    with pytest.raises(Retry, match="CREDENTIALS refused") as caught:
        broker(world.settings, tmp_path).handle(
            payload(commit(f"fixes {', '.join(issues)}", next(NUMBERS)))
        )
    assert (caught.value.after, caught.value.progress) == (600.0, False)
    assert len(world.relay.seen) <= 3


@pytest.mark.parametrize("status", [404, 410, 405])
@pytest.mark.parametrize("body", [PAGE, "", '{"code": 5}'])
def test_what_is_not_there_in_another_servers_words_is_tried_again(
    every: ContractWorld, tmp_path: Path, status: int, body: str
) -> None:
    issue = every.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    every.relay.rule = lambda method, path: Spoil("answer", status, (), body)
    with pytest.raises(Retry, match=rf"{status}.*check `url`") as caught:
        broker(every.settings, tmp_path).handle(pushed)
    assert "does not exist" not in str(caught.value)
    every.relay.spoil_nothing()
    assert broker(every.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert len(every.comments(issue)) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_with_its_target_and_tried_again(
    every: ContractWorld, tmp_path: Path, status: int
) -> None:
    issue = every.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    where = (("Location", "https://new.example.org/login"),)
    for write in (True, False):
        every.relay.rule = lambda method, path, write=write: (  # type: ignore[misc]
            Spoil("answer", status, where) if (method in WRITES) >= write else None
        )
        with pytest.raises(Retry, match=r"moved to https://new\.example\.org/login"):
            broker(every.settings, tmp_path).handle(pushed)
    every.relay.spoil_nothing()
    assert broker(every.settings, tmp_path).handle(pushed) == f"closed {issue}"
