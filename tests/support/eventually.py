"""The only wait of the suite: for a condition, until a deadline."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], within: float = 60.0, what: str = "") -> T:
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


async def eventually_in_loop(check: Callable[[], object], within: float = 60.0) -> None:
    """As `eventually`, in an event loop that goes on meanwhile."""
    async with asyncio.timeout(within):
        while not check():
            await asyncio.sleep(0.01)
