"""Verbs, what may stand between them and their references, lists, suffixes and times."""

import pytest

from oberonc.grammar.message import find_references, scan
from oberonc.grammar.reference import Reference
from oberonc.grammar.vocabulary import DEFAULT
from oberonc.grammar.words import words_for
from tests.grammar.brief import brief

CLOSE = (
    "close closes closed closing fix fixes fixed fixing resolve resolves resolved resolving implement implements"
    " implemented implementing complete completes completed completing"
)
REOPEN = "reopen reopens reopened reopening re-open re-opens re-opened"
REFERENCE = (
    "ref,refs,reference,references,referenced,referencing,re,see,see also,address,addresses,addressed,addressing,"
    "relate to,relates to,related to,relating to,part of,contributes to,toward,towards,updates,mentions,duplicate of"
)


@pytest.mark.parametrize("verb", CLOSE.split())
def test_a_close_verb_closes(verb: str) -> None:
    assert brief(f"{verb} #12") == "close #12"


@pytest.mark.parametrize("verb", REOPEN.split())
def test_a_reopen_verb_reopens(verb: str) -> None:
    assert brief(f"{verb} #12") == "reopen #12"


@pytest.mark.parametrize("verb", REFERENCE.split(","))
def test_a_reference_verb_references(verb: str) -> None:
    assert brief(f"{verb} #12") == "reference #12"


@pytest.mark.parametrize(
    ("verb", "action"),
    [
        *(("wontfix", "wontfix"), ("wontfixes", "wontfix"), ("wontfixed", "wontfix")),
        *(
            ("invalidate", "invalid"),
            ("invalidates", "invalid"),
            ("invalidated", "invalid"),
        ),
        ("invalidating", "invalid"),
    ],
)
def test_a_verb_may_close_for_another_reason(verb: str, action: str) -> None:
    assert brief(f"{verb} #12") == f"{action} #12"


@pytest.mark.parametrize("verb", ["FIXES", "Fixes", "fixes", "fIxEs"])
def test_case_does_not_matter(verb: str) -> None:
    assert brief(f"{verb} #1") == "close #1"


def test_a_reference_tells_where_it_stands_and_why() -> None:
    assert find_references("this fixes o/r#12 @2h.") == [
        Reference("close", "o/r", None, "12", 11, 17, 7_200, "'fixes'", None)
    ]


GAPS = {
    "fixes #1": "close #1",
    "fixes   #1": "close #1",
    "fixes\t#1": "close #1",
    "fixes: #1": "close #1",
    "fixes:#1": "close #1",
    "fixes : #1": "close #1",
    "fixes\n#1": "close #1",
    "fixes \n  #1": "close #1",
    "fixes:\n#1": "close #1",
    "fixes\u00a0#1": "close #1",
    "fixes\n\n#1": "mention #1",
    "fixes:\n \t\n#1": "mention #1",
    "fixes, #1": "mention #1",
    "fixes. #1": "mention #1",
    "fixes - #1": "mention #1",
    "fixes (#1)": "mention #1",
    "fixes [#1]": "mention #1",
    "fixes :: #1": "mention #1",
    "fixes the #1": "mention #1",
    "fixes#1": "",
}


@pytest.mark.parametrize(("text", "expected"), GAPS.items())
def test_a_colon_blanks_or_one_line_break_join_a_verb_to_its_reference(
    text: str, expected: str
) -> None:
    assert brief(text) == expected


@pytest.mark.parametrize(
    "noun",
    ["issue", "issues", "bug", "bugs", "ticket", "tickets", "task", "tasks", "Issue"],
)
def test_a_noun_may_stand_between(noun: str) -> None:
    assert brief(f"fixes {noun} #1") == "close #1"
    assert brief(f"Fixes {noun}: #1") == "close #1"


@pytest.mark.parametrize("noun", ["crash", "problem", "issue in"])
def test_no_other_word_may_stand_between(noun: str) -> None:
    assert brief(f"fixes {noun} #1") == "mention #1"


@pytest.mark.parametrize(
    "left",
    [
        "",
        " ",
        "(",
        "[",
        "{",
        ",",
        ";",
        ":",
        "!",
        "?",
        ".",
        "*",
        "_",
        "~",
        "|",
        "–",
        "—",
        "…",
    ],
)
def test_a_verb_may_follow(left: str) -> None:
    assert brief(f"{left}fixes #1") == "close #1"


@pytest.mark.parametrize(
    "left",
    [
        "x",
        "1",
        '"',
        "'",
        "`",
        "“",
        "x/",
        "#",
        "@",
        "$",
        "\\",
        "pre-",
        "un-",
        "auto-",
        "hot",
    ],
)
def test_a_verb_may_not_follow(left: str) -> None:
    assert brief(f"{left}fixes #1") == "mention #1"


def test_a_hyphen_before_a_verb_is_a_bullet_at_the_start_of_a_line_only() -> None:
    assert brief("- fixes #1\n-fixes #2\n* fixes #3") == "close #1; close #2; close #3"
    assert brief("a -fixes #1") == "mention #1"


@pytest.mark.parametrize(
    "text", ["fixesx #1", "fixes- #1", "fixes_ #1", "fix(scope): #1", "fix!: #1"]
)
def test_a_verb_ends_where_its_word_ends(text: str) -> None:
    assert brief(text) == "mention #1"


SEPARATORS = [
    ", ",
    ",",
    "; ",
    ";",
    " & ",
    "&",
    " + ",
    "+",
    " / ",
    "/",
    " and ",
    ", and ",
    ", & ",
    " ",
    ",\n  ",
    " and\n",
]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_every_item_of_a_list_is_closed(separator: str) -> None:
    text = f"Fixes #1{separator}#2{separator}#3"
    assert brief(text) == "close #1; close #2; close #3"


def test_a_list_may_mix_its_separators_nouns_and_forms() -> None:
    text = "Closes #1, issue #2 and bug o/r#3; GH-4 & #5, and #6."
    assert (
        brief(text) == "close #1; close #2; close o/r#3; close #4; close #5; close #6"
    )


ENDS = {
    "fixes #1\n#2": "close #1; mention #2",
    "fixes #1. #2": "close #1; mention #2",
    "fixes #1 or #2": "close #1; mention #2",
    "fixes #1 (#2)": "close #1; mention #2",
    "fixes #1, see #2": "close #1; reference #2",
    "fixes #1, related to #2": "close #1; reference #2",
    "fixes #1 and reopens #2": "close #1; reopen #2",
    "Closes #1, where #2 remains open": "close #1; mention #2",
    "fixes #1, for #2": "close #1; mention #2",
    "fixes #1 and, #2": "close #1; mention #2",
    "fixes #1,, #2": "close #1; mention #2",
    "fixes #1|#2": "close #1; mention #2",
    "fixes #1 - #2": "close #1; mention #2",
    "fixes #1, !2, #3": "close #1; mention #3",
    "Fixes: #666and#777": "",
    "fixes #1\u2028fixes #2": "close #1; close #2",
    "Closes #1 and fix #2": "close #1; close #2",
    "fix issue #1,fixing issue #2 fix issue #3": "close #1; close #2; close #3",
    "Closes #1. Follow up in #2.": "close #1; mention #2",
}


@pytest.mark.parametrize(("text", "expected"), ENDS.items())
def test_a_list_ends_where_something_else_begins(text: str, expected: str) -> None:
    assert brief(text) == expected


@pytest.mark.parametrize(
    "tail",
    ["is", "are", "remains", "still", "needs", "not", "was", "isn't", "will", "should"],
)
def test_a_later_item_that_a_sentence_goes_on_with_leaves_the_list(tail: str) -> None:
    assert brief(f"fixes #1, #2 {tail} open") == "close #1; mention #2"


def test_over_a_line_break_only_a_sentence_that_goes_on_takes_an_item_along() -> None:
    assert brief("fixes #1, #2\nis still open") == "close #1; mention #2"
    assert brief("fixes #1, #2\nNot tested on Windows.") == "close #1; close #2"


def test_the_first_item_never_leaves() -> None:
    assert brief("fixes #1 is what I mean") == "close #1"


def test_a_plural_takes_the_item_before_with_it() -> None:
    assert (
        brief("fixes #1, #2 and #3 are still open")
        == "close #1; mention #2; mention #3"
    )


def test_a_colon_and_a_bullet_list_are_one_list() -> None:
    assert (
        brief("Fixes:\n- #1\n- issue #2\n* #3\n\n- #4")
        == "close #1; close #2; close #3; mention #4"
    )
    assert brief("Fixes issues:\n  * #1\n  * #2") == "close #1; close #2"
    assert (
        brief("Fixes:\n- #1,\n- #2;\n- o/r#3 text\n- #4")
        == "close #1; close #2; close o/r#3; mention #4"
    )


@pytest.mark.parametrize("text", ["fixes\n- #1", "fixes:\n\n- #1", "fixes: - #1"])
def test_bullets_need_a_colon_and_a_line_break(text: str) -> None:
    assert brief(text) == "mention #1"


def test_nothing_between_two_numbers_refuses_both() -> None:
    assert brief("fixes #1#2") == ""


SUFFIXES = {
    "closes #1 as wontfix": "wontfix #1",
    "Closes #1, #2 and #3 as invalid.": "invalid #1; invalid #2; invalid #3",
    "closes #1 as Duplicate": "duplicate #1",
    "closes #1 as fixed": "close #1",
    "closes #1 as resolved": "close #1",
    "closes #1 as requested": "close #1",
    "see #1 as duplicate": "reference #1",
    "does not close #1 as wontfix": "reference #1",
    "reopens #1 as invalid": "reopen #1",
    "wontfix #1 as duplicate": "duplicate #1",
    "fixes #1 @2h as wontfix": "wontfix #1",
    "closes #1 as": "close #1",
}


@pytest.mark.parametrize(("text", "expected"), SUFFIXES.items())
def test_a_suffix_says_how_the_whole_list_is_closed(text: str, expected: str) -> None:
    assert brief(text) == expected


def test_close_and_reference_of_one_issue_are_both_told() -> None:
    assert brief("fixes #1, see #1") == "close #1; reference #1"


@pytest.mark.parametrize(
    "text",
    [
        "closes #1 and reopens #1",
        "fixes #1. Reopens #1.",
        "wontfix #1, closes #1",
        "closes #1, fixes #1 as invalid",
    ],
)
def test_two_different_changes_of_one_issue_are_neither(text: str) -> None:
    found = scan(text)
    assert [reference.action for reference in found.references] == [
        "reference",
        "reference",
    ]
    assert len(found.warnings) == 2
    assert "opposite" in found.references[0].why


def test_the_same_change_twice_is_no_contradiction() -> None:
    assert (
        brief("fixes #1, fixes #1, reopens o/r#1") == "close #1; close #1; reopen o/r#1"
    )


TIMES = {
    "2h": 7_200,
    "2hours": 7_200,
    "1hour": 3_600,
    "15m": 900,
    "15min": 900,
    "3h15": 11_700,
    "3h15m": 11_700,
    "3h15min": 11_700,
    "3:15": 11_700,
    "3.25h": 11_700,
    "3,25h": 11_700,
    "4h15m": 15_300,
    "1d": 28_800,
    "1w": 144_000,
    "1mo": 576_000,
    "1w2d4h30m": 217_800,
}


@pytest.mark.parametrize(("written", "seconds"), TIMES.items())
def test_a_time_follows_its_reference(written: str, seconds: int) -> None:
    for text in (
        f"fixes #1 @{written}",
        f"refs #1 @{written}, thanks",
        f"#1 spent @{written}.",
        f"#1 took @{written}",
    ):
        assert find_references(text)[0].time == seconds, text


@pytest.mark.parametrize(
    "written",
    ["", "foo", "2x", "2hx", "1h1h1h1h1h1h", "3:75", "99999h", "2h_", "h", "1.555h"],
)
def test_what_is_no_time_is_left_alone(written: str) -> None:
    assert find_references(f"fixes #1 @{written}")[0].time is None


@pytest.mark.parametrize(
    ("written", "seconds"), [("2", 7_200), ("3.25", 11_700), ("3,25", 11_700)]
)
def test_a_number_alone_is_a_time_where_the_tracker_is_like_redmine(
    written: str, seconds: int
) -> None:
    text = f"Worked on this issue #1 @{written}"
    assert find_references(text)[0].time is None
    assert find_references(text, words_for("redmine"))[0].time == seconds


def test_each_item_of_a_list_has_its_own_time_and_the_list_goes_on() -> None:
    found = find_references("fixes #1 @1h30, #2 and #3 @3:15 #4", DEFAULT)
    assert [(reference.action, reference.time) for reference in found] == [
        *(("close", 5_400), ("close", None), ("close", 11_700), ("close", None))
    ]


def test_a_time_after_something_else_is_nobodys() -> None:
    found = find_references(
        "fixes #1, https://example.org @2h. (#2) @1h",
        words_for("local", {"mentions": "none"}),
    )
    assert [reference.time for reference in found] == [None]


TRAILERS = {
    "Closes-Bug: #1": "close #1",
    "Fixes-Bug: #1": "close #1",
    "Resolves-Bug: #1": "close #1",
    "Closes-Issue: #1, #2": "close #1; close #2",
    "Fixes-Issue: #1": "close #1",
    "Closes-Ticket: #1": "close #1",
    "Fixes-Ticket: #1": "close #1",
    "Reopens: #1": "reopen #1",
    "Related-Bug: #1": "reference #1",
    "Partial-Bug: #1": "reference #1",
    "Related-Issue: #1": "reference #1",
    "Bug: #1": "reference #1",
    "Issue: #1": "reference #1",
    "Ticket: #1": "reference #1",
    "Task: #1": "reference #1",
    "See-also: #1": "reference #1",
    "Part-of: #1": "reference #1",
    "Relates-to: #1": "reference #1",
    "Jira: #1": "reference #1",
    "Link: #1": "reference #1",
    "    closes-bug: #1": "close #1",
    "* Closes-Bug: #1": "close #1",
    "text Closes-Bug: #1": "mention #1",
    "Closes-Bug #1": "mention #1",
    "Closes-Bug: 12": "",
    "Unknown-Bug: #1": "mention #1",
    "the last fix\nBug: #1": "reference #1",
    "and fix\nbug #1": "close #1",
    "Fixes-Ticket: #1\nSigned-off-by: A <a@example.org>\nRefs: #2": "close #1; reference #2",
}


@pytest.mark.parametrize(("line", "expected"), TRAILERS.items())
def test_a_trailer_heads_its_line_and_has_a_colon(line: str, expected: str) -> None:
    assert brief(f"Subject\n\nBody\n\n{line}\n") == expected


def test_a_message_is_cut_at_the_limit_never_inside_a_number() -> None:
    words = DEFAULT._replace(max_scan=16)
    found = scan("fixes #1 fixes #123456 fixes #3", words)
    assert [reference.issue for reference in found.references] == ["1"]
    assert found.cut
    assert "characters were read" in found.warnings[0].text


def test_a_long_message_is_read_up_to_64_kib() -> None:
    found = scan("fixes #1\n" + "x " * 40_000 + "fixes #2")
    assert [reference.issue for reference in found.references] == ["1"]
    assert found.cut
    assert not scan("fixes #1\n" + "x " * 30_000 + "fixes #2").cut


def test_a_code_block_that_the_cut_leaves_open_stays_dead() -> None:
    words = DEFAULT._replace(max_scan=40)
    assert scan("```\nfixes #1\n" + "x " * 20 + "\n```", words).references == []


def test_a_message_has_at_most_a_hundred_references() -> None:
    found = scan("see " + ", ".join(f"#{n}" for n in range(1, 200)))
    assert len(found.references) == 100
    assert found.cut
    assert "100 references" in found.warnings[-1].text
