"""Trello, on a loopback server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.forges import running
from tests.support.trackers.suite import Suite, push
from tests.support.trackers.trello import ELSEWHERE, TrelloContract, TrelloWorld


@pytest.fixture
def world() -> Iterator[TrelloWorld]:
    yield from running(TrelloWorld)


@pytest.fixture
def contract(world: TrelloWorld) -> TrelloContract:
    assert isinstance(world.contract, TrelloContract)
    return world.contract


class TestTrello(Suite):
    """All that every tracker is held to."""


@pytest.mark.parametrize(
    ("close", "state", "status"),
    [
        ("", "closed", "To do"),
        ("archive", "archived", "To do"),
        ("done", "open", "Done"),
    ],
)
def test_a_card_is_closed_as_the_settings_say_and_opened_again(
    world: TrelloWorld, tmp_path: Path, close: str, state: str, status: str
) -> None:
    issue = world.new()
    assert push(world, tmp_path, f"fixes {issue}", close=close) == f"closed {issue}"
    assert (world.kept(issue).state, world.status_of(issue)) == (state, status)
    assert f"{issue} was closed already" in push(
        world, tmp_path, f"fixes {issue} too", close=close
    )
    assert f"reopened {issue}" in push(world, tmp_path, f"reopens {issue}", close=close)
    assert (world.kept(issue).state, world.status_of(issue)) == ("open", "To do")


@pytest.mark.parametrize("close", ["archive", "Done"])
def test_one_a_person_reopened_before_the_retry_stays_open_whatever_closes(
    world: TrelloWorld, tmp_path: Path, close: str
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    made = broker(world.settings | {"close": close}, tmp_path)
    world.relay.spoil_write(0, Spoil("drop"))
    with pytest.raises(Retry):
        made.handle(pushed)
    kept = world.kept(issue)
    assert (kept.state, kept.status) != ("open", "")
    kept.state, kept.status = "open", "Doing"
    assert f"closed {issue}" in made.handle(pushed)
    assert (kept.state, kept.status) == ("open", "Doing")


def test_it_opens_again_on_the_list_that_is_named(
    world: TrelloWorld, tmp_path: Path
) -> None:
    issue = world.new(closed=True)
    push(world, tmp_path, f"reopens {issue}", reopen="doing")
    assert (world.kept(issue).state, world.status_of(issue)) == ("open", "Doing")
    with pytest.raises(Reject, match=r"no list 'Gone' now; there is To do.*`close`"):
        push(world, tmp_path, f"fixes {issue}", close="Gone")


def test_an_address_finds_a_card_on_any_board_the_service_is_bound_to(
    world: TrelloWorld, tmp_path: Path
) -> None:
    ours, theirs = world.new(), world.new()
    world.kept(theirs).home = ELSEWHERE
    urls = [f"{world.relay.url}/c/Card000{n}/{n}-a-title" for n in (1, 2)]
    note = push(world, tmp_path, f"fixes {urls[0]} and {urls[1]}")
    assert "closed Card0001" in note
    assert "Card0002 is on a board this service is not bound to" in note
    assert [world.is_closed(each) for each in (ours, theirs)] == [True, False]
    for projects in (["ZyXw9876"], ["**"]):
        settings = {"projects": projects, "aliases": {"theirs": "ZyXw9876"}}
        push(world, tmp_path, f"fixes {urls[1]} again", **settings)
        assert world.is_closed(theirs)
        push(world, tmp_path, f"reopens theirs#{theirs[1:]}", **settings)
        assert not world.is_closed(theirs)
    assert "octo/other#2 is not of a project" in push(
        world, tmp_path, "fixes octo/other#2"
    )


@pytest.mark.parametrize("board", ["Hello", "octo/hello", "../x", "AbCd123"])
def test_what_is_no_board_is_refused_before_anything_is_asked(
    world: TrelloWorld, tmp_path: Path, board: str
) -> None:
    with pytest.raises(ValueError, match="is no board"):
        push(world, tmp_path, "fixes #1", project=board)
    assert not world.relay.seen


def test_cards_one_may_not_see_or_change_stop_nothing(
    world: TrelloWorld, contract: TrelloContract, tmp_path: Path
) -> None:
    hidden, frozen, issue = (world.new() for _ in range(3))
    contract.hidden, contract.frozen = {1}, {2}
    with pytest.raises(Reject) as told:
        push(world, tmp_path, f"fixes {hidden}, {frozen} and {issue}")
    assert f"{hidden} may not be seen with these credentials" in str(told.value)
    assert f"{frozen} may not be changed with these credentials" in str(told.value)
    assert world.is_closed(issue)
    assert "the tracker refused to close it" in world.comments(frozen)[0]


def test_a_limit_is_waited_for_though_it_does_not_say_how_long(
    world: TrelloWorld, tmp_path: Path
) -> None:
    issue = world.new()
    body = '{"error": "API_TOKEN_LIMIT_EXCEEDED", "message": "Rate limit exceeded"}'
    world.relay.spoil_write(0, Spoil("answer", 429, body=body))
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    note, (retry,) = work_off(world.settings, tmp_path, pushed)
    assert retry.after == 10
    assert note == f"closed {issue}"


def test_another_servers_404_is_no_missing_card(
    world: TrelloWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.relay.rule = lambda method, path: Spoil("answer", 404, body="Not Found")
    with pytest.raises(Retry, match="not as trello says it"):
        push(world, tmp_path, f"fixes {issue}")


@pytest.mark.parametrize("line", ["x\n", "\U0001f600" * 78 + "\n", "```\n"])
def test_a_comment_is_never_longer_than_trello_takes(
    world: TrelloWorld, tmp_path: Path, line: str
) -> None:
    issue = world.new()
    pushed = commit(f"refs {issue}\n\n{line * 9000}", next(NUMBERS))
    broker(world.settings, tmp_path).handle(payload(pushed))
    (said,) = world.comments(issue)
    assert pushed["node"] in said
    assert re.search(r"\[\.\.\.\] [0-9]+ more characters$", said)


def test_the_check_looks_at_rights_and_lists(
    world: TrelloWorld, contract: TrelloContract, tmp_path: Path
) -> None:
    checks = broker(world.settings | {"close": "Gone"}, tmp_path).check()
    assert [check.ok for check in checks] == [True, True, False]
    contract.member = "observer"
    checks = broker(world.settings | {"reopen": "Doing"}, tmp_path).check()
    assert [check.ok for check in checks] == [True, False, True]
