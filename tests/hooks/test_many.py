"""Many repositories at once, and folders of hooks that serve many."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from oberonc.admin.install import places
from oberonc.admin.install.script import read_ours
from tests.support.command import Command
from tests.support.repo import Repo


def _states(oberonc: Command, *args: str | Path, code: int = 0) -> dict[str, str]:
    return {
        row["file"]: row["state"]
        for row in oberonc("hook", "status", "--json", *args, code=code).json
    }


def test_all_repositories_below_a_folder_bare_and_not_are_found(
    oberonc: Command, tmp_path: Path
) -> None:
    top = tmp_path / "srv"
    bare = Repo.init(top / "team" / "shop.git", bare=True)
    work = Repo.init(top / "app")
    Repo.init(work.path / "vendor" / "inner")
    outside = Repo.init(tmp_path / "outside.git", bare=True)
    (top / "link").symlink_to(outside.path)
    assert (
        oberonc("hook", "install", "--all", top, "--dry-run").out.count("would write")
        == 6
    )
    assert oberonc("hook", "install", "--all", top).out.count("installed") == 6
    assert set(_states(oberonc, "--all", top).values()) == {"installed"}
    assert read_ours(bare.path / "hooks" / "post-receive")
    assert not read_ours(outside.path / "hooks" / "post-receive")
    assert not read_ours(
        work.path / "vendor" / "inner" / ".git" / "hooks" / "post-commit"
    )
    assert oberonc("hook", "uninstall", "--all", top).out.count("removed") == 6


def test_a_bad_one_among_many_is_told_and_summed_up_and_the_others_are_done(
    oberonc: Command, tmp_path: Path
) -> None:
    for name in ("a.git", "b.git", "c.git"):
        Repo.init(tmp_path / name, bare=True)
    (tmp_path / "b.git" / "config").write_text("[core\nbare = = true\n")
    said = oberonc("hook", "install", "--all", tmp_path, code=1)
    assert said.out.count("installed") == 2
    assert "b.git cannot be read" in said.err
    assert said.err.endswith("oberonc: 1 of 3 failed\n")
    assert len(oberonc("hook", "status", "--json", "--all", tmp_path, code=1).json) == 2


def test_a_folder_without_repositories_is_said(
    oberonc: Command, tmp_path: Path
) -> None:
    (tmp_path / "srv").mkdir()
    assert (
        oberonc("hook", "install", "--all", tmp_path / "srv").err
        == "no repository was found\n"
    )
    assert (
        "cannot look into"
        in oberonc("hook", "install", "--all", tmp_path / "none", code=65).err
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of hooks that git may be told to use, also for all of the machine."""
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "gitconfig"))
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM")
    made = tmp_path / "githooks"
    made.mkdir()
    return made


@pytest.mark.parametrize("scope", ["system", "global", "local"])
def test_the_folder_of_core_hookspath_is_installed_into_and_serves(
    bare: Repo, open_oberonc: Command, folder: Path, scope: str
) -> None:
    bare.git("config", f"--{scope}", "core.hooksPath", str(folder))
    told = open_oberonc("hook", "install", bare.path, code=77).err
    assert f"oberonc hook install {folder}" in told
    open_oberonc("hook", "install", folder)
    written = {path.name for path in folder.iterdir()}
    alone = {"post-receive"}
    local = {"post-commit", "post-merge", "post-rewrite", "post-applypatch"}
    assert written == (alone | local if scope == "global" else alone)
    states = {
        str(folder / "post-receive"): "installed, for all that this folder serves"
    }
    assert _states(open_oberonc, bare.path) == states
    assert "is served by" in open_oberonc("hook", "install", bare.path).out
    assert "left" in open_oberonc("hook", "uninstall", bare.path).out
    assert set(_states(open_oberonc, folder).values()) == {"installed"}
    open_oberonc("hook", "uninstall", folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("scope", ["system", "global"])
def test_uninstalling_from_a_clone_takes_nothing_from_a_folder_that_serves_others(
    repo: Repo, open_oberonc: Command, folder: Path, scope: str
) -> None:
    repo.git("config", f"--{scope}", "core.hooksPath", str(folder))
    open_oberonc("hook", "install", folder)
    written = {path.name for path in folder.iterdir()}
    if scope == "global":
        assert "is served by" in open_oberonc("hook", "install", repo.path).out
    said = open_oberonc("hook", "uninstall", repo.path).out
    assert f"oberonc hook uninstall {folder}" in said
    assert {path.name for path in folder.iterdir()} == written


def test_a_hook_that_git_never_runs_for_core_hookspath_is_broken(
    bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    oberonc("hook", "install", bare.path)
    bare.git("config", "core.hooksPath", str(tmp_path / "githooks"))
    [state] = _states(oberonc, bare.path, code=1).values()
    assert f"git never runs {bare.path}/hooks/post-receive" in state


@pytest.mark.parametrize("named", [True, False])
def test_new_repositories_have_the_hook_of_their_template(
    open_oberonc: Command, tmp_path: Path, home: Path, named: bool
) -> None:
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    (template / "description").write_text("")
    if named:
        subprocess.run(
            ["git", "config", "--global", "init.templateDir", str(template)], check=True
        )
    open_oberonc("hook", "install", template)
    made = tmp_path / "new.git"
    subprocess.run(
        ["git", "init", "-q", "--bare", f"--template={template}", str(made)], check=True
    )
    assert _states(open_oberonc, made) == {
        str(made / "hooks" / "post-receive"): "installed"
    }
    assert (template / "hooks" / "post-commit").exists() == named


def test_gitlabs_folder_for_all_repositories_serves_them(
    bare: Repo, open_oberonc: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "custom"
    (folder / "post-receive.d").mkdir(parents=True)
    open_oberonc("hook", "install", folder)
    (tmp_path / "gitaly.toml").write_text(f'[hooks]\ncustom_hooks_dir = "{folder}"\n')
    monkeypatch.setattr(places, "GITALY", (tmp_path / "none", tmp_path / "gitaly.toml"))
    bare.git("config", "gitlab.fullpath", "group/shop")
    found = places.layout(bare.path)
    assert found.served
    assert [target.file for target in found.targets] == [
        folder / "post-receive.d" / "oberonc"
    ]


@pytest.mark.parametrize("kind", ["common", "chosen", "chosen, with the common one"])
def test_a_repository_that_gitolite_serves_is_ok(
    bare: Repo, oberonc: Command, tmp_path: Path, kind: str
) -> None:
    common, chosen = (
        tmp_path / ".gitolite/hooks/common",
        tmp_path / "local/hooks/repo-specific",
    )
    for folder in (common, chosen):
        folder.mkdir(parents=True)
    (common / "update").write_text("#!/bin/sh\n")
    (tmp_path / "local/hooks/multi-hook-driver").write_text("#!/bin/sh\n")
    oberonc("hook", "install", common if kind == "common" else chosen)
    hooks = bare.path / "hooks"
    # As gitolite 3.6 makes them.
    (hooks / "update").symlink_to(common / "update")
    driver = (
        common / "post-receive"
        if "common" in kind
        else tmp_path / "local/hooks/multi-hook-driver"
    )
    (hooks / "post-receive").symlink_to(driver)
    if kind != "common":
        (hooks / "post-receive.h00-oberonc").symlink_to(chosen / "oberonc")
    real = common / "post-receive" if kind == "common" else chosen / "oberonc"
    assert _states(oberonc, bare.path) == {
        str(real): "installed, for all that this folder serves"
    }
    shutil.rmtree(real.parent)
    assert "not installed: gitolite owns" in next(
        iter(_states(oberonc, bare.path).values())
    )


def test_a_hooks_folder_that_is_tracked_is_refused_with_the_way_that_works(
    repo: Repo, oberonc: Command
) -> None:
    repo.commit("base", ".githooks/pre-commit", "#!/bin/sh\n")
    repo.git("config", "core.hooksPath", ".githooks")
    said = oberonc("hook", "install", repo.path, code=77).err
    assert "would carry this machine's paths to everybody" in said
    assert os.listdir(repo.path / ".githooks") == ["pre-commit"]
    repo.sh(said.partition("or run: ")[2])
    oberonc("hook", "install", repo.path)
    assert read_ours(repo.path / ".git" / "hooks" / "post-commit")


def test_overcommits_links_are_known_and_its_configuration_is_named(
    repo: Repo, oberonc: Command
) -> None:
    hooks = repo.path / ".git" / "hooks"
    (hooks / "overcommit-hook").write_text("#!/usr/bin/env ruby\n")
    for name in ("post-commit", "post-merge", "post-rewrite"):
        (hooks / name).symlink_to("overcommit-hook")
    said = oberonc("hook", "install", repo.path, code=77)
    assert f"add to {repo.path}/.overcommit.yml:" in said.out
    assert "PostCommit:\n  Oberonc:\n" in said.out
    assert (hooks / "post-commit").is_symlink()
    (repo.path / ".overcommit.yml").write_text(said.out)
    states = _states(oberonc, repo.path)
    assert states[str(hooks / "post-merge")].startswith("run by overcommit")
    assert states[str(hooks / "post-applypatch")] == "installed"
