"""Histories that are rewritten, imported or merged in, end to end: what was asked for
already is not done again.
"""

from pathlib import Path

import pytest

from oberonc.issues.embedded import IssueFile
from tests.support.command import Command
from tests.support.repo import Repo

LATER = "1767270000 +0200"


class Server:
    """A bare repository `shop` with ten issues, and a clone of it."""

    def __init__(self, bare: Repo, oberonc: Command, work: Path, state: Path) -> None:
        self.bare, self.oberonc = bare, oberonc
        self.work = bare.clone(work)
        self.tracker = IssueFile(state)
        for n in range(1, 11):
            self.tracker.new("shop", f"issue {n}")

    def install(self) -> None:
        self.oberonc("hook", "install", self.bare.path)

    def closed(self) -> list[int]:
        return [
            row.number for row in self.tracker.issues("shop") if row.state == "closed"
        ]

    def comments(self, number: int) -> int:
        return len(self.tracker.show("shop", number)["comments"])

    def reopen(self, *numbers: int) -> None:
        for n in numbers:
            self.tracker.set_state("shop", n, "open")


@pytest.fixture
def server(bare: Repo, oberonc: Command, tmp_path: Path, state: Path) -> Server:
    return Server(bare, oberonc, tmp_path / "work", state)


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
    server: Server, how: str, hooked: bool
) -> None:
    if hooked:
        server.install()
    for n in range(1, 4):
        server.work.commit(f"[net] old work {n}, fixes #{n}\n\nTrailer: x", f"{n}.txt")
    server.work.commit("refs #4 @1h\n\nTrailer: x", "secret.txt")
    server.work.commit("refs #4 @1h, the second\n\nTrailer: x", "secret.txt")
    server.work.push("main")
    server.install()
    before = [server.comments(n) for n in range(1, 5)]
    seconds = server.tracker.seconds("shop", 4)
    server.reopen(*server.closed())
    server.work.sh(how, FILTER_BRANCH_SQUELCH_WARNING="1")
    said = server.work.push("+main")
    assert server.closed() == []
    assert [server.comments(n) for n in range(1, 5)] == before
    assert server.tracker.seconds("shop", 4) == seconds == (7200 if hooked else 0)
    assert (
        "the history that this push replaces asked for it already" in said
        or "already done" in said
    )


@pytest.mark.parametrize("how", REWRITES.values(), ids=REWRITES.keys())
def test_what_is_new_on_top_of_a_rewritten_history_acts(
    server: Server, how: str
) -> None:
    for n in range(1, 4):
        server.work.commit(f"[net] old work {n}, fixes #{n}\n\nTrailer: x", f"{n}.txt")
    server.work.commit("refs #4 @1h\n\nTrailer: x", "secret.txt")
    server.work.commit("refs #4 @1h, the second\n\nTrailer: x", "secret.txt")
    server.work.push("main")
    server.install()
    server.work.sh(how, FILTER_BRANCH_SQUELCH_WARNING="1")
    server.work.commit("really fixes #2, fixes #5, refs #6, refs #4 @2h", "new.txt")
    server.work.push("+main")
    assert server.closed() == [2, 5]
    assert [server.comments(n) for n in range(1, 7)] == [0, 1, 0, 1, 1, 1]
    assert server.tracker.seconds("shop", 4) == 7200


def test_a_reworded_commit_that_fixes_one_more_issue_fixes_that_one(
    server: Server,
) -> None:
    server.install()
    server.work.commit("base")
    server.work.push("main")
    server.work.commit("fixes #6", "fix.txt")
    server.work.push("main")
    server.reopen(6)
    server.work.git("commit", "-q", "--amend", "-m", "fixes #6 and fixes #7")
    server.work.push("+main")
    assert server.closed() == [7]


def test_a_reference_that_becomes_a_fix_fixes(server: Server) -> None:
    server.install()
    server.work.commit("base")
    server.work.push("main")
    server.work.commit("refs #6", "fix.txt")
    server.work.push("main")
    server.work.git("commit", "-q", "--amend", "-m", "fixes #6")
    server.work.push("+main")
    assert server.closed() == [6]


def test_a_fix_that_becomes_a_reference_says_nothing_again(server: Server) -> None:
    server.install()
    server.work.commit("base")
    server.work.push("main")
    server.work.commit("fixes #6", "fix.txt")
    server.work.push("main")
    server.work.git("commit", "-q", "--amend", "-m", "for #6 (refs #6)")
    server.work.push("+main")
    assert server.comments(6) == 1


def test_a_rewritten_history_that_is_pushed_in_two_steps_does_nothing_again(
    server: Server,
) -> None:
    base = server.work.commit("base")
    for n in range(1, 4):
        server.work.commit(f"old work {n}, fixes #{n}")
    server.work.push("main")
    server.install()
    server.work.push(f"+{base}:main")
    server.work.sh(
        "git filter-branch -f --msg-filter 'sed s/work/task/' main",
        FILTER_BRANCH_SQUELCH_WARNING="1",
    )
    server.work.push("main")
    assert server.closed() == []


def test_a_rewritten_history_on_a_branch_that_was_deleted_does_nothing_again(
    server: Server,
) -> None:
    server.bare.git("config", "receive.denyDeleteCurrent", "ignore")
    for n in range(1, 4):
        server.work.commit(f"old work {n}, fixes #{n}")
    server.work.push("main")
    server.install()
    server.work.push(":main")
    server.work.sh(
        "git filter-branch -f --msg-filter 'sed s/work/task/' main",
        FILTER_BRANCH_SQUELCH_WARNING="1",
    )
    server.work.push("main")
    assert server.closed() == []


def test_a_better_fix_after_a_branch_was_set_back_fixes(server: Server) -> None:
    server.install()
    base = server.work.commit("base")
    server.work.push("main")
    server.work.commit("catch the crash, fixes #2", "fix.txt")
    server.work.push("main")
    server.work.push(f"+{base}:main")
    server.reopen(2)
    server.work.git("reset", "-q", "--hard", base)
    server.work.commit("find the cause, fixes #2", "fix.txt", GIT_AUTHOR_DATE=LATER)
    server.work.push("main")
    assert server.closed() == [2]


def test_what_a_topic_branch_dropped_was_never_asked_for(server: Server) -> None:
    server.install()
    server.work.commit("base")
    server.work.push("main")
    server.work.git("checkout", "-q", "-b", "topic")
    server.work.commit("fixes #3", "fix.txt")
    server.work.push("topic")
    server.work.git("commit", "-q", "--amend", "-m", "reworded, fixes #3")
    server.work.push("+topic")
    assert server.closed() == []
    server.work.push("topic:main")
    assert server.closed() == [3]


def test_what_comes_after_a_rewrite_acts_as_ever(server: Server) -> None:
    server.install()
    server.work.commit("base")
    server.work.push("main")
    server.work.commit("fixes #1", "fix.txt")
    server.work.push("main")
    server.work.git("commit", "-q", "--amend", "-m", "reworded, fixes #1")
    server.work.push("+main")
    server.reopen(1)
    server.work.commit("the right way, fixes #1", "fix.txt")
    server.work.push("main")
    assert server.closed() == [1]


def test_a_rewrite_larger_than_the_limits_acts_on_nothing_and_says_so(
    server: Server, home: Path
) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[limits]\ncommits = 3\n[services.issues]\nbroker = "issues"\n')
    base = server.work.commit("base")
    for n in range(1, 7):
        server.work.commit(f"old work {n}, fixes #{n}")
    server.work.push("main")
    server.install()
    server.work.git("reset", "-q", "--soft", base)
    server.work.git("commit", "-q", "-m", "squashed, fixes #1")
    said = server.work.push("+main")
    assert server.closed() == []
    assert "replaces more of the history than the limits hold" in said


def test_a_local_amend_and_rebase_do_nothing_again(
    repo: Repo, oberonc: Command, state: Path
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
    server: Server,
) -> None:
    server.install()
    for n in range(25):
        server.work.commit(f"old work {n}, fixes #{n % 3 + 1}", f"{n}.txt")
    assert "is an import and acts on nothing" in server.work.push("main")
    server.bare.git("config", "oberonc.publish", "*")
    server.work.git("checkout", "-q", "--orphan", "picked")
    server.work.git("rm", "-rqf", ".")
    server.work.commit("root")
    server.work.push("picked")
    for n in range(3):
        server.work.git("cherry-pick", f"main~{24 - n}", GIT_COMMITTER_DATE=LATER)
    server.work.push("picked")
    assert server.closed() == []


def test_what_an_import_was_held_back_from_is_done_when_it_is_sent_by_hand_and_then_never_again(
    server: Server,
) -> None:
    server.install()
    for n in range(25):
        server.work.commit(f"old work {n}, fixes #{n % 3 + 1}", f"{n}.txt")
    server.work.push("main")
    server.oberonc("send", "--rev", "main~2..main", cwd=server.bare.path)
    assert server.closed() == [1, 3]
    server.reopen(1, 3)
    server.oberonc("send", "--rev", "main~2..main", cwd=server.bare.path)
    assert server.closed() == []


def test_an_import_is_counted_before_it_is_cut(server: Server, home: Path) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[limits]\ncommits = 5\n[services.issues]\nbroker = "issues"\n')
    server.install()
    for n in range(25):
        server.work.commit(f"old work {n}, fixes #{n % 3 + 1}")
    assert "the first push of main with 25 commits is an import" in server.work.push(
        "main"
    )
    assert server.closed() == []


# Another project


def test_another_projects_closes_close_nothing_of_ours_and_that_is_said(
    server: Server, tmp_path: Path
) -> None:
    server.install()
    server.work.commit("base")
    server.work.push("main")
    other = Repo.init(tmp_path / "other")
    for n in range(1, 9):
        other.commit(f"theirs, closes #{n}", "theirs.txt")
    server.work.git("fetch", "-q", str(other.path), "main:theirs")
    server.work.commit("ours, fixes #9", "ours.txt")
    server.work.git(
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-m",
        "Take them in\n\nfixes #10",
        "theirs",
    )
    said = server.work.push("main")
    assert server.closed() == [9, 10]
    assert "a merge brought in another project's history, which acts on nothing" in said
    server.bare.git("branch", "theirs", server.work.git("rev-parse", "theirs"))
    server.oberonc("send", "--rev", "theirs~1..theirs", cwd=server.bare.path)
    assert server.closed() == [8, 9, 10]
