"""GitHub, GitLab and Gitea, against loopback servers that follow their contracts."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from oberonc import Reject, Retry
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers import load
from oberonc.issues.trackers.base import NoSuchIssue
from oberonc.testing.relay import Relay, Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import REPOSITORY, broker, commit, payload, work_off
from tests.support.trackers.forges import (
    ContractWorld,
    GiteaWorld,
    GitHubWorld,
    GitLabWorld,
    running,
)
from tests.support.trackers.suite import Suite

WORLDS: dict[str, Callable[[Relay], ContractWorld]] = {
    "github": GitHubWorld,
    "gitlab": GitLabWorld,
    "gitea": GiteaWorld,
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[ContractWorld]:
    yield from running(WORLDS[request.param])


@pytest.fixture
def github() -> Iterator[ContractWorld]:
    yield from running(WORLDS["github"])


@pytest.fixture
def gitlab() -> Iterator[ContractWorld]:
    yield from running(WORLDS["gitlab"])


@pytest.fixture
def gitea() -> Iterator[ContractWorld]:
    yield from running(WORLDS["gitea"])


def fixes(
    world: ContractWorld, tmp_path: Path, verb: str = "fixes", **settings: object
) -> tuple[str, str]:
    """A push that fixes a new issue; the issue, and the note."""
    issue = world.new()
    pushed = payload(commit(f"{verb} {issue}", next(NUMBERS)))
    return issue, broker(world.settings | settings, tmp_path).handle(pushed)


@pytest.mark.parametrize(
    "wrong", [{"state": "resolved"}, {"state": "closed", "why": "done"}, [], {}]
)
def test_a_request_that_breaks_the_contract_is_noticed(
    github: ContractWorld, wrong: object
) -> None:
    """Also where only the documents that travel with the project judge it."""
    address = f"http://127.0.0.1:{github.contract.port}/api/v3/repos/octo/demo/issues/1"
    requests.patch(
        address, json=wrong, headers={"Authorization": "Bearer secret"}, timeout=60
    )
    assert github.contract.problems
    github.contract.problems.clear()


class TestForges(Suite):
    """All that every tracker is held to."""


LIMITED = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "4102444800"))
ANSWERS = {
    "408": (Spoil("answer", 408), Retry, None),
    "425": (Spoil("answer", 425), Retry, None),
    "429": (Spoil("answer", 429, (("Retry-After", "17"),)), Retry, 17.0),
    "403 with a limit": (Spoil("answer", 403, (("Retry-After", "61"),)), Retry, 61.0),
    "403 with a reset": (Spoil("answer", 403, LIMITED), Retry, 86400.0),
    "403": (Spoil("answer", 403, (), "Resource not accessible"), Reject, None),
    "403 of a token": (Spoil("answer", 403, (), "insufficient_scope"), Retry, 600.0),
    "401": (Spoil("answer", 401), Retry, 600.0),
    "500": (Spoil("answer", 500), Retry, None),
    "502 page": (
        Spoil("answer", 502, (("Content-Type", "text/html"),), "<h1>Bad gateway</h1>"),
        Retry,
        None,
    ),
    "503": (Spoil("answer", 503, (("Retry-After", "5"),)), Retry, 5.0),
    "301": (
        Spoil("answer", 301, (("Location", "https://elsewhere.example/1"),)),
        Retry,
        None,
    ),
    "400": (Spoil("answer", 400), Reject, None),
    "409": (Spoil("answer", 409), Reject, None),
    "422": (Spoil("answer", 422, (), '{"message": "Validation Failed"}'), Reject, None),
}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_every_answer_means_what_it_should(
    world: ContractWorld, tmp_path: Path, name: str
) -> None:
    spoil, expected, after = ANSWERS[name]
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    world.relay.spoil_write(0, spoil)
    with pytest.raises(expected) as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert "token-1" not in str(caught.value)
    if isinstance(caught.value, Retry):
        assert caught.value.after == after
        assert ("CREDENTIALS" in str(caught.value)) == (
            name in ("401", "403 of a token")
        )
    assert not world.is_closed(issue)
    said = world.comments(issue)
    assert len(said) == (expected is Reject)
    assert all("the tracker refused to close it" in text for text in said)
    assert not any(text.startswith("Closed") for text in said)
    work_off(world.settings, tmp_path, pushed)
    assert len(world.comments(issue)) == 1
    assert world.is_closed(issue)


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_comment_that_is_not_taken_keeps_no_issue_open(
    world: ContractWorld, tmp_path: Path, name: str
) -> None:
    spoil, expected, _ = ANSWERS[name]
    issue = world.new()
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    world.relay.spoil_write(1, spoil)
    with pytest.raises(expected):
        broker(world.settings, tmp_path).handle(pushed)
    assert world.is_closed(issue)
    assert not world.comments(issue)
    work_off(world.settings, tmp_path, pushed)
    assert [text.startswith("Closed by") for text in world.comments(issue)] == [True]


@pytest.mark.parametrize("status", [404, 410])
def test_an_issue_that_is_gone_is_said(
    world: ContractWorld, tmp_path: Path, status: int
) -> None:
    issue = world.new()
    world.relay.rule = lambda method, path: Spoil(
        "answer", status, (), '{"message": "gone"}'
    )
    note = broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert note == f"{issue} does not exist"


def test_a_server_that_hangs_costs_no_more_than_the_time_there_is(
    world: ContractWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.relay.rule = lambda method, path: Spoil("hang")
    made = broker(world.settings, tmp_path)
    made._deadline = time.monotonic() + 3
    with pytest.raises(Retry, match=r"no whole answer within|timed out"):
        made.handle(payload(commit(f"fixes {issue}", next(NUMBERS))))
    assert made.remaining() > -5


def test_projects_the_service_is_not_bound_to_are_left_alone(
    world: ContractWorld, tmp_path: Path
) -> None:
    world.new()
    pushed = payload(commit("fixes other/project#1, refs octo/hello#1", next(NUMBERS)))
    note = broker(world.settings, tmp_path).handle(pushed)
    assert "other/project#1 is not of a project this service is bound to" in note
    assert "commented on #1" in note
    assert not world.is_closed("#1")


BAD_NUMBERS = ("1abc", "0", "-1", "01", "1/../2", "", "\u0661", "12345678901")
BAD_PROJECTS = (
    "../..",
    "octo",
    "octo/hello/../x",
    "octo/he llo",
    "octo//hello",
    "/octo/hello",
    "octo/hello?x",
    "",
)


def test_bad_numbers_and_projects_never_become_an_address(
    world: ContractWorld, tmp_path: Path
) -> None:
    made = broker(world.settings, tmp_path)
    tracker = load(made.settings.tracker)(made)
    wrong = [Issue(REPOSITORY, number, "") for number in BAD_NUMBERS]
    for issue in (*wrong, *(Issue(project, "1", "") for project in BAD_PROJECTS)):
        with pytest.raises((NoSuchIssue, Reject)):
            tracker.is_closed(issue)
    assert not world.relay.seen


def test_github_says_why_it_was_closed(github: ContractWorld, tmp_path: Path) -> None:
    reasons = {
        "fixes": "completed",
        "wontfix": "not_planned",
        "invalidates": "not_planned",
    }
    for verb, reason in reasons.items():
        issue, _ = fixes(github, tmp_path, verb)
        assert github.kept(issue).times == [{"reason": reason, "time": 0}]


def test_github_leaves_pull_requests_alone_unless_told(
    github: ContractWorld, tmp_path: Path
) -> None:
    issue = github.new()
    github.kept(issue).history = ["pull"]
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    assert f"{issue} is a pull request" in broker(github.settings, tmp_path).handle(
        pushed
    )
    assert not github.comments(issue)
    assert "closed" in broker(
        github.settings | {"pull_requests": True}, tmp_path
    ).handle(pushed)


def test_github_finds_its_comment_on_a_later_page(
    github: ContractWorld, tmp_path: Path
) -> None:
    issue = github.new()
    pushed = payload(commit(f"refs {issue}", next(NUMBERS)))
    github.kept(issue).comments = [
        {"id": number, "body": None} for number in range(250)
    ]
    github.relay.spoil_write(0, Spoil("drop"))
    work_off(github.settings, tmp_path, pushed)
    assert sum(entry["body"] is not None for entry in github.kept(issue).comments) == 1


@pytest.mark.parametrize("spoilt", ["/close", "/spend 3h", "/assign @me"])
def test_gitlab_runs_no_quick_action_of_a_commit(
    gitlab: ContractWorld, tmp_path: Path, spoilt: str
) -> None:
    issue = gitlab.new()
    hostile = commit(
        f"refs {issue}\n\n{spoilt}\n{spoilt}", next(NUMBERS), author=f"Ann\n{spoilt}\n"
    )
    template = "${author}\n${message}\n${author}"
    for settings in (gitlab.settings, gitlab.settings | {"template": template}):
        broker(settings, tmp_path).handle(
            payload(hostile | {"change": template + str(settings)})
        )
    assert not gitlab.is_closed(issue)
    assert gitlab.seconds(issue) == 0
    assert len(gitlab.comments(issue)) == 2


def test_gitlab_202_is_no_comment(gitlab: ContractWorld, tmp_path: Path) -> None:
    issue = gitlab.new()
    gitlab.relay.spoil_write(0, Spoil("answer", 202, (), "{}"))
    with pytest.raises(Reject, match=r"GitLab answered 202 and made no note"):
        broker(gitlab.settings, tmp_path).handle(
            payload(commit(f"refs {issue}", next(NUMBERS)))
        )


def test_gitlab_and_gitea_act_for_the_author(
    world: ContractWorld, tmp_path: Path
) -> None:
    if isinstance(world, GitHubWorld):
        pytest.skip("GitHub has no such thing")
    issue, _ = fixes(world, tmp_path, authors={"Ann@Example.org": "ann"})
    assert world.kept(issue).comments[0]["sudo"] == "ann"


def test_gitea_only_ever_says_open_or_closed(
    gitea: ContractWorld, tmp_path: Path
) -> None:
    """Older servers take every other word for open, and so reopen."""
    issue, _ = fixes(gitea, tmp_path, "wontfix")
    assert gitea.is_closed(issue)
    assert "there is no resolution wontfix here" in gitea.comments(issue)[0]


def test_gitea_that_waits_for_other_issues_is_rejected(
    gitea: ContractWorld, tmp_path: Path
) -> None:
    issue = gitea.new()
    gitea.kept(issue).history = ["depends"]
    with pytest.raises(Reject, match=r"it depends on open issues"):
        broker(gitea.settings, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )
    assert len(gitea.comments(issue)) == 1


def test_check_says_what_it_did_not_prove(world: ContractWorld, tmp_path: Path) -> None:
    checks = broker(world.settings | {"project": ""}, tmp_path).check()
    assert all(check.ok for check in checks)
    assert "set `project` to have its permissions proven" in checks[-1].what


def test_check_names_the_permission_that_is_missing(
    github: ContractWorld, tmp_path: Path
) -> None:
    github.relay.rule = lambda method, path: (
        Spoil("answer", 200, (), '{"has_issues": true, "permissions": {"pull": true}}')
        if "/repos/" in path
        else None
    )
    checks = broker(github.settings, tmp_path).check()
    assert [check.ok for check in checks] == [True, False]
    assert checks[-1].mend == "give the token Issues: read and write on this repository"
