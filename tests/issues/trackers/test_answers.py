"""Whom a tracker's refusal is about: one issue, the credentials, or a server that is
not the tracker.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import WRITES, Rule, Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.azure import AzureWorld
from tests.support.trackers.forges import (
    ContractWorld,
    GiteaWorld,
    GitHubWorld,
    GitLabWorld,
    running,
)
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.launchpad import LaunchpadWorld
from tests.support.trackers.mantisbt import MantisBTWorld
from tests.support.trackers.openproject import OpenProjectWorld
from tests.support.trackers.others import BugzillaWorld, LinearWorld, XmlRpcWorld
from tests.support.trackers.others import YouTrackWorld as YouTrack

#: Those whose issues have addresses.
WORLDS: dict[str, type[ContractWorld]] = {
    "github": GitHubWorld,
    "gitlab": GitLabWorld,
    "gitea": GiteaWorld,
    "jira": JiraWorld,
    "jira-dc": DataCenterWorld,
    "bugzilla": BugzillaWorld,
    "youtrack": YouTrack,
    "azure": AzureWorld,
    "openproject": OpenProjectWorld,
    "mantisbt": MantisBTWorld,
    "launchpad": LaunchpadWorld,
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
    place = re.compile(
        rf"/(?:issues?|bugs?|[+]bug|workitems|work_packages)/(?:PROJ-)?{number}(?![0-9])"
    )

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


def test_an_issue_given_to_another_repository_is_named(tmp_path: Path) -> None:
    for github in running(GitHubWorld):
        moved, there = github.new(), github.new()
        where = {"repository_url": "https://api.github.com/repos/octo/other"}
        body = json.dumps({"number": 7, "state": "open"} | where)
        rules = [
            about(moved, Spoil("answer", 301, (("Location", "/repositories/9/x/7"),)))
        ]
        github.relay.rule = lambda method, path: (
            Spoil("answer", 200, (), body)  # noqa: B023  one world
            if path.startswith("/repositories/")
            else rules[0](method, path)  # noqa: B023
        )
        pushed = payload(commit(f"fixes {moved} and {there}", next(NUMBERS)))
        note = broker(github.settings, tmp_path).handle(pushed)
        assert f"{moved} was moved to octo/other#7" in note
        assert f"closed {there}" in note


@pytest.fixture(params=["bugzilla", "youtrack", "azure", "mantisbt", "trac"])
def joined(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running((WORLDS | {"trac": XmlRpcWorld})[request.param])


def test_one_change_comments_and_closes_where_the_tracker_has_one(
    joined: ContractWorld, tmp_path: Path
) -> None:
    issue = joined.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    assert broker(joined.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert [text.startswith("Closed by") for text in joined.comments(issue)] == [True]
    changes = [
        seen
        for seen in joined.relay.seen
        if seen.method in WRITES and b'"ticket.get' not in seen.body
    ]
    assert len([seen for seen in changes if seen.status == 200]) == 1


def show_comments(jira: JiraWorld) -> None:
    """Have every transition lead over a screen that takes a comment."""
    fields = {"comment": {"required": False}}
    for state, offered in jira.transitions.items():
        jira.transitions[state] = [entry | {"fields": fields} for entry in offered]


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("kind", [JiraWorld, DataCenterWorld])
def test_jira_comments_in_the_transition_where_its_screen_shows_that(
    tmp_path: Path, kind: type[JiraWorld], shown: bool
) -> None:
    for jira in running(kind):
        issue = jira.new()
        if shown:
            show_comments(jira)
        writes = jira.relay.writes()
        note = broker(jira.settings, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )
        assert note == f"closed {issue}"
        assert jira.relay.writes() - writes == (1 if shown else 2)
        assert [said.startswith("Closed by") for said in jira.comments(issue)] == [True]


@pytest.mark.parametrize("kind", [JiraWorld, DataCenterWorld])
@pytest.mark.parametrize("template", ["", "done${message}"])
def test_jira_finds_the_comment_of_a_transition_whose_answer_was_lost(
    tmp_path: Path, kind: type[JiraWorld], template: str
) -> None:
    for jira in running(kind):
        issue = jira.new()
        show_comments(jira)
        settings = jira.settings | ({"template": template} if template else {})
        pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
        jira.relay.spoil_write(0, Spoil("drop"))
        note, retries = work_off(settings, tmp_path, pushed)
        assert (note, len(retries)) == (f"closed {issue}", 1)
        assert jira.is_closed(issue)
        assert len(jira.comments(issue)) == 1


@pytest.fixture(params=["gitlab", "gitea", "jira", "jira-dc", "youtrack", "bugzilla"])
def timed(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(WORLDS[request.param])


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_refused_time_entry_keeps_nothing_open_and_is_said(
    timed: ContractWorld, tmp_path: Path, status: int
) -> None:
    issue = timed.new()
    body = json.dumps({"message": "no", "errorMessages": ["no"], "error": "no"})
    timed.relay.spoil_write(0, Spoil("answer", status, (), body))
    pushed = payload(commit(f"fixes {issue} @1h30", next(NUMBERS)))
    with pytest.raises(Reject) as caught:
        broker(timed.settings, tmp_path).handle(pushed)
    assert f"closed {issue}; {issue}: 1h 30m, which was refused" in str(caught.value)
    assert timed.is_closed(issue)
    (said,) = timed.comments(issue)
    assert said.startswith("Closed by")
    assert "1h 30m, which was refused as a time entry" in said
    assert timed.seconds(issue) == 0


@pytest.mark.parametrize("verb", ["refs", "fixes"])
def test_a_time_entry_is_not_taken_for_the_comment_that_failed(
    timed: ContractWorld, tmp_path: Path, verb: str
) -> None:
    issue = timed.new()
    timed.relay.spoil_write(1, Spoil("answer", 500))
    pushed = payload(commit(f"{verb} {issue} @1h30", next(NUMBERS)))
    _, retries = work_off(timed.settings, tmp_path, pushed)
    assert len(retries) == 1
    said = [text for text in timed.comments(issue) if "of work, told by" not in text]
    assert len(said) == 1
    assert timed.is_closed(issue) == (verb == "fixes")
    assert timed.seconds(issue) == 5400


def test_a_comment_that_quotes_a_whole_id_is_not_taken_for_that_commits(
    world: ContractWorld, tmp_path: Path
) -> None:
    issue = world.new()
    first = commit(f"refs {issue}", next(NUMBERS))
    text = f"refs {issue}\n\nThis continues commit {first['raw_node']}."
    second = commit(text, next(NUMBERS))
    world.relay.spoil_write(0, Spoil("answer", 500))
    with pytest.raises(Retry):
        broker(world.settings, tmp_path).handle(payload(first))
    work_off(world.settings, tmp_path, payload(second))
    work_off(world.settings, tmp_path, payload(first))
    assert len(world.comments(issue)) == 2


def test_84_references_on_a_slow_tracker_are_worked_off_in_turns_and_once(
    tmp_path: Path,
) -> None:
    for bugzilla in running(BugzillaWorld):
        issues = [bugzilla.new() for _ in range(84)]
        commits = [
            commit(f"fixes {', '.join(issues[at : at + 12])}", next(NUMBERS))
            for at in range(0, 84, 12)
        ]
        pushed, turns = payload(*commits), 0
        while True:
            turns += 1
            made = broker(bugzilla.settings, tmp_path)
            left = iter(range(100, 0, -1))  # each look at the clock costs a second
            made.remaining = lambda left=left: float(next(left, 0))  # type: ignore[method-assign,misc]
            try:
                made.handle(pushed)
                break
            except Retry as retry:
                assert (retry.progress, retry.after) == (True, 0.0)
        assert 1 < turns < 20
        assert all(bugzilla.is_closed(issue) for issue in issues)
        assert {len(bugzilla.comments(issue)) for issue in issues} == {1}
