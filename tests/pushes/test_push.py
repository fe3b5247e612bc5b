"""The main job, end to end: real pushes over a bare repository with the installed hook
act on issues.
"""

from pathlib import Path

import pytest

from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.repo import Repo


class Server:
    """A bare repository with the hook, its issues, and clones of it."""

    def __init__(self, bare: Repo, oberonc: Command, tmp_path: Path) -> None:
        self.bare, self.oberonc, self._tmp = bare, oberonc, tmp_path
        oberonc("hook", "install", bare.path)
        self.work = self.clone("work")

    def clone(self, name: str) -> Repo:
        return self.bare.clone(self._tmp / name)

    def issues(self, *titles: str) -> None:
        for title in titles:
            self.oberonc("issues", "new", title, "--repository", "shop")

    def state(self, number: int) -> str:
        return str(
            self.oberonc(
                "issues", "show", str(number), "--repository", "shop", "--json"
            ).json["state"]
        )

    def comments(self, number: int) -> list[dict[str, str]]:
        said = self.oberonc(
            "issues", "show", str(number), "--repository", "shop", "--json"
        ).json
        return list(said["comments"])


@pytest.fixture
def server(bare: Repo, oberonc: Command, tmp_path: Path) -> Server:
    server = Server(bare, oberonc, tmp_path)
    server.issues("one", "two", "three")
    return server


def test_a_push_closes_one_issue_and_comments_on_another(server: Server) -> None:
    oid = server.work.commit(
        "great, all done, fixes #1\n\nhm, needs more work, references #2"
    )
    said = server.work.push("main")
    assert "remote: oberonc: issues: closed #1, commented on #2" in said
    assert server.state(1) == "closed"
    assert server.state(2) == "open"
    assert [c["commit"] for c in server.comments(1)] == [oid]
    assert oid[:12] in server.comments(1)[0]["text"]
    assert [c["commit"] for c in server.comments(2)] == [oid]


def test_one_comment_per_commit_in_one_push(server: Server) -> None:
    oids = [server.work.commit(f"step {n}, refs #2", "file.txt") for n in range(3)]
    server.work.push("main")
    assert [c["commit"] for c in server.comments(2)] == oids


def test_the_same_commits_on_another_branch_add_nothing(server: Server) -> None:
    server.work.commit("fixes #1")
    server.work.push("main")
    server.work.push("main:refs/heads/copy", "main:refs/heads/main2")
    assert len(server.comments(1)) == 1


def test_a_rebased_and_force_pushed_change_adds_nothing(server: Server) -> None:
    base = server.work.commit("base")
    server.work.push("main")
    server.work.commit("fixes #1, refs #2", "fix.txt")
    server.work.push("main")
    server.work.git("branch", "old")
    server.work.git("checkout", "-q", "-b", "other", base)
    server.work.commit("something else", "other.txt")
    server.work.git("checkout", "-q", "main")
    server.work.git("rebase", "-q", "other", GIT_COMMITTER_DATE="1767270000 +0200")
    assert server.work.git("rev-parse", "main") != server.work.git("rev-parse", "old")
    server.work.push("+main")
    assert len(server.comments(1)) == 1
    assert len(server.comments(2)) == 1


def test_a_cherry_picked_change_adds_nothing(server: Server) -> None:
    base = server.work.commit("base")
    server.work.git("checkout", "-q", "-b", "side")
    oid = server.work.commit("fixes #1", "fix.txt")
    server.work.push("side:main")
    server.work.git("checkout", "-q", "-b", "again", base)
    server.work.commit("between", "between.txt")
    server.work.git("cherry-pick", "-x", oid)
    server.work.push("+again:main")
    assert len(server.comments(1)) == 1


def test_an_issue_reopened_by_hand_stays_open_when_the_same_change_comes_again(
    server: Server,
) -> None:
    server.work.commit("base")
    server.work.push("main")
    server.work.commit("fixes #1", "fix.txt")
    server.work.push("main")
    server.oberonc("issues", "reopen", "1", "--repository", "shop")
    server.work.git(
        "commit", "--amend", "-q", "--no-edit", GIT_COMMITTER_DATE="1767270000 +0200"
    )
    server.work.push("+main")
    assert server.state(1) == "open"


def test_a_branch_that_is_not_published_changes_nothing_until_it_is_merged(
    server: Server,
) -> None:
    server.work.commit("base")
    server.work.push("main")
    server.work.git("checkout", "-q", "-b", "feature")
    oid = server.work.commit("fixes #1", "fix.txt")
    server.work.push("feature")
    assert server.state(1) == "open"
    assert server.comments(1) == []
    server.work.git("checkout", "-q", "main")
    server.work.git("merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
    server.work.push("main")
    assert server.state(1) == "closed"
    assert [c["commit"] for c in server.comments(1)] == [oid]


def test_a_fast_forward_merge_publishes_too(server: Server) -> None:
    server.work.commit("base")
    server.work.push("main")
    server.work.git("checkout", "-q", "-b", "feature")
    server.work.commit("fixes #1", "fix.txt")
    server.work.push("feature")
    server.work.push("feature:main")
    assert server.state(1) == "closed"


def test_a_negated_close_comments_and_does_not_close(server: Server) -> None:
    server.work.commit("this does not fix #1")
    server.work.push("main")
    assert server.state(1) == "open"
    assert len(server.comments(1)) == 1


def test_code_and_quotes_do_nothing(server: Server) -> None:
    server.work.commit('say "fixes #1" or `fixes #2`')
    server.work.push("main")
    assert server.state(1) == "open"
    assert server.comments(1) == server.comments(2) == []


def test_an_issue_that_does_not_exist_is_said_and_the_rest_goes_on(
    server: Server,
) -> None:
    server.work.commit("fixes #99, fixes #1")
    said = server.work.push("main")
    assert "#99 does not exist" in said
    assert server.state(1) == "closed"


def test_a_first_push_with_a_long_history_is_an_import_and_acts_on_nothing(
    server: Server,
) -> None:
    for n in range(21):
        server.work.commit(f"old {n}, fixes #1")
    said = server.work.push("main")
    assert server.state(1) == "open"
    assert "import" in said
    server.oberonc("send", "--rev", "HEAD~1..HEAD", "--json", cwd=server.work.path)


def test_a_second_users_clone_closes_issues_as_well(server: Server) -> None:
    server.work.commit("base")
    server.work.push("main")
    other = server.clone("other")
    other.commit("fixes #3")
    other.push("main")
    assert server.state(3) == "closed"


@pytest.mark.parametrize("option", ["oberonc.skip", "oberonc.skip=issues"])
def test_a_push_option_skips_the_services(server: Server, option: str) -> None:
    server.bare.git("config", "receive.advertisePushOptions", "true")
    oid = server.work.commit("fixes #1")
    server.work.sh(f"git push -o {option} origin main")
    assert server.state(1) == "open"
    assert "skipped by a push option" in server.oberonc("log", oid).out


def test_the_log_tells_why_nothing_happened(server: Server) -> None:
    server.bare.git("config", "oberonc.service", "nobody")
    oid = server.work.commit("fixes #1")
    server.work.push("main")
    assert "oberonc.service" in server.oberonc("log", oid[:10]).out


def test_a_commit_that_names_nothing_prints_nothing_and_the_log_says_why(
    server: Server,
) -> None:
    oid = server.work.commit("tidy up")
    assert "oberonc" not in server.work.push("main")
    assert "issues: done, attempt 1" in (said := server.oberonc("log", oid).out)
    assert said.endswith("nothing: no issue is named\n")


def told(
    server: Server, message: str, branch: str = "main", file: str = "file.txt"
) -> tuple[str, str]:
    """The line of a push of one commit, without its id, and what `log` says of that
    commit.
    """
    server.work.git("checkout", "-q", "-B", branch)
    oid = server.work.commit(message, file)
    lines = [
        line
        for line in server.work.push(branch).splitlines()
        if line.startswith("remote: oberonc: ")
    ]
    return "".join(
        line.removeprefix("remote: oberonc: ").split(" (")[0] for line in lines
    ), server.oberonc("log", oid).out


@pytest.mark.parametrize(
    ("message", "branch", "file", "why"),
    [
        (
            "fixes #2",
            "topic",
            "a",
            "#2 is named, and nothing is done: not on a publish ref",
        ),
        (
            "fixes #2",
            "main",
            "docs/a",
            "#2 is named, and nothing is done: its commit touches no file in `paths`",
        ),
        (
            "> fixes #2",
            "main",
            "a",
            "#2 is named, and nothing is done: 'fixes #2' is dead: a quoted line",
        ),
        ("fixes #99", "main", "a", "#99 does not exist"),
        (
            "does not fix #2",
            "main",
            "a",
            "the state of #2 is left as it is: 'fix': negated by 'not'",
        ),
    ],
)
def test_who_pushes_reads_why_nothing_happened_and_the_log_says_the_same(
    server: Server, admin: Admin, message: str, branch: str, file: str, why: str
) -> None:
    admin.configure('[services.issues]\nbroker = "issues"\npaths = ["!docs/**"]\n')
    server.work.commit("before")
    server.work.push("main")
    line, logged = told(server, message, branch, file)
    assert line.startswith("issues: ")
    assert why in line
    assert why in logged
    assert server.state(2) == "open"


def test_an_issue_that_is_closed_already_is_told(server: Server) -> None:
    server.work.commit("fixes #1")
    server.work.push("main")
    assert "#1 was closed already" in told(server, "closes #1, too")[0]
