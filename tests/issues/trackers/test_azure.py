"""Azure Boards, on a loopback server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc import Reject, Retry
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.azure import TRANSITIONS, AzureWorld
from tests.support.trackers.forges import running
from tests.support.trackers.suite import Suite


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    yield from running(AzureWorld)


class TestAzure(Suite):
    """All that every tracker is held to."""


def test_the_form_of_azure_boards_closes_with_the_comment_in_one_change(
    world: AzureWorld, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes AB{issue}", next(NUMBERS)))
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    (change,) = [seen for seen in world.relay.seen if seen.method == "PATCH"]
    test, state, said = json.loads(change.body)
    assert test == {"op": "test", "path": "/rev", "value": 1}
    assert state["value"] == "Closed"
    assert said["value"].startswith("Closed by commit <a href=")


def test_a_change_that_somebody_made_in_between_is_not_written_over(
    world: AzureWorld, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))

    def rule(method: str, path: str) -> None:
        if method == "PATCH" and not world.kept(issue).history:
            world.reopen_by_hand(issue)

    world.relay.rule = rule
    with pytest.raises(Retry, match="somebody else changed the work item"):
        broker(world.settings, tmp_path).handle(pushed)
    assert not world.is_closed(issue)
    assert broker(world.settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert len(world.comments(issue)) == 1


def test_a_close_that_a_rule_refuses_is_commented_on_as_what_it_is(
    world: AzureWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRANSITIONS, "New", ["Active"])
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    with pytest.raises(Reject, match="no state of a Bug that is New does; set `close`"):
        broker(world.settings, tmp_path).handle(pushed)
    (said,) = world.comments(issue)
    assert said.startswith("Referenced by")
    checks = broker(world.settings, tmp_path).check()
    assert [check.ok for check in checks] == [True, True, False, True]
    assert "not for Bug" in checks[2].what


def test_a_resolution_names_a_state_and_states_act(
    world: AzureWorld, tmp_path: Path
) -> None:
    settings = world.settings | {"resolutions": {"wontfix": "Resolved"}}
    issue = world.new()
    made = broker(settings, tmp_path)
    note = made.handle(payload(commit(f"wontfix {issue}", next(NUMBERS))))
    assert note == f"closed {issue}"
    assert world.status_of(issue) == "Resolved"
    assert made.handle(payload(commit(f"fixes {issue}", next(NUMBERS)))).endswith(
        f"{issue} was closed already"
    )


def test_a_page_to_sign_in_at_is_about_the_credentials(
    world: AzureWorld, tmp_path: Path
) -> None:
    issue = world.new()
    page = Spoil("answer", 203, (), "<html>Azure DevOps Services | Sign In</html>")
    world.relay.rule = lambda method, path: page
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    with pytest.raises(Retry, match=r"CREDENTIALS refused: .* has expired") as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert caught.value.after == 600.0


def test_a_project_there_is_not_is_told(world: AzureWorld, tmp_path: Path) -> None:
    checks = broker(world.settings | {"project": "Shop"}, tmp_path).check()
    assert [check.ok for check in checks][:2] == [True, False]
    assert "`project`" in checks[1].mend


def test_nothing_of_a_message_is_markup(world: AzureWorld, tmp_path: Path) -> None:
    issue = world.new()
    text = f"refs {issue}\n\n</pre><img src=x onerror=1><a data-vss-mention='version:2.0,1'>@Ann</a> #1 !2 & &lt;"
    author = "Ann <b>x</b> & #12"
    pushed = payload(commit(text, next(NUMBERS), author=author))
    work_off(world.settings, tmp_path, pushed)
    (said,) = world.comments(issue)
    assert said.count("<pre>") == said.count("</pre>") == 1
    assert "<img" not in said
    assert "<b>" not in said
    assert "data-vss-mention=&#x27;" in said
    assert "#1 " not in said
    assert "!2" not in said
