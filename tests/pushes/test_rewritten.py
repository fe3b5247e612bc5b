"""Histories that are rewritten, imported or merged in, end to end: what was asked for
already is not done again.
"""

from pathlib import Path

import pytest

from oberonc.issues.embedded import IssueFile
from tests.support.admin import PATIENT, Admin
from tests.support.command import Command
from tests.support.pushes import Shop
from tests.support.repo import Repo

LATER = "1767270000 +0200"


REWRITES = {
    "a file is taken out": "git filter-branch -f --index-filter 'git rm -qr --cached --ignore-unmatch secret.txt'",
    "a mail address is corrected": "git filter-branch -f --env-filter 'GIT_AUTHOR_EMAIL=new@example.org'",
    "a trailer is taken off": "git filter-branch -f --msg-filter 'grep -v ^Trailer'",
    "messages are reworded": "git filter-branch -f --msg-filter 'sed s/work/task/'",
    "authors' dates are reset": "GIT_COMMITTER_DATE='1767270000 +0200' git rebase -q -f --reset-author-date --root",
    "mails lose the prefix of their subject": (
        "git format-patch -q --stdout --root > ../mails; git checkout -q --orphan again; git rm -rqf .;"
        " git am -q --committer-date-is-author-date ../mails; git branch -M again main"
    ),
    "commits are squashed": (
        "git reset -q --soft $(git rev-list --max-parents=0 main);"
        " git commit -q --amend -m \"all of it, $(seq -f 'fixes #%g,' 1 3) refs #4 @1h, refs #4 @1h\""
    ),
}


@pytest.mark.parametrize("how", REWRITES.values(), ids=REWRITES.keys())
@pytest.mark.parametrize(
    "hooked", [True, False], ids=["told of before", "from before the hook"]
)
def test_a_rewritten_history_does_nothing_again(
    shop: Shop, how: str, hooked: bool
) -> None:
    if hooked:
        shop.install()
    for n in range(1, 4):
        shop.work.commit(f"[net] old work {n}, fixes #{n}\n\nTrailer: x", f"{n}.txt")
    shop.work.commit("refs #4 @1h\n\nTrailer: x", "secret.txt")
    shop.work.commit("refs #4 @1h, the second\n\nTrailer: x", "secret.txt")
    shop.work.push("main")
    shop.install()
    before = [len(shop.comments(n)) for n in range(1, 5)]
    seconds = shop.issues.seconds("shop", 4)
    shop.reopen(*shop.closed())
    shop.work.sh(how, FILTER_BRANCH_SQUELCH_WARNING="1")
    said = shop.work.push("+main")
    assert shop.closed() == []
    assert [len(shop.comments(n)) for n in range(1, 5)] == before
    assert shop.issues.seconds("shop", 4) == seconds == (7200 if hooked else 0)
    assert (
        "the history that this push replaces asked for it already" in said
        or "already done" in said
    )


@pytest.mark.parametrize("how", REWRITES.values(), ids=REWRITES.keys())
def test_what_is_new_on_top_of_a_rewritten_history_acts(shop: Shop, how: str) -> None:
    for n in range(1, 4):
        shop.work.commit(f"[net] old work {n}, fixes #{n}\n\nTrailer: x", f"{n}.txt")
    shop.work.commit("refs #4 @1h\n\nTrailer: x", "secret.txt")
    shop.work.commit("refs #4 @1h, the second\n\nTrailer: x", "secret.txt")
    shop.work.push("main")
    shop.install()
    shop.work.sh(how, FILTER_BRANCH_SQUELCH_WARNING="1")
    shop.work.commit("really fixes #2, fixes #5, refs #6, refs #4 @2h", "new.txt")
    shop.work.push("+main")
    assert shop.closed() == [2, 5]
    assert [len(shop.comments(n)) for n in range(1, 7)] == [0, 1, 0, 1, 1, 1]
    assert shop.issues.seconds("shop", 4) == 7200


def test_a_reworded_commit_that_fixes_one_more_issue_fixes_that_one(
    shop: Shop,
) -> None:
    shop.install()
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("fixes #6", "fix.txt")
    shop.work.push("main")
    shop.reopen(6)
    shop.work.git("commit", "-q", "--amend", "-m", "fixes #6 and fixes #7")
    shop.work.push("+main")
    assert shop.closed() == [7]


def test_a_reference_that_becomes_a_fix_fixes(shop: Shop) -> None:
    shop.install()
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("refs #6", "fix.txt")
    shop.work.push("main")
    shop.work.git("commit", "-q", "--amend", "-m", "fixes #6")
    shop.work.push("+main")
    assert shop.closed() == [6]


def test_a_fix_that_becomes_a_reference_says_nothing_again(shop: Shop) -> None:
    shop.install()
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("fixes #6", "fix.txt")
    shop.work.push("main")
    shop.work.git("commit", "-q", "--amend", "-m", "for #6 (refs #6)")
    shop.work.push("+main")
    assert len(shop.comments(6)) == 1


def test_a_rewritten_history_that_is_pushed_in_two_steps_does_nothing_again(
    shop: Shop,
) -> None:
    base = shop.work.commit("base")
    for n in range(1, 4):
        shop.work.commit(f"old work {n}, fixes #{n}")
    shop.work.push("main")
    shop.install()
    shop.work.push(f"+{base}:main")
    shop.work.sh(
        "git filter-branch -f --msg-filter 'sed s/work/task/' main",
        FILTER_BRANCH_SQUELCH_WARNING="1",
    )
    shop.work.push("main")
    assert shop.closed() == []


def test_a_rewritten_history_on_a_branch_that_was_deleted_does_nothing_again(
    shop: Shop,
) -> None:
    shop.bare.git("config", "receive.denyDeleteCurrent", "ignore")
    for n in range(1, 4):
        shop.work.commit(f"old work {n}, fixes #{n}")
    shop.work.push("main")
    shop.install()
    shop.work.push(":main")
    shop.work.sh(
        "git filter-branch -f --msg-filter 'sed s/work/task/' main",
        FILTER_BRANCH_SQUELCH_WARNING="1",
    )
    shop.work.push("main")
    assert shop.closed() == []


def test_a_better_fix_after_a_branch_was_set_back_fixes(shop: Shop) -> None:
    shop.install()
    base = shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("catch the crash, fixes #2", "fix.txt")
    shop.work.push("main")
    shop.work.push(f"+{base}:main")
    shop.reopen(2)
    shop.work.git("reset", "-q", "--hard", base)
    shop.work.commit("find the cause, fixes #2", "fix.txt", GIT_AUTHOR_DATE=LATER)
    shop.work.push("main")
    assert shop.closed() == [2]


def test_what_a_topic_branch_dropped_was_never_asked_for(shop: Shop) -> None:
    shop.install()
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.git("checkout", "-q", "-b", "topic")
    shop.work.commit("fixes #3", "fix.txt")
    shop.work.push("topic")
    shop.work.git("commit", "-q", "--amend", "-m", "reworded, fixes #3")
    shop.work.push("+topic")
    assert shop.closed() == []
    shop.work.push("topic:main")
    assert shop.closed() == [3]


def test_what_comes_after_a_rewrite_acts_as_ever(shop: Shop) -> None:
    shop.install()
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("fixes #1", "fix.txt")
    shop.work.push("main")
    shop.work.git("commit", "-q", "--amend", "-m", "reworded, fixes #1")
    shop.work.push("+main")
    shop.reopen(1)
    shop.work.commit("the right way, fixes #1", "fix.txt")
    shop.work.push("main")
    assert shop.closed() == [1]


def test_a_rewrite_larger_than_the_limits_acts_on_nothing_and_says_so(
    shop: Shop, admin: Admin
) -> None:
    admin.configure(
        f"{PATIENT}[limits]\ncommits = 3\n[services.issues]\nbroker = 'issues'\n"
    )
    base = shop.work.commit("base")
    for n in range(1, 7):
        shop.work.commit(f"old work {n}, fixes #{n}")
    shop.work.push("main")
    shop.install()
    shop.work.git("reset", "-q", "--soft", base)
    shop.work.git("commit", "-q", "-m", "squashed, fixes #1")
    said = shop.work.push("+main")
    assert shop.closed() == []
    assert "replaces more of the history than the limits hold" in said


def test_a_local_amend_and_rebase_do_nothing_again(
    repo: Repo, oberonc: Command, state: Path, patient: None
) -> None:
    tracker = IssueFile(state)
    for n in range(1, 4):
        tracker.new("app", f"issue {n}")
    oberonc("hook", "install", repo.path)
    repo.commit("base")
    repo.git("branch", "topic")
    repo.commit("fixes #1, refs #2", "fix.txt")
    tracker.set_state("app", 1, "open")
    repo.git(
        "commit",
        "-q",
        "--amend",
        "-m",
        "better words: fixes #1, refs #2",
        "--date",
        LATER,
    )
    repo.git("checkout", "-q", "topic")
    repo.commit("other work", "other.txt")
    repo.git("checkout", "-q", "main")
    repo.sh(
        "git rebase -q -i topic",
        GIT_SEQUENCE_EDITOR="sed -i 1s/pick/reword/",
        GIT_EDITOR="sed -i s/better/good/",
    )
    assert tracker.state("app", 1) == "open"
    assert len(tracker.show("app", 2)["comments"]) == 1
    repo.git("commit", "-q", "--amend", "-m", "good words: fixes #1, refs #2, fixes #3")
    assert tracker.state("app", 3) == "closed"


# Imports


def test_an_import_leaves_its_rows_so_that_the_same_changes_do_nothing_later(
    shop: Shop,
) -> None:
    shop.install()
    for n in range(25):
        shop.work.commit(f"old work {n}, fixes #{n % 3 + 1}", f"{n}.txt")
    assert "is an import and acts on nothing" in shop.work.push("main")
    shop.bare.git("config", "oberonc.publish", "*")
    shop.work.git("checkout", "-q", "--orphan", "picked")
    shop.work.git("rm", "-rqf", ".")
    shop.work.commit("root")
    shop.work.push("picked")
    for n in range(3):
        shop.work.git("cherry-pick", f"main~{24 - n}", GIT_COMMITTER_DATE=LATER)
    shop.work.push("picked")
    assert shop.closed() == []


def test_what_an_import_was_held_back_from_is_done_when_it_is_sent_by_hand_and_then_never_again(
    shop: Shop,
) -> None:
    shop.install()
    for n in range(25):
        shop.work.commit(f"old work {n}, fixes #{n % 3 + 1}", f"{n}.txt")
    shop.work.push("main")
    shop.oberonc("send", "--rev", "main~2..main", cwd=shop.bare.path)
    assert shop.closed() == [1, 3]
    shop.reopen(1, 3)
    shop.oberonc("send", "--rev", "main~2..main", cwd=shop.bare.path)
    assert shop.closed() == []


def test_an_import_is_counted_before_it_is_cut(shop: Shop, admin: Admin) -> None:
    admin.configure(
        f"{PATIENT}[limits]\ncommits = 5\n[services.issues]\nbroker = 'issues'\n"
    )
    shop.install()
    for n in range(25):
        shop.work.commit(f"old work {n}, fixes #{n % 3 + 1}")
    assert "the first push of main with 25 commits is an import" in shop.work.push(
        "main"
    )
    assert shop.closed() == []


# Another project


def test_another_projects_closes_close_nothing_of_ours_and_that_is_said(
    shop: Shop, tmp_path: Path
) -> None:
    shop.install()
    shop.work.commit("base")
    shop.work.push("main")
    other = Repo.init(tmp_path / "other")
    for n in range(1, 9):
        other.commit(f"theirs, closes #{n}", "theirs.txt")
    shop.work.git("fetch", "-q", str(other.path), "main:theirs")
    shop.work.commit("ours, fixes #9", "ours.txt")
    shop.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in\n\nfixes #10",
        "theirs",
    )
    said = shop.work.push("main")
    assert shop.closed() == [9, 10]
    assert "a merge brought in another project's history, which acts on nothing" in said
    shop.bare.git("branch", "theirs", shop.work.git("rev-parse", "theirs"))
    shop.oberonc("send", "--rev", "theirs~1..theirs", cwd=shop.bare.path)
    assert shop.closed() == [8, 9, 10]
