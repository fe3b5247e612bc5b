"""What holds for every text."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.grammar.masks import mask
from oberonc.grammar.message import find_references, scan
from oberonc.grammar.reference import Reference
from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import PRESETS, words_for

PIECES = [
    *(
        "fixes",
        "Closes",
        "not",
        "does not",
        "reopens",
        "see also",
        "bug",
        "and",
        "as wontfix",
        "partially",
        "the",
        "to",
    ),
    *(
        "#1",
        "#23",
        "o/r#4",
        "PROJ-5",
        "GH-6",
        "T7",
        "#0",
        "#9a",
        "12",
        "https://github.com/o/r/issues/8",
        "@1h30",
        "'s",
    ),
    *(
        " ",
        " ",
        " ",
        "\n",
        "\n\n",
        "\t",
        ": ",
        ", ",
        ";",
        ".",
        "-",
        "- ",
        "* ",
        "> ",
        "`",
        "```",
        "```\n",
        "(",
        ")",
        "[",
    ),
    *(
        "]",
        "](",
        "](#",
        "<",
        ">",
        "<code>",
        "</code>",
        "<!--",
        "-->",
        '"',
        "'",
        "“",
        "”",
        "_",
        "\\",
        "/",
        "!",
        "…",
        "–",
    ),
    *(
        'Revert "',
        "Fixes: abcdef12",
        "Merge branch ",
        "#comment x",
        "é",
        "关闭",
        "\u0301",
        "\0",
        "\ud800",
        "🎉",
    ),
]

texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(max_size=200)
)
some_words = st.sampled_from(
    [
        *(
            PRESETS[kind]
            for kind in ("local", "github", "launchpad", "phabricator", "redmine")
        ),
        words_for(
            "jira", {"keys": ["PROJ"], "smart": ["comment"], "transitions": ["Close"]}
        ),
        words_for("trac", {"envelope": "[]", "strict": True, "mentions": "reference"}),
    ]
)


@given(texts, some_words)
def test_any_text_parses_and_every_place_holds_its_number(
    text: str, words: Words
) -> None:
    last = 0
    for found in find_references(text, words):
        assert 0 <= last <= found.start < found.end <= len(text)
        assert found.issue in text[found.start : found.end]
        assert re.fullmatch("[1-9][0-9]{0,9}", found.issue)
        assert (
            found.key is None
            or f"{found.key}-{found.issue}" in text[found.start : found.end]
        )
        assert found.why
        last = found.start


@given(texts, some_words)
def test_notes_lie_inside_the_text(text: str, words: Words) -> None:
    found = scan(text, words)
    for note in found.warnings + found.near_misses:
        assert 0 <= note.start <= note.end <= len(text)


@given(texts)
def test_masking_never_moves_a_place(text: str) -> None:
    masked = mask(text)
    assert len(masked.live) == len(text)
    for before, after in zip(text, masked.live, strict=True):
        assert after in (before, "\0")
        assert before != "\n" or after == "\n"


@given(
    st.text(alphabet=st.characters(exclude_categories=["Nd"]), max_size=200), some_words
)
def test_a_text_without_a_digit_yields_nothing(text: str, words: Words) -> None:
    assert find_references(text, words) == []


def _without_places(
    references: list[Reference],
) -> list[tuple[str, str | None, str | None, str, int | None]]:
    return [
        (found.action, found.repository, found.key, found.issue, found.time)
        for found in references
    ]


@given(texts.filter(lambda text: "\r" not in text), some_words)
def test_crlf_reads_as_lf(text: str, words: Words) -> None:
    windows = find_references(text.replace("\n", "\r\n"), words)
    assert _without_places(windows) == _without_places(find_references(text, words))


@settings(max_examples=200)
@given(
    texts.filter(lambda text: "`" not in text and "<" not in text and "~" not in text),
    some_words,
)
def test_prose_after_a_blank_line_changes_nothing_before_it(
    text: str, words: Words
) -> None:
    before = find_references(text, words)
    assert (
        find_references(f"{text}\n\nSome unrelated prose, without any number.\n", words)
        == before
    )


@given(texts, some_words)
def test_reading_twice_is_the_same(text: str, words: Words) -> None:
    assert scan(text, words) == scan(text, words)
