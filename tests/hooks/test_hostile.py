"""A repository whose owner is hostile gains nothing from whoever installs hooks into it
or looks at them.
"""

import os
import stat
from pathlib import Path

import pytest

from oberonc import files
from oberonc.admin.install import hook_files, places
from oberonc.admin.install.script import read_ours, script
from oberonc.errors import NotAllowed
from tests.support.command import Command
from tests.support.repo import Repo


@pytest.fixture
def victim(tmp_path: Path) -> Repo:
    """A repository of somebody else's, for which nobody asked."""
    made = Repo.init(tmp_path / "victim.git", bare=True)
    for sample in (made.path / "hooks").iterdir():
        sample.unlink()
    return made


def _hooks(victim: Repo) -> list[str]:
    return os.listdir(victim.path / "hooks")


@pytest.mark.parametrize("place", ["python", "root", "flags", "a line more", "quotes"])
def test_nothing_that_a_hook_file_names_is_run(
    bare: Repo, oberonc: Command, tmp_path: Path, place: str
) -> None:
    oberonc("hook", "install", bare.path)
    trap = tmp_path / "trap"
    (trap / "oberonc").mkdir(parents=True)
    for file in (
        trap / "run",
        trap / "oberonc" / "__init__.py",
        trap / "oberonc" / "hook.py",
    ):
        file.write_text(
            f"#!/bin/sh\n''':'\ntouch {tmp_path}/sprung\nexit\n'''\nopen('{tmp_path}/sprung', 'w')\n"
        )
        file.chmod(0o755)
    swaps = {
        "python": f"python={trap}/run",
        "root": f"root={trap}",
        "flags": f'flags=\'-c open("{tmp_path}/sprung","w")\'',
        "a line more": f"flags=-I; touch {tmp_path}/sprung",
        "quotes": f'python="$(touch {tmp_path}/sprung)"',
    }
    name = swaps[place].partition("=")[0]
    hook = bare.path / "hooks" / "post-receive"
    lines = [
        swaps[place] if line.startswith(f"{name}=") else line
        for line in hook.read_text().splitlines()
    ]
    hook.write_text("\n".join(lines) + "\n")
    oberonc("hook", "status", bare.path, code=0 if place in ("python", "root") else 1)
    oberonc("doctor", cwd=bare.path, code=0 if place in ("python", "root") else 1)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["file", "link", "commondir", "linked work tree"])
def test_a_git_file_that_leads_to_another_repository_is_not_followed(
    repo: Repo, victim: Repo, oberonc: Command, kind: str
) -> None:
    git = repo.path / ".git"
    if kind == "commondir":
        (git / "commondir").write_text(f"{victim.path}\n")
    else:
        git.rename(repo.path / "old")
    if kind == "file":
        git.write_text(f"gitdir: {victim.path}\n")
    elif kind == "link":
        git.symlink_to(victim.path)
    elif kind == "linked work tree":
        # It leads back, but to a repository that knows nothing of it.
        made = repo.path / "worktrees" / "one"
        made.mkdir(parents=True)
        (made / "HEAD").write_text("ref: refs/heads/main\n")
        (made / "gitdir").write_text(f"{git}\n")
        (made / "commondir").write_text(f"{victim.path}\n")
        git.write_text(f"gitdir: {made}\n")
    said = oberonc("hook", "install", repo.path, code=77).err
    assert "nothing was done" in said
    assert _hooks(victim) == []


@pytest.mark.parametrize("worktree", ["/", ".."])
def test_the_configuration_of_a_repository_does_not_widen_the_place(
    bare: Repo, victim: Repo, oberonc: Command, worktree: str
) -> None:
    bare.git("config", "core.bare", "false")
    for key, value in (
        ("core.worktree", worktree),
        ("core.hooksPath", str(victim.path / "hooks")),
    ):
        bare.git("--git-dir", str(bare.path), "config", key, value)
    assert (
        "outside the repository" in oberonc("hook", "install", bare.path, code=77).err
    )
    assert _hooks(victim) == []


@pytest.mark.parametrize("level", ["hooks", "repository", "above"])
def test_a_folder_that_is_swapped_for_a_link_after_it_was_looked_at_is_not_written_through(
    tmp_path: Path, victim: Repo, level: str
) -> None:
    mine = Repo.init(tmp_path / "mine" / "shop.git", bare=True)
    [target] = places.layout(mine.path).targets
    swapped = {
        "hooks": mine.path / "hooks",
        "repository": mine.path,
        "above": mine.path.parent,
    }[level]
    swapped.rename(tmp_path / "aside")
    (tmp_path / "as" / "shop.git").parent.mkdir()
    (tmp_path / "as" / "shop.git").symlink_to(victim.path)
    swapped.symlink_to(
        {
            "hooks": victim.path / "hooks",
            "repository": victim.path,
            "above": tmp_path / "as",
        }[level]
    )
    for act in (
        hook_files.install,
        lambda t: hook_files.uninstall(t._replace(there="ours")),
    ):
        with pytest.raises(NotAllowed):
            act(target)
    assert _hooks(victim) == []


def test_links_planted_under_every_name_we_use_are_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(os, "urandom", lambda count: b"\0" * count)
    (folder / f".oberonc-{'00' * 8}").symlink_to(precious)
    with files.folder(folder) as handle, pytest.raises(FileExistsError):
        files.put(handle, "post-receive", b"ours", 0o755)
    monkeypatch.undo()
    (folder / "post-receive").symlink_to(precious)
    with files.folder(folder) as handle:
        files.put(handle, "post-receive", b"ours", 0o755)
    assert (folder / "post-receive").read_bytes() == b"ours"
    assert precious.read_text() == "mine"


def test_a_folder_that_somebody_makes_at_the_same_moment_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def after_somebody(path: str, mode: int, *, dir_fd: int) -> None:
        mkdir(path, mode, dir_fd=dir_fd)
        mkdir(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", after_somebody)
    with files.folder(tmp_path / "one" / "two", make=True) as handle:
        files.put(handle, "file", b"ours", 0o644)
    assert (tmp_path / "one" / "two" / "file").read_bytes() == b"ours"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_the_same_whatever_the_umask(bare: Repo, umask: int) -> None:
    for sample in (bare.path / "hooks").iterdir():
        sample.unlink()
    (bare.path / "hooks").rmdir()
    os.umask(umask)
    [target] = places.layout(bare.path).targets
    hook_files.install(target)
    hook = bare.path / "hooks" / "post-receive"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (hook, hook.parent)] == [
        0o755,
        0o755,
    ]


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "endless"])
def test_what_is_no_plain_file_is_another_hook(
    bare: Repo, oberonc: Command, kind: str
) -> None:
    hook = bare.path / "hooks" / "post-receive"
    if kind == "fifo":
        os.mkfifo(hook)
    elif kind == "folder":
        hook.mkdir()
    elif kind == "device":
        hook.symlink_to("/dev/zero")
    else:
        with hook.open("wb") as stream:
            stream.truncate(1 << 40)
    assert "another hook is there" in oberonc("hook", "status", bare.path).out


def test_our_own_file_is_known_whatever_interpreter_it_names_and_no_other(
    bare: Repo,
) -> None:
    text = script("post-receive")
    hook = bare.path / "hooks" / "post-receive"
    hook.write_text(text)
    assert read_ours(hook)
    hook.write_text(text.replace("# oberonc hook 1.", "# a hook"))
    assert not read_ours(hook)
