"""Kanboard, on a loopback server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.forges import running
from tests.support.trackers.kanboard import KanboardWorld
from tests.support.trackers.suite import Suite


@pytest.fixture
def world() -> Iterator[KanboardWorld]:
    yield from running(KanboardWorld)


class TestKanboard(Suite):
    """All that every tracker is held to."""

    # every call is a POST, those that only look among them
    DROPS = tuple(range(0, 30, 3))


def test_a_task_of_a_project_that_was_not_named_is_left_alone(
    world: KanboardWorld, tmp_path: Path
) -> None:
    ours, theirs = world.new(), world.new()
    world.kept(theirs).home = "Shop"
    for project in ("web", "Web"):
        said = broker(world.settings | {"project": project}, tmp_path).handle(
            payload(commit(f"fixes {ours} and {theirs}", next(NUMBERS)))
        )
        assert "Shop" in said or "SHOP" in said
        assert world.is_closed(ours)
        assert not world.is_closed(theirs)


def test_credentials_of_no_user_and_a_project_of_others_are_told(
    world: KanboardWorld, tmp_path: Path
) -> None:
    checks = broker(world.settings | {"project": "Shop"}, tmp_path).check()
    assert [check.ok for check in checks] == [True, False]
    world.relay.rule = lambda method, path: Spoil(
        "answer", 200, body='{"jsonrpc": "2.0", "id": 1, "result": null}'
    )
    assert "no user's" in broker(world.settings, tmp_path).check()[0].what


def test_a_page_in_front_of_it_is_tried_again(
    world: KanboardWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.relay.spoil_write(0, Spoil("answer", 403, body="<html>blocked</html>"))
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    note, retries = work_off(world.settings, tmp_path, pushed)
    assert len(retries) == 1
    assert note == f"closed {issue}"
