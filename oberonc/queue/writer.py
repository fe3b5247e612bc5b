"""The one thread that calls the queue, so that requests share commits.

Natural group commit, no timer: take all requests that wait, run them in one batch,
answer them all together. While the disk syncs the next batch gathers. Who asks makes
the promises (`daemon.queue_link`).
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import groupby, islice
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


class Accept(NamedTuple):
    """A submission to accept, which was checked."""

    promise: Promise
    now: int
    submission: Submission


class End(NamedTuple):
    """Attempts to end; answered with how each did."""

    promise: Promise
    now: int
    endings: Sequence[tuple[Token, Ending]]


class Call(NamedTuple):
    """A function to call on the queue; *alone*: outside any batch."""

    promise: Promise
    function: Callable[[Queue], Any]
    alone: bool = False


Request = Accept | End | Call


class Outcome(NamedTuple):
    """A request, and what its promise is to be answered with once its batch is durable."""

    request: Request
    result: Any = None
    error: BaseException | None = None


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
        hand_back: Callable[[list[Outcome]], object],
        on_failure: Callable[[DiskFailed], None],
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
                self._queue.maintain()
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
            if batch and (_alone(batch[0]) or _alone(self._line[0])):
                break
            request = self._line.popleft()
            batch.append(request)
            if isinstance(request, Accept):
                size += len(request.submission.body)
        # Endings free lanes for the leases that were asked for with them, and the more
        # of a kind the cheaper.
        return sorted(batch, key=lambda request: not isinstance(request, End))

    def _perform(self, batch: list[Request]) -> list[Outcome]:
        try:
            return self._together(batch)
        except DiskFailed:
            raise
        except Exception as error:  # noqa: BLE001 - whose fault it is shows when each runs by itself
            full = isinstance(error, StorageFull)
            if len(batch) == 1 and not full:
                return [Outcome(batch[0], error=error)]
        outcomes: list[Outcome] = []
        for request in batch:
            if full and isinstance(request, Accept):
                # Unheard, so that the room there is serves the endings.
                outcomes.append(Outcome(request, Answer("storage_low")))
                continue
            try:
                outcomes += self._together([request])
            except DiskFailed:
                raise
            except Exception as error:  # noqa: BLE001 - who waits gets it
                outcomes.append(Outcome(request, error=error))
        return outcomes

    def _together(self, batch: list[Request]) -> list[Outcome]:
        """Run *batch* in one commit: neighbours of one kind in one go, in order."""
        queue = self._queue
        outcomes: list[Outcome] = []
        with nullcontext() if _alone(batch[0]) else queue.batch():
            for kind, neighbours in groupby(batch, type):
                run: list[Any] = [*neighbours]
                if kind is Accept:
                    submissions = [accept.submission for accept in run]
                    now = max(accept.now for accept in run)
                    outcomes += map(Outcome, run, queue.accept_all(now, submissions))
                elif kind is End:
                    endings = [each for end in run for each in end.endings]
                    now = max(end.now for end in run)
                    ended = iter(queue.end_all(now, endings))
                    for end in run:
                        answers = [*islice(ended, len(end.endings))]
                        outcomes.append(Outcome(end, answers))
                else:
                    for call in run:
                        try:
                            outcomes.append(Outcome(call, call.function(queue)))
                        except BadInput as error:
                            # It has changed nothing: the others go on.
                            outcomes.append(Outcome(call, error=error))
        return outcomes

    def _fail(self, error: DiskFailed, batch: list[Request]) -> None:
        with self._lock:
            self._refusal = error
            while not self._given.empty():
                self._line.extend(self._given.get() or ())
        self._hand_back(
            [Outcome(request, error=error) for request in [*batch, *self._line]]
        )
        self._on_failure(error)


def _alone(request: Request) -> bool:
    return isinstance(request, Call) and request.alone
