"""For whom the bot acts, and that it says so where it cannot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload
from tests.support.trackers.forges import GiteaWorld, GitLabWorld, running


@pytest.fixture(params=[GitLabWorld, GiteaWorld])
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(request.param)


def push(world: Any, tmp_path: Path, **more: Any) -> tuple[str, list[Any]]:
    """The note, and as whom each comment was made."""
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    note = broker(world.settings | more, tmp_path).handle(pushed)
    assert world.is_closed(issue)
    return note, [entry["sudo"] for entry in world.kept(issue).comments]


@pytest.mark.parametrize("user", ["locked", "nosuch"])
def test_for_an_author_who_may_not_act_the_bot_does_and_says_so(
    world: Any, tmp_path: Path, user: str
) -> None:
    note, made_by = push(world, tmp_path, authors={"ann@example.org": user})
    assert made_by == [None]
    assert note.count(f"not done as {user}: ") == 1


def test_authors_are_found_by_their_mail_address_where_that_is_asked_for(
    world: Any, tmp_path: Path
) -> None:
    assert push(world, tmp_path)[1] == [None]
    note, made_by = push(world, tmp_path, authors_by_mail=True)
    assert made_by == ["ann"]
    assert "not done as" not in note
    world.contract.users = {"ann": "joann@example.org", "an": "ann@example.org.evil"}
    assert push(world, tmp_path, authors_by_mail=True)[1] == [None]
    world.contract.users = {"a": "ann@example.org", "b": "Ann@example.org"}
    assert push(world, tmp_path, authors_by_mail=True)[1] == [None]


def test_a_limit_on_the_rate_does_not_make_the_bot_act(
    world: Any, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"refs {issue}", next(NUMBERS)))
    made = broker(world.settings | {"authors_by_mail": True}, tmp_path)
    world.relay.spoil_write(0, Spoil("answer", 429, (("Retry-After", "5"),), "{}"))
    with pytest.raises(Exception, match="rate limit"):
        made.handle(pushed)
    world.relay.spoil_nothing()
    made.handle(pushed)
    assert [entry["sudo"] for entry in world.kept(issue).comments] == ["ann"]
