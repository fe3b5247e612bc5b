"""The forms of a reference, what may stand beside them, and what is no reference."""

import pytest

from oberonc.grammar.message import find_references, scan
from oberonc.grammar.words import words_for
from tests.grammar.brief import GITHUB, LOCAL, brief

JIRA = words_for(
    "jira", {"keys": ["PROJ", "P2P"], "urls": ["https://jira.example.org"]}
)
GITLAB = words_for("gitlab", {"aliases": ["lib", "test-23"]})


@pytest.mark.parametrize("number", ["1", "42", "1234567890"])
def test_a_number_has_one_to_ten_digits(number: str) -> None:
    assert brief(f"fixes #{number}") == f"close #{number}"


@pytest.mark.parametrize(
    "number", ["0", "00012", "12345678901", "1" * 5_000, "١٢", "a1", ""]
)
def test_no_other_digits_are_a_number(number: str) -> None:
    assert brief(f"fixes #{number}") == ""


RIGHT = [
    "",
    " ",
    ".",
    ",",
    ";",
    ":",
    "!",
    "#",
    ")",
    "]",
    "}",
    ">",
    '"',
    "'",
    "*",
    "~",
    "|",
    "...",
    ": text",
    "…",
    "、",
]


@pytest.mark.parametrize("right", RIGHT)
def test_a_reference_may_end_before(right: str) -> None:
    assert brief(f"fixes #1{right}") == "close #1"


def test_a_question_mark_ends_a_reference_and_asks() -> None:
    assert brief("fixes #1?") == "reference #1"


GLUED = [
    *("a", "é", "_", "_x", "##", "#2", "@", "=2", "%", "\\", "$", "`"),
    *("-2", "-fix", "/x", ".2", ".x", "+1", "://x", ":/"),
]


@pytest.mark.parametrize("right", GLUED)
def test_a_reference_may_not_end_before(right: str) -> None:
    assert "1" not in [
        reference.issue for reference in find_references(f"fixes #1{right}")
    ]


@pytest.mark.parametrize(
    "left",
    [
        "",
        " ",
        "(",
        "[",
        "{",
        "<",
        ",",
        ";",
        ":",
        '"',
        "'",
        "*",
        "~",
        "|",
        "“",
        "‘",
        "–",
        "—",
    ],
)
def test_a_bare_reference_may_follow(left: str) -> None:
    assert brief(f"{left}#12") == "mention #12"


@pytest.mark.parametrize(
    "left",
    ["a", "1", "_", "-", "/", ".", "&", "=", "?", "!", "@", "$", "\\", "#", "%", "a["],
)
def test_a_bare_reference_may_not_follow(left: str) -> None:
    assert brief(f"{left}#12") == ""


CROSS = {
    "fixes owner/name#1": "close owner/name#1",
    "fixes group/sub/name#1": "close group/sub/name#1",
    "see jgm/pandoc.github.io#3": "reference jgm/pandoc.github.io#3",
    "(owner/na-me_2#1)": "mention owner/na-me_2#1",
    "fixes docs/x.md#3": "",
    "docs/x.rst#3 a/b.txt#1 a/b.html#2 a/b.pdf#4 a/b.adoc#5": "",
    "fixes ../x#3": "",
    "fixes a/../b#3": "",
    "fixes a//b#3": "",
    "fixes /a/b#3": "",
    "fixes name#3": "",
    "fixes é/b#3": "",
    f"fixes {'a' * 101}/b#1": "",
    f"fixes {'a/' * 20}b#1": "",
    f"fixes {'a/' * 19}b#1": f"close {'a/' * 19}b#1",
}


@pytest.mark.parametrize(("text", "expected"), CROSS.items())
def test_a_path_of_two_segments_or_more_names_a_repository(
    text: str, expected: str
) -> None:
    assert brief(text) == expected


def test_githubs_limit_for_an_owner() -> None:
    assert brief(f"fixes {'a' * 40}/b#1", GITHUB) == ""
    assert brief(f"fixes {'a' * 39}/b#1", GITHUB) == f"close {'a' * 39}/b#1"


def test_a_name_without_an_owner_must_be_a_configured_alias() -> None:
    assert (
        brief("Closing issue lib#5, Fixing issue test-23#6, fixes other#7", GITLAB)
        == "close lib#5; close test-23#6"
    )


KEYS = {
    "fixes PROJ-12": "close PROJ-12",
    "Closes PROJ-1. Follow up in PROJ-2.": "close PROJ-1; mention PROJ-2",
    "PROJ-1, PROJ-2 PROJ-3": "mention PROJ-1; mention PROJ-2; mention PROJ-3",
    "[PROJ-12] PROJ-13: (P2P-1)": "mention PROJ-12; mention PROJ-13; mention P2P-1",
    "'PROJ-4' PROJ-5!": "mention PROJ-4; mention PROJ-5",
    "^PROJ-1 ~PROJ-2 *PROJ-3": "mention PROJ-1; mention PROJ-2; mention PROJ-3",
    "fixes proj-12 Proj-12": "",
    "XPROJ-12 PROJ-12x PROJ-12-x MY-PROJ-12 PROJ-0 PROJ-012 PROJ_12": "",
    "-PROJ-1 /PROJ-1 .PROJ-1 =PROJ-1 &PROJ-1 ?PROJ-1 !PROJ-1 ##PROJ-1 @PROJ-1 $PROJ-1 \\PROJ-1": "",
    "PROJ-1.2 refs/heads/PROJ-12 feature/PROJ-3": "",
    "PROJ-1- PROJ-2-, PROJ-3--": "mention PROJ-1; mention PROJ-2; mention PROJ-3",
    "Closes: PROJ-5/PROJ-4 / PROJ-3": "close PROJ-5; close PROJ-4; close PROJ-3",
    "Closes: PROJ-5&PROJ-4& PROJ-3;PROJ-2": "close PROJ-5; close PROJ-4; close PROJ-3; close PROJ-2",
    "PROJ-5/PROJ-4 a&PROJ-3": "mention PROJ-5",
    "fixes P2P-1's": "reference P2P-1",
    "Issue: PROJ-1": "reference PROJ-1",
    "PROJ-1/x#8": "mention PROJ-1",
    "x/PROJ-1/y#8": "mention x/PROJ-1/y#8",
    "fix(PROJ-1): x": "mention PROJ-1",
    "OTHER-1 UTF-8 SHA-256 CVE-2024-1 GPL-3 COVID-19 ISO-8859-1": "",
}


@pytest.mark.parametrize(("text", "expected"), KEYS.items())
def test_only_configured_keys_in_upper_case_count(text: str, expected: str) -> None:
    assert brief(text, JIRA) == expected


PREFIXES = {
    ("github", "fixes GH-12, gh-13"): "close #12; close #13",
    ("github", "HIGH-12 GH-12a GH-0 /GH-1 bpo-3"): "",
    ("roundup", "bpo-123: fixes bpo-4"): "mention #123; close #4",
    ("roundup", "fixes issue12"): "close #12",
    ("azure", "Fixes AB#123, AB#124"): "close #123; close #124",
    ("azure", "XAB#3"): "",
    ("phabricator", "Fixes T1, T2, and T3"): "close #1; close #2; close #3",
    ("phabricator", "closes task T5 as wontfix"): "wontfix #5",
    ("phabricator", "opens T6"): "reopen #6",
    ("phabricator", "T7- T8."): "mention #7; mention #8",
    ("phabricator", "Fixes T1, T2, and also some other bugs."): "close #1; close #2",
    ("phabricator", "Fixes t2apps. Prefixes T2"): "mention #2",
    ("phabricator", "fixes T1-T3"): "",
    ("phabricator", "xT12 T12a T012 T-12 t3 /T4"): "",
    ("local", "fixes T123"): "",
    ("rt", "resolves RT#12"): "close #12",
}


@pytest.mark.parametrize(("case", "expected"), PREFIXES.items())
def test_prefixes_and_letters_of_some_trackers(
    case: tuple[str, str], expected: str
) -> None:
    kind, text = case
    assert brief(text, words_for(kind)) == expected


NUMBERS = {
    "fixes bug 12": "close #12",
    "fixes bug:12": "close #12",
    "refs ticket:3#comment:1": "reference #3",
    "refs ticket:4#comment:description and ticket:5#comment:1.": "reference #4; reference #5",
    "see #5#comment:3": "reference #5",
    "fixes bug #12": "close #12",
    "fixes bug#12, Bug#13": "close #12; close #13",
    "fixes bug no. 12": "close #12",
    "fixes bug number 12": "close #12",
    "fixes bug # 12": "close #12",
    "Closes-Bug: # 12": "close #12",
    "bug 12- crash": "mention #12",
    "closes #1, ticket:2 and issue 3": "close #1; close #2; close #3",
    "refs ticket:3#comment:x": "",
    "ticket:12, ticket:13": "mention #12; mention #13",
    "bugs: 12, 13": "mention #12; mention #13",
    "Closes: bug 12, bug 13": "close #12; close #13",
    "fixes bugs 12, 13 and 14": "close #12; close #13; close #14",
    "fixes bug 12, 3 more to go": "close #12",
    "fixes bug 12 13": "close #12",
    "Bug 12 - crash": "mention #12",
    "Closes-Bug: 12, 13": "close #12; close #13",
    "Partial-Bug: 12": "reference #12",
    "Bug: 12": "reference #12",
    "See-also: 12": "",
    "closes: 12": "",
    "fixes 12": "",
    "Fix 404": "",
    "fix 2 typos": "",
    "fixes 3 bugs": "",
    "prefix 404 debug 42 suffix 3": "",
    "fixes bug 012 bug 12a bug 1.2": "",
    "Fixes bug 123": "close #123",
}


@pytest.mark.parametrize(("text", "expected"), NUMBERS.items())
def test_a_number_needs_a_noun_and_a_tracker_that_writes_so(
    text: str, expected: str
) -> None:
    assert brief(text, words_for("bugzilla")) == expected


@pytest.mark.parametrize(
    "text", ["fixes bug 12", "ticket:12", "Closes-Bug: 12", "fixes issue 12"]
)
def test_elsewhere_a_number_alone_is_never_a_reference(text: str) -> None:
    assert brief(text) == ""


LAUNCHPAD = {
    "Closes-Bug: #12": "close #12",
    "closes-bug: lp 12": "close #12",
    "Closes-Bug: LP: #12": "close #12",
    "Partial-Bug: LP: #12": "reference #12",
    "Partial-Bug: lp bug # 12": "reference #12",
    "Fixes: bug # 12": "close #12",
    "Resolves: bug 12": "close #12",
    "* New release (LP: #12, #13)": "close #12; close #13",
    "LP #12": "mention #12",
    "lp:12 is open": "mention #12",
}


@pytest.mark.parametrize(("text", "expected"), LAUNCHPAD.items())
def test_launchpads_words(text: str, expected: str) -> None:
    assert brief(text, words_for("launchpad")) == expected


def test_debians_words_leave_launchpads_bugs_alone() -> None:
    text = "Closes: #779559, #3,\n  bug#4\nLP: #1491145, #54321"
    assert brief(text, words_for("debian")) == "close #779559; close #3; close #4"


URLS = {
    ("github", "Closes https://github.com/o/r/issues/4."): "close o/r#4",
    (
        "github",
        "Closes http://GitHub.com/o/r/issues/4#issuecomment-5, #6",
    ): "close o/r#4; close #6",
    ("github", "fixes <https://github.com/o/r/issues/4>"): "close o/r#4",
    (
        "github",
        "fixes [the crash](https://github.com/o/r/issues/4), #5",
    ): "close o/r#4; close #5",
    ("github", "fixes [#4](https://github.com/o/r/issues/4)"): "close o/r#4",
    ("github", "(https://github.com/o/r/issues/4)"): "mention o/r#4",
    ("github", "fixes https://github.com/o/r/pull/7, #3"): "close #3",
    ("github", "fixes https://github.com/o/r/issues/0"): "",
    ("github", "fixes https://github.com.evil.org/o/r/issues/4"): "",
    ("github", "fixes https://evil.org/https://github.com/o/r/issues/4"): "",
    (
        "gitlab",
        "Closes https://gitlab.com/g/s/p/-/issues/12 and #1",
    ): "close g/s/p#12; close #1",
    ("gitlab", "Closes https://gitlab.com/g/p/-/work_items/5"): "close g/p#5",
    ("debian", "Closes: https://bugs.debian.org/12"): "close #12",
    (
        "debian",
        "see https://bugs.debian.org/cgi-bin/bugreport.cgi?bug=99",
    ): "reference #99",
    ("launchpad", "Fixes: https://bugs.launchpad.net/bugs/167"): "close #167",
    ("launchpad", "https://bugs.launchpad.net/keystone/+bug/12"): "mention #12",
    ("linear", "fixes https://linear.app/acme/issue/ENG-14/some-title"): "close ENG-14",
    ("trello", "fixes https://trello.com/c/Ab3dE9xY/12-a-title, #3"): (
        "close #Ab3dE9xY; close #3"
    ),
    ("trello", "fixes card #3, https://trello.com/c/Ab3dE9xY."): (
        "close #3; close #Ab3dE9xY"
    ),
    ("trello", "https://trello.com/b/Ab3dE9xY/12-board"): "",
    ("trello", "fixes https://trello.com/c/Ab3dE9xYz https://trello.com/c"): "",
    ("github", "fixes https://github.com/c/Ab3dE9xY"): "",
    ("asana", "fixes https://app.asana.com/0/1201/1205000000000012/f"): (
        "close #1205000000000012"
    ),
    ("asana", "fixes https://app.asana.com/0/0/1205000000000012"): (
        "close #1205000000000012"
    ),
    ("asana", "fixes https://app.asana.com/1/9/project/12/task/13?focus=true"): (
        "close #13"
    ),
    ("asana", "https://app.asana.com/0/inbox/12/13/14 /0/12/list"): "",
    ("asana", "fixes #1205000000000012, #12345678901234567890"): (
        "close #1205000000000012"
    ),
}


@pytest.mark.parametrize(("case", "expected"), URLS.items())
def test_addresses_of_the_tracker_are_references(
    case: tuple[str, str], expected: str
) -> None:
    kind, text = case
    assert brief(text, words_for(kind)) == expected


OWN_HOSTS = {
    "fixes https://jira.example.org/browse/PROJ-12?focus=1": "close PROJ-12",
    "fixes https://jira.example.org/projects/PROJ/issues/PROJ-12": "close PROJ-12",
    "fixes https://jira.example.org/rest/show_bug.cgi?x=1&id=7": "close #7",
    "https://jira.example.org/wiki/12": "",
    "https://jira.example.org": "",
}


@pytest.mark.parametrize(("text", "expected"), OWN_HOSTS.items())
def test_addresses_of_ones_own_tracker(text: str, expected: str) -> None:
    assert brief(text, JIRA) == expected


FOREIGN = {
    "Closes https://example.org/g/p/issues/1": "",
    "Closes https://example.org/g/p/issues/1 and #2": "close #2",
    "fixes #1, https://example.org/x, #2": "close #1; close #2",
    "http://x/#12 http://x/a#12 git://x/#3": "",
    "http://x/(#1)": "",
    "[#12](https://example.org/12)": "mention #12",
    "[fixes #12](https://example.org/12)": "close #12",
    "fixes [text](https://example.org/12), #2": "close #2",
    "[two](/user/repo/issues/12)": "",
    "[#12](#12)": "mention #12",
    "[text](#12)": "",
}


@pytest.mark.parametrize(("text", "expected"), FOREIGN.items())
def test_other_addresses_take_their_place_in_a_list_and_mean_nothing(
    text: str, expected: str
) -> None:
    assert brief(text) == expected


NEVER = [
    "Fix 404",
    "fixes 3 bugs",
    "#123abc",
    "#fff000",
    "color: #123456",
    "fix color #123456",
    "change the background from #112233 to #445566",
    "# 1 heading",
    "#!/bin/sh",
    "C#7",
    "1.2#3",
    "&#39;",
    "(a&#39;b) fixes &#39;x&#39;",
    "PRs #3 and #4, #5",
    "pull requests #3, #4",
    "Merge pull request '#12345 My title' (!1337) from a into b",
    "Merged in topic (pull request #7)",
    "a change (pull request #123)",
    "Merge #7",
    "http://x/#12",
    "docs/x.md#3",
    "#0",
    "#00012",
    "fixes UTF-8",
    "fixes SHA-256 CVE-2024-1 GPL-3 COVID-19",
    "Merge pull request #7 from owner/fix",
    "Merge branch 'fixes #7'",
    "Auto merge of #12345 - a:b, r=c",
    "See merge request g/p!3",
    "Merged PR 12: title",
    "Merges pull request #96",
    "build #8, pr #3, step #2, line #4",
    "fixes pr #3",
    "fixes !3",
    "Fixes: 1234567",
    "Fixes: 0123456789ab (closes #1)",
    "fixes #12345678901234567890",
]


@pytest.mark.parametrize("text", NEVER)
def test_never(text: str) -> None:
    assert brief(text) == ""


@pytest.mark.parametrize(
    "word", ["prefix", "suffix", "hotfix", "unfixes", "closest", "disclose", "affixed"]
)
def test_a_word_that_holds_a_verb_is_no_verb(word: str) -> None:
    assert brief(f"{word} #1") == "mention #1"


@pytest.mark.parametrize(
    "text", ["fixes #123456", "Closes: #779559", "fix color, closes #123456"]
)
def test_a_number_like_a_colour_after_a_verb_is_an_issue(text: str) -> None:
    assert brief(text).startswith("close #")


def test_a_squash_merges_number_is_a_mention() -> None:
    assert brief("fix: crash on start (#12)") == "mention #12"
    assert brief("Update (#12)\n\nfixes #13") == "mention #12; close #13"


def test_a_merge_has_a_dead_subject_and_a_live_body() -> None:
    assert brief("Merged PR 12: fixes #3") == "close #3"
    assert brief("Merge pull request #7 from a/fixes-#8\n\nFixes #9") == "close #9"


def test_bare_references_are_mentions_references_or_nothing() -> None:
    text = '#1 fixes #2 "closes #3"'
    assert brief(text) == "mention #1; close #2; mention #3"
    assert (
        brief(text, words_for("local", {"mentions": "reference"}))
        == "reference #1; close #2; reference #3"
    )
    assert brief(text, words_for("local", {"mentions": "none"})) == "close #2"


def test_a_list_of_something_else_ends_where_an_issue_begins() -> None:
    assert brief("PR #3, fixes #4") == "close #4"
    assert brief("PR #3 and o/r#4, bug #5") == "mention o/r#4; mention #5"
    assert [note.text for note in scan("PRs #3, #4").near_misses] == [
        "'prs' makes it something else than an issue"
    ] * 2


def test_a_character_of_html_is_no_item_of_a_list() -> None:
    assert brief("&#39;fixes #1&#39;") == "close #1"
    assert brief("fixes #1&#2") == "close #1; close #2"


PLACES = {
    ("bugzilla", "fixes bug 12."): "bug 12",
    ("bugzilla", "fixes bug no. 12,"): "bug no. 12",
    ("trac", "refs ticket:12#comment:5."): "ticket:12#comment:5",
    ("azure", "fixes AB#12."): "AB#12",
    ("phabricator", "fixes T12-"): "T12",
    ("github", "fixes gh-12-"): "gh-12",
    (
        "github",
        "fixes <https://github.com/o/r/issues/12#x>",
    ): "<https://github.com/o/r/issues/12#x>",
    (
        "github",
        "(see https://github.com/o/r/issues/12).",
    ): "https://github.com/o/r/issues/12",
    ("local", "fixes\r\n#12\r\n"): "#12",
    ("local", "\ufefffixes #12"): "#12",
}


@pytest.mark.parametrize(("case", "written"), PLACES.items())
def test_a_place_holds_what_is_written_and_no_more(
    case: tuple[str, str], written: str
) -> None:
    kind, text = case
    (found,) = find_references(text, words_for(kind))
    assert found.issue == "12"
    assert text[found.start : found.end] == written


def test_near_misses_say_what_was_passed_over() -> None:
    found = scan("`fixes #1` and pr #2, C#3", LOCAL)
    assert [(note.start, note.end) for note in found.near_misses] == [
        (1, 9),
        (18, 20),
        (22, 25),
    ]
    assert "'fixes #1' is dead: code" in found.near_misses[0].text


def test_a_place_holds_the_whole_reference() -> None:
    text = "see owner/name#1, [x](https://github.com/o/r/issues/4) and GH-3"
    places = [text[found.start : found.end] for found in find_references(text, GITHUB)]
    assert places == ["owner/name#1", "[x](https://github.com/o/r/issues/4)", "GH-3"]
