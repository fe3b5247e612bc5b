"""The one thread that calls the queue, so that requests share commits.

Natural group commit, no timer: take one request, then all that already wait, run them in one batch, answer
them all. While the disk syncs the next batch gathers.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from oberonc.errors import BadInput, DiskFailed, NotAccepted
from oberonc.queue.base import Answer, Queue, StorageFull, Submission, check

T = TypeVar("T")

#: One commit takes at most this many requests and this many bytes.
BATCH_REQUESTS: Final = 128
BATCH_BYTES: Final = 4 << 20
#: Beyond this many waiting events, or bytes of them, `accept` answers busy.
WAITING_EVENTS: Final = 256
WAITING_BYTES: Final = 32 << 20


class _Request(NamedTuple):
    """Something to do: a submission to accept at a time, or a function to call, perhaps outside any batch."""

    future: "Future[Any]"
    call: Callable[[Queue], Any] | None = None
    alone: bool = False
    submission: Submission | None = None
    now: int = 0

    @property
    def size(self) -> int:
        """Bytes of the submission."""
        return len(self.submission.body) if self.submission else 0

    def run(self, queue: Queue) -> Any:
        """Do it."""
        if self.submission:
            return queue.accept(self.now, self.submission)
        return self.call(queue) if self.call else None


class Writer:
    """Runs requests on the queue, in the order they came, each batch one commit.

    A future is answered only after its commit is durable. When the disk fails no waiting future is answered
    with a result: all raise DiskFailed, `on_failure` is called from the writer thread, and the thread ends.
    """

    def __init__(self, queue: Queue, on_failure: Callable[[DiskFailed], None] = lambda error: None) -> None:
        self._queue = queue
        self._on_failure = on_failure
        self._waiting: deque[_Request] = deque()
        self._events = self._bytes = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._failure: DiskFailed | None = None
        #: Grows with each batch; a watchdog compares two readings while `backlog` is not 0.
        self.batches = 0
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; from now on nobody else may call the queue."""
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def accept(self, now: int, submission: Submission) -> "Future[Answer]":
        """Accept an event; `busy` at once when too much waits, `storage_low` when the disk is full.

        Raises BadInput at once for what no queue could hold.
        """
        check(submission)
        with self._wake:
            if self._events >= WAITING_EVENTS or self._bytes >= WAITING_BYTES:
                return _answered(Answer("busy"))
            self._events += 1
            self._bytes += len(submission.body)
            return self._put(_Request(Future(), submission=submission, now=now))

    def call(self, function: Callable[[Queue], T], *, alone: bool = False) -> "Future[T]":
        """Run *function* on the queue in a batch, or *alone* outside any (`backup`, `checkpoint`).

        Never refused: leases and endings are bounded by the workers there are.
        """
        with self._wake:
            return self._put(_Request(Future(), function, alone))

    def stop(self, timeout: float | None = None) -> None:
        """Run what waits, then end the thread. The queue stays open."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _put(self, request: _Request) -> "Future[Any]":
        if self._failure or self._stopping:
            request.future.set_exception(self._failure or NotAccepted("the queue is closing"))
            return request.future
        # Who stops waiting cannot take the request back: an ending must not be lost with a connection.
        request.future.set_running_or_notify_cancel()
        self._waiting.append(request)
        self._wake.notify()
        return request.future

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._perform(batch)
                self._queue.checkpoint()
            except DiskFailed as error:
                self._fail(error, batch)
                return
            except Exception as error:  # noqa: BLE001 - a dead thread would leave everybody waiting
                self._fail(DiskFailed(f"the queue cannot go on: {error!r}"), batch)
                return
            self.batches += 1

    def _take(self) -> list[_Request]:
        """The next batch; empty when the thread shall end."""
        # Let go of the interpreter's lock: whoever was just answered can send the next request into this batch.
        time.sleep(0)
        with self._wake:
            while not self._waiting and not self._stopping:
                self._wake.wait()
            batch: list[_Request] = []
            size = 0
            while self._waiting and len(batch) < BATCH_REQUESTS and size < BATCH_BYTES:
                if batch and (self._waiting[0].alone or batch[0].alone):
                    break
                batch.append(self._waiting.popleft())
                size += batch[-1].size
                self._events -= batch[-1].submission is not None
            self._bytes -= size
            return batch

    def _perform(self, batch: list[_Request]) -> None:
        if batch[0].alone:
            _settle(batch[0].future, lambda: batch[0].run(self._queue))
            return
        try:
            with self._queue.batch():
                results = [result for run in _runs(batch) for result in self._results(run)]
        except DiskFailed:
            raise
        except StorageFull:
            self._queue.release_reserve()
            self._one_by_one(batch, full=True)
        except Exception:  # noqa: BLE001 - whose fault it is shows when each runs alone
            self._one_by_one(batch, full=False)
        else:
            for request, result in zip(batch, results, strict=True):
                if isinstance(result, BadInput):
                    request.future.set_exception(result)
                else:
                    request.future.set_result(result)

    def _results(self, run: list[_Request]) -> list[Any]:
        """What neighbours of one kind return. BadInput has changed nothing: the others go on."""
        submissions = [request.submission for request in run if request.submission]
        if submissions:
            return [*self._queue.accept_all(max(request.now for request in run), submissions)]
        try:
            return [run[0].run(self._queue)]
        except BadInput as refused:
            return [refused]

    def _one_by_one(self, batch: list[_Request], *, full: bool) -> None:
        """A whole batch fails together; here each request gets its own commit and its own fault.

        On a full disk events are refused unheard, so that the room there is serves the endings.
        """
        for request in batch:
            if full and request.submission:
                request.future.set_result(Answer("storage_low"))
            else:
                _settle(request.future, partial(self._alone, request))

    def _alone(self, request: _Request) -> Any:
        with self._queue.batch():
            return request.run(self._queue)

    def _fail(self, error: DiskFailed, batch: list[_Request]) -> None:
        with self._wake:
            self._failure = error
            lost = [*batch, *self._waiting]
            self._waiting.clear()
        for request in lost:
            if not request.future.done():
                request.future.set_exception(error)
        self._on_failure(error)


def _runs(batch: list[_Request]) -> list[list[_Request]]:
    """Neighbouring submissions together, every other request by itself; the order stays."""
    runs: list[list[_Request]] = []
    for request in batch:
        if runs and request.submission and runs[-1][0].submission:
            runs[-1].append(request)
        else:
            runs.append([request])
    return runs


def _answered(answer: Answer) -> "Future[Answer]":
    future: Future[Answer] = Future()
    future.set_result(answer)
    return future


def _settle(future: "Future[Any]", call: Callable[[], Any]) -> None:
    """Give *future* what *call* returns or raises; only a failed disk goes on to the caller."""
    try:
        result = call()
    except DiskFailed:
        raise
    except Exception as error:  # noqa: BLE001 - the caller of the future gets it
        future.set_exception(error)
    else:
        future.set_result(result)
