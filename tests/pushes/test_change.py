"""The same change has the same name wherever it is picked to, and another change has
another.
"""

import pytest

from oberonc.source.entries import change
from tests.support.pushes import Server

WHO, WHEN = "Ann <ann@example.org>", (1767261600, "+0200")
ORIGINAL = "Fix the cart\n\nIt counted twice (#12).\n\nFixes #31"

TWINS = {
    "picked": ORIGINAL
    + "\n(cherry picked from commit 0123456789abcdef0123456789abcdef01234567)",
    "picked, after a blank line": ORIGINAL
    + "\n\n(cherry picked from commit 0123456789abcdef)",
    "picked, as a sentence": ORIGINAL
    + "\n\nCherry picked from commit 0123456789abcdef.",
    "backported": ORIGINAL + "\n(backported from commit 0123456789abcdef)",
    "backported twice": ORIGINAL
    + "\n(backported from commit 0123456789abcdef)\n(cherry picked from commit 9876543)",
    "backport of": ORIGINAL + "\n\nBackport of 0123456789abcdef from main.",
    "stable": ORIGINAL
    + "\n\n[ Upstream commit 0123456789abcdef0123456789abcdef01234567 ]",
    "stable, in front": ORIGINAL.replace(
        "\n\nIt", "\n\ncommit 0123456789abcdef0123456789abcdef01234567 upstream.\n\nIt"
    ),
    "signed": ORIGINAL
    + "\n\nSigned-off-by: Bob <bob@example.org>\nReviewed-by: Eve\nChange-Id: I0123",
    "a maintainer's note": ORIGINAL
    + "\n[bob: the other file is gone here]\nSigned-off-by: Bob <b@example.org>",
    "a note of several lines": ORIGINAL
    + "\n[bob@example.org: the other file is\n gone, and tests too ]\n",
    "two notes": ORIGINAL + "\n[bob: one]\n[eve: two]",
    "conflicts": ORIGINAL + "\n\nConflicts:\n\tlib/cart.py\n\tlib/pay.py",
    "conflicts, commented": ORIGINAL + "\n\n# Conflicts:\n#\tlib/cart.py\n",
    "conflicts, in the middle": ORIGINAL.replace(
        "\n\nFixes", "\n\nConflicts due to the new tax:\n  cart.py\n\nFixes"
    ),
    "mercurial": ORIGINAL + "\n\n--HG--\nbranch : 8.2.x\nextra : rebase_source : 0123",
    "a branch in front": "[8.2.x] " + ORIGINAL,
    "a patch in front": "[PATCH net 1/3] " + ORIGINAL,
    "two in front": "[8.2.x][backport] " + ORIGINAL,
    "lines of a mail": ORIGINAL.replace("\n", "\r\n") + "\r\n",
    "all at once": "[8.2.x] "
    + ORIGINAL
    + "\n\nConflicts:\n\ta.py\n\n[bob: by hand]\n(cherry picked from commit 0123456)\nAcked-by: Bob <b@example.org>",
}
OTHERS = {
    "another subject": ORIGINAL.replace("cart", "shop"),
    "another issue": ORIGINAL.replace("#31", "#32"),
    "one more issue": ORIGINAL + "\nFixes #7",
    "another body": ORIGINAL.replace("twice", "never"),
    "a list in brackets": ORIGINAL + "\n[1] the page about carts",
    "a sentence about conflicts": ORIGINAL + "\n\nConflicts with the shop are gone.",
    "a title about picking": ORIGINAL.replace("Fix the cart", "Cherry pick the cart"),
    "only brackets": "[8.2.x]",
}


@pytest.mark.parametrize("message", TWINS.values(), ids=TWINS.keys())
def test_what_is_added_to_a_change_leaves_its_name(message: str) -> None:
    assert change(WHO, WHEN, message) == change(WHO, WHEN, ORIGINAL)


@pytest.mark.parametrize("message", OTHERS.values(), ids=OTHERS.keys())
def test_another_change_has_another_name(message: str) -> None:
    assert change(WHO, WHEN, message) != change(WHO, WHEN, ORIGINAL)


def test_author_and_date_tell_changes_apart() -> None:
    assert (
        len(
            {
                change(WHO, WHEN, "x"),
                change("Bob <b@c>", WHEN, "x"),
                change(WHO, (1, "+0000"), "x"),
            }
        )
        == 3
    )


@pytest.mark.parametrize(
    "text",
    [
        "[a: " * 16_000,
        "conflicts:" * 6_000,
        "\n[x: y" * 10_000,
        "\n#Conflicts: :" * 5_000,
    ],
)
def test_hostile_text_is_named_in_linear_time(text: str) -> None:
    assert len(change(WHO, WHEN, text)) == 40  # the test's time limit is the point


@pytest.fixture
def server(server: Server) -> Server:
    """Something was pushed already."""
    server.work.commit("base")
    server.push("main")
    return server


def test_a_commit_that_names_its_original_has_the_change_of_it(server: Server) -> None:
    server.work.git("checkout", "-q", "-b", "dev")
    oid = server.work.commit("Fix the cart, fixes #1", "cart.py")
    (original,) = server.push("dev")["commits"]
    server.work.git("checkout", "-q", "main")
    server.work.git("cherry-pick", "-x", oid)
    text = server.work.git("log", "-1", "--format=%B").replace(
        "Fix the cart", "Mend the cart for 8.2"
    )
    server.work.git(
        "commit",
        "-q",
        "--amend",
        "-m",
        text,
        "--reset-author",
        "--date",
        "1767270000 +0200",
    )
    (picked,) = server.push("main")["commits"]
    assert picked["change"] == original["change"]


def test_a_pick_of_a_pick_has_the_change_of_the_original(server: Server) -> None:
    server.work.git("checkout", "-q", "-b", "dev")
    oid = server.work.commit("Fix the cart, fixes #1", "cart.py")
    (original,) = server.push("dev")["commits"]
    for name in ("first", "second"):
        server.work.git("checkout", "-q", "-b", name, "main")
        server.work.git("cherry-pick", "-x", oid)
        text = server.work.git("log", "-1", "--format=%B").replace(
            "Fix", f"{name}: fix"
        )
        server.work.git("commit", "-q", "--amend", "-m", text)
        oid = server.work.git("rev-parse", "HEAD")
        assert server.push(name)["commits"][0]["change"] == original["change"]


def test_original_and_pick_in_one_push_are_one_change(server: Server) -> None:
    server.work.git("checkout", "-q", "-b", "dev")
    oid = server.work.commit("Fix the cart, fixes #1", "cart.py")
    server.work.git("checkout", "-q", "main")
    server.work.git("cherry-pick", "-x", oid)
    text = server.work.git("log", "-1", "--format=%B").replace("Fix", "Backport: fix")
    server.work.git("commit", "-q", "--amend", "-m", text)
    assert (
        len({commit["change"] for commit in server.push("main", "dev")["commits"]}) == 1
    )


@pytest.mark.parametrize("named", ["1" * 40, "0" * 40, "HEAD", "--all", "0123456789"])
def test_an_original_that_is_not_there_changes_nothing(
    server: Server, named: str
) -> None:
    server.work.commit(
        f"Fix the cart\n\n(cherry picked from commit {named})", "cart.py"
    )
    (entry,) = server.push("main")["commits"]
    assert entry["change"] == change(
        "Ann Example <ann@example.org>", WHEN, entry["message"]
    )


def test_a_pick_that_asks_for_more_does_that(server: Server) -> None:
    """One change names two commits; what is done once is done per issue."""
    server.work.git("checkout", "-q", "-b", "dev")
    oid = server.work.commit("Fix the cart, fixes #1", "cart.py")
    server.push("dev")
    server.work.git("checkout", "-q", "main")
    server.work.git("cherry-pick", "-x", oid)
    server.work.git(
        "commit",
        "-q",
        "--amend",
        "-m",
        f"fixes #1, #2\n\n(cherry picked from commit {oid})",
    )
    (entry,) = server.push("main")["commits"]
    assert entry["message"].startswith("fixes #1, #2")
