"""Work that git's hooks of a work tree do not see is told of by the next hook, once; an
old history never is.
"""

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.pushes import Catch, chain, fast_import, oids
from tests.support.repo import Repo


@pytest.fixture
def catch(home: Path, repo: Repo, oberonc: Command) -> Catch:
    """A repository with an old history, whose hooks came later."""
    for n in range(3):
        repo.commit(f"old work {n}, fixes #{n}")
    oberonc("hook", "install", repo.path)
    return Catch(home)


def published(catch: Catch) -> list[str]:
    """All that was published since the last time; none of it twice."""
    found = [oid for payload in catch.take() for oid in payload["published"]]
    assert len(set(found)) == len(found)
    return found


def topic(repo: Repo, count: int) -> list[str]:
    """Commits on a branch `topic` that no hook saw; main is checked out."""
    fast_import(repo, chain(count, "topic", "refs/heads/main^0"))
    return repo.git("rev-list", "--reverse", "main..topic").split()


def test_an_old_history_is_never_told_of(repo: Repo, catch: Catch) -> None:
    oid = repo.commit("fixes #9")
    assert published(catch) == [oid]


def test_an_old_history_is_not_told_of_either_where_nobody_looked_at_it_before(
    home: Path, repo: Repo
) -> None:
    from tests.support.pushes import put_hook

    repo.commit("old work, fixes #1")
    put_hook(repo.path / ".git" / "hooks", "post-commit")
    catch = Catch(home)
    oid = repo.commit("fixes #9")
    assert published(catch) == [oid]


def test_mails_that_are_applied_are_told_of(repo: Repo, catch: Catch) -> None:
    made = topic(repo, 2)
    repo.sh(
        "git format-patch -q --stdout main..topic > ../mails && git reset -q --hard && git am -q ../mails"
    )
    applied = repo.git("rev-list", "--reverse", f"{made[0]}~1..main").split()
    assert published(catch) == applied
    oid = repo.commit("next")
    assert published(catch) == [oid]


def test_mails_that_are_applied_after_a_conflict_are_told_of(
    repo: Repo, catch: Catch
) -> None:
    topic(repo, 2)
    clash = repo.commit("clash", "file1.txt")
    repo.sh(
        "git format-patch -q --stdout main..topic > ../mails; git am -q ../mails || git am --skip"
    )
    assert published(catch) == [clash, repo.git("rev-parse", "main")]


def test_a_rebase_that_only_moves_forward_is_told_of_by_the_next_hook(
    repo: Repo, catch: Catch
) -> None:
    made = topic(repo, 2)
    repo.git("rebase", "-q", "topic")
    oid = repo.commit("next")
    assert published(catch) == [*made, oid]


def test_a_fetch_into_main_is_told_of_by_the_next_hook_of_any_branch(
    repo: Repo, catch: Catch, tmp_path: Path
) -> None:
    other = repo.clone(tmp_path / "other")
    theirs = [
        other.commit(f"from the other, fixes #{n}", "other.txt") for n in range(2)
    ]
    repo.git("checkout", "-q", "-b", "topic")
    repo.git("fetch", "-q", str(other.path), "main:main")
    repo.commit("on the topic")
    (payload,) = catch.take()
    assert payload["published"] == theirs
    assert {update["name"] for update in payload["updates"]} == {"topic", "main"}


@pytest.mark.parametrize(
    "how",
    [
        "git reset -q --hard topic",
        "git merge -q --ff-only topic",
        "git checkout -q -B main topic",
        "git checkout -q --detach && git branch -f main topic && git checkout -q main",
        "git update-ref refs/heads/main topic && git reset -q --hard",
        "git pull -q --rebase . topic",
        "git switch -q topic && git branch -D -q main && git checkout -q -b main",
    ],
)
def test_however_main_is_moved_what_it_got_is_told_of_once(
    repo: Repo, catch: Catch, how: str
) -> None:
    made = topic(repo, 2)
    repo.sh(how)
    oid = repo.commit("next")
    assert published(catch) == [*made, oid]


def test_a_rebase_of_main_onto_what_others_did_tells_of_theirs(
    repo: Repo, catch: Catch
) -> None:
    mine = repo.commit("mine, fixes #7", "mine.txt")
    assert published(catch) == [mine]
    fast_import(repo, chain(2, "topic", "refs/heads/main~1"))
    theirs = repo.git("rev-list", "--reverse", "main..topic").split()
    repo.git("rebase", "-q", "topic")
    (payload,) = catch.take()
    assert payload["published"] == [*theirs, repo.git("rev-parse", "main")]
    assert oids(payload["dropped"]) == [mine]


def test_main_that_is_renamed_tells_of_nothing(repo: Repo, catch: Catch) -> None:
    repo.git("branch", "-m", "main", "master")
    oid = repo.commit("next")
    assert published(catch) == [oid]


def test_main_that_is_set_back_and_forward_tells_of_nothing(
    repo: Repo, catch: Catch
) -> None:
    tip = repo.git("rev-parse", "main")
    repo.git("reset", "-q", "--hard", "main~2")
    aside = repo.commit("aside", "aside.txt")
    assert published(catch) == [aside]
    repo.git("reset", "-q", "--hard", tip)
    oid = repo.commit("next")
    assert published(catch) == [oid]


def test_what_a_linked_work_tree_did_to_main_is_told_of_once(
    repo: Repo, catch: Catch, tmp_path: Path
) -> None:
    made = topic(repo, 2)
    repo.git("checkout", "-q", "-b", "here")
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    linked = Repo(tmp_path / "linked")
    linked.git("reset", "-q", "--hard", "topic")
    repo.commit("on another branch", "here.txt")
    assert published(catch) == made
    oid = linked.commit("next")
    assert published(catch) == [oid]


def test_a_branch_that_people_set_elsewhere_is_told_of_by_its_own_commit_only(
    repo: Repo, catch: Catch
) -> None:
    topic(repo, 3)
    repo.git("checkout", "-q", "-b", "mine")
    repo.commit("one", "mine.txt")
    repo.git("reset", "-q", "--hard", "topic")
    catch.take()
    oid = repo.commit("two", "mine.txt")
    (payload,) = catch.take()
    assert oids(payload["commits"]) == [oid]
    assert payload["published"] == []


def test_a_push_into_a_work_tree_is_told_of(
    repo: Repo, catch: Catch, tmp_path: Path
) -> None:
    repo.git("config", "receive.denyCurrentBranch", "updateInstead")
    other = repo.clone(tmp_path / "other")
    theirs = other.commit("from the other, fixes #8", "other.txt")
    other.push("main")
    (payload,) = catch.take()
    assert payload["event"] == "push"
    assert payload["published"] == oids(payload["commits"]) == [theirs]
    oid = repo.commit("next")
    assert published(catch) == [oid]


def test_uninstalling_forgets(repo: Repo, catch: Catch, oberonc: Command) -> None:
    oberonc("hook", "uninstall", repo.path)
    repo.commit("fixes #5")
    assert not (repo.path / ".git" / "oberonc").exists()
    oberonc("hook", "install", repo.path)
    oid = repo.commit("fixes #6")
    assert published(catch) == [oid]
