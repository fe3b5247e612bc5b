"""Jira Cloud and Data Center, Bugzilla, YouTrack, Linear and Trac's XmlRpcPlugin, on
loopback servers.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import Reject, Retry
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers import load
from oberonc.issues.trackers.base import NoSuchIssue
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import broker, commit, payload, work_off
from tests.support.trackers.forges import ContractWorld, running
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.others import (
    BugzillaWorld,
    LinearWorld,
    XmlRpcContract,
    XmlRpcWorld,
    YouTrackWorld,
)
from tests.support.trackers.suite import Suite, push

WORLDS: dict[str, type[ContractWorld]] = {
    "jira": JiraWorld,
    "jira-dc": DataCenterWorld,
    "bugzilla": BugzillaWorld,
    "youtrack": YouTrackWorld,
    "linear": LinearWorld,
    "xmlrpc": XmlRpcWorld,
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(WORLDS[request.param])


@pytest.fixture(params=["jira", "jira-dc"])
def jira(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(WORLDS[request.param])


@pytest.fixture
def bugzilla() -> Iterator[Any]:
    yield from running(WORLDS["bugzilla"])


@pytest.fixture
def linear() -> Iterator[Any]:
    yield from running(WORLDS["linear"])


@pytest.fixture
def youtrack() -> Iterator[Any]:
    yield from running(WORLDS["youtrack"])


@pytest.fixture
def xmlrpc() -> Iterator[Any]:
    yield from running(WORLDS["xmlrpc"])


class TestOthers(Suite):
    """All that every tracker is held to."""


@pytest.mark.parametrize(
    "number",
    ["1abc", "PROJ-0", "PROJ-1/../2", "proj-1", "0", "", "PROJ-\u0661", "PROJ-1?x"],
)
def test_what_is_no_issue_never_becomes_an_address(
    world: ContractWorld, tmp_path: Path, number: str
) -> None:
    made = broker(world.settings, tmp_path)
    tracker = load(made.settings.tracker)(made)
    with pytest.raises(NoSuchIssue):
        tracker.is_closed(Issue("PROJ", number, ""))
    assert not world.relay.seen


def test_only_bound_keys_count(jira: JiraWorld, tmp_path: Path) -> None:
    issue = jira.new()
    assert (
        push(jira, tmp_path, f"fixes OTHER-1 and UTF-8, refs {issue}")
        == f"commented on {issue}"
    )
    assert push(jira, tmp_path, f"fixes #{issue[5:]}") == f"closed {issue}"


def test_a_transition_is_found_by_category_name_or_target(
    jira: JiraWorld, tmp_path: Path
) -> None:
    for close in ("", "fertig", "ERLEDIGT"):
        issue = jira.new()
        push(jira, tmp_path, f"fixes {issue}", close=close)
        assert jira.kept(issue).history[0]["transition"] == {"id": "31"}


def test_a_smart_command_takes_the_transition_of_its_name(
    jira: JiraWorld, tmp_path: Path
) -> None:
    words = {"transitions": ["Beginnen", "Fertig", "Erledigt"]}
    issue, other = jira.new(), jira.new()
    assert push(jira, tmp_path, f"{issue} #beg", words=words) == f"moved {issue}"
    assert (jira.status_of(issue), jira.is_closed(issue)) == ("In Arbeit", False)
    assert push(jira, tmp_path, f"refs {issue}\n\n{other} #fertig", words=words) == (
        f"moved {other}, commented on {issue}"
    )
    assert f"{other} was Erledigt already" in push(
        jira, tmp_path, f"{other} #erledigt", words=words
    )
    assert f"{other} was closed already" in push(jira, tmp_path, f"fixes {other}")
    assert jira.status_of(issue) == "In Arbeit"
    with pytest.raises(
        Reject,
        match=r"there is no transition 'Beginnen' now; there is .*Wieder auf.*set `words`",
    ):
        push(jira, tmp_path, f"{other} #beginnen", words=words)


def test_what_moves_and_closes_in_one_push_does_both_in_order(
    jira: JiraWorld, tmp_path: Path
) -> None:
    issue, words = (
        jira.new(),
        {"transitions": ["Fertig"], "states": {"reviews": "In Arbeit"}},
    )
    commits = (
        commit(f"{verb} {issue}", next(NUMBERS)) for verb in ("reviews", "fixes")
    )
    assert (
        broker(jira.settings | {"words": words}, tmp_path).handle(payload(*commits))
        == f"closed {issue}, moved {issue}"
    )
    commits = (
        commit(text, next(NUMBERS))
        for text in (f"reopens {issue}", f"{issue} #fertig", f"fixes {issue}")
    )
    note = broker(jira.settings | {"words": words}, tmp_path).handle(payload(*commits))
    assert note == f"reopened {issue}, moved {issue}; {issue} was closed already"


@pytest.mark.parametrize("text", ["{} #beginnen", "starts {}"])
def test_one_a_person_moved_back_before_the_retry_stays_there(
    jira: JiraWorld, tmp_path: Path, text: str
) -> None:
    words = {"transitions": ["Beginnen"], "states": {"starts": "In Arbeit"}}
    _moved_back(jira, tmp_path, text, words)


def test_bugzillas_history_tells_a_move_that_was_taken_back(
    bugzilla: BugzillaWorld, tmp_path: Path
) -> None:
    _moved_back(bugzilla, tmp_path, "starts {}", {"states": {"starts": "IN_PROGRESS"}})


def _moved_back(
    world: ContractWorld, tmp_path: Path, text: str, words: dict[str, Any]
) -> None:
    """The answer to a move is lost, and somebody moves the issue back before the next
    try.
    """
    issue = world.new()
    made, pushed = (
        world.settings | {"words": words},
        payload(commit(text.format(issue), next(NUMBERS))),
    )
    world.relay.rule = lambda method, path: (
        Spoil("drop") if method != "GET" and _moves(path) else None
    )
    with pytest.raises(Retry):
        broker(made, tmp_path).handle(pushed)
    assert world.status_of(issue) == world.status
    world.reopen_by_hand(issue)
    world.relay.spoil_nothing()
    assert broker(made, tmp_path).handle(pushed) == f"moved {issue}"
    assert world.status_of(issue) != world.status


def _moves(path: str) -> bool:
    return not path.partition("?")[0].endswith("/comment")


@pytest.fixture(params=["jira", "jira-dc", "youtrack", "linear"])
def keyed(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from running(WORLDS[request.param])


ASSIGN = {
    "words": {"smart": ["assign", "comment"]},
    "authors": {"jane@example.org": "jane-1", "Jane Roe": "jane-1"},
}


@pytest.mark.parametrize(
    "name",
    ["jane@example.org", "JANE-1", "jane roe", "jane-1 because she knows the window"],
)
def test_a_smart_command_assigns_to_one_whom_the_settings_know(
    keyed: ContractWorld, tmp_path: Path, name: str
) -> None:
    issue = keyed.new()
    pushed = payload(commit(f"{issue} #assign {name}", next(NUMBERS)))
    assert (
        broker(keyed.settings | ASSIGN, tmp_path).handle(pushed) == f"assigned {issue}"
    )
    assert "already done" in broker(keyed.settings | ASSIGN, tmp_path).handle(pushed)
    assert keyed.kept(issue).assigned == ["jane-1"]
    assert len(keyed.comments(issue)) == 1


@pytest.mark.parametrize("name", ["root", "", "jane", "jane-1; delete", "\u202ejane-1"])
def test_nobody_else_is_ever_assigned(
    keyed: ContractWorld, tmp_path: Path, name: str
) -> None:
    issue = keyed.new()
    note = push(keyed, tmp_path, f"{issue} #assign {name}", **ASSIGN)
    assert f"{issue} is assigned to nobody: " in note
    assert "\u202e" not in note
    assert keyed.kept(issue).assigned == []
    assert len(keyed.comments(issue)) == 1


def test_an_assignment_whose_answer_is_lost_stands_once(
    keyed: ContractWorld, tmp_path: Path
) -> None:
    for write in range(3):
        issue = keyed.new()
        keyed.relay.spoil_write(write, Spoil("drop"))
        work_off(
            keyed.settings | ASSIGN,
            tmp_path,
            payload(commit(f"{issue} #assign jane-1", next(NUMBERS))),
        )
        assert set(keyed.kept(issue).assigned) == {"jane-1"}
        assert len(keyed.comments(issue)) == 1


def test_a_user_jira_does_not_know_is_refused_and_named_as_such(
    jira: JiraWorld, tmp_path: Path
) -> None:
    issue = jira.new()
    with pytest.raises(Reject, match=r"user does not exist"):
        push(
            jira,
            tmp_path,
            f"{issue} #assign gone",
            **ASSIGN | {"authors": {"gone": "gone-1"}},
        )


def test_work_whose_answer_is_lost_is_logged_once(
    jira: JiraWorld, tmp_path: Path
) -> None:
    issue = jira.new()
    jira.relay.spoil_write(0, Spoil("drop"))
    pushed = payload(commit(f"refs {issue} @1h30", next(NUMBERS)))
    work_off(jira.settings, tmp_path, pushed)
    assert jira.seconds(issue) == 5400
    assert len(jira.comments(issue)) == 1


def test_no_transition_is_ever_guessed(jira: JiraWorld, tmp_path: Path) -> None:
    issue = jira.new()
    with pytest.raises(
        Reject, match=r"there is no transition 'Done' now; there is .*Fertig"
    ):
        push(jira, tmp_path, f"fixes {issue}", close="Done")
    two = {
        "id": "32",
        "name": "Verwerfen",
        "to": {"name": "Verworfen", "statusCategory": {"key": "done"}},
    }
    jira.transitions["open"] = [*jira.transitions["open"], two]
    with pytest.raises(
        Reject, match=r"'Fertig', 'Verwerfen' all lead there: set `close`"
    ):
        push(jira, tmp_path, f"fixes {issue}")
    jira.transitions["open"] = jira.transitions["open"][:1]
    with pytest.raises(
        Reject, match=r"no transition leads there now; there is 'Beginnen'"
    ):
        push(jira, tmp_path, f"fixes {issue}")
    assert not jira.is_closed(issue)


def test_a_resolution_the_screen_demands_is_given(
    jira: JiraWorld, tmp_path: Path
) -> None:
    allowed = [{"name": "Done"}, {"name": "Won't Do"}, {"name": "Duplicate"}]
    field = {"required": True, "hasDefaultValue": False, "allowedValues": allowed}
    jira.transitions["open"] = [
        jira.transitions["open"][1] | {"fields": {"resolution": field}}
    ]
    for verb, name in (("fixes", "Done"), ("wontfix", "Won't Do")):
        issue = jira.new()
        push(jira, tmp_path, f"{verb} {issue}")
        assert jira.kept(issue).history[0]["fields"] == {"resolution": {"name": name}}
    issue = jira.new()
    with pytest.raises(
        Reject,
        match=r"demands the field resolution .Done, Won't Do, Duplicate.: set `resolutions`",
    ):
        push(jira, tmp_path, f"invalidates {issue}")


def test_another_field_the_screen_demands_is_refused(
    jira: JiraWorld, tmp_path: Path
) -> None:
    field = {"required": True, "hasDefaultValue": False}
    jira.transitions["open"] = [
        jira.transitions["open"][1] | {"fields": {"customfield_1": field}}
    ]
    with pytest.raises(Reject, match=r"demands the field customfield_1"):
        push(jira, tmp_path, f"fixes {jira.new()}")


def test_a_limit_on_writes_to_one_issue_is_waited_for(
    jira: JiraWorld, tmp_path: Path
) -> None:
    issue = jira.new()
    headers = (("Retry-After", "3"), ("RateLimit-Reason", "jira-per-issue-on-write"))
    jira.relay.spoil_write(1, Spoil("answer", 429, headers))
    _, (retry,) = work_off(
        jira.settings, tmp_path, payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert (retry.after, retry.progress) == (3.0, True)
    assert jira.is_closed(issue)


def test_a_cloud_comment_is_a_document(tmp_path: Path) -> None:
    for cloud in running(WORLDS["jira"]):
        issue = cloud.new()
        push(cloud, tmp_path, f"refs {issue}\n\n{{noformat}}[~admin]")
        body = cloud.kept(issue).comments[0]["body"]
        assert [block["type"] for block in body["content"]] == [
            "paragraph",
            "codeBlock",
        ]
        link = [node for node in body["content"][0]["content"] if node.get("marks")]
        assert link[0]["marks"][0]["attrs"]["href"].startswith(
            "https://git.example.org/"
        )
        assert cloud.kept(issue).comments[0]["properties"][0]["key"] == "oberonc"


def test_bugzilla_tells_an_unknown_status_from_an_unknown_bug(
    bugzilla: ContractWorld, tmp_path: Path
) -> None:
    """Both are answered 404."""
    issue = bugzilla.new()
    with pytest.raises(Reject, match=r"There is no status named 'DONE'"):
        push(bugzilla, tmp_path, f"fixes {issue}", close="DONE")


def test_bugzilla_that_would_drop_the_hours_is_refused(
    bugzilla: ContractWorld, tmp_path: Path
) -> None:
    issue = bugzilla.new()
    bugzilla.kept(issue).history = ["no time"]
    with pytest.raises(Reject, match=r"time tracking group"):
        push(bugzilla, tmp_path, f"refs {issue} @2h")
    assert bugzilla.seconds(issue) == 0


def test_linear_takes_the_first_state_of_a_type_or_the_one_named(
    linear: ContractWorld, tmp_path: Path
) -> None:
    fixed, given_up, named = linear.new(), linear.new(), linear.new()
    push(linear, tmp_path, f"fixes {fixed}\n\nwontfix {given_up}")
    push(linear, tmp_path, f"fixes {named}", close="canceled")
    push(linear, tmp_path, f"reopens {named}")
    assert [linear.kept(issue).history for issue in (fixed, given_up, named)] == [
        ["s3"],
        ["s4"],
        ["s4", "s1"],
    ]


def test_linears_limit_comes_with_400(linear: ContractWorld, tmp_path: Path) -> None:
    issue = linear.new()
    body = '{"errors": [{"message": "Rate limit exceeded", "extensions": {"code": "RATELIMITED"}}]}'
    headers = (
        ("X-RateLimit-Requests-Remaining", "0"),
        ("X-RateLimit-Requests-Reset", "4102444800000"),
    )
    linear.relay.rule = lambda method, path: Spoil("answer", 400, headers, body)
    with pytest.raises(Retry, match=r"rate limit") as caught:
        push(linear, tmp_path, f"fixes {issue}")
    assert caught.value.after == 86400
    assert not caught.value.progress, "nothing was done in this turn"


def test_a_youtrack_command_that_does_not_resolve_is_not_said_to_close(
    youtrack: ContractWorld, tmp_path: Path
) -> None:
    issue, unresolved = youtrack.new(), {"resolutions": {"fixed": "In Progress"}}
    with pytest.raises(Reject, match="did not close the issue: set `close`"):
        push(youtrack, tmp_path, f"fixes {issue}", **unresolved)
    (said,) = youtrack.comments(issue)
    assert said.startswith("Referenced by")
    assert "the tracker refused to close it" in said


def test_youtrack_comments_apart_where_its_states_may_not_be_seen(
    youtrack: Any, tmp_path: Path
) -> None:
    youtrack.contract.may_see_states = False
    issue = youtrack.new()
    writes = youtrack.relay.writes()
    assert push(youtrack, tmp_path, f"fixes {issue}") == f"closed {issue}"
    assert youtrack.relay.writes() == writes + 2
    (said,) = youtrack.comments(issue)
    assert said.startswith("Closed by")


def test_youtrack_names_the_states(youtrack: ContractWorld, tmp_path: Path) -> None:
    issues = [youtrack.new() for _ in range(3)]
    push(
        youtrack,
        tmp_path,
        f"fixes {issues[0]}\n\nwontfix {issues[1]}\n\ninvalidates {issues[2]}",
    )
    assert [youtrack.kept(issue).history for issue in issues] == [
        ["Fixed"],
        ["Won't fix"],
        ["Fixed"],
    ]
    with pytest.raises(Reject, match=r"Command .Nonsense. is invalid"):
        push(youtrack, tmp_path, f"fixes {youtrack.new()}", close="Nonsense")


def test_trac_sets_the_resolution_its_workflow_offers(
    xmlrpc: ContractWorld, tmp_path: Path
) -> None:
    issue = xmlrpc.new()
    push(xmlrpc, tmp_path, f"invalidates {issue}")
    assert xmlrpc.kept(issue).history == ["invalid"]


def test_trac_tries_again_after_a_collision(
    xmlrpc: XmlRpcWorld, tmp_path: Path
) -> None:
    issue = xmlrpc.new()
    assert isinstance(xmlrpc.contract, XmlRpcContract)
    xmlrpc.contract.collisions = 2
    assert push(xmlrpc, tmp_path, f"fixes {issue}") == f"closed {issue}"


def test_tracs_errors_come_with_200(xmlrpc: ContractWorld, tmp_path: Path) -> None:
    issue = xmlrpc.new()
    refusal = '{"error": {"code": 403, "message": "XML_RPC privileges are required"}, "result": null}'
    xmlrpc.relay.rule = lambda method, path: Spoil("answer", 200, (), refusal)
    with pytest.raises(Retry, match=r"CREDENTIALS refused: .*XML_RPC privileges"):
        push(xmlrpc, tmp_path, f"fixes {issue}")
    with pytest.raises(
        Reject, match=r"there is no action 'nosuch' now; there is leave, resolve"
    ):
        xmlrpc.relay.spoil_nothing()
        push(xmlrpc, tmp_path, f"fixes {issue}", close="nosuch")
    assert re.search("oberonc:[0-9a-f]{32}", xmlrpc.comments(issue)[0])


def test_a_change_that_trac_refuses_with_200_was_not_made(
    xmlrpc: ContractWorld, tmp_path: Path
) -> None:
    issue = xmlrpc.new()
    told = "TICKET_MODIFY privileges are required"
    body = f'{{"error": {{"code": 403, "message": "{told}"}}, "result": null}}'
    xmlrpc.relay.spoil_write(4, Spoil("answer", 200, (), body))
    assert f"closed {issue}" in push(xmlrpc, tmp_path, f"fixes {issue}")
    assert len(xmlrpc.comments(issue)) == 1


def test_an_open_status_can_be_the_one_that_closes(world: Any, tmp_path: Path) -> None:
    if not world.status:
        pytest.skip("there are no statuses here")
    issue, settings = world.new(), world.settings | {"close": world.status}
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    assert broker(settings, tmp_path).handle(pushed) == f"closed {issue}"
    assert world.status_of(issue) == world.status
    assert not world.is_closed(issue)
    again = payload(commit(f"fixes {issue} too", next(NUMBERS)))
    assert f"{issue} was closed already" in broker(settings, tmp_path).handle(again)
    if isinstance(world, JiraWorld):
        return  # the workflow there leads nowhere else
    back = payload(commit(f"reopens {issue}", next(NUMBERS)))
    assert f"reopened {issue}" in broker(settings, tmp_path).handle(back)
    assert world.status_of(issue) != world.status
