"""Time stays linear: doubling a shape at most doubles the counted steps, whatever the shape."""

from itertools import pairwise

import pytest

from oberonc.issues.grammar import Words, scan
from oberonc.issues.words import words_for
from tests.issues.shapes import SHAPES, UNLIMITED, shaped

BUGZILLA = words_for("bugzilla", {"max_scan": 10**9, "max_references": 10**9})


#: The shapes that mean more where a number needs no hash.
NUMBERED = ("digits", "numbers", "bug numbers", "lists with nouns", "words", "blanks", "keys")
CASES = [
    *(pytest.param(unit, UNLIMITED, id=name) for name, unit in SHAPES.items()),
    *(pytest.param(SHAPES[name], BUGZILLA, id=f"bugzilla: {name}") for name in NUMBERED),
]


@pytest.mark.parametrize(("unit", "words"), CASES)
def test_doubling_a_shape_at_most_doubles_the_steps(unit: str, words: Words) -> None:
    sizes = (4_000, 8_000, 32_000)
    steps = [scan(shaped(unit, size), words).steps for size in sizes]
    for (small, less), (large, more) in pairwise(zip(sizes, steps, strict=True)):
        assert more <= large // small * less + 200
    assert steps[-1] < 20 * len(shaped(unit, sizes[-1]))


def test_the_steps_count_what_was_done() -> None:
    small, large = scan("fixes #1").steps, scan("does not really even fix the other #1, #2 and `code` #3").steps
    assert 3 < small < large
