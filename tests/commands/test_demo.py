"""`oberonc demo` runs for real, touches nothing of the user's, and cleans up."""

from pathlib import Path

from tests.support.command import Command


def test_it_shows_each_step_and_cleans_up(
    oberonc: Command, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "it's a tmp"
    folder.mkdir()
    before = sorted(home.rglob("*"))
    said = oberonc(
        "demo",
        env={"TMPDIR": str(folder), "GIT_DIR": "/none", "XDG_STATE_HOME": "/none"},
    ).out
    assert "$ git push -q origin trunk" in said
    assert "oberonc: issues: closed #1" in said
    assert "closed" in said.split("$ oberonc issues show 1")[1]
    assert list(folder.iterdir()) == []
    assert sorted(home.rglob("*")) == before


def test_keep_leaves_the_folder_and_says_where(
    oberonc: Command, tmp_path: Path
) -> None:
    said = oberonc("demo", "--keep", env={"TMPDIR": str(tmp_path)}).out
    [folder] = tmp_path.glob("oberonc-demo-*")
    assert f"Everything is in {folder}" in said
    assert (folder / "shop.git" / "hooks" / "post-receive").is_file()


def test_without_git_it_is_one_line(oberonc: Command) -> None:
    done = oberonc("demo", code=1, env={"PATH": "/none"})
    assert done.err == "oberonc: the demonstration needs git, which is not on PATH\n"
