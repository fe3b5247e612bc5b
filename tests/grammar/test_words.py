"""The presets of the tracker kinds, and their configuration."""

from typing import Any

import pytest

from oberonc.grammar.message import find_references
from oberonc.grammar.vocabulary import DEFAULT, Words
from oberonc.grammar.words import PRESETS, words_for
from tests.grammar.brief import brief

KINDS = (
    "github gitlab gitea forgejo gogs bitbucket jira azure redmine trac bugzilla phabricator debian launchpad linear"
    " youtrack roundup rt kanboard phorge openproject trello asana mantisbt local"
)


@pytest.mark.parametrize("kind", KINDS.split())
def test_every_kind_has_its_words_and_closes(kind: str) -> None:
    assert brief("fixes #1", words_for(kind)) == "close #1"


def test_there_are_no_other_kinds() -> None:
    assert set(PRESETS) == set(KINDS.split())


def test_words_are_values() -> None:
    assert words_for("local", {"keys": ["A"]}) == words_for("local", {"keys": ("A",)})
    assert hash(words_for("local")) == hash(DEFAULT)
    with pytest.raises(AttributeError):
        DEFAULT.strict = True  # type: ignore[misc]


def test_fields_of_other_types_are_read_all_the_same() -> None:
    fields: dict[str, Any] = {
        "keys": ["PROJ"],
        "aliases": {"lib"},
        "close": ["shuts", "fixes"],
        "trailers": {"done": "close"},
        "states": [["later", "Deferred"]],
    }
    text = "fixes PROJ-1, lib#2\nDone: #3\nlater #4, closes #5"
    for words in (DEFAULT._replace(**fields), Words(**fields)):
        assert (
            brief(text, words)
            == "close PROJ-1; close lib#2; close #3; state #4; mention #5"
        )
    fields["keys"].append("OTHER")
    assert brief("fixes OTHER-1", DEFAULT._replace(**fields)) == "close OTHER-1"


LANGUAGES = [
    "cierra",
    "cerró",
    "закрывается",
    "κλείνει",
    "关闭",
    "閉じます",
    "बंद",
    "schließt",
    "sluit",
    "đóng",
]


@pytest.mark.parametrize("word", LANGUAGES)
def test_a_verb_may_be_of_any_language(word: str) -> None:
    words = words_for("local", {"close": [word]})
    for text in (f"{word} #1", f"{word.upper()}: #1", f"Es {word} #1, #2"):
        assert brief(text, words).startswith("close #1"), text
    assert brief("closes #1", words) == "mention #1"


def test_a_verb_is_the_same_however_its_accents_are_written() -> None:
    words = words_for("local", {"close": ["cerr\u00f3"]})
    assert brief("Cerro\u0301 #1", words) == "close #1"


def test_three_dots_stand_for_the_words_of_the_preset() -> None:
    words = words_for("local", {"close": ["...", "squash"], "joiners": ["...", "und"]})
    assert (
        brief("squashes #1. Squash #2 und #3, closes #4", words)
        == "mention #1; close #2; close #3; close #4"
    )


def test_a_word_may_be_of_several_words() -> None:
    words = words_for("local", {"close": ["get rid of"], "reference": ["of"]})
    assert brief("Get  rid of #1, made of #2", words) == "close #1; reference #2"


def test_hold_is_a_word_only_where_it_names_a_status() -> None:
    assert brief("holds #1", words_for("bitbucket")) == "mention #1"
    words = words_for("redmine", {"states": {"holds": "On hold"}})
    assert brief("holds #1", words) == "state #1"
    assert (
        brief("does not hold #1 and never holds #2", words)
        == "mention #1; reference #2"
    )
    with pytest.raises(ValueError, match="unknown key 'hold'"):
        words_for("redmine", {"hold": ["hold"]})


def test_a_word_may_ask_for_a_status() -> None:
    words = words_for(
        "redmine", {"states": {"feedback": "Feedback", "resolved": "Resolved"}}
    )
    found = find_references("Feedback #1, resolved: #2", words)
    assert [(reference.action, reference.argument) for reference in found] == [
        ("state", "Feedback"),
        ("state", "Resolved"),
    ]
    assert brief("feedback #1, resolved #1", words) == "reference #1; reference #1"


def test_trailers_and_suffixes_are_tables() -> None:
    words = words_for(
        "local", {"trailers": {"Done": "close"}, "suffixes": {"stale": "invalid"}}
    )
    assert brief("Done: #1\ncloses #2 as stale", words) == "close #1; invalid #2"


def test_negators_and_other_nouns_are_configurable() -> None:
    words = words_for(
        "local", {"negators": ["nicht"], "others": ["absatz"], "colours": ["farbe"]}
    )
    assert (
        brief("nicht fixed #1, Absatz #2, Farbe #123456, not fixed #3", words)
        == "reference #1; close #3"
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"closs": []}, "unknown key 'closs' in the words; did you mean 'close'?"),
    ({"close": "closes"}, "'close' must be a list of strings, not str"),
    ({"close": [1]}, "'close' must be a list of strings"),
    ({"close": ["a.b"]}, "'close' holds 'a.b'"),
    ({"close": [""]}, "'close' holds ''"),
    ({"strict": 1}, "'strict' must be true or false, not int"),
    ({"max_scan": 0}, "'max_scan' must be a number above 0"),
    ({"max_scan": True}, "'max_scan' must be a number above 0"),
    ({"mentions": "link"}, "'mentions' must be one of mention, reference, none"),
    ({"on_revert": "close"}, "'on_revert' must be one of reference, reopen"),
    ({"keys": ["proj"]}, "'keys' holds 'proj'"),
    ({"prefixes": [""]}, "'prefixes' holds an empty string"),
    ({"states": ["a"]}, "'states' must be a table"),
    ({"states": {"feedback": ""}}, "'states.feedback' is an empty string"),
    ({"trailers": {"x": "shut"}}, "'trailers.x' must be one of"),
    ({"envelope": "["}, "'envelope' must be two characters"),
    ({"mentions": 1}, "'mentions' must be a string"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_a_wrong_option_is_one_line_that_names_it(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as error:
        words_for("github", options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(
        ValueError, match="unknown tracker kind 'githb'; did you mean 'github'"
    ):
        words_for("githb")


@pytest.mark.parametrize("key", Words._fields)
def test_every_field_is_an_option(key: str) -> None:
    value = getattr(DEFAULT, key)
    option = dict(value) if key in ("states", "trailers", "suffixes") else value
    assert words_for("local", {key: option}) == DEFAULT
