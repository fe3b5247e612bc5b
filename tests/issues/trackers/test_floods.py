"""Pushes that name more issues than one turn, or one hour of a tracker's limits, has
room for; and deaths half-way.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import Retry
from oberonc.issues.act import Actor
from oberonc.issues.ledger import Ledger
from oberonc.issues.plan import make_plan
from oberonc.issues.settings import make_rules
from oberonc.issues.trackers import load
from oberonc.issues.trackers.base import Tracker
from oberonc.issues.trackers.github import GitHub
from oberonc.testing.relay import WRITES
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.children import child
from tests.support.trackers.asana import AsanaWorld
from tests.support.trackers.azure import AzureWorld
from tests.support.trackers.forges import (
    ContractWorld,
    GiteaWorld,
    GitHubWorld,
    GitLabWorld,
    running,
)
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.kanboard import KanboardWorld
from tests.support.trackers.launchpad import LaunchpadWorld
from tests.support.trackers.mantisbt import MantisBTWorld
from tests.support.trackers.openproject import OpenProjectWorld
from tests.support.trackers.others import (
    BugzillaWorld,
    LinearWorld,
    XmlRpcWorld,
    YouTrackWorld,
)
from tests.support.trackers.phabricator import PhabricatorWorld
from tests.support.trackers.trello import TrelloWorld

#: Of every tracker that is not tried on a real server.
EVERY: dict[str, type[ContractWorld]] = {
    "github": GitHubWorld,
    "gitlab": GitLabWorld,
    "gitea": GiteaWorld,
    "jira": JiraWorld,
    "jira-dc": DataCenterWorld,
    "bugzilla": BugzillaWorld,
    "xmlrpc": XmlRpcWorld,
    "youtrack": YouTrackWorld,
    "linear": LinearWorld,
    "kanboard": KanboardWorld,
    "phabricator": PhabricatorWorld,
    "azure": AzureWorld,
    "openproject": OpenProjectWorld,
    "mantisbt": MantisBTWorld,
    "launchpad": LaunchpadWorld,
    "trello": TrelloWorld,
    "asana": AsanaWorld,
}


@pytest.fixture
def world() -> Iterator[GitHubWorld]:
    yield from running(GitHubWorld, check=False)


def flood(world: ContractWorld, count: int = 18, issues: int = 40) -> dict[str, Any]:
    """*count* commits of ten references each to *issues* issues, half of which they
    close.
    """
    return payload(*commits([world.new() for _ in range(issues)], count))


def commits(issues: list[str], count: int) -> list[dict[str, Any]]:
    made = []
    for number in range(count):
        chosen = [issues[(number * 10 + place) % len(issues)] for place in range(10)]
        verb = "fixes" if number * 20 < len(issues) else "refs"
        made.append(commit(f"{verb} {', '.join(chosen)}", number + 1000))
    return made


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def work(
    world: ContractWorld, state: Path, pushed: dict[str, Any]
) -> tuple[Tracker, list[float]]:
    """Work *pushed* off, with the tracker's published limits, by a clock that goes only
    while there is nothing to do; the tracker, and when it was asked to change something.
    """
    clock, moments = Clock(), list[float]()

    def rule(method: str, path: str) -> None:
        if method in WRITES:
            moments.append(clock.now)

    world.relay.rule = rule
    while True:
        made = broker(world.settings, state)
        plan = make_plan(pushed, make_rules(made.settings, pushed))
        ledger, tracker = Ledger(state, clock), load(made.settings.tracker)(made)
        tracker.pace = type(tracker).pace
        actor = Actor(
            tracker=tracker,
            ledger=ledger,
            payload=pushed,
            template="${commit}",
            remaining=made.remaining,
        )
        try:
            actor.run(plan)
            return tracker, moments
        except Retry as retry:
            assert retry.progress
            assert retry.after is not None
            clock.now += retry.after
        finally:
            ledger.close()


def assert_within(tracker: Tracker, moments: list[float]) -> None:
    """It was never asked for more than its limits allow."""
    for limit, seconds in tracker.pace:
        assert all(
            sum(at <= other < at + seconds for other in moments) <= limit
            for at in set(moments)
        )


def test_900_references_to_200_issues_stay_within_githubs_limits(
    world: GitHubWorld, tmp_path: Path
) -> None:
    tracker, moments = work(world, tmp_path, flood(world, 90, 200))
    assert len(moments) == 900 + 100
    assert tracker.pace == GitHub.pace
    assert_within(tracker, moments)
    assert_once(world, 900, 100)


#: Commits of ten references each.
COMMITS = 90 if "OBERONC_TEST_ROUNDS" in os.environ else 6


@pytest.mark.long
@pytest.mark.parametrize("name", list(EVERY))
def test_a_push_of_many_references_asks_for_nothing_twice_and_waits_for_limits_alone(
    name: str, tmp_path: Path
) -> None:
    for world in running(EVERY[name], check=False):
        issues = [world.new() for _ in range(COMMITS * 5)]
        pushed = payload(*commits(issues, COMMITS))
        tracker, moments = work(world, tmp_path, pushed)
        said = [text for issue in issues for text in world.comments(issue)]
        closed = sum(map(world.is_closed, issues))
        assert len(said) == COMMITS * 10
        assert all(
            sum(one["node"] in text for text in said) == 10 for one in pushed["commits"]
        )
        assert closed == 10 * sum(
            "fixes" in one["message"] for one in pushed["commits"]
        )
        turns = len(set(moments))
        assert tracker.pace or turns == 1, "it waited, and need not"
        assert_within(tracker, moments)
        looks = len(world.relay.seen) - len(said) - closed
        assert looks <= turns * len(issues) + 3 * closed + 4


def assert_once(world: GitHubWorld, comments: int = 180, closed: int = 20) -> None:
    said = [
        text
        for kept in world.contract.issues.values()
        for text in (entry["body"] for entry in kept.comments)
    ]
    marks = Counter(text.rpartition("oberonc:")[2] for text in said)
    assert len(marks) == comments
    assert set(marks.values()) == {1}
    assert (
        sum(kept.state == "closed" for kept in world.contract.issues.values()) == closed
    )
    assert sum(len(kept.times) for kept in world.contract.issues.values()) == closed


def test_a_turn_ends_before_its_time_limit_and_goes_on_in_the_next(
    world: GitHubWorld, tmp_path: Path
) -> None:
    pushed = flood(world)
    made = broker(world.settings, tmp_path)
    left = iter(range(100, 0, -1))  # each time it is asked there is a second less
    made.remaining = lambda: float(next(left, 0))  # type: ignore[method-assign]
    with pytest.raises(Retry) as caught:
        made.handle(pushed)
    assert caught.value.progress
    assert caught.value.after == 0
    assert "commented on #1" in str(caught.value) or "closed #1" in str(caught.value)
    work_off(world.settings, tmp_path, pushed)
    assert_once(world)


SCRIPT = """
import json, sys
from pathlib import Path
from oberonc.testing.world import broker
settings, state, pushed = json.loads(sys.stdin.read())
broker(settings, Path(state)).handle(pushed)
"""


def test_a_worker_killed_anywhere_neither_loses_nor_repeats(
    world: GitHubWorld, tmp_path: Path
) -> None:
    import json

    pushed = flood(world)
    request = json.dumps([world.settings, str(tmp_path), pushed])
    for number in (0, 1, 7, 40, 41):
        with child(
            [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            left = [number]

            def rule(
                method: str, path: str, pid: int = process.pid, left: list[int] = left
            ) -> None:
                left[0] -= method in WRITES
                if left[0] < 0:
                    os.kill(pid, signal.SIGKILL)

            world.relay.rule = rule
            process.communicate(request, timeout=60)
        assert process.returncode == -signal.SIGKILL
        world.relay.spoil_nothing()
    work_off(world.settings, tmp_path, pushed)
    assert_once(world)


ROOT = Path(__file__).resolve().parents[3]
