"""The embedded tracker's file."""

from pathlib import Path

import pytest

from oberonc.errors import BadInput
from oberonc.issues.embedded import IssueFile


@pytest.fixture
def tracker(tmp_path: Path) -> IssueFile:
    return IssueFile(tmp_path)


def test_issues_are_numbered_in_each_repository(tracker: IssueFile) -> None:
    assert [tracker.new("a", "x"), tracker.new("a", "y"), tracker.new("b", "z")] == [
        1,
        2,
        1,
    ]
    assert [row.title for row in tracker.issues("a")] == ["x", "y"]


def test_show_has_the_documented_keys(tracker: IssueFile) -> None:
    tracker.new("a", "crash on start")
    tracker.comment("a", 1, "Ann", "seen", "f" * 40)
    shown = tracker.show("a", 1)
    (comment,) = shown.pop("comments")
    assert shown == {
        "repository": "a",
        "number": 1,
        "title": "crash on start",
        "state": "open",
    }
    assert comment.pop("time").endswith("Z")
    assert comment == {"author": "Ann", "text": "seen", "commit": "f" * 40}


def test_a_comment_with_a_known_key_adds_nothing(tracker: IssueFile) -> None:
    tracker.new("a", "x")
    for _ in range(2):
        tracker.comment("a", 1, "Ann", "seen", None, "key")
        tracker.comment("a", 1, "Ann", "without a key")
    assert [c["text"] for c in tracker.show("a", 1)["comments"]] == [
        "seen",
        "without a key",
        "without a key",
    ]


def test_a_state_change_with_a_known_key_does_not_undo_a_person(
    tracker: IssueFile,
) -> None:
    tracker.new("a", "x")
    tracker.set_state("a", 1, "closed", "fixed", "key")
    tracker.set_state("a", 1, "open")
    tracker.set_state("a", 1, "closed", "fixed", "key")
    assert tracker.state("a", 1) == "open"


def test_time_with_a_known_key_counts_once(tracker: IssueFile) -> None:
    tracker.new("a", "x")
    for key in ("one", "one", "two"):
        tracker.log_time("a", 1, "Ann", 600, key)
    assert tracker.seconds("a", 1) == 1200


@pytest.mark.parametrize("number", [0, -1, 2, 10**30])
def test_an_unknown_number_is_bad_input(tracker: IssueFile, number: int) -> None:
    tracker.new("a", "x")
    for act in (
        lambda: tracker.show("a", number),
        lambda: tracker.comment("a", number, "Ann", "seen"),
        lambda: tracker.set_state("a", number, "closed"),
        lambda: tracker.log_time("a", number, "Ann", 60, "key"),
    ):
        with pytest.raises(BadInput, match="has no issue"):
            act()


def test_an_empty_title_is_bad_input(tracker: IssueFile) -> None:
    with pytest.raises(BadInput, match="title"):
        tracker.new("a", " \n")
