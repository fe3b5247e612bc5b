"""The event loop's end of the queue: requests to the writer thread, awaited.

Requests gather while the thread is busy, and go to it together: waking it, and being
woken, costs more than most of them. What can wait for a commit that happens anyway, or
can be said better then, joins right before they go (`before_hand_over`). Whoever makes
something due says of which services (`expect`), and knows nothing of who leases it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from oberonc.errors import DiskFailed
from oberonc.queue.contract import Queue
from oberonc.queue.values import (
    Answer,
    Ended,
    Ending,
    Submission,
    Token,
    check,
)
from oberonc.queue.writer import Accept, Call, End, Outcome, Request, Writer

T = TypeVar("T")

#: Beyond this many events that wait for their commit, or bytes of them, `accept`
#: answers busy.
WAITING_EVENTS: Final = 256
WAITING_BYTES: Final = 32 << 20


def now_ms() -> int:
    """Wall-clock milliseconds, the queue's time."""
    return time.time_ns() // 1_000_000


class QueueLink:
    """Owned by the event loop; the futures of a batch are answered in one turn of it."""

    def __init__(
        self, queue: Queue, state: Path, on_failure: Callable[[DiskFailed], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(queue, self._hand_back, on_failure)
        self._writer.start()
        self.state = state
        self._made: list[Request] = []
        #: How many requests the thread has.
        self._given = 0
        self._waking = False
        self._events = self._bytes = 0
        self._joining: Callable[[dict[str, int] | None], None] | None = None
        #: How many deliveries of each service may have become due; None: any of any.
        self._due: dict[str, int] | None = {}

    @property
    def gathering(self) -> bool:
        """Whether requests are about to go to the thread."""
        return bool(self._made)

    def wake(self) -> None:
        """Hand over what there is once what the loop does now is done, and the thread
        is free.
        """
        if not self._waking and not self._given:
            self._waking = True
            self._loop.call_soon(self._hand_over)

    def before_hand_over(self, join: Callable[[dict[str, int] | None], None]) -> None:
        """Have *join* called right before requests go to the thread; it may make more.

        It gets how many deliveries of each service may have become due since it was
        called last; None: any number of any.
        """
        self._joining = join

    def expect(self, services: Iterable[str] | None = None) -> None:
        """Something of each of *services*, or of any, may have become due: the queue is
        to be asked.
        """
        if services is None:
            self._due = None
        elif self._due is not None:
            for service in services:
                self._due[service] = self._due.get(service, 0) + 1
        self.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Run what waits, then end the writer thread."""
        self._hand_over()
        self._writer.stop()

    def call(
        self, function: Callable[[Queue], T], *, alone: bool = False
    ) -> "asyncio.Future[T]":
        """What *function* returns, once what it changed is durable; *alone*: outside
        any batch (`backup`).
        """
        return self._ask(Call(self._loop.create_future(), function, alone))

    def accept(self, submission: Submission) -> "asyncio.Future[Answer]":
        """Whether the submission is an event now; `busy` at once when too much waits.

        Raises BadInput at once for what no queue could hold.
        """
        check(submission)
        answer = self._loop.create_future()
        if self._events >= WAITING_EVENTS or self._bytes >= WAITING_BYTES:
            answer.set_result(Answer("busy"))
            return answer
        self._count(submission, 1)
        if self._due is not None:  # its lease can share its commit
            for route in submission.routes:
                self._due[route.service] = self._due.get(route.service, 0) + 1
        return self._ask(Accept(answer, now_ms(), submission))

    def end(
        self, endings: Sequence[tuple[Token, Ending]]
    ) -> "asyncio.Future[list[Ended]]":
        """The ends of attempts. Never refused: they are bounded by the workers there
        are.
        """
        return self._ask(End(self._loop.create_future(), now_ms(), endings))

    def _ask(self, request: Request) -> "asyncio.Future[Any]":
        self._made.append(request)
        self.wake()
        future: asyncio.Future[Any] = request.promise  # type: ignore[assignment]
        return future

    def _count(self, submission: Submission, sign: int) -> None:
        self._events += sign
        self._bytes += sign * len(submission.body)

    def _hand_over(self) -> None:
        self._waking = True  # what joins now need not wake anybody
        try:
            if self._joining:
                due, self._due = self._due, {}
                self._joining(due)
        finally:
            self._waking = False
            made, self._made = self._made, []
            if made:
                self._given += len(made)
                self._writer.put(made)

    def _hand_back(self, outcomes: list[Outcome]) -> None:
        """In the writer thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._settle, outcomes)

    def _settle(self, outcomes: list[Outcome]) -> None:
        self._given -= len(outcomes)
        for request, result, error in outcomes:
            if isinstance(request, Accept):
                self._count(request.submission, -1)
            if request.promise.done():
                continue  # its asker has gone, and the request stands
            if error is None:
                request.promise.set_result(result)
            else:
                request.promise.set_exception(error)
        # Behind those who have just been answered, so that what they ask for next goes
        # along.
        self.wake()
