"""The main job, end to end: real pushes over a bare repository with the installed hook
act on issues.
"""

import pytest

from tests.support.admin import PATIENT, Admin
from tests.support.pushes import Shop


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """Its hook is there before the first push."""
    shop.install()
    return shop


def test_a_push_closes_one_issue_and_comments_on_another(shop: Shop) -> None:
    oid = shop.work.commit(
        "great, all done, fixes #1\n\nhm, needs more work, references #2"
    )
    said = shop.work.push("main")
    assert "remote: oberonc: issues: closed #1, commented on #2" in said
    assert shop.state(1) == "closed"
    assert shop.state(2) == "open"
    assert [c["commit"] for c in shop.comments(1)] == [oid]
    assert oid[:12] in shop.comments(1)[0]["text"]
    assert [c["commit"] for c in shop.comments(2)] == [oid]


def test_one_comment_per_commit_in_one_push(shop: Shop) -> None:
    oids = [shop.work.commit(f"step {n}, refs #2", "file.txt") for n in range(3)]
    shop.work.push("main")
    assert [c["commit"] for c in shop.comments(2)] == oids


def test_the_same_commits_on_another_branch_add_nothing(shop: Shop) -> None:
    shop.work.commit("fixes #1")
    shop.work.push("main")
    shop.work.push("main:refs/heads/copy", "main:refs/heads/main2")
    assert len(shop.comments(1)) == 1


def test_a_rebased_and_force_pushed_change_adds_nothing(shop: Shop) -> None:
    base = shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("fixes #1, refs #2", "fix.txt")
    shop.work.push("main")
    shop.work.git("branch", "old")
    shop.work.git("checkout", "-q", "-b", "other", base)
    shop.work.commit("something else", "other.txt")
    shop.work.git("checkout", "-q", "main")
    shop.work.git("rebase", "-q", "other", GIT_COMMITTER_DATE="1767270000 +0200")
    assert shop.work.git("rev-parse", "main") != shop.work.git("rev-parse", "old")
    shop.work.push("+main")
    assert len(shop.comments(1)) == 1
    assert len(shop.comments(2)) == 1


def test_a_cherry_picked_change_adds_nothing(shop: Shop) -> None:
    base = shop.work.commit("base")
    shop.work.git("checkout", "-q", "-b", "side")
    oid = shop.work.commit("fixes #1", "fix.txt")
    shop.work.push("side:main")
    shop.work.git("checkout", "-q", "-b", "again", base)
    shop.work.commit("between", "between.txt")
    shop.work.git("cherry-pick", "-x", oid)
    shop.work.push("+again:main")
    assert len(shop.comments(1)) == 1


def test_an_issue_reopened_by_hand_stays_open_when_the_same_change_comes_again(
    shop: Shop,
) -> None:
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.commit("fixes #1", "fix.txt")
    shop.work.push("main")
    shop.oberonc("issues", "reopen", "1", "--repository", "shop")
    shop.work.git(
        "commit", "--amend", "-q", "--no-edit", GIT_COMMITTER_DATE="1767270000 +0200"
    )
    shop.work.push("+main")
    assert shop.state(1) == "open"


def test_a_branch_that_is_not_published_changes_nothing_until_it_is_merged(
    shop: Shop,
) -> None:
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.git("checkout", "-q", "-b", "feature")
    oid = shop.work.commit("fixes #1", "fix.txt")
    shop.work.push("feature")
    assert shop.state(1) == "open"
    assert shop.comments(1) == []
    shop.work.git("checkout", "-q", "main")
    shop.work.git("merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
    shop.work.push("main")
    assert shop.state(1) == "closed"
    assert [c["commit"] for c in shop.comments(1)] == [oid]


def test_a_fast_forward_merge_publishes_too(shop: Shop) -> None:
    shop.work.commit("base")
    shop.work.push("main")
    shop.work.git("checkout", "-q", "-b", "feature")
    shop.work.commit("fixes #1", "fix.txt")
    shop.work.push("feature")
    shop.work.push("feature:main")
    assert shop.state(1) == "closed"


def test_a_negated_close_comments_and_does_not_close(shop: Shop) -> None:
    shop.work.commit("this does not fix #1")
    shop.work.push("main")
    assert shop.state(1) == "open"
    assert len(shop.comments(1)) == 1


def test_code_and_quotes_do_nothing(shop: Shop) -> None:
    shop.work.commit('say "fixes #1" or `fixes #2`')
    shop.work.push("main")
    assert shop.state(1) == "open"
    assert shop.comments(1) == shop.comments(2) == []


def test_an_issue_that_does_not_exist_is_said_and_the_rest_goes_on(shop: Shop) -> None:
    shop.work.commit("fixes #99, fixes #1")
    said = shop.work.push("main")
    assert "#99 does not exist" in said
    assert shop.state(1) == "closed"


def test_a_first_push_with_a_long_history_is_an_import_and_acts_on_nothing(
    shop: Shop,
) -> None:
    for n in range(21):
        shop.work.commit(f"old {n}, fixes #1")
    said = shop.work.push("main")
    assert shop.state(1) == "open"
    assert "import" in said
    assert shop.comments(1) == []


def test_what_an_import_held_back_is_done_when_somebody_sends_it(shop: Shop) -> None:
    for n in range(21):
        shop.work.commit(f"old {n}, fixes #1")
    shop.work.push("main")
    shop.oberonc("send", "--rev", "main~1..main", cwd=shop.bare.path)
    assert shop.state(1) == "closed"
    assert len(shop.comments(1)) == 1


def test_a_second_users_clone_closes_issues_as_well(shop: Shop) -> None:
    shop.work.commit("base")
    shop.work.push("main")
    other = shop.clone("other")
    other.commit("fixes #3")
    other.push("main")
    assert shop.state(3) == "closed"


@pytest.mark.parametrize("option", ["oberonc.skip", "oberonc.skip=issues"])
def test_a_push_option_skips_the_services(shop: Shop, option: str) -> None:
    shop.bare.git("config", "receive.advertisePushOptions", "true")
    oid = shop.work.commit("fixes #1")
    shop.work.sh(f"git push -o {option} origin main")
    assert shop.state(1) == "open"
    assert "skipped by a push option" in shop.oberonc("log", oid).out


def test_the_log_tells_why_nothing_happened(shop: Shop) -> None:
    shop.bare.git("config", "oberonc.service", "nobody")
    oid = shop.work.commit("fixes #1")
    shop.work.push("main")
    assert "oberonc.service" in shop.oberonc("log", oid[:10]).out


def test_a_commit_that_names_nothing_prints_nothing_and_the_log_says_why(
    shop: Shop,
) -> None:
    oid = shop.work.commit("tidy up")
    assert "oberonc" not in shop.work.push("main")
    assert "issues: done, attempt 1" in (said := shop.oberonc("log", oid).out)
    assert said.endswith("nothing: no issue is named\n")


def told(
    shop: Shop, message: str, branch: str = "main", file: str = "file.txt"
) -> tuple[str, str]:
    """The line of a push of one commit, without its id, and what `log` says of that
    commit.
    """
    shop.work.git("checkout", "-q", "-B", branch)
    oid = shop.work.commit(message, file)
    lines = [
        line
        for line in shop.work.push(branch).splitlines()
        if line.startswith("remote: oberonc: ")
    ]
    return "".join(
        line.removeprefix("remote: oberonc: ").split(" (")[0] for line in lines
    ), shop.oberonc("log", oid).out


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
    shop: Shop, admin: Admin, message: str, branch: str, file: str, why: str
) -> None:
    admin.configure(
        f"{PATIENT}[services.issues]\nbroker = 'issues'\npaths = ['!docs/**']\n"
    )
    shop.work.commit("before")
    shop.work.push("main")
    line, logged = told(shop, message, branch, file)
    assert line.startswith("issues: ")
    assert why in line
    assert why in logged
    assert shop.state(2) == "open"


def test_an_issue_that_is_closed_already_is_told(shop: Shop) -> None:
    shop.work.commit("fixes #1")
    shop.work.push("main")
    assert "#1 was closed already" in told(shop, "closes #1, too")[0]
