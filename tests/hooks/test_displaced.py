"""Somebody who is no tool we know writes over our hooks, or removes them: `status` says
so, and nothing of what was there before oberonc is lost.
"""

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.repo import Repo

OWN = "#!/bin/sh\necho own\n"


@pytest.fixture
def hook(repo: Repo, oberonc: Command) -> Path:
    """The post-commit of a repository that had one of its own before ours."""
    file = repo.path / ".git" / "hooks" / "post-commit"
    file.parent.mkdir(exist_ok=True)
    _write(file, OWN)
    oberonc("hook", "install", repo.path)
    return file


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _state(oberonc: Command, repo: Repo, code: int = 0) -> str:
    rows = oberonc("hook", "status", "--json", repo.path, code=code).json
    return next(str(row["state"]) for row in rows if row["hook"] == "post-commit")


def _commit(repo: Repo, message: str) -> str:
    return repo.sh(f"git commit -q --allow-empty -m '{message}'")


def test_a_hook_that_was_written_anew_over_ours_is_kept_again_as_git_lfs_does_it(
    hook: Path, repo: Repo, oberonc: Command, patient: None
) -> None:
    oberonc("issues", "new", "one", cwd=repo.path)
    _write(hook, OWN)
    assert "another hook took its place" in _state(oberonc, repo, 1)
    oberonc("hook", "install", repo.path)
    assert _state(oberonc, repo) == "installed"
    said = _commit(repo, "fixes #1")
    assert "own" in said
    assert "closed #1" in said
    _write(hook, OWN)
    assert "oberonc/post-commit" in oberonc("hook", "uninstall", repo.path).out
    assert not (hook.parent / "oberonc").exists()
    assert _commit(repo, "x") == "own\n"


def test_where_ours_was_removed_uninstall_puts_back_what_was_there_before(
    hook: Path, repo: Repo, oberonc: Command
) -> None:
    hook.unlink()
    assert "it is missing" in _state(oberonc, repo, 1)
    said = oberonc("hook", "uninstall", repo.path).out
    assert f"put back {hook}, which was there before" in said
    assert not (hook.parent / "oberonc").exists()
    assert _commit(repo, "x") == "own\n"


def test_where_a_third_hook_stands_in_the_way_both_are_left_and_named(
    hook: Path, repo: Repo, oberonc: Command
) -> None:
    _write(hook, "#!/bin/sh\necho third\n")
    kept = hook.parent / "oberonc" / "post-commit"
    assert f"{kept} is in the way" in oberonc("hook", "install", repo.path, code=77).err
    assert f"left {kept}" in oberonc("hook", "uninstall", repo.path).out
    assert (kept.read_text(), _commit(repo, "x")) == (OWN, "third\n")
