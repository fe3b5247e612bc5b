"""What `oberonc brokers test` proves: on issues that are there, with the rights the bot
has, and no more than it says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc.testing.relay import Spoil
from oberonc.testing.world import broker
from tests.support.trackers.forges import GiteaWorld, GitHubWorld, GitLabWorld, running
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.others import (
    BugzillaWorld,
    LinearWorld,
    NewBugzillaContract,
    XmlRpcWorld,
)


def wrong(world: Any, tmp_path: Path, **more: Any) -> list[str]:
    """What the check found wrong."""
    checks = broker(world.settings | more, tmp_path).check()
    return [check.what for check in checks if not check.ok]


class NewBugzillaWorld(BugzillaWorld):
    contract_class = NewBugzillaContract


@pytest.fixture
def bugzilla() -> Iterator[Any]:
    yield from running(BugzillaWorld)


@pytest.fixture
def new_bugzilla() -> Iterator[Any]:
    yield from running(NewBugzillaWorld)


@pytest.fixture
def trac() -> Iterator[Any]:
    yield from running(XmlRpcWorld)


def test_an_old_bugzilla_has_no_whoami_and_is_proven_all_the_same(
    bugzilla: Any, tmp_path: Path
) -> None:
    checks = broker(bugzilla.settings, tmp_path).check()
    assert all(check.ok for check in checks), checks
    assert checks[0].what == "Bugzilla answers, and takes the key"
    assert "name them in `user`" in checks[-1].what
    assert wrong(bugzilla, tmp_path, user="bot@example.org") == []
    assert wrong(bugzilla, tmp_path, user="reader@example.org") == [
        "reader@example.org has the group editbugs"
    ]
    assert "CREDENTIALS" in wrong(bugzilla, tmp_path, token="wrong-wrong")[0]


def test_a_new_bugzilla_says_whose_the_key_is(
    new_bugzilla: Any, tmp_path: Path
) -> None:
    assert wrong(new_bugzilla, tmp_path) == []
    new_bugzilla.contract.login = "reader@example.org"
    assert wrong(new_bugzilla, tmp_path) == [
        "reader@example.org has the group editbugs"
    ]


def test_bugzillas_workflow_has_to_lead_there_and_back(
    bugzilla: Any, tmp_path: Path
) -> None:
    assert wrong(bugzilla, tmp_path, close="VERIFIED", reopen="REOPENED") == [
        "there is a status VERIFIED that an open bug can get",
        "there is a status REOPENED that opens a closed bug again",
    ]
    assert wrong(bugzilla, tmp_path, close="IN_PROGRESS", project="hello") == []
    assert wrong(bugzilla, tmp_path, project="Nosuch") == ["there is the product"]


def test_trac_is_asked_for_the_actions_that_the_user_is_offered(
    trac: Any, tmp_path: Path
) -> None:
    trac.contract.issues.clear()
    checks = broker(trac.settings, tmp_path).check()
    assert [check.what for check in checks if "unproven" in check.what] == [
        "tickets can be closed: unproven, for want of an issue: any ticket with status!=closed",
        "tickets can be reopened: unproven, for want of an issue: any ticket with status=closed",
    ]
    ours, done = trac.new(), trac.new(closed=True)
    checks = broker(trac.settings, tmp_path).check()
    assert [check.what for check in checks[-2:]] == [
        f"tickets can be closed: {ours} (resolve)",
        f"tickets can be reopened: {done} (reopen)",
    ]
    trac.contract.reads_only = True
    assert wrong(trac, tmp_path) == [
        f"tickets can be closed: not for {ours} (resolve)",
        f"tickets can be reopened: not for {done} (reopen)",
    ]


@pytest.mark.parametrize("kind", [JiraWorld, DataCenterWorld])
def test_jira_is_asked_for_the_ways_there_and_back_and_not_for_work(
    kind: Any, tmp_path: Path
) -> None:
    for world in running(kind):
        assert wrong(world, tmp_path) == []
        world.new()
        world.new(closed=True)
        assert wrong(world, tmp_path) == []
        (what,) = wrong(world, tmp_path, reopen="Nowhere")
        assert what.startswith("a closed issue of PROJ can be reopened: ")
        world.contract.may_log_work = False
        checks = broker(world.settings, tmp_path).check()
        assert all(check.ok for check in checks), checks
        assert checks[-1].what.startswith("no work can be logged, and comments say it")


def test_linear_has_to_have_a_state_that_opens_again(tmp_path: Path) -> None:
    for world in running(LinearWorld):
        assert wrong(world, tmp_path) == []
        (what,) = wrong(world, tmp_path, reopen="Nowhere")
        assert "there is no state Nowhere in the team's workflow: set `reopen`" in what


@pytest.mark.parametrize("kind", [GitHubWorld, GitLabWorld, GiteaWorld])
def test_a_moved_address_is_named(kind: Any, tmp_path: Path) -> None:
    for world in running(kind, check=False):
        moved = (("Location", "https://new.example.org/api"),)
        world.relay.rule = lambda method, path, moved=moved: Spoil(
            "answer", 301, moved, ""
        )
        checks = broker(world.settings, tmp_path).check()
        assert not checks[0].ok
        told = f"{checks[0].what} {checks[0].mend}"
        assert "https://new.example.org/api" in told
        assert "url" in checks[0].mend
