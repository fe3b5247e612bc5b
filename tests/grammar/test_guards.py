"""What takes the force out of a verb, and what looks like it and does not. Many are
complaints about others.
"""

import pytest

from oberonc.grammar.message import find_references, scan
from oberonc.grammar.words import words_for
from tests.grammar.brief import brief

NEGATED = [
    "does not fix #1",
    "doesn't fix #1",
    "doesn’t fix #1",
    "don't close #1",
    "never fixes #1",
    "won't fix #1",
    "cannot close #1",
    "can't resolve #1",
    "Does NOT fix #1",
    "This PR does not close #1",
    "does **not** fix #1",
    "does not really fix #1",
    "does not yet completely fix #1",
    "has not been fixed: #1",
    "not quite fixed #1",
    "no longer fixes #1",
    "doesn't itself close #1",
    "not to be closed #1",
    "not meant to fix #1",
    "is not an attempt to fix #1",
    "not going to fix #1",
    "will not be able to fix #1",
    "unable to fix #1",
    "fails to fix #1",
    "neither fixes #1",
    "nor does it fix #1",
    "without fixing #1",
    "instead of fixing #1",
    "Filed rather than fixed: #1",
    "does not\nfix #1",
    "dont fix #1",
    "does not reopen #1",
    "no fix #1",
    "reverts fix #1",
    "no plan to fix #1",
    "never ever fixes #1",
    "is not enough to fix #1",
    "not 'x' and not fixed #1",
]


@pytest.mark.parametrize("text", NEGATED)
def test_a_negated_verb_references(text: str) -> None:
    assert brief(text) == "reference #1"


def test_the_negation_covers_the_whole_list() -> None:
    assert (
        brief("does not fix #1, #2 and #3")
        == "reference #1; reference #2; reference #3"
    )


NOT_NEGATED = [
    "not only fixes #1",
    "not just fix #1",
    "not merely fixes #1",
    "does not simply fix #1",
    "It is not a fix, closes #1",
    "Never mind, fixes #1",
    "Don't double assign attributes - closes #1",
    "is not falsy\nfixes issues #1",
    "Deprecations? | no\nTickets | fixes #1",
    "does not crash, fixes #1",
    "does not crash. Fixes #1",
    "does not\nFixes: #1",
    "does not\n\nfix #1",
    "not 3 fixes #1",
    "do not crash on empty input to fix #1",
    "no crash when empty, to fix #1",
    "should fix #1",
    "may fix #1",
    "might fix #1",
    "hopefully fixes #1",
    "maybe fixes #1",
    "probably fixes #1",
    "this fixes #1",
    "this fix #1",
    "to fix #1",
    "and fixes #1",
    "which fixes #1",
    "bug fix #1",
    "by fixing #1",
]


@pytest.mark.parametrize("text", NOT_NEGATED)
def test_these_still_close(text: str) -> None:
    assert brief(text) == "close #1"


PARTIAL = [
    "partially fixes #1",
    "Partially Fixes #1",
    "partly closes #1",
    "Partial fix #1",
    "only partially fixes #1",
]


@pytest.mark.parametrize("text", PARTIAL)
def test_a_partial_fix_references(text: str) -> None:
    assert brief(text) == "reference #1"


def test_partial_before_a_trailer_is_not_said_of_it() -> None:
    assert brief("moved directly to partial Fixes #3119") == "close #3119"
    assert brief("fixes part of #1") == "reference #1"


GERUNDS = [
    "first step in implementing #1",
    "before implementing #1",
    "until fixing #1",
    "Another try at fixing #1",
    "start fixing #1",
    "started fixing #1",
    "continue implementing #1",
    "step towards fixing #1",
    "after closing #1",
    "for fixing #1",
    "while fixing #1",
    "on closing #1",
    "wip fixing #1",
    "prevents users from fixing #1",
    "avoid closing #1",
]
PARTICIPLES = [
    "has been fixed #1",
    "already closed #1",
    "previously fixed #1",
    "the recently closed #1",
    "recently closed #1",
    "newly reopened #1",
    "a resolved #1",
    "This fixes commit 3666d79ae776ce4839262c9f9cbb9d76471d2eb0\nwhich closed #1",
]
NOUNS = [
    "Add Test for Fix #1",
    "has a proper fix #1",
    "the fix #1",
    "previous fix #1",
    "the original fix #1",
    "an earlier close #1",
    "until fix #1",
    "before close #1",
    "Commit 2c857d3 closed #1",
]


@pytest.mark.parametrize("text", [*GERUNDS, *PARTICIPLES, *NOUNS])
def test_a_verb_that_tells_of_a_fix_references(text: str) -> None:
    assert brief(text) == "reference #1"


@pytest.mark.parametrize(
    "text",
    ["Fixing #1", "implementing #1", "Closed #1", "fixed: #1", "Fix #1", "(fixing #1)"],
)
def test_the_same_forms_on_their_own_close(text: str) -> None:
    assert brief(text) == "close #1"


REVERTS = {
    'Revert "crash (fixes #1)"': "reference #1",
    'Revert "fixes #1"\n\nThis reverts commit 1234567.': "reference #1",
    'Reapply "fix #1"': "reference #1",
    'Backed out "x (closes #1)"': "reference #1",
    'Revert "Revert "fixes #1""': "reference #1",
    'Revert "Use "x" (fixes #1)"': "reference #1",
    'Revert "x (refs #1)"': "reference #1",
    'Revert "x (#1)"': "mention #1",
    'Revert "never closed, fixes #1': "reference #1",
    "revert: fixes #1": "reference #1",
    "revert(core): fixes #1": "reference #1",
    'Revert "fixes #1"\n\nReopens #1': "reference #1; reopen #1",
    'Revert "fixes #1", closes #2': "reference #1; close #2",
    "revert: x\n\nfixes #1": "close #1",
    'x\n\n* Revert "fixes #1"': "reference #1",
    'drm: Revert "x (fixes #1)"': "reference #1",
    '[stable] Revert "fixes #1"': "reference #1",
    'fixup! Revert "fixes #1"': "reference #1",
    'Revert "x" (fixes #1)': "close #1",
}


@pytest.mark.parametrize(("text", "expected"), REVERTS.items())
def test_a_reverted_title_closes_nothing_and_what_follows_it_is_live(
    text: str, expected: str
) -> None:
    assert brief(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'Squashed\n\n* fixes #1\n* Revert "fixes #1"',
        '* Mend (fixes #1)\n\n* Revert "Mend (fixes #1)"\n\nThis reverts commit 1234567.',
        'Squashed commit\n\n    Revert "closes #1"\n\n    closes #1',
        "fixes #1\n\nundo CL 7241 (fixes #1)",
        'fixes #1\nRevert "fixes #1"\nReapply "fixes #1"\nRevert "fixes #1"',
        "* fix #1\n* revert: fix #1\n* Backed out changeset 1a2b3c4 (fix #1)",
    ],
)
def test_a_fix_and_its_revert_in_one_message_leave_the_issue_open(text: str) -> None:
    found = find_references(text)
    assert {reference.action for reference in found} == {"reference"}
    assert all(reference.wanted == "close" for reference in found)


@pytest.mark.parametrize(
    "text",
    [
        '* fixes #1\n* Revert "fixes #2"',
        '* fixes #1\n* Revert "fixes #1"\n* Reapply "fixes #1"',
        '* fixes #1\n* Revert "refs #1"',
        '* fixes #1\n* Revert "mend #1"',
        '* fixes #1\n* Revert "fixes other/name#1"',
        "* fixes #1\n* revert the window",
    ],
)
def test_a_revert_of_something_else_leaves_a_fix_alone(text: str) -> None:
    assert "close #1" in brief(text)


def test_a_revert_may_reopen_where_that_is_asked_for() -> None:
    words = words_for("local", {"on_revert": "reopen"})
    assert brief('Revert "fixes #1"', words) == "reopen #1"
    assert brief('Revert "Revert "fixes #1""', words) == "reference #1"
    assert brief('Reapply "fixes #1"', words) == "reference #1"


@pytest.mark.parametrize(
    "text",
    [
        "fixes #1-#3",
        "fixes #1..#3",
        "fixes #1–#3",
        "fixes #1—#3",
        "fixes #1...#3",
        "fixes #1\u2212#3",
    ],
)
def test_a_range_is_never_expanded(text: str) -> None:
    found = scan(text)
    assert brief(text) == "reference #1; reference #3"
    assert "a range is not expanded" in found.warnings[0].text


RANGES = {
    ("jira", "fixes PROJ-1..PROJ-3"): "reference PROJ-1; reference PROJ-3",
    ("jira", "fixes PROJ-1–PROJ-3"): "reference PROJ-1; reference PROJ-3",
    ("jira", "fixes PROJ-1–see there"): "close PROJ-1",
    ("phabricator", "fixes T1...T3"): "reference #1; reference #3",
    ("github", "fixes o/r#1–o/r#3"): "reference o/r#1; reference o/r#3",
}


@pytest.mark.parametrize(("case", "expected"), RANGES.items())
def test_a_range_may_have_any_form(case: tuple[str, str], expected: str) -> None:
    kind, text = case
    assert brief(text, words_for(kind, {"keys": ["PROJ"]})) == expected


def test_a_range_without_a_verb_or_a_second_hash() -> None:
    assert brief("#1-#3") == "mention #1; mention #3"
    assert brief("fixes #1..3") == "reference #1"
    assert brief("fixes #1–3 now") == "reference #1"


def test_the_ends_of_a_range_may_act_where_that_is_asked_for() -> None:
    assert (
        brief("fixes #1-#3", words_for("local", {"ranges": "ends"}))
        == "close #1; close #3"
    )


@pytest.mark.parametrize(
    "text", ["fixes #1's cause", "fixes #1’s cause", "closes the bug, fix #1's"]
)
def test_a_possessive_references(text: str) -> None:
    assert brief(text) == "reference #1"


QUOTED = [
    *(
        '"fixes #1"',
        "'fixes #1'",
        "“fixes #1”",
        "‘fixes #1’",
        "«fixes #1»",
        "„fixes #1“",
    ),
    *(
        'say "this fixes #1" here',
        "“it fixes #1”",
        "‘it fixes #1’",
        "«it fixes #1»",
        "„it fixes #1“",
        "'it fixes #1'",
    ),
]


@pytest.mark.parametrize("text", QUOTED)
def test_what_is_quoted_is_a_mention(text: str) -> None:
    assert brief(text) == "mention #1"
    assert "is quoted" in find_references(text)[0].why


BESIDE = [
    *(
        '"quoted" fixes #1',
        'a 5" disk, fixes #1',
        'x "y" fixes #1 "z"',
        "'x' fixes #1 'z'",
        "rock 'n' roll fixes #1",
    ),
    *("don't worry, fixes #1, it's ok", "the users' code, fixes #1, the users' choice"),
]


@pytest.mark.parametrize("text", BESIDE)
def test_what_stands_beside_quotes_acts(text: str) -> None:
    assert brief(text) == "close #1"


def test_strict_verbs_act_at_the_start_of_a_line_or_clause_only() -> None:
    words = words_for("local", {"strict": True})
    assert (
        brief("Foo fixes #1\nfixes #2; a, fixes #3", words)
        == "reference #1; close #2; close #3"
    )


def test_trailers_only() -> None:
    words = words_for("local", {"trailers_only": True})
    assert (
        brief("fixes #1\nfoo fixes: #2\nFixes: #3, #4", words)
        == "reference #1; reference #2; close #3; close #4"
    )


def test_an_envelope_holds_what_acts() -> None:
    words = words_for("trac", {"envelope": "[]"})
    assert (
        brief("closes #1 [closes #4, re #5] [fixes #6", words)
        == "mention #1; close #4; reference #5; mention #6"
    )


WHY = {
    "does not fix #1": "'fix': negated by 'not'",
    "partly fixes #1": "'fixes': only 'partly'",
    "the fix #1": "'the fix' tells of it",
    "fixes #1": "'fixes'",
    "Fixes: #1": "'fixes:'",
    "#1": "no verb before it",
}


@pytest.mark.parametrize(("text", "why"), WHY.items())
def test_a_reference_says_which_rule_decided(text: str, why: str) -> None:
    assert why in find_references(text)[0].why


REPORTED = [
    "no one closes #1",
    "none of this fixes #1",
    "none of these fixes #1",
    "nothing here fixes #1",
    "in no way fixes #1",
    "by no means fixes #1",
    "does not at all fix #1",
    "is nowhere near fixing #1",
    "one step closer to fixing #1",
    "broken by fixing #1",
    "has been an issue since fixing #1",
    "Draft: fixes #1",
    "to be fixed: #1",
    "in part fixes #1",
]
STILL_CLOSE = [
    "Speed it up by fixing #1",
    "No one likes it, fixes #1",
    "This one fixes #1",
    "Most of this fixes #1",
    "In the end this fixes #1",
    "It was here and is now fixed: #1",
    "All the means at hand fixed #1",
]


@pytest.mark.parametrize("text", REPORTED)
def test_what_nobody_would_read_as_a_fix_references(text: str) -> None:
    assert brief(text) == "reference #1"


@pytest.mark.parametrize("text", STILL_CLOSE)
def test_what_looks_like_it_still_closes(text: str) -> None:
    assert brief(text) == "close #1"


@pytest.mark.parametrize(
    "text",
    ["fixes #1 to #3", "fixes #1 through #3.", "(fixes #1 thru #3)"],
)
def test_a_range_in_words_is_not_expanded(text: str) -> None:
    assert brief(text) == "reference #1; reference #3"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("fixes #1 to #3 the same", "close #1; mention #3"),
        ("fixes #1 to #3's surprise", "close #1; mention #3"),
        ("fixes #1 - 3 times faster", "close #1"),
    ],
)
def test_what_only_looks_like_a_range_closes(text: str, read: str) -> None:
    assert brief(text) == read
