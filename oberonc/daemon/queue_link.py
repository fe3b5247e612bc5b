"""The event loop's end of the queue: requests to the writer thread, awaited."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from oberonc.queue.base import Answer, Ended, Ending, Queue, Submission, Token
from oberonc.queue.writer import Writer

T = TypeVar("T")


def now_ms() -> int:
    """Wall-clock milliseconds, the queue's time."""
    return time.time_ns() // 1_000_000


class QueueLink:
    """Each method puts its request into the writer's line before it awaits: requests made in one turn of the
    loop share a commit, and run in the order they were made."""

    def __init__(self, writer: Writer, state: Path) -> None:
        self.writer = writer
        self.state = state

    def call(self, function: Callable[[Queue], T], *, alone: bool = False) -> "asyncio.Future[T]":
        """What *function* returns, once what it changed is durable."""
        return asyncio.wrap_future(self.writer.call(function, alone=alone))

    def accept(self, submission: Submission) -> "asyncio.Future[Answer]":
        """Whether the submission is an event now."""
        return asyncio.wrap_future(self.writer.accept(now_ms(), submission))

    def end(self, token: Token, ending: Ending) -> "asyncio.Future[Ended]":
        """The end of an attempt."""
        return self.call(lambda queue: queue.end(now_ms(), token, ending))

    def end_soon(self, token: Token, ending: Ending) -> "Future[Ended]":
        """As `end`, for those who do not wait: the future's callbacks run in the writer thread."""
        return self.writer.call(lambda queue: queue.end(now_ms(), token, ending))

    async def active_generation(self) -> tuple[int, str] | None:
        """Number and digest of the generation that was in service last."""
        for known in await self.call(lambda queue: queue.generations()):
            if known.state == "active":
                return known.number, known.digest
        return None

    async def new_generation(self, digest: str) -> int:
        """The number of the next one."""
        return await self.call(lambda queue: queue.new_generation(now_ms(), digest))

    async def commit_generation(self, number: int, report: str) -> None:
        """From here on a restart runs *number*."""
        await self.call(lambda queue: queue.commit_generation(number, report))

    async def reject_generation(self, number: int, report: str) -> None:
        """It was not fit."""
        await self.call(lambda queue: queue.reject_generation(number, report))

    async def retire_generation(self, number: int) -> None:
        """It has drained."""
        await self.call(lambda queue: queue.retire_generation(number))
