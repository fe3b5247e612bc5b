"""What the README shows is what happens: its dialogues, typed word for word."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.blocks import blocks
from tests.support.repo import Repo
from tests.support.trackers.forges import GitHubWorld, running
from tests.support.transcript import steps

README = "../README.md"
pytestmark = pytest.mark.usefixtures("patient")
#: Sections whose dialogue needs nothing but oberonc and git.
PLAIN = ("For a developer", "What you can write")


@pytest.fixture
def github() -> Iterator[GitHubWorld]:
    yield from running(GitHubWorld)


def _typed(section: str, folder: Path, instead: dict[str, str]) -> None:
    """Type what *section* shows, from *folder* on; *instead* has lines for those that
    would lead to the real GitHub.
    """
    [text] = [b.text for b in blocks(README, section) if b.kind == "console"]
    for step in steps(text):
        if step.line.startswith("cd "):
            folder = folder / shlex.split(step.line)[1]
            continue
        step.check(Repo(folder).sh(instead.get(step.line, step.line)))


def test_every_dialogue_is_typed_here() -> None:
    shown = {block.section for block in blocks(README) if block.kind == "console"}
    assert shown == {*PLAIN, "A tracker of your own"}


@pytest.mark.parametrize("section", PLAIN)
def test_a_dialogue_is_what_happens(
    section: str, tmp_path: Path, command_on_path: None
) -> None:
    _typed(section, tmp_path, {})


def test_an_issue_on_github_is_closed_by_a_push_from_a_clone(
    github: GitHubWorld,
    bare: Repo,
    repo: Repo,
    tmp_path: Path,
    command_on_path: None,
) -> None:
    """The server keeps to GitHub's contract; `gh` says its token."""
    github.new()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(f"#!/bin/sh\necho {github.settings['token']}\n")
    gh.chmod(0o755)
    address = "git@github.com:octo/hello.git"
    repo.git("config", "--global", f"url.{bare.path}.insteadOf", address)
    repo.commit("first")
    repo.git("remote", "add", "origin", address)
    repo.git("push", "-q", "--set-upstream", "origin", "main")
    repo.path.rename(tmp_path / "hello")
    line = "oberonc init --tracker github"
    here = {line: f"{line} --url {github.settings['url']}"}
    _typed("A tracker of your own", tmp_path, here)
    assert github.is_closed("#1")
    assert len(github.comments("#1")) == 1
