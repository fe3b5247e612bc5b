"""How fast the grammar reads real messages, beside a plain search for GitHub's nine
keywords in the same run.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from time import process_time

import pytest

from oberonc.grammar.message import find_references, scan
from tests.grammar.brief import DATA, KINDS, messages
from tests.grammar.shapes import SHAPES, UNLIMITED, shaped

pytestmark = pytest.mark.benchmark

KEYWORDS = re.compile(r"\b(?:close[sd]?|fix(?:es|ed)?|resolve[sd]?)\b", re.IGNORECASE)
#: Megabytes a second, or this share of the plain search: whichever is less.
WANTED = 2.0
SHARE = 0.2


def best(run: Callable[[], object], rounds: int = 3) -> float:
    """Processor seconds of the fastest round: what else the machine does costs none of
    them.
    """
    seconds = []
    for _ in range(rounds):
        start = process_time()
        run()
        seconds.append(process_time() - start)
    return min(seconds)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real messages in {DATA}")
def test_megabytes_of_real_messages_a_second() -> None:
    texts = {name: [message for _, message in messages(name)] for name in KINDS}
    size = sum(len(text.encode()) for each in texts.values() for text in each) / 1e6
    parse = best(
        lambda: [
            find_references(text, KINDS[name])
            for name, each in texts.items()
            for text in each
        ]
    )
    plain = best(
        lambda: [
            list(KEYWORDS.finditer(text)) for each in texts.values() for text in each
        ]
    )
    print(
        f"\ngrammar {size / parse:.2f} MB/s, plain search {size / plain:.2f} MB/s, {size:.1f} MB"
    )
    assert size / parse >= min(WANTED, SHARE * size / plain)


def test_the_time_of_adversarial_shapes_grows_linearly() -> None:
    sizes = (4_000, 8_000, 16_000, 32_000)
    exponents = {}
    for name, unit in SHAPES.items():
        times = [
            best(partial(scan, shaped(unit, size), UNLIMITED), 2) for size in sizes
        ]
        exponents[name] = _slope(
            [math.log(size) for size in sizes], [math.log(time) for time in times]
        )
    worst = sorted(exponents, key=lambda name: -exponents[name])[:5]
    print(
        "\nfitted exponents, the worst: "
        + ", ".join(f"{name} {exponents[name]:.2f}" for name in worst)
    )
    assert max(exponents.values()) < 1.5


def _slope(xs: list[float], ys: list[float]) -> float:
    """The slope of the straight line nearest to the points."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - mean_x) ** 2 for x in xs)
