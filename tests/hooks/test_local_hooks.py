"""post-commit, post-merge and post-rewrite in a repository with a work tree: one
payload for one thing done.
"""

from pathlib import Path

import pytest

from tests.support.command import Command, Hook
from tests.support.pushes import Catch, chain, fast_import, oids, put_hook
from tests.support.repo import Repo

HOOKS = ("post-commit", "post-merge", "post-rewrite", "post-applypatch")


@pytest.fixture
def catch(home: Path, repo: Repo) -> Catch:
    put_hook(repo.path / ".git" / "hooks", *HOOKS)
    return Catch(home)


def switched_off(repo: Repo) -> list[str]:
    """Words for git to run without hooks."""
    return ["-c", f"core.hooksPath={repo.path / 'nowhere'}"]


def diverge(repo: Repo, count: int) -> None:
    """A base, *count* commits on `topic` and one on `main`, without telling the hooks."""
    repo.git("config", "core.fsync", "none")
    repo.git("config", "core.hooksPath", str(repo.path / "nowhere"))
    repo.commit("base")
    fast_import(repo, chain(count, "topic", "refs/heads/main^0"))
    repo.commit("main moves", "main.txt")
    repo.git("config", "--unset", "core.hooksPath")


def test_the_installed_hooks_tell_of_a_commit(
    home: Path, repo: Repo, oberonc: Command
) -> None:
    oberonc("hook", "install", repo.path)
    catch = Catch(home)
    oid = repo.commit("great, fixes #42")
    (payload,) = catch.take()
    assert payload["event"] == "commit"
    assert oids(payload["commits"]) == payload["published"] == [oid]
    assert payload["updates"][0]["first"]
    second = repo.commit("more")
    (payload,) = catch.take()
    assert oids(payload["commits"]) == payload["published"] == [second]
    assert not payload["updates"][0]["forced"]


def test_a_commit_on_a_topic_branch_is_not_published(repo: Repo, catch: Catch) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "topic")
    oid = repo.commit("fixes #1")
    payload = catch.take()[-1]
    assert oids(payload["commits"]) == [oid]
    assert payload["commits"][0]["branch"] == "topic"
    assert payload["published"] == []


def test_an_amended_commit_is_told_of_once(repo: Repo, catch: Catch) -> None:
    repo.commit("base")
    repo.commit("worng")
    (_, before) = catch.take()
    repo.git("commit", "-q", "--amend", "-m", "wrong")
    (payload,) = catch.take()
    assert (
        oids(payload["commits"])
        == payload["published"]
        == [repo.git("rev-parse", "HEAD")]
    )
    assert payload["id"] != before["id"]


def test_a_commit_on_no_branch_is_not_told_of(repo: Repo, catch: Catch) -> None:
    repo.commit("base")
    catch.take()
    repo.git("checkout", "-q", "--detach")
    repo.commit("nowhere")
    assert catch.take() == []


@pytest.mark.parametrize("how", ["--ff", "--no-ff"])
def test_a_merge_publishes_once(repo: Repo, catch: Catch, how: str) -> None:
    repo.commit("base")
    repo.git("checkout", "-q", "-b", "topic")
    side = repo.commit("fixes #1")
    repo.git("checkout", "-q", "main")
    catch.take()
    repo.git("merge", "-q", how, "-m", "Merge topic", "topic")
    (payload,) = catch.take()
    assert oids(payload["merged"]) == [side]
    merge = [repo.git("rev-parse", "HEAD")] if how == "--no-ff" else []
    assert oids(payload["commits"]) == merge
    assert payload["published"] == [side, *merge]
    assert not payload["updates"][0]["forced"]


def test_a_merge_with_a_conflict_publishes_when_it_is_committed(
    repo: Repo, catch: Catch
) -> None:
    diverge(repo, 1)
    repo.git("checkout", "-q", "topic")
    repo.git(*switched_off(repo), "commit", "-q", "--allow-empty", "-m", "x")
    side = repo.commit("clash", "main.txt", "theirs\n")
    catch.take()
    repo.git("checkout", "-q", "main")
    repo.sh("git merge -q topic", 1)
    assert catch.take() == []
    (repo.path / "main.txt").write_text("both\n")
    repo.git("commit", "-q", "-a", "-m", "Merge topic")
    (payload,) = catch.take()
    assert side in oids(payload["merged"])
    assert oids(payload["commits"]) == [repo.git("rev-parse", "HEAD")]
    assert len(payload["published"]) == 4


def test_a_squash_tells_of_the_commit_alone(repo: Repo, catch: Catch) -> None:
    diverge(repo, 2)
    repo.git("merge", "-q", "--squash", "topic")
    assert catch.take() == []
    repo.git("commit", "-q", "-m", "squashed, fixes #1")
    (payload,) = catch.take()
    assert (
        oids(payload["commits"])
        == payload["published"]
        == [repo.git("rev-parse", "HEAD")]
    )
    assert payload["merged"] == []


@pytest.mark.parametrize("how", ["--rebase", "--no-rebase"])
def test_a_pull_tells_of_what_came(
    repo: Repo, catch: Catch, tmp_path: Path, how: str
) -> None:
    repo.commit("base")
    other = repo.clone(tmp_path / "other")
    theirs = other.commit("from the other, fixes #1")
    repo.git("remote", "add", "origin", str(other.path))
    catch.take()
    repo.git("pull", "-q", how, "origin", "main")
    (payload,) = catch.take()
    assert oids(payload["commits"]) == payload["published"] == [theirs]


def test_a_rebase_of_100_commits_is_one_dispatch(repo: Repo, catch: Catch) -> None:
    diverge(repo, 100)
    repo.git("checkout", "-q", "topic")
    repo.git("rebase", "-q", "main")
    (payload,) = catch.take()
    assert len(payload["commits"]) == 100
    assert payload["published"] == []
    assert payload["updates"][0]["forced"]
    assert payload["updates"][0]["name"] == "topic"


def test_an_interactive_rebase_with_its_edits_is_one_dispatch(
    repo: Repo, catch: Catch
) -> None:
    diverge(repo, 3)
    repo.git("checkout", "-q", "topic")
    repo.sh("git rebase -q -i main", GIT_SEQUENCE_EDITOR="sed -i 1s/pick/edit/")
    repo.git("commit", "-q", "--amend", "-m", "reworded")
    assert catch.take() == []
    repo.sh("git rebase --continue")
    (payload,) = catch.take()
    assert [c["message"] for c in payload["commits"]] == [
        "reworded\n",
        "change 1\n",
        "change 2\n",
    ]


def test_an_aborted_rebase_tells_nothing(repo: Repo, catch: Catch) -> None:
    diverge(repo, 1)
    repo.git("checkout", "-q", "topic")
    repo.git(*switched_off(repo), "commit", "-q", "--allow-empty", "-m", "y")
    repo.sh("git rebase -q -i main", GIT_SEQUENCE_EDITOR="sed -i 1s/pick/edit/")
    repo.git("rebase", "--abort")
    assert catch.take() == []


def test_cherry_picks_tell_of_each_commit(repo: Repo, catch: Catch) -> None:
    diverge(repo, 2)
    repo.git("cherry-pick", "topic~1", "topic")
    picked = [oid for payload in catch.take() for oid in oids(payload["commits"])]
    assert picked == repo.git("rev-list", "--reverse", "main~2..main").split()


def test_a_linked_work_tree_tells_of_its_commits_and_not_during_its_rebase(
    repo: Repo, catch: Catch, tmp_path: Path
) -> None:
    diverge(repo, 3)
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "topic")
    linked = Repo(tmp_path / "linked")
    oid = linked.commit("from the linked one", "linked.txt")
    (payload,) = catch.take()
    assert payload["repository"]["full_name"] == "app"
    assert oids(payload["commits"]) == [oid]
    linked.git("rebase", "-q", "main")
    (payload,) = catch.take()
    assert len(payload["commits"]) == 4


def test_a_submodule_tells_of_its_own_commits(
    repo: Repo, catch: Catch, tmp_path: Path
) -> None:
    inner = Repo.init(tmp_path / "inner")
    inner.commit("one")
    repo.git("submodule", "--quiet", "add", str(inner.path), "tool")
    catch.take()
    put_hook(repo.path / ".git" / "modules" / "tool" / "hooks", *HOOKS)
    oid = Repo(repo.path / "tool").commit("in the submodule")
    (payload,) = catch.take()
    assert payload["repository"]["full_name"] == "inner"
    assert oids(payload["commits"]) == payload["published"] == [oid]


def test_a_commit_with_git_dir_in_the_environment_is_told_of(
    repo: Repo, catch: Catch, tmp_path: Path
) -> None:
    repo.sh(
        "cd /; git commit -q --allow-empty -m one",
        GIT_DIR=str(repo.path / ".git"),
        GIT_WORK_TREE=str(repo.path),
    )
    (payload,) = catch.take()
    assert payload["commits"][0]["message"] == "one\n"


def test_the_hook_itself_knows_a_rebase_too(repo: Repo, catch: Catch) -> None:
    repo.commit("one")
    catch.take()
    (repo.path / ".git" / "rebase-merge").mkdir()
    assert Hook()("post-commit", cwd=repo.path).err == ""
    assert catch.take() == []


def test_a_variable_passes_over_one_commit_for_good(
    repo: Repo, oberonc: Command, patient: None
) -> None:
    oberonc("hook", "install", repo.path)
    for number in range(3):
        oberonc("issues", "new", f"{number}", cwd=repo.path)
    assert repo.sh("OBERONC=0 git commit -q --allow-empty -m 'fixes #1'") == ""
    said = repo.sh("git commit -q --allow-empty -m 'fixes #2'")
    assert "closed #2" in said
    assert "#1" not in said
    states = oberonc("issues", "list", "--json", cwd=repo.path).json
    assert {row["number"]: row["state"] for row in states}[1] == "open"
