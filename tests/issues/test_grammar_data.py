"""Real messages: all of them parse, and a sample read by eye is right."""

from pathlib import Path

import pytest

from oberonc.issues.grammar import scan
from tests.issues.brief import DATA, KINDS, brief, messages

ROWS = Path(__file__).parent / "samples" / "rows.tsv"

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real messages in {DATA}")


def rows() -> dict[str, dict[str, str]]:
    """For each file of messages: commit id and expected references."""
    found: dict[str, dict[str, str]] = {}
    for line in ROWS.read_text().splitlines():
        name, commit, expected = line.split("\t")
        found.setdefault(name, {})[commit] = expected
    return found


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
    found = {commit: brief(message, KINDS[name]) for commit, message in messages(name) if commit in expected}
    assert found == expected


def test_the_sample_has_two_hundred_references_of_all_files() -> None:
    sample = rows()
    assert set(sample) == set(KINDS)
    references = [part for file in sample.values() for cell in file.values() for part in cell.split("; ") if part]
    assert len(references) >= 200
    assert {part.split()[0] for part in references} >= {"close", "reference", "mention", "reopen"}
