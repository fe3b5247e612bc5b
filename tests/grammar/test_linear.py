"""Time stays linear: doubling a shape at most doubles the counted steps, and the work
itself, whatever the shape.
"""

import sys
from types import FrameType
from typing import Any

import pytest

from oberonc.grammar.message import scan
from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import words_for
from tests.grammar.shapes import ACTING, SHAPES, UNLIMITED, shaped

BUGZILLA = words_for("bugzilla", {"max_scan": 10**9, "max_references": 10**9})


#: The shapes that mean more where a number needs no hash.
NUMBERED = (
    "digits",
    "numbers",
    "bug numbers",
    "lists with nouns",
    "words",
    "blanks",
    "keys",
)
CASES = [
    *(pytest.param(unit, UNLIMITED, id=name) for name, unit in SHAPES.items()),
    *(
        pytest.param(unit, ACTING, id=f"acting: {name}")
        for name, unit in SHAPES.items()
    ),
    *(
        pytest.param(SHAPES[name], BUGZILLA, id=f"bugzilla: {name}")
        for name in NUMBERED
    ),
]


@pytest.mark.parametrize(("unit", "words"), CASES)
def test_doubling_a_shape_at_most_doubles_the_steps(unit: str, words: Words) -> None:
    less, more = (scan(shaped(unit, size), words).steps for size in (400, 1_600))
    assert more <= 4 * less + 200
    assert more < 20 * len(shaped(unit, 1_600))


class Watched(str):
    """A message that counts the characters which searches over it look at."""

    looked_at = 0

    def __contains__(self, part: object) -> bool:
        Watched.looked_at += len(self)
        return str.__contains__(self, str(part))

    def find(self, part: str, *place: Any) -> int:
        begin, end, _ = slice(*(place if len(place) == 2 else (*place, None))).indices(
            len(self)
        )
        found = str.find(self, part, *place)
        Watched.looked_at += (found if found >= 0 else end) - begin
        return found

    def lower(self) -> str:
        Watched.looked_at += len(self)
        return str.lower(self)


def work(text: str, words: Words) -> int:
    """Calls made while *text* is read, and characters looked at: counted from outside,
    so that nothing is left out.
    """
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    Watched.looked_at = 0
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        scan(Watched(text), words)
    finally:
        sys.setprofile(before)
    return calls + Watched.looked_at


@pytest.mark.parametrize(("unit", "words"), CASES)
def test_doubling_a_shape_at_most_doubles_the_work(unit: str, words: Words) -> None:
    small, large = (work(shaped(unit, size), words) for size in (200, 800))
    assert large <= 4.2 * small + 2_000


def test_the_steps_count_what_was_done() -> None:
    small, large = (
        scan("fixes #1").steps,
        scan("does not really even fix the other #1, #2 and `code` #3").steps,
    )
    assert 3 < small < large
