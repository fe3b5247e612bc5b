"""Phabricator and Phorge, on a loopback server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.kit.markup import BREAK
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.forges import running
from tests.support.trackers.phabricator import PhabricatorContract, PhabricatorWorld
from tests.support.trackers.suite import Suite, push


@pytest.fixture
def world() -> Iterator[PhabricatorWorld]:
    yield from running(PhabricatorWorld)


@pytest.fixture
def contract(world: PhabricatorWorld) -> PhabricatorContract:
    assert isinstance(world.contract, PhabricatorContract)
    return world.contract


class TestPhabricator(Suite):
    """All that every tracker is held to."""

    # every call is a POST, those that only look among them
    DROPS = tuple(range(0, 16, 2))


def test_a_task_of_a_project_that_was_not_named_is_left_alone(
    world: PhabricatorWorld, tmp_path: Path
) -> None:
    ours, theirs, nobodys = world.new(), world.new(), world.new()
    world.kept(ours).home, world.kept(theirs).home = "web", "shop"
    for project in ("web", "The Web"):
        note = push(
            world, tmp_path, f"fixes {ours}, {theirs} and {nobodys}", project=project
        )
        assert f"{theirs} is of The shop, which" in note
        assert f"{nobodys} is of no project, which" in note
        assert world.is_closed(ours)
        assert not world.is_closed(theirs)
    assert f"closed {theirs}" in push(
        world, tmp_path, f"fixes {theirs}", project="products"
    )


def test_comment_and_status_are_one_change_and_neither_without_the_other(
    world: PhabricatorWorld, contract: PhabricatorContract, tmp_path: Path
) -> None:
    issue, locked = world.new(), world.new()
    contract.locked = {world.kept(locked).number}
    assert push(world, tmp_path, f"fixes {issue}") == f"closed {issue}"
    edits = [seen for seen in world.relay.seen if seen.path == "/api/maniphest.edit"]
    assert len(edits) == 1
    with pytest.raises(Reject, match=r"may not be changed.*You Shall Not Pass") as told:
        push(world, tmp_path, f"fixes {locked} and {issue}")
    assert f"{issue} was closed already" in str(told.value)
    (said,) = world.comments(locked)
    assert said.startswith("Referenced by ")
    assert "the tracker refused to close it" in said


def test_resolutions_are_statuses_and_no_other_word_is_ever_sent(
    world: PhabricatorWorld, tmp_path: Path
) -> None:
    issues = [world.new() for _ in range(4)]
    push(
        world,
        tmp_path,
        f"fixes {issues[0]}\n\nwontfix {issues[1]}\n\nfixes {issues[2]} as duplicate",
    )
    push(world, tmp_path, f"fixes {issues[3]}", close="invalid")
    assert [world.status_of(issue) for issue in issues] == [
        "Resolved",
        "Wontfix",
        "Duplicate",
        "Invalid",
    ]
    issue = world.new()
    with pytest.raises(Reject, match=r"no status 'Done' now; there is Open.*`close`"):
        push(world, tmp_path, f"fixes {issue}", close="Done")
    assert not world.is_closed(issue)


def test_a_task_one_may_not_see_is_not_there(
    world: PhabricatorWorld, contract: PhabricatorContract, tmp_path: Path
) -> None:
    issue, other = world.new(), world.new()
    contract.hidden = {world.kept(issue).number}
    note = push(world, tmp_path, f"fixes {issue} and {other}")
    assert f"{issue} does not exist, or may not be seen" in note
    assert f"closed {other}" in note


def test_a_database_that_is_away_is_waited_for(
    world: PhabricatorWorld, tmp_path: Path
) -> None:
    issue = world.new()
    told = "#2006: MySQL server has gone away"
    body = {"result": None, "error_code": "ERR-CONDUIT-CORE", "error_info": told}
    world.relay.spoil_write(0, Spoil("answer", 200, body=json.dumps(body)))
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    note, (retry,) = work_off(world.settings, tmp_path, pushed)
    assert "gone away" in str(retry)
    assert note == f"closed {issue}"


def test_what_is_no_conduit_is_told(world: PhabricatorWorld, tmp_path: Path) -> None:
    world.relay.rule = lambda method, path: Spoil("answer", 200, body="{}")
    with pytest.raises(Retry, match="what answered is not Conduit"):
        push(world, tmp_path, f"fixes {world.new()}")


def test_a_mark_is_found_beyond_the_first_page(
    world: PhabricatorWorld, contract: PhabricatorContract, tmp_path: Path
) -> None:
    issue, contract.page = world.new(), 1
    pushed = payload(commit(f"refs {issue}", next(NUMBERS)))
    world.relay.rule = lambda method, path: (
        Spoil("drop") if path.endswith("edit") else None
    )
    with pytest.raises(Retry):
        broker(world.settings, tmp_path).handle(pushed)
    world.relay.spoil_nothing()
    push(world, tmp_path, f"refs {issue}, which somebody else does")
    assert broker(world.settings, tmp_path).handle(pushed) == f"commented on {issue}"
    assert len(world.comments(issue)) == 2


def test_nothing_of_a_message_ends_its_block_of_code(
    world: PhabricatorWorld, tmp_path: Path
) -> None:
    issue = world.new()
    text = f"name=x, lines=1\n\nrefs {issue}\n```\nT1 {{T1}} @ann\n  ```   \n````"
    push(world, tmp_path, text)
    head, *lines, end = world.comments(issue)[0].partition("\n```")[2].split("\n")
    assert (head, end) == ("lang=text", "```")
    assert not any("``" in line for line in lines)
    assert f"`{BREAK}`{BREAK}`" in lines[3]
    assert "@ann" not in "".join(lines)


def test_a_name_that_is_a_task_is_verbatim(
    world: PhabricatorWorld, tmp_path: Path
) -> None:
    issue = world.new()
    author = commit(f"refs {issue}", next(NUMBERS), author="T1 rX2")
    broker(world.settings, tmp_path).handle(payload(author))
    assert "written by `T1 rX2`:" in world.comments(issue)[0]


def test_projects_are_checked_by_name_and_hashtag(
    world: PhabricatorWorld, tmp_path: Path
) -> None:
    world.new()
    for project, ok in (("web", True), ("The Shop", True), ("Shop floor", False)):
        checks = broker(world.settings | {"project": project}, tmp_path).check()
        assert [check.ok for check in checks] == [True, True, True, ok]
    checks = broker(world.settings | {"close": "Done"}, tmp_path).check()
    assert [check.ok for check in checks] == [True, False, True]
