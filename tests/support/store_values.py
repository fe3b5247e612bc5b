"""Small events and the calls tests make most."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from oberonc.errors import DiskFailed
from oberonc.queue.contract import Queue
from oberonc.queue.values import (
    Answer,
    Decision,
    Ended,
    Ending,
    Lease,
    Order,
    Route,
    Slot,
    Submission,
    Token,
)
from oberonc.queue.writer import Accept, Call, End, Outcome, Request, Writer

T = TypeVar("T")

NOW = 1_700_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEARS = 3653 * DAY


class ThreadWriter(Writer):
    """A writer for threads, which wait for what it promises."""

    def __init__(
        self,
        queue: Queue,
        on_failure: Callable[[DiskFailed], None] = lambda error: None,
    ) -> None:
        super().__init__(queue, _answer, on_failure)

    def accept(self, now: int, submission: Submission) -> "Future[Answer]":
        """Accept an event."""
        return self._ask(Accept(Future(), now, submission))

    def end(self, now: int, token: Token, ending: Ending) -> "Future[list[Ended]]":
        """End an attempt."""
        return self._ask(End(Future(), now, [(token, ending)]))

    def call(
        self, function: Callable[[Queue], T], *, alone: bool = False
    ) -> "Future[T]":
        """Run *function* on the queue."""
        return self._ask(Call(Future(), function, alone))

    def _ask(self, request: Request) -> "Future[Any]":
        self.put([request])
        future: Future[Any] = request.promise  # type: ignore[assignment]
        return future


def _answer(outcomes: list[Outcome]) -> None:
    for request, result, error in outcomes:
        if request.promise.done():
            continue  # it was cancelled
        if error is None:
            request.promise.set_result(result)
        else:
            request.promise.set_exception(error)


def submission(
    number: int,
    repo: str = "web/shop",
    services: Iterable[str] = ("tracker",),
    order: Order = "bounded",
    hold_ms: int = 15 * MINUTE,
) -> Submission:
    """The event *number*: the same number is the same event, byte for byte."""
    routes = tuple(Route(service, order, hold_ms) for service in services)
    said = tuple(Decision(route.service, True, "matches") for route in routes)
    commits = (f"{number:040x}",)
    body = b'{"number": %d}\xff' % number
    return Submission(
        number.to_bytes(16, "big"),
        body,
        repo,
        routes=routes,
        decisions=said,
        commits=commits,
    )


def take(
    queue: Queue, now: int = NOW, free: int = 1, services: Iterable[str] = ("tracker",)
) -> list[Lease]:
    """Lease what is due."""
    slots = [Slot(service, free, 1) for service in services]
    return list(queue.lease(now, slots, "worker").leases)


def take_one(queue: Queue, now: int = NOW, service: str = "tracker") -> Lease:
    """Lease the one delivery that is due."""
    (lease,) = take(queue, now, 1, (service,))
    return lease


def fail(queue: Queue, now: int = NOW, times: int = 1, service: str = "tracker") -> int:
    """Lease and fail *times* in a row, each as soon as it is due; returns when the next
    one is.
    """
    due = now
    for _ in range(times):
        lease = take_one(queue, due, service)
        due = (
            queue.end(due, lease.token, Ending("retry", "connection refused")).due_ms
            or due
        )
    return due


def take_and_end(queue: Queue, now: int = NOW) -> bytes:
    """Do the one due delivery; returns its event."""
    lease = take_one(queue, now)
    queue.end(now, lease.token, Ending("done"))
    return lease.event
