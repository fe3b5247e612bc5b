"""Real messages: all of them parse, and a sample read by eye is right."""

import re
from pathlib import Path

import pytest

from oberonc.grammar.message import scan
from tests.grammar.brief import DATA, KINDS, brief, messages

ROWS = Path(__file__).parent / "samples" / "rows.tsv"
MANNERS = ROWS.parent / "manners.txt"

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real messages in {DATA}")


def rows() -> dict[str, dict[str, str]]:
    """For each file of messages: commit id and expected references."""
    found: dict[str, dict[str, str]] = {}
    for line in ROWS.read_text().splitlines():
        name, commit, expected = line.split("\t")
        found.setdefault(name, {})[commit] = expected
    return found


def manners() -> list[tuple[str, str, str]]:
    """(kind, what is found, message) of the messages that travel with the project."""
    records = re.split(r"(?m)^== ", MANNERS.read_text())[1:]
    heads = [record.partition("\n") for record in records]
    return [
        (head.partition(":")[0], head.partition(":")[2].strip(), message)
        for head, _, message in heads
    ]


@pytest.mark.parametrize(("kind", "expected", "message"), manners())
def test_messages_in_the_manner_of_six_projects(
    kind: str, expected: str, message: str
) -> None:
    assert brief(message, KINDS[kind]) == expected


def test_every_kind_is_among_the_messages_that_travel_with_the_project() -> None:
    assert {kind for kind, _, _ in manners()} == set(KINDS)


@real
@pytest.mark.parametrize("name", KINDS)
def test_every_real_message_parses_in_every_kinds_words(name: str) -> None:
    for commit, message in messages(name):
        for words in (KINDS[name], KINDS["keystone"]):
            for found in scan(message, words).references:
                assert found.issue in message[found.start : found.end], commit


@real
@pytest.mark.parametrize("name", KINDS)
def test_the_sample_read_by_eye_is_right(name: str) -> None:
    expected = rows()[name]
    found = {
        commit: brief(message, KINDS[name])
        for commit, message in messages(name)
        if commit in expected
    }
    assert found == expected


def test_the_sample_has_four_hundred_references_of_all_files() -> None:
    sample = rows()
    assert set(sample) == set(KINDS)
    references = [
        part
        for file in sample.values()
        for cell in file.values()
        for part in cell.split("; ")
        if part
    ]
    assert len(references) >= 400
    assert {part.split()[0] for part in references} >= {
        "close",
        "reference",
        "mention",
        "reopen",
    }
