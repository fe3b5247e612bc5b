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

import pytest

from oberonc import Retry
from oberonc.issues.act import Actor
from oberonc.issues.ledger import Ledger
from oberonc.issues.plan import make_plan
from oberonc.issues.settings import make_rules
from oberonc.issues.trackers.github import GitHub
from oberonc.testing.relay import WRITES
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.children import child
from tests.support.trackers.forges import GitHubWorld, running


@pytest.fixture
def world() -> Iterator[GitHubWorld]:
    yield from running(GitHubWorld, check=False)


def flood(world: GitHubWorld, commits: int = 18, issues: int = 40) -> dict[str, object]:
    """Commits of ten references each to *issues* issues, half of which they close."""
    opened = [world.new() for _ in range(issues)]
    made = []
    for number in range(commits):
        chosen = [opened[(number * 10 + place) % issues] for place in range(10)]
        verb = "fixes" if number * 20 < issues else "refs"
        made.append(commit(f"{verb} {', '.join(chosen)}", number + 1000))
    return payload(*made)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_900_references_to_200_issues_stay_within_githubs_limits(
    world: GitHubWorld, tmp_path: Path
) -> None:
    pushed, clock, moments = flood(world, 90, 200), Clock(), []
    made = broker(world.settings, tmp_path)

    def rule(method: str, path: str) -> None:
        if method in WRITES:
            moments.append(clock.now)

    world.relay.rule = rule
    turns = 0
    while True:
        turns += 1
        assert turns < 100
        ledger = Ledger(tmp_path, clock)
        tracker = GitHub(made)
        tracker.pace = GitHub.pace
        plan = make_plan(pushed, make_rules(made.settings, pushed))
        actor = Actor(
            tracker=tracker,
            ledger=ledger,
            payload=pushed,
            template="${commit}",
            remaining=lambda: float("inf"),
        )
        try:
            actor.run(plan)
            break
        except Retry as retry:
            assert retry.progress
            assert retry.after is not None
            clock.now += retry.after
        finally:
            ledger.close()
    assert len(moments) == 900 + 100
    for limit, seconds in GitHub.pace:
        assert all(
            sum(at <= other < at + seconds for other in moments) <= limit
            for at in set(moments)
        )
    assert_once(world, 900, 100)


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
