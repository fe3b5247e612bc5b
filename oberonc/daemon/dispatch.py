"""Dispatch: leases deliveries for the workers that are free, and tells the queue how
each one ended.

A round asks the queue for work for every free slot, together with what has ended, in
one commit: both join what goes to the queue when it goes. For services whose deliveries
take milliseconds a few are leased ahead: else each would wait for a disk before it
starts.
"""

import asyncio
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from oberonc.daemon.attempt import attempt
from oberonc.daemon.generation.generation import Generation
from oberonc.daemon.host_link import HostFailed
from oberonc.daemon.journal import About, Say
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.errors import DiskFailed, NotAccepted
from oberonc.queue.values import (
    Ended,
    Ending,
    Lease,
    Round,
    Slot,
    StorageFull,
)
from oberonc.text import counted

#: Workers a broker may have at once when there are many brokers; with few, its even
#: share.
PER_BROKER: Final = 2
#: Seconds to wait after a worker could not be had.
PAUSE: Final = 1.0
#: Seconds after which the queue is asked again though nothing happened and nothing is
#: due.
LONGEST_NAP: Final = 60.0
#: Seconds for which endings are gathered while more is at hand to be done.
GATHER: Final = 0.005
#: More than there can ever be slots.
MANY: Final = 1 << 30
#: Seconds of work leased ahead of a worker, and deliveries at most.
AHEAD: Final = 0.05
MOST_AHEAD: Final = 16


class Line:
    """One service in one generation: its workers at work, and the deliveries leased for
    them.
    """

    def __init__(self, generation: Generation, service: str) -> None:
        self.generation = generation
        self.service = service
        self.broker = generation.runtimes[service].service.broker
        self.held: deque[Lease] = deque()
        self.workers = 0
        self.asked = 0
        #: How many deliveries may be due that the queue was not asked for yet, how many
        #: remain if a round under way grants all it asks for, and when the next one
        #: will be due.
        self.hope = MANY
        self.rest = 0
        self.due_ms: int | None = None
        #: Seconds a delivery takes, lately; None until one has ended.
        self.pace: float | None = None

    def ahead(self, workers: int) -> int:
        """How many deliveries more may be leased ahead for *workers*; 0 until half of
        them are gone.
        """
        if self.pace is None:
            return 0
        wanted = workers * min(MOST_AHEAD, int(AHEAD / max(self.pace, 1e-4)))
        missing = wanted - len(self.held) - self.asked
        return missing if missing * 2 >= wanted else 0

    def took(self, seconds: float) -> None:
        """A delivery ended."""
        self.pace = seconds if self.pace is None else 0.8 * self.pace + 0.2 * seconds


class Asked(NamedTuple):
    """A round under way: for which lines, what was dealt and asked for, and how many
    workers had left by then.
    """

    generation: Generation
    lines: dict[str, Line]
    dealt: dict[str, int]
    slots: list[Slot]
    left: int


class Dispatcher:
    """Keeps the workers busy. Owned by the event loop."""

    def __init__(self, queue: QueueLink, workers: int, say: Say) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._workers = workers
        self._say = say
        self._name = f"daemon {os.getpid()}"
        self._generation: Generation | None = None
        self._lines: dict[str, Line] = {}
        self._limit = PER_BROKER
        #: Slots taken per broker, by workers at work and by rounds under way, in all
        #: generations.
        self._taken: defaultdict[str, int] = defaultdict(int)
        #: How many workers' turns are over.
        self._left = 0
        #: Requests for work, and the work.
        self._running: set[asyncio.Future[Any]] = set()
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        #: What ended and the queue was not told yet, and when it is to be told at the
        #: latest.
        self._ended: list[tuple[Lease, Ending]] = []
        self._telling: asyncio.TimerHandle | None = None
        #: Called when a delivery was given up.
        self.on_dead: Callable[[], None] = lambda: None
        queue.on_hand_over = self._join

    @property
    def running(self) -> int:
        """Slots in use."""
        return sum(self._taken.values())

    def serve(self, generation: Generation) -> None:
        """Lease for *generation* from now on."""
        self._generation = generation
        self._workers = generation.config.daemon.workers
        self._lines = {name: Line(generation, name) for name in generation.runtimes}
        brokers = {line.broker for line in self._lines.values()}
        self._limit = max(PER_BROKER, self._workers // max(1, len(brokers)))
        generation.on_ready = self.kick
        self.kick()

    def stop(self) -> None:
        """Lease nothing more; what is leased and not begun goes back."""
        self._stopped = True
        if self._timer:
            self._timer.cancel()
        for line in self._lines.values():
            self._return(line)

    async def emptied(self) -> None:
        """Returns when nothing runs."""
        while self._running:
            await asyncio.wait(self._running)

    def kick(self, services: Iterable[str] | None = None) -> None:
        """Something of *services*, or of any, may have become due: ask the queue."""
        if services is None:
            for line in self._lines.values():
                line.hope = MANY
        else:
            # One each, and not all that is free: what is asked for now must not keep
            # the slots from the next push.
            for service in services:
                if service in self._lines:
                    self._lines[service].hope += 1
        self._queue.wake()

    def _join(self) -> None:
        """Requests go to the queue: what has ended, and one round of leases for all
        that is free, go along.
        """
        if self._generation and not self._stopped:
            self._lease(self._generation)
        if self._queue.gathering or not self._telling:
            self._tell_all()

    def _lease(self, generation: Generation) -> None:
        """Ask for deliveries for the free workers, and for some to hold ahead."""
        lines = {
            name: line
            for name, line in self._lines.items()
            if generation.serves(line.broker)
        }
        dealt = self._deal(generation, lines)
        slots = []
        for name, line in lines.items():
            # What is held must not wait for a worker that turned out to be slow while
            # others are free.
            dealt[name] -= self._begin(line, min(dealt[name], len(line.held)))
            free = min(dealt[name] + line.ahead(line.workers + dealt[name]), line.hope)
            if free:
                slots.append(Slot(name, free, generation.number))
                self._taken[line.broker] += dealt[name]
                line.asked += free
                line.rest, line.hope = line.hope - free, 0
        if slots:
            generation.begin()
            granted = self._queue.call(
                lambda queue: queue.lease(now_ms(), slots, self._name)
            )
            self._running.add(granted)
            asked = Asked(generation, self._lines, dealt, slots, self._left)
            granted.add_done_callback(partial(self._granted, asked))

    def _deal(self, generation: Generation, able: dict[str, Line]) -> dict[str, int]:
        """The free workers, dealt to services one by one: first to those whose brokers
        have the fewest.
        """
        lines = able.values()
        dealt = dict.fromkeys(able, 0)
        most = {
            line.broker: 1 if generation.one_at_a_time(line.broker) else self._limit
            for line in lines
        }
        free = self._workers - self.running
        used = self._taken.copy()
        while free > 0:
            open_to = [
                line
                for line in lines
                if used[line.broker] < most[line.broker]
                and line.hope + len(line.held) > dealt[line.service]
            ]
            if free == 1 and any(not used[line.broker] for line in lines):
                # The last one is for a broker that runs nothing, so that slow ones
                # cannot take them all.
                open_to = [line for line in open_to if not used[line.broker]]
            if not open_to:
                break
            line = min(
                open_to,
                key=lambda line: (
                    used[line.broker],
                    line.workers + dealt[line.service],
                ),
            )
            dealt[line.service] += 1
            used[line.broker] += 1
            free -= 1
        return dealt

    def _granted(self, asked: Asked, answer: "asyncio.Future[Round]") -> None:
        """What came of one request for work."""
        self._running.discard(answer)
        error = answer.exception()
        if error:
            self._say(f"the queue grants nothing now: {error}")
        granted = Round((), now_ms() + int(PAUSE * 1000)) if error else answer.result()
        counts: defaultdict[str, int] = defaultdict(int)
        for lease in granted.leases:
            asked.lines[lease.service].held.append(lease)
            counts[lease.service] += 1
            asked.generation.begin()
        for slot in asked.slots:
            line = asked.lines[slot.service]
            if counts[slot.service] == slot.free:
                # By giving fewer the queue would have told that there are no more.
                line.hope += line.rest
            line.due_ms = granted.next_due_ms
            self._start(line, slot, asked.dealt[slot.service])
        asked.generation.finish()
        self._nap()
        if not granted.leases and not self.running and asked.left != self._left:
            # Refused because of what ran alone, and that has left since: nobody else
            # would ask again.
            self.kick()
        # Slots that came back empty may serve a service that used all it was dealt.
        self._queue.wake()

    def _start(self, line: Line, slot: Slot, dealt: int) -> None:
        """Set workers on what was leased."""
        line.asked -= slot.free
        if self._stopped:
            self._return(line)
        self._taken[line.broker] -= dealt
        # A worker that ran out while the queue was asked has gone: what came is not
        # left without any.
        self._begin(
            line,
            min(dealt, len(line.held)) or (1 if line.held and not line.workers else 0),
        )

    def _begin(self, line: Line, workers: int) -> int:
        """Set so many more workers on what is held."""
        for _ in range(workers):
            line.workers += 1
            self._taken[line.broker] += 1
            self._track(self._work(line))
        return workers

    async def _work(self, line: Line) -> None:
        """One worker's slot."""
        try:
            await self._deliver(line)
        finally:
            self._left += 1
            line.workers -= 1
            self._taken[line.broker] -= 1
            # With nothing running, what had to be alone, or had to wait for what is
            # alone, may begin.
            self.kick([line.service] if self.running else None)

    async def _deliver(self, line: Line) -> None:
        """Delivery after delivery, until none is held."""
        worker = None
        while line.held:
            if line.generation.interrupted:
                self._return(line)
                break
            try:
                worker = worker or await line.generation.worker(line.service)
            # no descriptor is left, or it took too long
            except (HostFailed, OSError) as error:
                self._say(f"no worker: {error}", About(service=line.service))
                # nothing is leased ahead for workers that cannot be had
                line.pace = None
                self._return(line)
                await asyncio.sleep(PAUSE)
                # something may have been leased meanwhile: it is not left without any
                continue
            if line.generation.interrupted or not line.held:
                continue  # while the worker was started
            lease = line.held.popleft()
            began = time.monotonic()
            ending = await attempt(self._queue, line.generation, worker, lease)
            self._end(line, lease, ending)
            if ending.kind not in ("crash", "interrupted"):
                line.took(time.monotonic() - began)
                line.generation.succeeded(line.broker)
            line.hope += 1
            if worker.spent:
                line.generation.give_back(worker)
                worker = None
            if line.held and line.ahead(line.workers):
                self._queue.wake()
        if worker:
            line.generation.give_back(worker)

    def _return(self, line: Line) -> None:
        """What is leased and was not begun goes back to the queue, uncharged."""
        line.hope = MANY
        while line.held:
            self._end(line, line.held.popleft(), Ending("interrupted", "not begun"))

    def _end(self, line: Line, lease: Lease, ending: Ending) -> None:
        """Have the queue told. Nobody waits for it: until it is durable, the delivery
        counts as running.
        """
        self._ended.append((lease, ending))
        if not line.held:
            self._tell_now()
        elif not self._telling:
            # More is at hand to be done: a commit for each would be most of the work
            # there is.
            self._telling = self._loop.call_later(GATHER, self._tell_now)
        line.generation.finish()

    def _tell_now(self) -> None:
        if self._telling:
            self._telling.cancel()
            self._telling = None
        self._queue.wake()

    def _tell_all(self) -> None:
        """Tell the queue what has ended."""
        ended, self._ended = self._ended, []
        for lease, ending in ended:
            self._tell(lease, ending)
        if self._telling:
            self._telling.cancel()
            self._telling = None

    def _tell(self, lease: Lease, ending: Ending, again: bool = False) -> None:
        told = self._queue.end(lease.token, ending)
        told.add_done_callback(partial(self._told, lease, ending, again))

    def _told(
        self, lease: Lease, ending: Ending, again: bool, told: "asyncio.Future[Ended]"
    ) -> None:
        """What is not simply done is news."""
        error = told.exception()
        if error:
            self._say(
                f"the end of delivery {lease.token.delivery} could not be kept: {error}",
                lease,
            )
            # Only a queue that is closing keeps it no more: the next start gives the
            # delivery back.
            if isinstance(error, StorageFull) or not isinstance(
                error, (NotAccepted, DiskFailed)
            ):
                self._loop.call_later(PAUSE, self._tell, lease, ending, True)
            return
        ended = told.result()
        if ended.state == "done":
            if again:  # nobody expected its lane to be free now
                self.kick([lease.service])
            return
        self._say(_news(lease, ending, ended), lease)
        if ended.state == "dead":
            self.on_dead()
        self.kick([lease.service])

    def _nap(self) -> None:
        """Wake when the next delivery is due."""
        if self._timer:
            self._timer.cancel()
        due = min(
            (line.due_ms for line in self._lines.values() if line.due_ms is not None),
            default=None,
        )
        wait = (
            LONGEST_NAP
            if due is None
            else min(max(due - now_ms(), 0) / 1000 + 0.001, LONGEST_NAP)
        )
        self._timer = self._loop.call_later(wait, self.kick)

    def _track(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._say(f"dispatch failed: {type(error).__name__}: {error}")


def _news(lease: Lease, ending: Ending, ended: Ended) -> str:
    """What came of an attempt that did not simply end, in words."""
    delivery, attempt = lease.token
    why = "; ".join(filter(None, (ended.reason, ending.note)))
    if ended.state == "dead":
        return f"delivery {delivery} is given up after {counted(attempt, 'attempt')}: {why}"
    if ended.due_ms is None:
        return f"delivery {delivery}, attempt {attempt}: {ending.kind}, too late: the lease had ended: {why}"
    wait = max(0, ended.due_ms - now_ms()) / 1000
    parked = ", and its lane goes on without it" if ended.parked else ""
    return f"delivery {delivery}, attempt {attempt}: {ending.kind}, again in {wait:.0f} s{parked}: {why}"
