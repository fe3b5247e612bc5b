"""The only wait of the suite: for a condition, until a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], within: float = 30.0, what: str = "") -> T:
    """The first true answer of *check* within *within* seconds; fails the test with
    *what* otherwise.
    """
    deadline = time.monotonic() + within
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, (
            what or "the condition did not come true in time"
        )
        time.sleep(0.02)
