"""Dispatch: leases deliveries for the workers that are free, and has each one handled.

A round asks the queue for work for every free slot, together with what has ended, in
one commit: both join what goes to the queue when it goes. For services whose deliveries
take milliseconds a few are leased ahead: else each would wait for a disk before it
starts.

The pump, from top to bottom: `_join` asks for leases, `_granted` sets workers on what
came, `_work` has it handled, and what has ended goes to `Endings`. Each of them has the
queue asked again, and so it goes round.
"""

import asyncio
import math
import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from oberonc.config import Limits, Service
from oberonc.daemon.attempt import attempt
from oberonc.daemon.endings import GATHER, PAUSE, Endings
from oberonc.daemon.generation.generation import Generation
from oberonc.daemon.generation.host_link import HostFailed
from oberonc.daemon.journal import About, Say
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.policy import SECOND
from oberonc.queue.values import Ending, Lease, Passed, Round, Rules, Slot

#: Workers a broker may have at once when there are many brokers; with few, its even
#: share.
PER_BROKER: Final = 2
#: Seconds after which the queue is asked again though nothing happened and nothing is
#: due.
LONGEST_NAP: Final = 60.0
#: More than there can ever be slots.
MANY: Final = 1 << 30
#: Deliveries leased ahead of a worker at most.
MOST_AHEAD: Final = 16
#: What one line of the log tells of together.
_KIND: Final = attrgetter("service", "repo", "state")


class Line:
    """One service in one generation: the deliveries leased for it that no worker has
    begun, and the workers at it.
    """

    def __init__(self, generation: Generation, service: str) -> None:
        self.generation = generation
        self.service = service
        configured = generation.runtimes[service].service
        self.broker = configured.broker
        self.rules = _rules(configured, generation.config.limits)
        self.leased: deque[Lease] = deque()
        self.workers = 0
        #: Workers that are on their way to their first delivery.
        self.coming = 0
        #: Leases that rounds under way ask for.
        self.requested = 0
        #: How many deliveries may be due that the queue was not asked for yet, and when
        #: the next one will be.
        self.maybe_due = MANY
        self.next_due_ms: int | None = None
        #: Seconds a delivery takes, lately; None until one has ended.
        self.pace: float | None = None

    @property
    def unattended(self) -> int:
        """What is leased, and no worker is on its way to it."""
        return max(0, len(self.leased) - self.coming)

    def ahead(self, workers: int) -> int:
        """How many deliveries more may be leased ahead for *workers*; 0 until half of
        them are gone.
        """
        # A rate counts from the lease: what is ahead would start together.
        if self.pace is None or self.rules.apart_ms:
            return 0
        wanted = workers * min(MOST_AHEAD, int(GATHER / max(self.pace, 1e-4)))
        held = len(self.leased) + self.requested
        # Of few lanes there are never more: to wait for them would be to ask for one.
        wanted = min(wanted, held + self.maybe_due)
        missing = wanted - held
        return missing if missing * 2 >= wanted else 0


def _rules(service: Service, limits: Limits) -> Rules:
    return Rules(
        math.ceil(service.rate * SECOND),
        int(service.max_age * SECOND),
        bool(service.collapse),
        limits.updates if service.digest else 1,
        limits.bytes,
    )


class Wanted(NamedTuple):
    """What one round asks the queue for, for one service."""

    line: Line
    #: How many workers will begin.
    workers: int
    #: Deliveries for them, and some to hold ahead.
    leases: int
    #: How many may be due besides, if the queue grants all of them.
    beyond: int


class Dispatcher:
    """Keeps the workers busy. Owned by the event loop."""

    def __init__(self, queue: QueueLink, endings: Endings, say: Say) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._endings = endings
        self._say = say
        self._lines: dict[str, Line] = {}
        #: Workers there may be at once, in all and of one broker.
        self._most = 0
        self._most_of_one = PER_BROKER
        #: Slots taken per broker, by workers at work and by rounds under way, in all
        #: generations.
        self._taken: defaultdict[str, int] = defaultdict(int)
        #: How often a worker had nothing more to do.
        self._turns_over = 0
        self._rounds: set[asyncio.Future[Round]] = set()
        #: Turns of workers that are at work.
        self._turns: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        queue.before_hand_over(self._join)

    @property
    def running(self) -> int:
        """Workers at work; not those that a round under way may set to work."""
        return len(self._turns)

    @property
    def _slots(self) -> int:
        """Slots taken."""
        return sum(self._taken.values())

    def serve(self, generation: Generation) -> None:
        """Lease for *generation* from now on."""
        self._lines = {name: Line(generation, name) for name in generation.runtimes}
        brokers = {line.broker for line in self._lines.values()}
        self._most = generation.config.daemon.workers
        self._most_of_one = max(PER_BROKER, self._most // max(1, len(brokers)))
        self._queue.expect()

    def stop(self) -> None:
        """Lease nothing more; what is leased and not begun goes back."""
        self._stopped = True
        if self._timer:
            self._timer.cancel()
        for line in self._lines.values():
            self._return(line)

    async def emptied(self) -> None:
        """Returns when nothing runs."""
        while runs := self._rounds | self._turns:
            await asyncio.wait(runs)

    def _join(self, due: dict[str, int] | None) -> None:
        """Requests go to the queue: one round of leases for all that is free, and what
        has ended, go along. *due*: see `QueueLink.before_hand_over`.
        """
        for line in self._lines.values():
            # One each for what became due, and not all that is free: what is asked for
            # now must not keep the slots from the next push.
            if due is None:
                line.maybe_due = MANY
            else:
                line.maybe_due += due.get(line.service, 0)
        if not self._stopped:
            self._request_leases()
        self._endings.join()

    def _request_leases(self) -> None:
        """Ask for deliveries for the free workers, and for some to hold ahead."""
        wanted = []
        for line, workers in self._dealt().items():
            # What is leased must not wait for a worker that turned out to be slow while
            # others are free.
            at_once = min(workers, line.unattended)
            if at_once:
                self._begin(line, at_once)
                workers -= at_once
            ahead = line.ahead(line.workers + workers)
            leases = min(workers + ahead, line.maybe_due)
            if leases:
                wanted.append(Wanted(line, workers, leases, line.maybe_due - leases))
                self._taken[line.broker] += workers
                line.requested += leases
                line.maybe_due = 0
        if wanted:
            generation = wanted[0].line.generation
            generation.flights += 1
            slots = [
                Slot(line.service, leases, generation.number, line.rules)
                for line, _workers, leases, _beyond in wanted
            ]
            name = f"daemon {os.getpid()}"
            granted = self._queue.call(lambda queue: queue.lease(now_ms(), slots, name))
            self._rounds.add(granted)
            granted.add_done_callback(partial(self._granted, wanted, self._turns_over))

    def _dealt(self) -> dict[Line, int]:
        """The free workers, dealt to the services one by one: first to those whose
        brokers have the fewest.
        """
        most = {
            line.broker: line.generation.allowed(line.broker, self._most_of_one)
            for line in self._lines.values()
        }
        dealt = {line: 0 for line in self._lines.values() if most[line.broker]}
        used = self._taken.copy()
        for free in range(self._most - self._slots, 0, -1):
            open_to = [
                line
                for line, workers in dealt.items()
                if used[line.broker] < most[line.broker]
                and line.maybe_due + line.unattended > workers
            ]
            if free == 1 and not all(used[line.broker] for line in dealt):
                # The last one is for a broker that runs nothing, so that slow ones
                # cannot take them all.
                open_to = [line for line in open_to if not used[line.broker]]
            if not open_to:
                break
            fewest = min(
                open_to,
                key=lambda line: (used[line.broker], line.workers + dealt[line]),
            )
            dealt[fewest] += 1
            used[fewest.broker] += 1
        return dealt

    def _granted(
        self, wanted: list[Wanted], turns_over: int, answer: "asyncio.Future[Round]"
    ) -> None:
        """Set workers on what one round leased; *turns_over* is how many turns were
        over when it was asked for.
        """
        self._rounds.discard(answer)
        error = answer.exception()
        if error:
            self._say(f"the queue grants nothing now: {error}")
            granted = Round((), now_ms() + int(PAUSE * 1000))
        else:
            granted = answer.result()
        generation = wanted[0].line.generation
        lines = {want.line.service: want.line for want in wanted}
        for lease in granted.leases:
            lines[lease.service].leased.append(lease)
        self._tell(granted.passed)
        generation.flights += len(granted.leases)
        counts = Counter(lease.service for lease in granted.leases)
        for line, workers, leases, beyond in wanted:
            if counts[line.service] == leases:
                # By granting fewer the queue would have said that there are no more.
                line.maybe_due += beyond
            line.next_due_ms = granted.next_due_ms
            line.requested -= leases
            self._taken[line.broker] -= workers
            if self._stopped:
                self._return(line)
            if line.leased and not line.workers:
                # A worker that ran out while the queue was asked has gone: what came is
                # not left without any.
                workers = max(workers, 1)
            self._begin(line, min(workers, line.unattended))
        self._nap()
        generation.finish()
        if not granted.leases and not self._slots and turns_over != self._turns_over:
            # Refused because of what ran alone, and that has gone since: nobody else
            # would ask again.
            self._queue.expect()
        # Slots that came back empty may serve a service that used all it was dealt.
        self._queue.wake()

    def _tell(self, passed: Sequence[Passed]) -> None:
        """A line for all that ended together without being handed over."""
        for (service, repo, state), alike in groupby(sorted(passed, key=_KIND), _KIND):
            *before, last = alike
            what = f"delivery {last.delivery} ends as {state}: {last.note}"
            if before:
                what += f"; and {len(before)} more, from {before[0].delivery} on"
            event = b"" if before else last.event
            self._say(what, About(service, event, repo))

    def _begin(self, line: Line, workers: int) -> None:
        """Set so many more workers on what is leased."""
        for _ in range(workers):
            line.workers += 1
            line.coming += 1
            self._taken[line.broker] += 1
            task = self._loop.create_task(self._work(line))
            self._turns.add(task)
            task.add_done_callback(self._turns.discard)

    async def _work(self, line: Line) -> None:
        """A worker's turn: delivery after delivery, until none is leased."""
        generation, worker = line.generation, None
        coming = 1
        try:
            while line.leased:
                if generation.interrupted:
                    self._return(line)
                    break
                if worker is None:
                    try:
                        worker = await generation.worker(line.service)
                    # no descriptor is left, or it took too long
                    except (HostFailed, OSError) as error:
                        self._say(f"no worker: {error}", About(service=line.service))
                        # Nothing is leased ahead for workers that cannot be had.
                        line.pace = None
                        self._return(line)
                        line.coming, coming = line.coming - coming, 0
                        await asyncio.sleep(PAUSE)
                    continue  # something may have been leased meanwhile, or gone
                lease = line.leased.popleft()
                line.coming, coming = line.coming - coming, 0
                began = time.monotonic()
                ending = await attempt(self._queue, generation, worker, lease)
                took = time.monotonic() - began
                line.maybe_due += 1
                self._endings.add(lease, ending, more=bool(line.leased))
                if ending.kind not in ("crash", "interrupted"):
                    before = line.pace if line.pace is not None else took
                    line.pace = 0.8 * before + 0.2 * took
                    generation.succeeded(line.broker)
                generation.finish()
                if worker.spent:
                    generation.give_back(worker)
                    worker = None
                if line.leased and line.ahead(line.workers):
                    self._queue.wake()
        except Exception as error:  # noqa: BLE001  a bug of ours must not end the other turns
            self._say(f"dispatch failed: {type(error).__name__}: {error}")
        finally:
            if worker:
                generation.give_back(worker)
            self._turns_over += 1
            line.workers -= 1
            line.coming -= coming
            self._taken[line.broker] -= 1
            # With nothing running, what had to be alone, or had to wait for what is
            # alone, may begin.
            self._queue.expect([line.service] if self._slots else None)

    def _return(self, line: Line) -> None:
        """What is leased and was not begun goes back to the queue, uncharged."""
        line.maybe_due = MANY
        while line.leased:
            lease = line.leased.popleft()
            interrupted = Ending("interrupted", "not begun")
            self._endings.add(lease, interrupted, more=bool(line.leased))
            line.generation.finish()

    def _nap(self) -> None:
        """Wake when the next delivery is due."""
        if self._timer:
            self._timer.cancel()
        due = [line.next_due_ms for line in self._lines.values()]
        soonest = min((ms for ms in due if ms is not None), default=None)
        wait = LONGEST_NAP
        if soonest is not None:
            wait = min(max(soonest - now_ms(), 0) / 1000 + 0.001, LONGEST_NAP)
        self._timer = self._loop.call_later(wait, self._queue.expect)
