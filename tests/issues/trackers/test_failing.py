"""Issues that fail while the others do not, and comments that are longer than a tracker
takes.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import WRITES, Rule, Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.contract import Answer
from tests.support.trackers.forges import (
    ContractWorld,
    GiteaWorld,
    GitHubWorld,
    GitLabWorld,
    running,
)
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.kanboard import KanboardWorld
from tests.support.trackers.others import BugzillaWorld, LinearWorld, XmlRpcWorld
from tests.support.trackers.others import YouTrackWorld as YouTrack


@pytest.fixture
def world() -> Iterator[Any]:
    yield from running(GitHubWorld)


def failing(issues: list[str], *, writes: bool) -> Rule:
    """Whatever asks for one of *issues*, or changes it, gets a 500."""
    numbers = {issue[1:] for issue in issues}

    def rule(method: str, path: str) -> Spoil | None:
        found = re.search(r"/issues/([0-9]+)", path)
        if found and found[1] in numbers and (method in WRITES) >= writes:
            return Spoil("answer", 500, (), "<h1>boom</h1>")
        return None

    return rule


@pytest.mark.parametrize("writes", [False, True])
def test_issues_that_fail_are_named_and_hide_no_others(
    world: GitHubWorld, tmp_path: Path, writes: bool
) -> None:
    broken, good = [world.new() for _ in range(7)], [world.new() for _ in range(3)]
    world.relay.rule = failing(broken, writes=writes)
    pushed = payload(commit(f"fixes {', '.join(broken + good)}", next(NUMBERS)))
    with pytest.raises(Retry) as caught:
        broker(world.settings, tmp_path).handle(pushed)
    said = str(caught.value)
    assert caught.value.progress
    assert f"closed {good[0]}, {good[1]} and {good[2]}" in said
    assert f"failed: {', '.join(broken[:-1])} and {broken[-1]}; " in said
    assert said.count("500 boom") == 3, "a few examples are enough"
    assert all(world.is_closed(issue) for issue in good)
    world.relay.spoil_nothing()
    work_off(world.settings, tmp_path, pushed)
    for issue in broken + good:
        assert world.is_closed(issue)
        assert len(world.comments(issue)) == 1


def test_a_tracker_that_fails_altogether_is_asked_a_few_times_and_left(
    world: GitHubWorld, tmp_path: Path
) -> None:
    issues = [world.new() for _ in range(30)]
    world.relay.rule = lambda method, path: Spoil("answer", 500)
    pushed = payload(commit(f"fixes {', '.join(issues)}", next(NUMBERS)))
    with pytest.raises(Retry) as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert not caught.value.progress
    assert len(world.relay.seen) == 4, "three issues, and whether it answers at all"


def test_those_that_took_the_time_of_a_turn_come_last_in_the_next(
    world: GitHubWorld, tmp_path: Path
) -> None:
    broken, good = [world.new() for _ in range(4)], world.new()
    world.relay.rule = failing(broken, writes=False)
    pushed = payload(commit(f"fixes {', '.join([*broken, good])}", next(NUMBERS)))
    made = broker(world.settings, tmp_path)
    left = iter([120.0, 120.0, 120.0])  # the turn is over while the second fails
    made.remaining = lambda: next(left, 0.0)  # type: ignore[method-assign]
    with pytest.raises(Retry, match=f"failed: {broken[0]}"):
        made.handle(pushed)
    assert not world.is_closed(good)
    with pytest.raises(Retry, match=f"closed {good}"):
        broker(world.settings, tmp_path).handle(pushed)
    asked = [seen.path for seen in world.relay.seen]
    first = f"/issues/{broken[0][1:]}"
    assert [path.endswith(first) for path in asked].index(True) == 0
    assert asked[-1].endswith(first), "what failed before comes last"


def held_by(world: GitHubWorld, first: str, second: str) -> Rule:
    """*first* cannot be closed while *second* is open."""

    def rule(method: str, path: str) -> Spoil | None:
        mine = method == "PATCH" and path.endswith(f"/issues/{first[1:]}")
        if mine and not world.is_closed(second):
            return Spoil("answer", 422, (), '{"message": "it is blocked"}')
        return None

    return rule


def test_what_is_refused_is_tried_again_when_the_rest_of_the_push_is_done(
    world: GitHubWorld, tmp_path: Path
) -> None:
    first, second = world.new(), world.new()
    world.relay.rule = held_by(world, first, second)
    pushed = payload(commit(f"fixes {first} and {second}", next(NUMBERS)))
    note = broker(world.settings, tmp_path).handle(pushed)
    assert note == f"closed {second} and {first}"
    for issue in (first, second):
        (said,) = world.comments(issue)
        assert said.startswith("Closed by")


def test_changes_of_one_issue_keep_their_order_also_when_one_is_refused(
    world: GitHubWorld, tmp_path: Path
) -> None:
    first, second = world.new(), world.new()
    world.relay.rule = held_by(world, first, second)
    texts = (f"fixes {first}", f"fixes {second}", f"reopens {first}")
    commits = [commit(text, next(NUMBERS)) for text in texts]
    with pytest.raises(Reject, match="it is blocked"):
        broker(world.settings, tmp_path).handle(payload(*commits))
    assert not world.is_closed(first)
    said = [text.partition(" by")[0] for text in world.comments(first)]
    assert said == ["Referenced", "Reopened"]


_JIRA = {
    "errorMessages": [],
    "errors": {
        "comment": "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
    },
}


@pytest.mark.parametrize("world_of", [BugzillaWorld, YouTrack, XmlRpcWorld])
@pytest.mark.parametrize("status", [404, 429])
def test_a_change_that_is_done_and_cannot_be_looked_at_is_not_made_again(
    tmp_path: Path, world_of: type[ContractWorld], status: int
) -> None:
    for world in running(world_of):
        for number in range(4, 10):  # one of them is the look behind the change
            issue, left = world.new(), [number]

            def rule(method: str, path: str, left: list[int] = left) -> Spoil | None:
                left[0] -= 1
                page = "<html>upgrading</html>"
                return None if left[0] else Spoil("answer", status, (), page)

            world.relay.rule = rule
            pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
            work_off(world.settings, tmp_path, pushed)
            world.relay.spoil_nothing()
            assert world.is_closed(issue)
            assert len(world.comments(issue)) == 1


def test_a_look_that_is_not_answered_leaves_it_open_what_was_done(
    tmp_path: Path,
) -> None:
    for world in running(BugzillaWorld):
        issue, change = world.new(), [""]

        def rule(method: str, path: str, change: list[str] = change) -> Spoil | None:
            if "/comment" in path and method == "GET" and change[0] == "lost":
                change[0] = "asked"
                return Spoil("answer", 429)
            if method == "PUT" and not change[0]:
                change[0] = "lost"
                return Spoil("drop")
            return None

        world.relay.rule = rule
        pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
        _, retries = work_off(world.settings, tmp_path, pushed)
        assert (len(retries), change) == (2, ["asked"])
        assert world.is_closed(issue)
        assert len(world.comments(issue)) == 1


#: How each tracker, or what stands before it, says that a comment is too long.
TOO_LONG: dict[str, tuple[type[ContractWorld], Answer]] = {
    "github": (
        GitHubWorld,
        Answer(
            422,
            {
                "message": "Validation Failed",
                "errors": [
                    {
                        "resource": "IssueComment",
                        "code": "custom",
                        "field": "body",
                        "message": "body is too long (maximum is 65536 characters)",
                    }
                ],
            },
        ),
    ),
    "gitlab": (
        GitLabWorld,
        Answer(
            400,
            {"message": {"note": ["is too long (maximum is 1000000 characters)"]}},
        ),
    ),
    "gitea": (GiteaWorld, Answer(413, "a proxy's page")),
    "jira": (JiraWorld, Answer(400, _JIRA)),
    "jira-dc": (DataCenterWorld, Answer(400, _JIRA)),
    "bugzilla": (
        BugzillaWorld,
        Answer(
            400,
            {
                "error": True,
                "code": 114,
                "message": "Comments cannot be longer than 65535 characters.",
            },
        ),
    ),
    "youtrack": (YouTrack, Answer(413, "a proxy's page")),
    "linear": (
        LinearWorld,
        Answer(
            400,
            {
                "errors": [
                    {
                        "message": "Argument Validation Error: body must be shorter than or equal to 2000 characters",
                        "extensions": {"code": "INVALID_INPUT"},
                    }
                ]
            },
        ),
    ),
    "trac": (
        XmlRpcWorld,
        Answer(
            200,
            {
                "id": None,
                "result": None,
                "error": {
                    "code": 1,
                    "name": "JSONRPCError",
                    "message": "Ticket comment is too long (must be less than 2000 characters)",
                },
            },
        ),
    ),
    "kanboard": (KanboardWorld, Answer(413, "a proxy's page")),
}


@pytest.mark.parametrize("kind", list(TOO_LONG))
@pytest.mark.parametrize(("limit", "quoted"), [(2500, 900), (1350, 60)])
def test_a_comment_that_is_too_long_is_cut_and_says_so(
    tmp_path: Path, kind: str, limit: int, quoted: int
) -> None:
    made, told = TOO_LONG[kind]
    for world in running(made):
        issue, named = world.new(), world.new()
        world.contract.too_long, world.contract.limit = told, limit
        text = f"fixes {issue}, refs {named}\n\n{'long ' * 800}"
        note = broker(world.settings, tmp_path).handle(
            payload(commit(text, next(NUMBERS)))
        )
        assert note == f"closed {issue}, commented on {named}"
        for each in (issue, named):
            (said,) = world.comments(each)
            assert re.search(r"\[\.\.\.\] [0-9]{4} more characters", said)
            assert said.count("long") > quoted / 6
        assert world.is_closed(issue)


def test_one_that_is_too_long_without_its_message_is_dead_with_the_reason(
    world: GitHubWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.contract.too_long, world.contract.limit = TOO_LONG["github"][1], 60
    pushed = payload(commit(f"refs {issue}", next(NUMBERS)))
    with pytest.raises(Reject, match="body is too long"):
        broker(world.settings, tmp_path).handle(pushed)
    assert not world.comments(issue)
