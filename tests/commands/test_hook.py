"""`oberonc hook run`, which the installed hooks fall back to: never a failed push, one
line at most.
"""

from pathlib import Path

import pytest

from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.repo import Repo


@pytest.mark.parametrize("fault", ["configuration", "state", "secret", "broker"])
def test_whatever_is_wrong_a_push_goes_through_and_one_line_says_so(
    admin: Admin, bare: Repo, oberonc: Command, tmp_path: Path, fault: str
) -> None:
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    oid = work.commit("fixes #1")
    admin.configure(
        {
            "configuration": "delivry = 'here'",
            "state": "state = '/proc/oberonc'",
            "secret": "[services.a]\nbroker = 'issues'\ntoken = 'file:/none'",
            "broker": "[services.a]\nbroker = 'none'",
        }[fault]
    )
    said = work.push("main")
    ours = [line for line in said.splitlines() if line.startswith("remote: oberonc: ")]
    assert len(ours) == 1, said
    assert "Traceback" not in said
    assert bare.git("rev-parse", "main") == oid


def test_run_does_what_the_installed_line_does(
    bare: Repo, oberonc: Command, tmp_path: Path, patient: None
) -> None:
    work = bare.clone(tmp_path / "work")
    oid = work.commit("fixes #1")
    work.push("main")
    oberonc("issues", "new", "one", "--repository", "shop")
    done = oberonc(
        "hook",
        "run",
        "post-receive",
        stdin=f"{'0' * 40} {oid} refs/heads/main\n",
        cwd=bare.path,
    )
    assert done.out == ""
    assert "closed #1" in done.err


def test_a_hook_nobody_knows_or_outside_a_repository_is_exit_0(
    oberonc: Command, repo: Repo, tmp_path: Path
) -> None:
    for name, folder in (("no-such-hook", repo.path), ("post-receive", tmp_path)):
        assert oberonc("hook", "run", name, cwd=folder).err.count("\n") <= 1


def test_status_tells_kind_and_file(bare: Repo, oberonc: Command) -> None:
    [row] = oberonc("hook", "status", "--json", bare.path).json
    assert row == {
        "repository": str(bare.path),
        "kind": "git",
        "hook": "post-receive",
        "file": str(bare.path / "hooks" / "post-receive"),
        "ok": True,
        "state": "not installed",
    }
