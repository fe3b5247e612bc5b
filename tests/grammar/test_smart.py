"""Smart commands: opt-in, for keyed references, from an allow-list."""

import pytest

from oberonc.grammar.message import scan
from oberonc.grammar.words import words_for

WORDS = words_for(
    "jira",
    {
        "keys": ["PROJ"],
        "smart": ["comment", "time", "assign"],
        "transitions": ["Start Progress", "Stop Progress", "Close Issue", "Close"],
    },
)

Act = tuple[str, str, int | None, str | None]


def acts(text: str) -> list[Act]:
    return [
        (found.action, found.issue, found.time, found.argument)
        for found in scan(text, WORDS).references
    ]


COMMANDS: dict[str, list[Act]] = {
    "PROJ-1 #comment done at last": [("comment", "1", None, "done at last")],
    "PROJ-1 #time 1w 2d 4h 30m work": [("time", "1", 217_800, "work")],
    "PROJ-1 #time 1d5h work": [("time", "1", 46_800, "work")],
    "PROJ-1 #time soon": [("time", "1", None, "soon")],
    "PROJ-1 #assign jane": [("assign", "1", None, "jane")],
    "PROJ-1 #start-progress": [("transition", "1", None, "Start Progress")],
    "PROJ-1 #START-progress": [("transition", "1", None, "Start Progress")],
    "PROJ-1 #sta": [("transition", "1", None, "Start Progress")],
    "PROJ-1 #close": [("transition", "1", None, "Close")],
    "PROJ-1 #close-i": [("transition", "1", None, "Close Issue")],
    "PROJ-1 #comment a #time 2h b": [
        ("comment", "1", None, "a"),
        ("time", "1", 7_200, "b"),
    ],
    "PROJ-1 PROJ-2, PROJ-3 text #close": [
        ("transition", n, None, "Close") for n in "123"
    ],
    "PROJ-1 and PROJ-2 #close": [
        ("mention", "1", None, None),
        ("transition", "2", None, "Close"),
    ],
    "Fixes PROJ-1 #time 2h": [("close", "1", None, None), ("time", "1", 7_200, None)],
    "PROJ-1 #comment see #peek there": [("comment", "1", None, "see #peek there")],
    "PROJ-1\n#close": [("mention", "1", None, None)],
    "PROJ-1 x#close": [("mention", "1", None, None)],
    "#12 #close": [("mention", "12", None, None)],
}


@pytest.mark.parametrize(("text", "expected"), COMMANDS.items())
def test_a_command_acts_on_the_keys_before_it_on_its_line(
    text: str, expected: list[Act]
) -> None:
    assert acts(text) == expected


WARNINGS = {
    "PROJ-1: Exploit #peek": "unknown smart command '#peek'",
    "PROJ-1 #st": "the smart command '#st' is ambiguous: Start Progress, Stop Progress",
}


@pytest.mark.parametrize(("text", "warning"), WARNINGS.items())
def test_what_is_unknown_or_ambiguous_is_a_warning_never_a_guess(
    text: str, warning: str
) -> None:
    found = scan(text, WORDS)
    assert [note.text for note in found.warnings] == [warning]
    assert [reference.action for reference in found.references] == ["mention"]


def test_commands_are_opt_in() -> None:
    found = scan("PROJ-1 #comment x #close", words_for("jira", {"keys": ["PROJ"]}))
    assert [reference.action for reference in found.references] == ["mention"]
    assert found.warnings == []


def test_a_command_that_is_not_on_the_list_is_not_obeyed() -> None:
    words = words_for("jira", {"keys": ["PROJ"], "smart": ["time"]})
    found = scan("PROJ-1 #comment x #time 1h", words)
    assert [reference.action for reference in found.references] == ["time"]
    assert found.warnings[0].text == "unknown smart command '#comment'"
