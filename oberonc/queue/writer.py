"""The one thread that calls the queue, so that requests share commits.

Natural group commit, no timer: take one request, then all that already wait, run them in one batch, answer
them all. While the disk syncs the next batch gathers. The answers of a batch are handed back together: waking
an event loop once for each would cost more than the commit.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

from oberonc.errors import BadInput, DiskFailed, NotAccepted
from oberonc.queue.base import Answer, Ending, Queue, StorageFull, Submission, Token, check

#: One commit takes at most this many requests and this many bytes.
BATCH_REQUESTS: Final = 128
BATCH_BYTES: Final = 4 << 20
#: Beyond this many waiting events, or bytes of them, `accept` answers busy.
WAITING_EVENTS: Final = 256
WAITING_BYTES: Final = 32 << 20


class Promise(Protocol):
    """What both kinds of futures, those of threads and those of an event loop, have."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Any, /) -> None:
        """Answer it."""

    def set_exception(self, error: BaseException, /) -> None:
        """Answer it with a fault."""


P = TypeVar("P", bound=Promise)


class Outcome(NamedTuple):
    """A promise, and what it is to be answered with once its batch is durable."""

    promise: Promise
    result: Any = None
    error: BaseException | None = None


def settle(outcomes: list[Outcome]) -> None:
    """Answer the promises. Where one is done already its asker has gone, and the request stands."""
    for promise, result, error in outcomes:
        if promise.done():
            continue
        if error is None:
            promise.set_result(result)
        else:
            promise.set_exception(error)


class _Request(NamedTuple):
    """Something to do: a submission to accept at a time, or a function to call, perhaps outside any batch."""

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


#: What the thread stops at.
_STOP: Final = _Request(Future(), alone=True)


class Writer(Generic[P]):
    """Runs requests on the queue, in the order they came, each batch one commit.

    Each request returns a promise (made by *promise*, answered through *hand_back*, which gets all that a batch
    answers), kept only after its commit is durable. *soon* calls a function once what is being done is done: what
    is requested until then goes to the thread together. When the disk fails no waiting promise is answered with a
    result: all get DiskFailed, `on_failure` is called from the writer thread, and the thread ends.
    """

    def __init__(
        self,
        queue: Queue,
        promise: Callable[[], P],
        on_failure: Callable[[DiskFailed], None] = lambda error: None,
        hand_back: Callable[[list[Outcome]], object] = settle,
        soon: Callable[[Callable[[], None]], object] = lambda call: call(),
    ) -> None:
        self._queue = queue
        self._promise = promise
        self._on_failure = on_failure
        self._hand_back = hand_back
        self._soon = soon
        #: Requests on their way to the thread: made since `_hand_over` ran last, handed over, and in its hands.
        self._made: list[_Request] = []
        self._given: SimpleQueue[list[_Request]] = SimpleQueue()
        self._line: deque[_Request] = deque()
        self._events = self._bytes = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._failure: DiskFailed | None = None
        #: How many batches were run.
        self.batches = 0
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; from now on nobody else may call the queue."""
        self._thread.start()

    def accept(self, now: int, submission: Submission) -> P:
        """Accept an event (Answer); `busy` at once when too much waits, `storage_low` when the disk is full.

        Raises BadInput at once for what no queue could hold.
        """
        check(submission)
        with self._lock:
            free = self._events < WAITING_EVENTS and self._bytes < WAITING_BYTES
            if free:
                self._events += 1
                self._bytes += len(submission.body)
        if free:
            return self._put(_Request(self._promise(), submission=submission, now=now))
        busy = self._promise()
        busy.set_result(Answer("busy"))
        return busy

    def end(self, now: int, token: Token, ending: Ending) -> P:
        """End an attempt (Ended). Never refused: endings and leases are bounded by the workers there are."""
        return self._put(_Request(self._promise(), ended=(token, ending), now=now))

    def call(self, function: Callable[[Queue], Any], *, alone: bool = False) -> P:
        """Run *function* on the queue in a batch, or *alone* outside any (`backup`, `checkpoint`)."""
        return self._put(_Request(self._promise(), function, alone))

    def stop(self, timeout: float | None = None) -> None:
        """Run what waits, then end the thread. The queue stays open."""
        with self._lock:
            self._stopping = True
            self._made.append(_STOP)
        self._hand_over()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _put(self, request: _Request) -> P:
        with self._lock:
            refused = self._failure or (NotAccepted("the queue is closing") if self._stopping else None)
            if not refused:
                self._made.append(request)
                first = len(self._made) == 1
        if refused:
            request.promise.set_exception(refused)
        elif first:
            self._soon(self._hand_over)
        return cast(P, request.promise)

    def _hand_over(self) -> None:
        """Give the thread what was made since the last time, all at once: it is not woken for a part of it."""
        with self._lock:
            if self._made:
                self._given.put(self._made)
                self._made = []

    def _run(self) -> None:
        while (batch := self._take()) != [_STOP]:
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

    def _take(self) -> list[_Request]:
        """The next batch: what waits now, up to the limits."""
        while not self._line or not self._given.empty():
            self._line.extend(self._given.get())
        batch = [self._line.popleft()]
        size = batch[0].size
        while self._line and not batch[0].alone and not self._line[0].alone:
            if len(batch) == BATCH_REQUESTS or size >= BATCH_BYTES:
                break
            batch.append(self._line.popleft())
            size += batch[-1].size
        with self._lock:
            self._events -= sum(request.submission is not None for request in batch)
            self._bytes -= size
        return batch

    def _perform(self, batch: list[_Request]) -> list[Outcome]:
        if batch[0].alone:
            return [_outcome(batch[0], lambda: batch[0].run(self._queue))]
        try:
            with self._queue.batch():
                results = [result for run in _runs(batch) for result in self._results(run)]
        except DiskFailed:
            raise
        except StorageFull:
            self._queue.release_reserve()
            return self._one_by_one(batch, full=True)
        except Exception:  # noqa: BLE001 - whose fault it is shows when each runs alone
            return self._one_by_one(batch, full=False)
        return [
            Outcome(request.promise, error=result) if isinstance(result, BadInput) else Outcome(request.promise, result)
            for request, result in zip(batch, results, strict=True)
        ]

    def _results(self, run: list[_Request]) -> list[Any]:
        """What neighbours of one kind return. BadInput has changed nothing: the others go on."""
        now = max(request.now for request in run)
        if run[0].submission:
            return [*self._queue.accept_all(now, [request.submission for request in run if request.submission])]
        if run[0].ended:
            return [*self._queue.end_all(now, [request.ended for request in run if request.ended])]
        try:
            return [run[0].run(self._queue)]
        except BadInput as refused:
            return [refused]

    def _one_by_one(self, batch: list[_Request], *, full: bool) -> list[Outcome]:
        """A whole batch fails together; here each request gets its own commit and its own fault.

        On a full disk events are refused unheard, so that the room there is serves the endings.
        """
        return [
            Outcome(request.promise, Answer("storage_low"))
            if full and request.submission
            else _outcome(request, partial(self._by_itself, request))
            for request in batch
        ]

    def _by_itself(self, request: _Request) -> Any:
        with self._queue.batch():
            return request.run(self._queue)

    def _fail(self, error: DiskFailed, batch: list[_Request]) -> None:
        with self._lock:
            self._failure = error
            while not self._given.empty():
                self._line.extend(self._given.get())
            lost = [*batch, *self._line, *self._made]
            self._made = []
        self._hand_back([Outcome(request.promise, error=error) for request in lost])
        self._on_failure(error)


def _runs(batch: list[_Request]) -> list[list[_Request]]:
    """Neighbouring submissions together, and neighbouring endings, every other request by itself; the order stays."""
    runs: list[list[_Request]] = []
    for request in batch:
        if runs and not request.call and not runs[-1][0].call and bool(request.ended) == bool(runs[-1][0].ended):
            runs[-1].append(request)
        else:
            runs.append([request])
    return runs


def _outcome(request: _Request, call: Callable[[], Any]) -> Outcome:
    """What *call* returns or raises; only a failed disk goes on to the caller."""
    try:
        return Outcome(request.promise, call())
    except DiskFailed:
        raise
    except Exception as error:  # noqa: BLE001 - who waits gets it
        return Outcome(request.promise, error=error)
