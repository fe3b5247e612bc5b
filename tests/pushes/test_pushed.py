"""Trackers that others see hear of a commit when it is pushed from the clone; the
embedded one when it is made.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.testing.world import REPOSITORY
from tests.support.admin import PATIENT, Admin
from tests.support.command import Command
from tests.support.repo import REFTABLE, Repo
from tests.support.trackers.forges import ContractWorld, GitHubWorld, running

ADDRESS = f"https://forge.example/{REPOSITORY}.git"


@pytest.fixture
def github() -> Iterator[ContractWorld]:
    yield from running(GitHubWorld)


@pytest.fixture(params=[[], [REFTABLE]], ids=["files", "reftable"])
def clone(
    bare: Repo,
    tmp_path: Path,
    github: ContractWorld,
    admin: Admin,
    request: pytest.FixtureRequest,
) -> Repo:
    """A clone of what GitHub is said to serve, and a service for its issues; git keeps
    refs and reflogs in either way.
    """
    if request.param:
        bare.needs_reftable()
    seed = bare.clone(tmp_path / "seed")
    seed.commit("the beginning")
    seed.push("main")
    made = bare.clone(tmp_path / "work", *request.param)
    made.git("remote", "set-url", "origin", ADDRESS)
    made.git("config", f"url.{bare.path}.insteadOf", ADDRESS)
    settings = {key: value for key, value in github.settings.items() if key != "token"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (tmp_path / "token").write_text("token-1")
    (tmp_path / "token").chmod(0o600)
    admin.configure(
        PATIENT
        + "\n".join(
            [
                "[services.github]",
                'broker = "issues"',
                *lines,
                f'token = "file:{tmp_path}/token"',
                "[services.own]",
                'broker = "issues"',
            ]
        )
    )
    return made


def test_a_push_from_a_clone_closes_the_issue_and_the_commit_alone_does_not(
    clone: Repo, github: ContractWorld, oberonc: Command
) -> None:
    said = oberonc("hook", "install", clone.path)
    assert f"github acts on {REPOSITORY} when a commit is pushed to origin" in said.err
    issue = github.new()
    oberonc("issues", "new", "one", cwd=clone.path)
    said_then = clone.sh(f"git commit -q --allow-empty -m 'fixes {issue}'")
    assert said_then.startswith("oberonc: own: closed #1"), said_then
    assert "github" not in said_then
    assert not github.is_closed(issue)
    assert f"github: closed {issue}" in clone.push("main")
    assert github.is_closed(issue)
    assert "oberonc" not in clone.push("main")
    assert len(github.comments(issue)) == 1


def test_what_others_pushed_a_refused_push_and_another_branch_close_nothing(
    clone: Repo, bare: Repo, github: ContractWorld, oberonc: Command, tmp_path: Path
) -> None:
    oberonc("hook", "install", clone.path)
    issue = github.new()
    seed = Repo(tmp_path / "seed")
    seed.commit(f"fixes {issue}")
    seed.push("main")
    clone.git("commit", "-q", "--allow-empty", "-m", f"fixes {issue}")
    assert "oberonc" not in clone.push("main", code=1)  # it is behind
    assert "github: closed" not in clone.sh("git fetch -q; git rebase -q origin/main")
    assert not github.is_closed(issue)
    clone.sh("git checkout -q -b topic; git commit -q --allow-empty -m more")
    clone.push("topic")
    assert not github.is_closed(issue)
    assert f"closed {issue}" in clone.sh(
        "git checkout -q main; git merge -q topic; git push origin main"
    )


def test_a_variable_passes_over_one_push(
    clone: Repo, github: ContractWorld, oberonc: Command
) -> None:
    oberonc("hook", "install", clone.path)
    issue = github.new()
    clone.sh(f"git commit -q --allow-empty -m 'fixes {issue}'")
    assert "oberonc" not in clone.sh("OBERONC=0 git push origin main")
    assert not github.is_closed(issue)


def test_a_push_after_its_reflog_was_shortened_brings_what_is_new(
    clone: Repo, github: ContractWorld, oberonc: Command
) -> None:
    oberonc("hook", "install", clone.path)
    first, second = github.new(), github.new()
    clone.sh(f"git commit -q --allow-empty -m 'fixes {first}'")
    clone.sh("OBERONC=0 git push origin main; git reflog expire --expire=now --all")
    clone.sh(f"git commit -q --allow-empty -m 'fixes {second}'")
    assert f"github: closed {second}" in clone.push("main")
    assert not github.is_closed(first)


def test_the_name_is_that_of_origin_and_stays_when_the_folder_is_renamed(
    clone: Repo, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    def name(repo: Path) -> str:
        return str(
            oberonc("send", "--dry-run", "--json", "--message", "x", cwd=repo).json[
                "payload"
            ]["repository"]["full_name"]
        )

    clone.git("config", "url.https://github.com/octo/.insteadOf", "of-octo:")
    for address, expected in {
        ADDRESS: REPOSITORY,
        "git@github.com:octo/hello.git": "octo/hello",
        "ssh://git@forge.example:22/group/sub/hello": "group/sub/hello",
        "git@[::1]:octo/hello.git": "octo/hello",
        "of-octo:hello": "octo/hello",
        "/srv/git/shop.git": "shop",
        "../app/.git": "app",
    }.items():
        clone.git("remote", "set-url", "origin", address)
        assert name(clone.path) == expected
    clone.git("remote", "remove", "origin")
    assert name(clone.path) == "work"
    oberonc("hook", "install", clone.path)
    moved = clone.path.rename(tmp_path / "elsewhere")
    assert name(moved) == "work"
    oberonc("hook", "uninstall", moved)
    assert name(moved) == "elsewhere"


def test_what_is_pushed_is_told_under_the_name_that_the_remote_has_by_then(
    clone: Repo, github: ContractWorld, oberonc: Command
) -> None:
    clone.git("remote", "set-url", "origin", "git@github.com:template/hello.git")
    oberonc("hook", "install", clone.path)  # it remembers that name
    clone.git("remote", "set-url", "origin", ADDRESS)
    said = oberonc("hook", "install", clone.path).err
    assert f"github acts on {REPOSITORY} when" in said
    issue = github.new()
    clone.sh(f"git commit -q --allow-empty -m 'fixes {issue}'")
    assert f"github: closed {issue}" in clone.push("main")


def test_two_clones_of_one_project_may_have_one_name(
    clone: Repo, oberonc: Command, tmp_path: Path
) -> None:
    oberonc("hook", "install", clone.path)
    twin = Repo.init(tmp_path / "twin")
    twin.git("remote", "add", "origin", ADDRESS)
    assert "is called" not in oberonc("hook", "install", twin.path).err
    seed = twin.clone(tmp_path / "of" / "twin")
    twin.git("config", "oberonc.name", "twin")
    oberonc("hook", "install", twin.path)
    assert "is called" not in oberonc("hook", "install", seed.path).err
    other = Repo.init(tmp_path / "other")
    other.git("remote", "add", "origin", ADDRESS.replace("forge", "another"))
    said = oberonc("hook", "install", other.path).err
    assert f"is called {REPOSITORY} too" in said


def test_hooks_of_before_the_service_are_said_to_be_incomplete(
    repo: Repo, admin: Admin, oberonc: Command
) -> None:
    oberonc("hook", "install", repo.path)
    hooks = repo.path / ".git" / "hooks"
    assert not (hooks / "reference-transaction").exists()
    admin.configure('[services.a]\nbroker = "issues"\ntracker = "github"\n')
    said = oberonc("hook", "status", repo.path, code=1).out
    assert "reference-transaction: broken: not installed" in said
    oberonc("hook", "install", repo.path)
    [line] = oberonc("hook", "status", repo.path).out.splitlines()
    names, _, state = line.partition(": ")
    assert len(names.split(", ")) == 6
    assert state == f"installed ({hooks})"


def test_a_hook_that_refuses_a_ref_still_does(clone: Repo, oberonc: Command) -> None:
    own = clone.path / ".git" / "hooks" / "reference-transaction"
    own.write_text('#!/bin/sh\n! [ "$1" = prepared ] || ! grep -q refs/heads/no\n')
    own.chmod(0o755)
    oberonc("hook", "install", clone.path)
    clone.sh("git branch yes")
    clone.sh("git branch no", code=128)
    assert shlex.split(clone.git("branch", "--format=%(refname:short)")) == [
        "main",
        "yes",
    ]
