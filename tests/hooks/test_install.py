"""Hooks are put where each platform looks for them, beside what was there, and nowhere
else.
"""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oberonc.admin.install import hook_files
from oberonc.admin.install.script import read_ours
from oberonc.errors import Failed
from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.repo import Repo

NULL = "0" * 40


def _tree(folder: Path) -> dict[str, str]:
    """Every file below *folder*, with mode and content."""
    return {
        str(path.relative_to(folder)): (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else f"{path.stat().st_mode:o} {path.read_bytes()!r}"
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def _old_hook(file: Path, text: str, mode: int = 0o755) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def _run_hook(
    file: Path, stdin: str = "", cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(file)],
        input=stdin,
        cwd=cwd or file.parent.parent,
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """What keeps a hook without HOME from the home that the account really has."""
    return {
        "OBERONC_CONFIG_NOSYSTEM": "1",
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
    }


def test_a_bare_repository_gets_post_receive_and_loses_it_again(
    bare: Repo, oberonc: Command
) -> None:
    before = _tree(bare.path)
    hook = bare.path / "hooks" / "post-receive"
    assert oberonc("hook", "install", bare.path).out == f"installed {hook}\n"
    assert stat.S_IMODE(hook.stat().st_mode) == 0o755
    assert [
        row["state"] for row in oberonc("hook", "status", "--json", bare.path).json
    ] == ["installed"]
    again = _tree(bare.path)
    oberonc("hook", "install", bare.path, bare.path)
    assert _tree(bare.path) == again
    assert oberonc("hook", "uninstall", bare.path).out == f"removed {hook}\n"
    assert _tree(bare.path) == before
    assert oberonc("hook", "uninstall", bare.path).out == ""
    assert "not installed" in oberonc("hook", "status", bare.path).out


def test_a_work_tree_gets_three_hooks_also_from_a_folder_in_it(
    repo: Repo, oberonc: Command
) -> None:
    (repo.path / "sub").mkdir()
    oberonc("hook", "install", cwd=repo.path / "sub")
    hooks = {
        path.name
        for path in (repo.path / ".git" / "hooks").iterdir()
        if read_ours(path)
    }
    assert hooks == {
        "post-commit",
        "post-merge",
        "post-rewrite",
        "post-applypatch",
        "post-receive",
    }
    oberonc("hook", "uninstall", repo.path)
    assert not [
        path for path in (repo.path / ".git" / "hooks").iterdir() if read_ours(path)
    ]


def test_a_linked_work_tree_and_a_submodule_have_their_repositorys_hooks(
    repo: Repo, oberonc: Command, tmp_path: Path
) -> None:
    repo.commit("base")
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    oberonc("hook", "install", tmp_path / "linked", repo.path)
    assert read_ours(repo.path / ".git" / "hooks" / "post-commit")
    repo.git("submodule", "--quiet", "add", str(repo.path), "inner")
    oberonc("hook", "install", repo.path / "inner")
    assert read_ours(repo.path / ".git" / "modules" / "inner" / "hooks" / "post-commit")


def test_dry_run_writes_nothing(bare: Repo, oberonc: Command, state: Path) -> None:
    hook = bare.path / "hooks" / "post-receive"
    _old_hook(hook, "#!/bin/sh\n")
    before = _tree(bare.path)
    assert (
        f"would write {hook}, and keep the hook that is there"
        in oberonc("hook", "install", "--dry-run", bare.path).out
    )
    assert _tree(bare.path) == before
    assert not state.exists()
    oberonc("hook", "install", bare.path)
    before = _tree(bare.path)
    assert (
        f"would remove {hook}"
        in oberonc("hook", "uninstall", "--dry-run", bare.path).out
    )
    assert _tree(bare.path) == before


@pytest.mark.parametrize("what", ["nothing", "file", "missing"])
def test_what_is_no_repository_is_refused_and_the_others_are_done(
    bare: Repo, oberonc: Command, tmp_path: Path, what: str
) -> None:
    odd = tmp_path / "odd"
    if what == "nothing":
        odd.mkdir()
    elif what == "file":
        odd.write_text("")
    assert "is not a git repository" in oberonc("hook", "install", odd, code=65).err
    said = oberonc("hook", "install", odd, bare.path, odd / "below", code=1)
    assert said.out == f"installed {bare.path}/hooks/post-receive\n"
    assert f"oberonc: {odd} is not a git repository" in said.err
    assert said.err.endswith("oberonc: 2 of 3 failed\n")


def test_a_repository_whose_configuration_is_broken_is_one_line(
    bare: Repo, oberonc: Command
) -> None:
    (bare.path / "config").write_text("[core\nbare = = true\n")
    assert oberonc("hook", "install", bare.path, code=65).err.count("\n") == 1


@pytest.mark.parametrize("reads", ["cat > got", "true", "read line; echo $line > got"])
def test_a_hook_that_was_there_runs_first_with_the_same_stdin(
    bare: Repo, oberonc: Command, tmp_path: Path, reads: str, patient: None
) -> None:
    hook = bare.path / "hooks" / "post-receive"
    _old_hook(hook, f"#!/bin/sh\n{reads}\necho from the old hook\nexit 7\n", 0o700)
    before = _tree(bare.path / "hooks")
    assert (
        "(runs oberonc/post-receive first)" in oberonc("hook", "install", bare.path).out
    )
    oberonc("hook", "install", bare.path)
    work = bare.clone(tmp_path / "work")
    oberonc("issues", "new", "one", "--repository", "shop")
    oid = work.commit("fixes #1")
    said = work.push("main")
    assert "remote: from the old hook" in said
    assert "remote: oberonc: issues: closed #1" in said
    if "got" in reads:
        assert (bare.path / "got").read_text() == f"{NULL} {oid} refs/heads/main\n"
    oberonc("hook", "uninstall", bare.path)
    assert _tree(bare.path / "hooks") == before


def test_the_old_hooks_exit_code_is_kept_and_a_large_push_it_does_not_read_troubles_nobody(
    bare: Repo, oberonc: Command
) -> None:
    hook = bare.path / "hooks" / "post-receive"
    _old_hook(hook, "#!/bin/sh\nexit 7\n")
    oberonc("hook", "install", bare.path)
    bare.git("config", "oberonc.enabled", "false")
    lines = f"{NULL} {NULL} refs/heads/{'x' * 80}\n" * 5000
    ignoring = ["/bin/sh", "-c", f"trap '' PIPE; exec '{hook}'"]
    done = subprocess.run(
        ignoring,
        input=lines,
        cwd=bare.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


@pytest.mark.parametrize(
    ("kind", "said"), [("link", "linked\n"), ("dangling", ""), ("not executable", "")]
)
def test_a_link_and_a_hook_that_git_would_not_run_are_kept_as_they_are(
    bare: Repo, oberonc: Command, tmp_path: Path, kind: str, said: str
) -> None:
    hook = bare.path / "hooks" / "post-receive"
    _old_hook(tmp_path / "real", "#!/bin/sh\necho linked\n")
    if kind == "not executable":
        _old_hook(hook, "#!/bin/sh\necho no\n", 0o644)
    else:
        hook.symlink_to(tmp_path / "real" if kind == "link" else "gone")
    before = _tree(bare.path / "hooks")
    oberonc("hook", "install", bare.path)
    done = _run_hook(hook, PATH=os.environ["PATH"], HOME=os.environ["HOME"])
    assert (done.returncode, done.stdout) == (0, said)
    oberonc("hook", "uninstall", bare.path)
    assert _tree(bare.path / "hooks") == before


def test_what_an_earlier_install_left_is_not_overwritten_and_nothing_is_half_done(
    repo: Repo, oberonc: Command
) -> None:
    hooks = repo.path / ".git" / "hooks"
    _old_hook(hooks / "post-rewrite", "#!/bin/sh\n")
    _old_hook(hooks / "oberonc" / "post-rewrite", "#!/bin/sh\n: another\n")
    before = _tree(hooks)
    assert "is in the way" in oberonc("hook", "install", repo.path, code=77).err
    assert _tree(hooks) == before


def test_a_hook_that_was_there_keeps_its_name_and_finds_what_lies_beside_it(
    repo: Repo, oberonc: Command, patient: None
) -> None:
    hooks = repo.path / ".git" / "hooks"
    own = 'echo "$(basename "$0") says $(cat "$(dirname "$0")/words")"; "$0.d/more"\n'
    _old_hook(hooks / "post-commit", f"#!/bin/sh\n{own}")
    _old_hook(hooks / "post-commit.d" / "more", "#!/bin/sh\necho and more\n")
    (hooks / "words").write_text("hello")
    (hooks / "post-merge").symlink_to("../post-merge")
    _old_hook(repo.path / ".git" / "post-merge", "#!/bin/sh\necho merged\n")
    before = _tree(hooks)
    oberonc("hook", "install", repo.path)
    oberonc("hook", "install", repo.path)
    said = repo.sh("git commit -q --allow-empty -m x")
    assert said == "post-commit says hello\nand more\n"
    repo.sh("git checkout -q -b side; git commit -q --allow-empty -m y")
    assert "merged" in repo.sh("git checkout -q main; git merge -q --no-ff side")
    oberonc("hook", "uninstall", repo.path)
    assert _tree(hooks) == before
    assert not (hooks / "oberonc").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_refused(bare: Repo, oberonc: Command) -> None:
    (bare.path / "hooks").chmod(0o555)
    assert (
        "is not yours to change" in oberonc("hook", "install", bare.path, code=77).err
    )
    (bare.path / "hooks").chmod(0o755)  # or pytest could not take it away


def test_hooks_that_are_switched_off_are_said_to_be(
    repo: Repo, oberonc: Command
) -> None:
    repo.git("config", "core.hooksPath", "/dev/null")
    said = oberonc("hook", "install", repo.path, code=77).err
    assert "hooks switched off" in said
    repo.sh(said.rpartition("alone: ")[2])
    oberonc("hook", "install", repo.path)


@pytest.mark.parametrize("where", ["global", "local", "relative", "link"])
@pytest.mark.parametrize("kind", ["bare", "work tree"])
def test_hooks_outside_the_repository_are_refused(
    bare: Repo, repo: Repo, oberonc: Command, tmp_path: Path, where: str, kind: str
) -> None:
    target = bare if kind == "bare" else repo
    outside = tmp_path / "outside"
    outside.mkdir()
    git_dir = Path(target.git("rev-parse", "--absolute-git-dir"))
    if where == "link":
        shutil.rmtree(git_dir / "hooks")
        (git_dir / "hooks").symlink_to(outside)
    elif where == "global":
        target.git("config", "--global", "core.hooksPath", str(outside))
    else:
        target.git(
            "config",
            "core.hooksPath",
            "../outside" if where == "relative" else str(outside),
        )
    said = oberonc("hook", "install", target.path, code=77)
    assert "outside the repository" in said.err
    assert list(outside.iterdir()) == []
    if where == "local":
        target.git("config", "core.hooksPath", str(git_dir / "hooks"))
        oberonc("hook", "install", target.path)


def test_a_hooks_folder_inside_the_work_tree_is_used(
    repo: Repo, oberonc: Command, patient: None
) -> None:
    repo.git("config", "core.hooksPath", ".githooks")
    oberonc("hook", "install", repo.path)
    assert read_ours(repo.path / ".githooks" / "post-commit")
    oberonc("issues", "new", "one", "--repository", "app")
    repo.commit("fixes #1")
    assert (
        oberonc("issues", "show", "1", "--repository", "app", "--json").json["state"]
        == "closed"
    )


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("hooks/post-receive.d", "gitea"), ("custom_hooks/post-receive.d", "gitlab")],
)
def test_gitea_and_gitlab_have_a_folder_for_it(
    bare: Repo, oberonc: Command, folder: str, kind: str, tmp_path: Path
) -> None:
    (bare.path / folder).mkdir(parents=True)
    oberonc("hook", "install", bare.path)
    [row] = oberonc("hook", "status", "--json", bare.path).json
    assert (row["kind"], row["file"], row["state"]) == (
        kind,
        str(bare.path / folder / "oberonc"),
        "installed",
    )
    oberonc("hook", "uninstall", bare.path)
    assert list((bare.path / folder).iterdir()) == []
    _old_hook(bare.path / folder / "oberonc", "#!/bin/sh\n")
    assert "it is not ours" in oberonc("hook", "install", bare.path, code=77).err
    shutil.rmtree(bare.path / folder)
    (tmp_path / "outside").mkdir()
    (bare.path / folder).symlink_to(tmp_path / "outside")
    assert (
        "outside the repository" in oberonc("hook", "install", bare.path, code=77).err
    )


def test_gitlab_is_known_by_its_full_path(bare: Repo, oberonc: Command) -> None:
    bare.git("config", "gitlab.fullpath", "group/shop")
    said = oberonc("hook", "install", bare.path)
    assert str(bare.path / "custom_hooks" / "post-receive.d" / "oberonc") in said.out


def test_gitolite_keeps_its_own_links(
    bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    common = tmp_path / ".gitolite" / "hooks" / "common"
    _old_hook(common / "update", "#!/bin/sh\n")
    _old_hook(common / "post-receive", "#!/bin/sh\necho before\n")
    (bare.path / "hooks" / "update").symlink_to(common / "update")
    (bare.path / "hooks" / "post-receive").symlink_to(common / "post-receive")
    said = oberonc("hook", "install", bare.path, code=77)
    assert f"oberonc hook install {common}" in said.err
    oberonc("hook", "install", "common", cwd=common.parent)
    assert read_ours(common / "post-receive")
    # git runs it through the link in the repository; the hook before it stands beside
    # the real file.
    done = _run_hook(
        bare.path / "hooks" / "post-receive",
        PATH=os.environ["PATH"],
        HOME=os.environ["HOME"],
    )
    assert (done.returncode, done.stdout) == (0, "before\n")
    oberonc("hook", "uninstall", common)
    assert (common / "post-receive").read_text() == "#!/bin/sh\necho before\n"


def test_gitolites_folder_of_chosen_hooks_gets_one_called_oberonc(
    oberonc: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "local" / "hooks" / "repo-specific"
    folder.mkdir(parents=True)
    oberonc("hook", "install", folder)
    assert [path.name for path in folder.iterdir()] == ["oberonc"]
    assert "name=post-receive\n" in (folder / "oberonc").read_text()


def test_warnings_say_what_will_not_work(
    bare: Repo, oberonc: Command, admin: Admin, tmp_path: Path
) -> None:
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    work.git("push", "-q", "origin", "HEAD:refs/heads/trunk")
    bare.git("config", "core.sharedRepository", "group")
    other = Repo.init(tmp_path / "elsewhere" / "shop.git", bare=True)
    oberonc("hook", "install", other.path)
    said = oberonc("hook", "install", bare.path).err
    assert "HEAD names refs/heads/main, which does not exist" in said
    assert "several users push here" in said
    assert f"{other.path} is called shop too" in said
    admin.configure(f'state = "{tmp_path}/shared"')
    bare.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    bare.git("config", "oberonc.name", "web/shop")
    assert oberonc("hook", "install", bare.path).err == ""


def test_where_nothing_can_be_remembered_it_is_said(
    bare: Repo, oberonc: Command
) -> None:
    nowhere = {"XDG_STATE_HOME": "/proc/none"}
    said = oberonc("hook", "install", bare.path, env=nowhere).err
    assert "/proc/none/oberonc cannot be written, so `oberonc hook uninst" in said
    assert "no repository" in oberonc("hook", "uninstall", "--all", env=nowhere).err


def test_an_unborn_head_is_no_reason_to_warn(bare: Repo, oberonc: Command) -> None:
    assert oberonc("hook", "install", bare.path).err == ""


def test_a_memory_of_names_that_is_damaged_is_begun_anew(
    bare: Repo, oberonc: Command, state: Path
) -> None:
    state.mkdir(parents=True)
    for text in ("[1]", "{", '"x"', "null"):
        (state / "repositories.json").write_text(text)
        assert oberonc("hook", "install", bare.path).err == ""
    assert stat.S_IMODE((state / "repositories.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("options", "then"),
    [
        (["--object-format=sha256"], ""),
        (["--template="], ""),
        (["--separate-git-dir=../elsewhere"], 'git config core.worktree "$PWD"'),
    ],
)
def test_a_repository_of_any_make_is_served(
    tmp_path: Path, oberonc: Command, options: list[str], then: str, patient: None
) -> None:
    made = Repo.init(tmp_path / "a 'b\n\u00fc", False, *options)
    if then:
        assert (
            "does not lead back" in oberonc("hook", "install", made.path, code=77).err
        )
        made.sh(then)
    oberonc("hook", "install", cwd=made.path)
    oberonc("issues", "new", "one", cwd=made.path)
    assert "closed #1" in made.sh("git commit -q --allow-empty -m 'fixes #1'")
    rows = oberonc("hook", "status", "--json", cwd=made.path).json
    assert {row["state"] for row in rows} == {"installed"}
    assert oberonc("hook", "uninstall", "--all").out.count("removed") == 5


def test_paths_with_spaces_and_quotes_work(
    tmp_path: Path, oberonc: Command, patient: None
) -> None:
    odd = Repo.init(tmp_path / 'it\'s a "shop" $HOME `x`.git', bare=True)
    oberonc("hook", "install", odd.path)
    oberonc("issues", "new", "one", "--repository", odd.path.stem)
    work = odd.clone(tmp_path / "work")
    work.commit("fixes #1")
    assert "closed #1" in work.push("main")
    assert "installed" in oberonc("hook", "status", odd.path).out


def _vanish(hook: Path, python: str) -> None:
    lines = [
        f"python={shlex.quote(python)}" if line.startswith("python=") else line
        for line in hook.read_text().splitlines()
    ]
    hook.write_text("\n".join(lines) + "\n")


def test_a_vanished_interpreter_falls_back_to_path_and_then_to_one_line(
    bare: Repo, oberonc: Command, tmp_path: Path, patient: None
) -> None:
    oberonc("hook", "install", bare.path)
    oberonc("issues", "new", "one", "--repository", "shop")
    hook = bare.path / "hooks" / "post-receive"
    _vanish(hook, "/gone/bin/python")
    work = bare.clone(tmp_path / "work")
    work.commit("base")
    said = work.push("main")
    assert (
        said.count(
            "remote: oberonc: /gone/bin/python cannot be run and there is no oberonc on PATH"
        )
        == 1
    )
    assert f"be rid of this hook: rm '{hook}'" in said
    assert (
        "broken: /gone/bin/python is gone"
        in oberonc("hook", "status", bare.path, code=1).out
    )
    _old_hook(
        tmp_path / "bin" / "oberonc",
        f'#!/bin/sh\nexec {sys.executable} -I -m oberonc "$@"\n',
    )
    work.commit("fixes #1")
    assert "closed #1" in work.sh(
        "git push origin main", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    )


def test_a_hook_that_git_would_not_run_is_broken(bare: Repo, oberonc: Command) -> None:
    oberonc("hook", "install", bare.path)
    (bare.path / "hooks" / "post-receive").chmod(0o644)
    assert (
        "not run by git: chmod +x" in oberonc("hook", "status", bare.path, code=1).out
    )


@pytest.mark.parametrize(
    "env",
    [{}, {"PATH": ""}, {"PATH": "/usr/bin:/bin"}],
    ids=["nothing", "empty PATH", "no HOME"],
)
def test_a_hook_without_home_or_path_says_nothing_and_fails_nothing(
    bare: Repo, oberonc: Command, env: dict[str, str], nowhere: dict[str, str]
) -> None:
    oberonc("hook", "install", bare.path)
    hook = bare.path / "hooks" / "post-receive"
    done = _run_hook(hook, cwd=bare.path, GIT_DIR=".", **nowhere, **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_hook_runs_isolated(
    bare: Repo, oberonc: Command, nowhere: dict[str, str]
) -> None:
    oberonc("hook", "install", bare.path)
    (bare.path / "json.py").write_text("raise SystemExit('the wrong json')")
    hook = bare.path / "hooks" / "post-receive"
    done = _run_hook(
        hook, cwd=bare.path, PYTHONPATH=str(bare.path), GIT_DIR=".", **nowhere
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "flags='-I -S'\n" in hook.read_text()


def test_a_line_that_would_not_run_is_not_installed(
    bare: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_files.prove()
    _old_hook(tmp_path / "python", "#!/bin/sh\nexit 1\n")
    for python, said in (("python", "it said nothing"), ("none", "No such file")):
        monkeypatch.setattr(sys, "executable", str(tmp_path / python))
        with pytest.raises(Failed, match=said):
            hook_files.prove()


def test_uninstall_all_takes_away_what_was_installed_and_forgets_it(
    bare: Repo, repo: Repo, oberonc: Command, tmp_path: Path
) -> None:
    gone = Repo.init(tmp_path / "gone.git", bare=True)
    others = Repo.init(tmp_path / "others.git", bare=True)
    oberonc("hook", "install", bare.path, repo.path, gone.path)
    shutil.rmtree(gone.path)
    assert oberonc("hook", "uninstall", "--all", "--dry-run").out.count("would") == 6
    said = oberonc("hook", "uninstall", "--all").out
    assert f"removed {bare.path}/hooks/post-receive" in said
    assert said.count("removed") == 6
    assert "no repository" in oberonc("hook", "uninstall", "--all").err
    oberonc("hook", "install", others.path)
    assert oberonc("hook", "status", "--all").out.count("installed") == 1


def test_a_folder_whose_name_is_not_utf8_is_a_folder(
    oberonc: Command, tmp_path: Path, patient: None
) -> None:
    repo = Repo.init(tmp_path / os.fsdecode(b"gr\xf6\xdfe") / "app")
    oberonc("hook", "install", repo.path)
    oberonc("hook", "status", repo.path)
    oberonc("issues", "new", os.fsdecode(b"gr\xf6\xdfe"), cwd=repo.path)
    said = repo.sh("git commit -q --allow-empty -m 'fixes #1'")
    assert "closed #1" in said
    assert "gr\ufffd\ufffde" in oberonc("issues", "list", cwd=repo.path).out
    assert "closed #1" in oberonc("log", "HEAD", cwd=repo.path).out
    oberonc("hook", "uninstall", repo.path)
    assert not (repo.path / ".git" / "hooks" / "post-commit").exists()
