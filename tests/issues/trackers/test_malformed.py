"""Answers that are a success, and not the tracker's: a page of what stands before it,
JSON of another form.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import Retry
from oberonc.testing.relay import WRITES, Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload
from tests.issues.trackers.test_answers import WORLDS, about
from tests.support.trackers.asana import AsanaWorld
from tests.support.trackers.forges import ContractWorld, running
from tests.support.trackers.kanboard import KanboardWorld
from tests.support.trackers.others import LinearWorld, XmlRpcWorld
from tests.support.trackers.phabricator import PhabricatorWorld
from tests.support.trackers.trello import TrelloWorld

ALL: dict[str, Any] = {
    **WORLDS,
    "linear": LinearWorld,
    "trac": XmlRpcWorld,
    "trello": TrelloWorld,
    "asana": AsanaWorld,
    "phabricator": PhabricatorWorld,
    "kanboard": KanboardWorld,
}
LOGIN = "<!doctype html><title>Sign in</title>"


@pytest.fixture(params=list(ALL))
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(ALL[request.param], check=False)


@pytest.mark.parametrize("text", ["fixes {}", "refs {}"])
def test_a_page_is_no_answer_to_a_change_and_all_is_done_once_it_is_gone(
    world: ContractWorld, tmp_path: Path, text: str
) -> None:
    issue = world.new()
    pushed = payload(commit(text.format(issue), next(NUMBERS)))
    page = Spoil("answer", 200, (("Content-Type", "text/html"),), f"\n {LOGIN}")
    for writes in (True, False):
        world.relay.rule = lambda method, path, writes=writes: (  # type: ignore[misc]
            page if (method in WRITES) >= writes else None
        )
        with pytest.raises(Retry, match="200 with a page: Sign in; check the address"):
            broker(world.settings, tmp_path).handle(pushed)
        assert not world.comments(issue)
    world.relay.spoil_nothing()
    broker(world.settings, tmp_path).handle(pushed)
    assert len(world.comments(issue)) == 1
    assert world.is_closed(issue) == (text == "fixes {}")


@pytest.mark.parametrize("body", ["{}", "[]", "null", '"x"', '{"message": "x"}', "[1]"])
def test_an_answer_of_another_form_is_told_in_a_line_and_harms_nothing(
    world: ContractWorld, tmp_path: Path, body: str
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    world.relay.rule = lambda method, path: Spoil("answer", 200, (), body)
    try:
        note = broker(world.settings, tmp_path).handle(pushed)
    except Retry as error:
        note = str(error)
    assert not note.startswith("closed")
    world.relay.spoil_nothing()
    broker(world.settings, tmp_path).handle(pushed)
    assert len(world.comments(issue)) == 1
    assert world.is_closed(issue)


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea", "jira", "bugzilla"])
def test_one_issue_whose_answer_cannot_be_read_stops_no_other(
    tmp_path: Path, kind: str
) -> None:
    for world in running(ALL[kind], check=False):
        odd, plain = world.new(), world.new()
        world.relay.rule = about(odd, Spoil("answer", 200, (), '{"id": 1}'))
        pushed = payload(commit(f"fixes {odd} and {plain}", next(NUMBERS)))
        with pytest.raises(Retry) as caught:
            broker(world.settings, tmp_path).handle(pushed)
        told = f"closed {plain}; failed: {odd}; the answer has not the form"
        assert told in str(caught.value)
        assert world.is_closed(plain)


def test_a_check_words_an_answer_of_another_form(tmp_path: Path) -> None:
    for world in running(ALL["gitlab"], check=False):
        world.relay.rule = lambda method, path: Spoil("answer", 200, (), "[]")
        checks = broker(world.settings, tmp_path).check()
        assert "has not the form in which the tracker gives it" in checks[-1].what
        assert not checks[-1].ok
