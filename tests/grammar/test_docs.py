"""The page on the grammar names every option and every kind."""

import re
from pathlib import Path

from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import PRESETS

PAGE = (Path(__file__).parents[2] / "docs" / "grammar.md").read_text()


def test_every_option_is_described() -> None:
    rows = " ".join(
        line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")
    )
    assert set(Words._fields) <= set(re.findall(r"`(\w+)`", rows))


def test_every_kind_is_named() -> None:
    assert set(PRESETS) <= set(re.findall(r"`(\w+)`", PAGE))
