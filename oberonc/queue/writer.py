"""The one thread that calls the queue, so that requests share commits.

Natural group commit, no timer: take all requests that wait, run them in one batch,
answer them all together. While the disk syncs the next batch gathers. Who asks makes
the promises (`daemon.queue_link`).
"""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, Protocol

from oberonc.errors import BadInput, DiskFailed, NotAccepted
from oberonc.queue.contract import Queue
from oberonc.queue.values import (
    Answer,
    Ending,
    StorageFull,
    Submission,
    Token,
)

#: One commit takes at most this many requests and this many bytes.
BATCH_REQUESTS: Final = 128
BATCH_BYTES: Final = 4 << 20


class Promise(Protocol):
    """What both kinds of futures, those of threads and those of an event loop, have."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Any, /) -> None:
        """Answer it."""

    def set_exception(self, error: BaseException, /) -> None:
        """Answer it with a fault."""


class Request(NamedTuple):
    """Something to do: a submission to accept at a time, or a function to call, perhaps
    outside any batch.
    """

    promise: Promise
    call: Callable[[Queue], Any] | None = None
    alone: bool = False
    submission: Submission | None = None
    ended: tuple[Token, Ending] | None = None
    now: int = 0

    @property
    def size(self) -> int:
        """Bytes of the submission."""
        return len(self.submission.body) if self.submission else 0

    def run(self, queue: Queue) -> Any:
        """Do it."""
        if self.submission:
            return queue.accept(self.now, self.submission)
        if self.ended:
            return queue.end(self.now, *self.ended)
        return self.call(queue) if self.call else None


class Outcome(NamedTuple):
    """A request, and what its promise is to be answered with once its batch is durable."""

    request: Request
    result: Any = None
    error: BaseException | None = None


def settle(outcomes: list[Outcome]) -> None:
    """Keep the promises. Where one is done already its asker has gone, and the request
    stands.
    """
    for request, result, error in outcomes:
        if request.promise.done():
            continue
        if error is None:
            request.promise.set_result(result)
        else:
            request.promise.set_exception(error)


class Writer:
    """Runs requests on the queue, each batch one commit: the endings in it first, then
    the rest in order.

    *hand_back* gets what a batch answers, from the writer thread, once its commit is
    durable. When the disk fails nothing that waits is answered with a result: all get
    DiskFailed, then `on_failure` is called and the thread ends.
    """

    def __init__(
        self,
        queue: Queue,
        hand_back: Callable[[list[Outcome]], object] = settle,
        on_failure: Callable[[DiskFailed], None] = lambda error: None,
    ) -> None:
        self._queue = queue
        self._hand_back = hand_back
        self._on_failure = on_failure
        #: None: stop.
        self._given: SimpleQueue[list[Request] | None] = SimpleQueue()
        self._line: deque[Request] = deque()
        self._lock = threading.Lock()
        self._refusal: DiskFailed | NotAccepted | None = None
        #: How many batches were run.
        self.batches = 0
        self._thread = threading.Thread(
            target=self._run, name="queue-writer", daemon=True
        )

    def start(self) -> None:
        """Start the thread; from now on nobody else may call the queue."""
        self._thread.start()

    def put(self, requests: list[Request]) -> None:
        """Have *requests* run. After a failure or `stop` they are refused at once."""
        with self._lock:
            refusal = self._refusal
            if not refusal:
                self._given.put(requests)
        if refusal:
            self._hand_back([Outcome(request, error=refusal) for request in requests])

    def stop(self, timeout: float | None = None) -> None:
        """Run what waits, then end the thread. The queue stays open."""
        with self._lock:
            self._refusal = self._refusal or NotAccepted("the queue is closing")
            self._given.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._hand_back(self._perform(batch))
                self._queue.checkpoint()
            except DiskFailed as error:
                self._fail(error, batch)
                return
            except Exception as error:  # noqa: BLE001 - a dead thread would leave everybody waiting
                self._fail(DiskFailed(f"the queue cannot go on: {error!r}"), batch)
                return
            self.batches += 1

    def _take(self) -> list[Request]:
        """The next batch: what waits now, up to the limits; nothing once all is done
        and it is time to stop.
        """
        while not self._line or not self._given.empty():
            given = self._given.get()
            if given is None:
                self._given.put(None)
                break
            self._line.extend(given)
        batch: list[Request] = []
        size = 0
        while self._line and len(batch) < BATCH_REQUESTS and size < BATCH_BYTES:
            if batch and (batch[0].alone or self._line[0].alone):
                break
            batch.append(self._line.popleft())
            size += batch[-1].size
        # Endings free lanes for the leases that were asked for with them, and the more
        # of a kind the cheaper.
        return sorted(batch, key=lambda request: request.ended is None)

    def _perform(self, batch: list[Request]) -> list[Outcome]:
        if batch[0].alone:
            return [_outcome(batch[0], lambda: batch[0].run(self._queue))]
        try:
            with self._queue.batch():
                results = [
                    result for run in _runs(batch) for result in self._results(run)
                ]
        except DiskFailed:
            raise
        except StorageFull:
            self._queue.release_reserve()
            return self._one_by_one(batch, full=True)
        except Exception:  # noqa: BLE001 - whose fault it is shows when each runs alone
            return self._one_by_one(batch, full=False)
        return [
            Outcome(request, error=result)
            if isinstance(result, BadInput)
            else Outcome(request, result)
            for request, result in zip(batch, results, strict=True)
        ]

    def _results(self, run: list[Request]) -> list[Any]:
        """What neighbours of one kind return. BadInput has changed nothing: the others
        go on.
        """
        now = max(request.now for request in run)
        if run[0].submission:
            return [
                *self._queue.accept_all(
                    now, [request.submission for request in run if request.submission]
                )
            ]
        if run[0].ended:
            return [
                *self._queue.end_all(
                    now, [request.ended for request in run if request.ended]
                )
            ]
        try:
            return [run[0].run(self._queue)]
        except BadInput as refused:
            return [refused]

    def _one_by_one(self, batch: list[Request], *, full: bool) -> list[Outcome]:
        """A whole batch fails together; here each request gets its own commit and its
        own fault.

        On a full disk events are refused unheard, so that the room there is serves the
        endings.
        """
        return [
            Outcome(request, Answer("storage_low"))
            if full and request.submission
            else _outcome(request, partial(self._by_itself, request))
            for request in batch
        ]

    def _by_itself(self, request: Request) -> Any:
        with self._queue.batch():
            return request.run(self._queue)

    def _fail(self, error: DiskFailed, batch: list[Request]) -> None:
        with self._lock:
            self._refusal = error
            while not self._given.empty():
                self._line.extend(self._given.get() or ())
        self._hand_back(
            [Outcome(request, error=error) for request in [*batch, *self._line]]
        )
        self._on_failure(error)


def _runs(batch: list[Request]) -> list[list[Request]]:
    """Neighbouring submissions together, and neighbouring endings, every other request
    by itself; the order stays.
    """
    runs: list[list[Request]] = []
    for request in batch:
        if (
            runs
            and not request.call
            and not runs[-1][0].call
            and bool(request.ended) == bool(runs[-1][0].ended)
        ):
            runs[-1].append(request)
        else:
            runs.append([request])
    return runs


def _outcome(request: Request, call: Callable[[], Any]) -> Outcome:
    """What *call* returns or raises; only a failed disk goes on to the caller."""
    try:
        return Outcome(request, call())
    except DiskFailed:
        raise
    except Exception as error:  # noqa: BLE001 - who waits gets it
        return Outcome(request, error=error)
