"""Lists in which items have words of their own, negation that is in the subject, and
what another change does: each with its neighbours, which mean the opposite.
"""

import pytest

from oberonc.grammar.message import find_references
from tests.grammar.brief import brief

OWN_WORDS = {
    "closes #38 as invalid and #39 as duplicate": "invalid #38; duplicate #39",
    "Closes #1 as invalid, #2 as duplicate and #3 as wontfix": "invalid #1; duplicate #2; wontfix #3",
    "closes #38 as invalid; #39 as duplicate": "invalid #38; duplicate #39",
    "closes #1 and #2 as duplicate, #3 as invalid": "duplicate #1; duplicate #2; invalid #3",
    "closes #1 as invalid, #2 and #3 as wontfix": "invalid #1; wontfix #2; wontfix #3",
    "closes #38 as invalid and #39": "invalid #38; close #39",
    "closes #1 @2h as invalid and #2 @1h": "invalid #1; close #2",
    "closes #1 as invalid\nand #2 as duplicate": "invalid #1; duplicate #2",
    "fixes #12 (crash) and #13 (leak)": "close #12; close #13",
    "fixes #12 (crash), #13 (leak), and #14": "close #12; close #13; close #14",
    "Fixes #1 [crash] & #2 [leak]": "close #1; close #2",
    "Fixes #12 (partially) and #13 (fully)": "reference #12; close #13",
    "Fixes:\n- #12 (crash)\n- #13 (leak)": "close #12; close #13",
    "Fixes:\n- #12: crash\n- #13: leak": "close #12; close #13",
    "Fixes:\n* #12 - crash\n* #13 - leak\n* #14": "close #12; close #13; close #14",
    "Closes:\n#1\n#2": "close #1; close #2",
    "Closes:\n  #1\n  #2\n\n#3": "close #1; close #2; mention #3",
    # neighbours
    "Closes:\n#1\n#2 asks for a door": "close #1; mention #2",
    "Closes: #1\n#2": "close #1; mention #2",
    "Closes\n#1\n#2": "close #1; mention #2",
    "closes #38 as invalid, see #39": "invalid #38; reference #39",
    "closes #38 as invalid #39": "invalid #38; mention #39",
    "closes #38 as invalid\n- #39 is a question": "invalid #38; mention #39",
    "closes #38 as invalid and #39 is still open": "invalid #38; mention #39",
    "fixes #12 (crash), #13 (leak) is still open": "close #12; mention #13",
    "fixes #12 (crash) #13": "close #12; mention #13",
    "fixes #12 (see #11), #13": "close #12; reference #11; mention #13",
    "fixes #12 (crash). #13 is next": "close #12; mention #13",
    "refs #1 (crash) and #2 (leak)": "reference #1; reference #2",
    "Fixes:\n- #12: crash\n- #13: still open": "close #12; mention #13",
    "Fixes:\n- #12: crash\n- see #13\n- #14": "close #12; reference #13; mention #14",
    "Closing #1 (crash) and #2 was a mistake": "reference #1; reference #2",
}


@pytest.mark.parametrize(("text", "expected"), OWN_WORDS.items())
def test_a_list_goes_on_after_words_of_one_item_s_own(text: str, expected: str) -> None:
    assert brief(text) == expected


TURNED_AWAY = [
    # the negation is in the subject
    "none of these changes fixes #3",
    "None of these commits fix #3",
    "none of the changes in here will close #3",
    "None of that work fixes #3",
    "neither of these fixes #3",
    "neither patch fixes #3",
    "neither of the two patches closes #3",
    "neither this nor the last commit fixes #3",
    "no part of this fixes #3",
    "no change in this branch closes #3",
    "no commit here fixes #3",
    "no one fixes #3",
    "nothing in this commit fixes #3",
    "Nothing about this fixes #3",
    "not one of these fixes #3",
    "not all of this fixes #3",
    "not a single line here fixes #3",
    "hardly any of this fixes #3",
    "few of these changes fix #3",
    # it begins the sentence
    "In no way does this fix #3",
    "At no point does this close #3",
    "Nowhere does this fix #3",
    "Never did this fix #3",
    "Under no circumstances close #3",
    "On no account close #3",
    "By no means does this fix #3",
    # it is not this change
    "the next commit will fix #3",
    "next commit fixes #3",
    "a later commit will close #3",
    "Another PR will close #3",
    "a separate patch fixes #3",
    "The previous commit fixed #3",
    "A follow-up will fix #3",
    "the next release will fix #3",
    "will fix #3 next.",
    "Out of scope: fix #3",
    "Deferred: close #3",
    "Known issues:\n- close #3",
    "Won't do: fix #3",
    # it tells of a fix, or of what somebody said
    "Revert of fix #3",
    "Undo of fixes #3",
    "typo in fix #3",
    "Improve fix #3",
    "tests: cover fix #3",
    "Add test for fixed #3",
    "why close #3",
    "how fix #3",
    "Fixes #3, right?",
    "Kim wrote: fixes #3",
    "Kim said: closes #3",
    "Lee asked: fix #3",
    "For example: fixes #3",
    "write e.g. fixes #3",
    "Mend it\n\nReverts: fixes #3",
    "Mend it\n\nRolled back: fix #3",
    "it is impossible to fix #3",
    "without having to fix #3",
    "ain't gonna fix #3",
    # half a fix
    "sort of fixes #3",
    "kind of closes #3",
    "more or less fixes #3",
    "largely fixes #3",
    "Fixes #3 (kind of)",
    "fixes #3 in most cases",
    "fixes #3, more or less",
]


@pytest.mark.parametrize("text", TURNED_AWAY)
def test_what_this_change_does_not_do_references(text: str) -> None:
    [found] = find_references(text)
    assert (found.action, found.wanted) == ("reference", "close"), found.why


MEANT = [
    "None of these matter, closes #3",
    "None of the tests fail any more, fixes #3",
    "no change of behaviour. fixes #3",
    "No more crashes: fixes #3",
    "no crash when the list is empty, closes #3",
    "Nothing special - closes #3",
    "Not sure why, but this fixes #3",
    "no idea how but it fixes #3",
    "not only this commit fixes #3",
    "it does not build without this commit; fixes #3",
    "a few of these changes fix #3",
    "few users saw it, fixes #3",
    "This way does fix #3",
    "this commit will fix #3",
    "The following patch fixes #3",
    "Prepare the next release, fixes #3",
    "Another patch to fix #3",
    "Another attempt: fixes #3",
    "Fix #3 next button",
    "next: fix #3",
    "Scope: fix #3",
    "Improve the title, fix #3",
    "Cover the window, closes #3",
    "PR for fix #3",
    "Fixes #3, right side of the table",
    "said so: twice, fixes #3",
    "For example the window. Fixes #3",
    "Mend it\n\nReverts: the window; fixes #3",
    "some kind of window, fixes #3",
    "Fixes #3 in most of the cases we know",
    "Make the impossible possible, fixes #3",
    "a fix in less or more lines, fixes #3",
    "Fixed the issue #3",
    "Closes the bug #3",
    "fixes our ticket #3",
    "This fixes\nthe issue #3",
    "Resolves: the issue #3",
    "🚑️fix #3",
    "🐛closes #3",
]


@pytest.mark.parametrize("text", MEANT)
def test_what_is_said_of_something_else_leaves_the_close_alone(text: str) -> None:
    assert brief(text).rpartition("; ")[2] == "close #3", find_references(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("doesn't close #3 or fix #4", "reference #3; reference #4"),
        ("if this fixes #3 or closes #4", "reference #3; reference #4"),
        ("doesn't close #3 but fixes #4", "reference #3; close #4"),
        ("does not close #3. Fixes #4", "reference #3; close #4"),
        ("refs #3 or fixes #4", "reference #3; close #4"),
        ("fixes #3 or closes #4", "close #3; close #4"),
    ],
)
def test_a_verb_after_or_shares_the_fate_of_the_one_before(
    text: str, expected: str
) -> None:
    assert brief(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fixes both #1 and #2", "close #1; close #2"),
        ("closes both issues #1 and #2", "close #1; close #2"),
        ("Fixed these bugs: #1 and #2", "close #1; close #2"),
        ("both #1 and #2", "mention #1; mention #2"),
        ("fix the bug #1 introduced", "mention #1"),
        ("Fix the crash the issue #1 had", "mention #1"),
        ("fix the window #1", "mention #1"),
        ("close the #1", "mention #1"),
    ],
)
def test_an_article_before_the_noun_adds_nothing(text: str, expected: str) -> None:
    assert brief(text) == expected
