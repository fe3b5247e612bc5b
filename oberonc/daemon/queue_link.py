"""The event loop's end of the queue: requests to the writer thread, awaited."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from oberonc.errors import DiskFailed
from oberonc.queue.base import Answer, Ended, Ending, Queue, Submission, Token
from oberonc.queue.writer import Outcome, Writer, settle

T = TypeVar("T")


def now_ms() -> int:
    """Wall-clock milliseconds, the queue's time."""
    return time.time_ns() // 1_000_000


class QueueLink:
    """The futures of a batch are answered in one turn of the loop, in the order the requests were made."""

    def __init__(self, queue: Queue, state: Path, on_failure: Callable[[DiskFailed], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(queue, self._loop.create_future, on_failure, self._hand_back, self._loop.call_soon)
        self._writer.start()
        self.state = state

    def _hand_back(self, outcomes: list[Outcome]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(settle, outcomes)

    def stop(self) -> None:
        """Run what waits, then end the writer thread."""
        self._writer.stop()

    def call(self, function: Callable[[Queue], T], *, alone: bool = False) -> "asyncio.Future[T]":
        """What *function* returns, once what it changed is durable."""
        return self._writer.call(function, alone=alone)

    def accept(self, submission: Submission) -> "asyncio.Future[Answer]":
        """Whether the submission is an event now."""
        return self._writer.accept(now_ms(), submission)

    def end(self, token: Token, ending: Ending) -> "asyncio.Future[Ended]":
        """The end of an attempt."""
        return self._writer.end(now_ms(), token, ending)

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
