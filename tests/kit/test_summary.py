"""What people are told of a push, the same for every chat."""

from typing import Any

import pytest

from oberonc.kit.markup import MARKUPS
from oberonc.kit.summary import compare_url, headline, render, summary
from oberonc.payload.digest import joined
from oberonc.testing import commit, payload
from tests.support.admin import sample


def _text(payload: dict[str, Any], most: int = 10) -> list[str]:
    return render(summary(payload, most), MARKUPS["plain"]).split("\n")


def _update(**changes: Any) -> dict[str, Any]:
    return {**sample()["updates"][0], **changes}


def test_a_push_of_commits_says_who_what_where_and_each_first_line() -> None:
    site = "https://git.example.org/web/shop"
    old, new = (sample()["updates"][0][key] for key in ("old", "new"))
    first, second = (commit["raw_node"] for commit in sample()["commits"])
    assert _text(sample()) == [
        f"ann pushed 2 commits <{site}/compare/{old}...{new}> to branch main"
        f" of web/shop <{site}>",
        f"1f2e3d4c <{site}/commit/{first}> needs more work, references #37 (Ann Example)",
        f"9a8b7c6d <{site}/commit/{second}> great, all done, fixes #42 (Ann Example)",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"deleted": True}, "ann deleted branch main of web/shop"),
        ({"created": True}, "ann made branch main of web/shop with 2 new commits"),
        (
            {"forced": True},
            "ann force-pushed branch main of web/shop with 2 new commits",
        ),
        ({"kind": "tag", "name": "v1", "created": True}, "ann made tag v1 in web/shop"),
        ({"kind": "tag", "name": "v1"}, "ann moved tag v1 in web/shop"),
        (
            {"kind": "other", "name": "refs/notes/x"},
            "ann moved ref refs/notes/x in web/shop",
        ),
    ],
    ids=["deleted", "created", "forced", "tag", "moved tag", "other"],
)
def test_every_kind_of_update_has_its_words(changes: dict[str, Any], line: str) -> None:
    payload = sample(updates=[_update(**changes)])
    assert headline(payload) == line


def test_more_than_fits_is_counted() -> None:
    commits = sample()["commits"] * 6
    lines = _text(sample(commits=commits), 5)
    assert len(lines) == 7
    assert lines[-1] == "and 7 more commits"


def test_many_refs_share_the_room_and_the_rest_is_counted() -> None:
    updates = [_update(name=f"b{number}", created=True) for number in range(12)]
    lines = _text(sample(updates=updates, commits=[]), 10)
    assert len(lines) == 11
    assert lines[-1] == "and 2 more refs"


def test_what_a_merge_brings_is_said() -> None:
    payload = sample(merged=sample()["commits"][:1], commits=sample()["commits"][1:])
    assert headline(payload).endswith("which merges 1 commit")


def test_a_message_without_a_commit_has_no_id() -> None:
    commit = {**sample()["commits"][0], "raw_node": "0" * 40, "node": "0" * 12}
    payload = sample(event="commit", updates=[], commits=[commit], published=["0" * 40])
    assert _text(payload)[1] == "needs more work, references #37 (Ann Example)"


def test_a_notice_says_what_was_given_up() -> None:
    dead = {
        "delivery": 7,
        "service": "issues",
        "repository": "web/shop",
        "push": "0" * 32,
        "accepted": "",
        "given_up": "",
        "error": "404 <b>",
    }
    payload = sample(event="dead", updates=[], commits=[], dead_total=3, dead=[dead])
    assert _text(payload, 1) == [
        "oberonc gave up 3 deliveries",
        "delivery 7: issues of web/shop: 404 <b>",
        "and 2 more: oberonc queue list dead",
    ]


def test_nothing_a_stranger_wrote_makes_a_line_of_its_own() -> None:
    commit = {**sample()["commits"][0], "message": "a\u2028b\rc\nd", "author": "x\ny"}
    payload = sample(user="a\nb", commits=[commit], updates=[_update(name="m\nn")])
    assert len(_text(payload)) == 1


def _digest() -> dict[str, Any]:
    """Three pushes to a branch as one, with six commits of two people."""
    pushes = []
    for number in range(3):
        brought = [commit(number * 2 + n, f"change {number * 2 + n}") for n in (1, 2)]
        brought[1]["author"] = "Bob"
        made = sample(commits=brought, commits_total=2, user=None, id=f"{number:032}")
        made["updates"][0] |= {"old": str(number) * 40, "new": str(number + 1) * 40}
        pushes.append(made)
    return joined(pushes)


def test_pushes_that_are_told_together_are_told_as_one() -> None:
    lines = _text(_digest())
    assert lines[0].startswith("several people pushed 6 commits <")
    assert f"compare/{'0' * 40}...{'3' * 40}" in lines[0]
    told = [line.partition("> ")[2].partition(" (")[0] for line in lines[1:]]
    assert told == [f"change {number}" for number in range(1, 7)]


def test_the_link_that_a_forge_gave_is_the_one_that_is_told() -> None:
    given = "https://dev.example/compare?from=1&to=2"
    payload = sample()
    payload["updates"][0]["compare"] = given
    links = [piece.url for line in summary(payload) for piece in line if piece.url]
    assert links[0] == given


@pytest.mark.parametrize(
    "given", ["javascript:alert(1)", "https://x\nBcc: y", "x" * 9999]
)
def test_what_a_forge_gives_as_a_link_and_is_none_is_not_shown(given: str) -> None:
    payload = sample()
    ours = compare_url(payload, payload["updates"][0])
    payload["updates"][0]["compare"] = given
    assert compare_url(payload, payload["updates"][0]) == ours


def test_what_a_branch_brought_that_was_merged_and_deleted_is_told() -> None:
    topic, merge = commit(1, "the work", "topic"), commit(2, "Merge topic")
    ref = {"ref": "refs/heads/topic", "name": "topic", "publish": False}
    made = sample(commits=[topic], commits_total=1, published=[], id="1" * 32)
    made["updates"][0] |= ref | {"created": True, "old": "0" * 40}
    both = sample(commits=[merge], merged=[topic], commits_total=1, id="2" * 32)
    gone = sample(commits=[], commits_total=0, published=[], id="3" * 32)
    gone["updates"][0] |= ref | {"deleted": True, "new": "0" * 40}
    lines = " ".join(_text(joined([made, both, gone])))
    for told in (
        "made branch topic",
        "the work",
        "Merge topic",
        "deleted branch topic",
    ):
        assert lines.count(told) == 1


def test_what_came_without_a_push_is_told_beside_the_pushes_of_a_digest() -> None:
    pushes = [payload("tag", id="1" * 32), payload("message", id="2" * 32)]
    lines = _text(joined([*pushes, payload("delete", id="3" * 32)]))
    assert [" ".join(line.split()[1:3]) for line in lines] == [
        "made tag",
        "deleted branch",
        "told of",
        "done, fixes",
    ]
