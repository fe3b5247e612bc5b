"""Which projects' issues a service acts on, where a number says nothing of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from oberonc import Retry
from oberonc.issues.settings import bound_to
from oberonc.testing.relay import Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import IssueBroker, broker, commit, payload
from tests.support.trackers.azure import AzureWorld
from tests.support.trackers.forges import GiteaWorld, GitLabWorld, running
from tests.support.trackers.jira import DataCenterWorld, JiraWorld
from tests.support.trackers.mantisbt import MantisBTWorld
from tests.support.trackers.others import (
    BugzillaWorld,
    LinearWorld,
    XmlRpcWorld,
    YouTrackWorld,
)

SITE = {"url": "https://x.example.org", "token": "x"}


def made(tmp_path: Path, **settings: Any) -> IssueBroker:
    return broker(SITE | settings, tmp_path)


def test_without_a_project_every_one_is_acted_on(tmp_path: Path) -> None:
    assert bound_to(made(tmp_path, tracker="redmine").settings) == ()


def test_a_forge_is_bound_by_the_name_in_the_reference_alone(tmp_path: Path) -> None:
    settings = made(tmp_path, tracker="gitea", project="octo/hello").settings
    assert bound_to(settings) == ()


@pytest.mark.parametrize("tracker", ["redmine", "gitea"])
@pytest.mark.parametrize(
    ("projects", "written", "bound"),
    [
        ([], "octo/other#4", False),
        (["octo/other"], "OCTO/other#4", True),
        (["octo/*"], "octo/other#4", True),
        (["octo/*"], "else/other#4", False),
        (["**"], "else/other#4", True),
        (["**", "!else/*"], "else/other#4", False),
    ],
)
def test_projects_are_added_by_name_and_by_pattern(
    tmp_path: Path, tracker: str, projects: list[str], written: str, bound: bool
) -> None:
    plan = made(tmp_path, tracker=tracker, projects=projects).plan(
        payload(commit(f"refs {written}"))
    )
    assert ("not of a project" not in plan[0]) == bound, plan


@pytest.mark.parametrize(
    ("kind", "project", "inside", "outside"),
    [
        (BugzillaWorld, "hello", "Hello", "Hello World"),
        (AzureWorld, "web site", "Web Site", "Web"),
        (MantisBTWorld, "hello", "Hello", "Hello World"),
        (BugzillaWorld, "Unclassified", "Hello World", ""),
        (XmlRpcWorld, "web", "web/api", "website"),
        (XmlRpcWorld, "web/api", "web/api", "web"),
    ],
)
def test_an_issue_of_another_project_is_left_alone_and_said(
    tmp_path: Path, kind: Any, project: str, inside: str, outside: str
) -> None:
    for world in running(kind):
        ours, other = world.new(), world.new()
        world.kept(ours).home, world.kept(other).home = inside, outside or "Else"
        settings = world.settings | {"project": project}
        pushed = payload(commit(f"fixes {ours}, {other}", next(NUMBERS)))
        note = broker(settings, tmp_path).handle(pushed)
        assert f"closed {ours}" in note
        if outside:
            left = f"{other} is of {outside}, which this service is not bound to"
            assert f"{left}: add it to `projects`" in note
        assert world.is_closed(other) == (not outside)
        assert bool(world.comments(other)) == (not outside)
        opened = broker(settings | {"projects": ["**"]}, tmp_path)
        opened.handle(pushed)
        assert world.is_closed(other)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (JiraWorld, {"key": "OTHER-7", "fields": {"status": {}}}),
        (DataCenterWorld, {"key": "OTHER-7", "fields": {"status": {}}}),
        (YouTrackWorld, {"idReadable": "OTHER-7", "resolved": None}),
        (
            LinearWorld,
            {"data": {"issue": {"id": "9", "identifier": "OTHER-7", "state": {}}}},
        ),
    ],
)
def test_an_issue_that_was_moved_to_another_project_is_left_alone(
    tmp_path: Path, kind: Any, answer: dict[str, Any]
) -> None:
    """Trackers go on answering to the old key."""
    for world in running(kind, check=False):
        issue = world.new()
        moved = Spoil("answer", 200, (), json.dumps(answer))
        world.relay.rule = lambda method, path, moved=moved: moved
        pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
        note = broker(world.settings, tmp_path).handle(pushed)
        assert f"{issue} was moved to OTHER-7, of a project this service is not" in note
        assert not world.comments(issue)


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (Spoil("answer", 403, (), '{"message": "403 Forbidden"}'), "another project"),
        (Spoil("answer", 200, (), '{"references": {"full": "a/b#7"}}'), "a/b#7"),
    ],
    ids=["a bot", "an administrator"],
)
def test_an_issue_that_gitlab_moved_is_left_alone_and_the_others_are_done(
    tmp_path: Path, answer: Spoil, place: str
) -> None:
    for gitlab in running(GitLabWorld, check=False):
        moved, here = gitlab.new(), gitlab.new()
        told = json.dumps({"iid": 1, "state": "closed", "moved_to_id": 913})
        rules = {
            f"/issues/{moved[1:]}": Spoil("answer", 200, (), told),
            "/api/v4/issues/913": answer,
        }
        gitlab.relay.rule = lambda method, path, rules=rules: next(  # type: ignore[misc]
            (rules[end] for end in rules if path.endswith(end)), None
        )
        pushed = payload(commit(f"fixes {moved}, {here}", next(NUMBERS)))
        note = broker(gitlab.settings, tmp_path).handle(pushed)
        assert note == f"closed {here}; {moved} was moved to {place}"
        assert not gitlab.comments(moved)


def test_a_repository_that_has_a_new_name_on_gitea_is_told_with_it(
    tmp_path: Path,
) -> None:
    for gitea in running(GiteaWorld, check=False):
        issue = gitea.new()
        where = (("Location", "/api/v1/repos/octo/renamed/issues/1"),)
        gitea.relay.rule = lambda method, path, where=where: Spoil(  # type: ignore[misc]
            "answer", 307, where
        )
        pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
        told = (
            r"moved to /api/v1/repos/octo/renamed/issues/1: check `url` and `project`"
        )
        with pytest.raises(Retry, match=told):
            broker(gitea.settings, tmp_path).handle(pushed)
