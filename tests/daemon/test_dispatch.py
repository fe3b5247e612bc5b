"""The dispatcher on a real queue, with workers that cannot be had and a queue that is
full for a moment.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oberonc.config import Limits, Service
from oberonc.daemon import dispatch
from oberonc.daemon.dispatch import Dispatcher, Line
from oberonc.daemon.endings import Endings
from oberonc.daemon.generation.host_link import HostFailed
from oberonc.daemon.notices import Notices
from oberonc.daemon.queue_link import QueueLink
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import (
    Ended,
    Ending,
    Lease,
    Round,
    Slot,
    StorageFull,
    Token,
)
from tests.support.eventually import eventually_in_loop
from tests.support.store_rules import violations
from tests.support.store_values import NOW, submission


class Workers:
    """Stands in for a generation: its one service's workers are had when `can_start`
    says so.
    """

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self.interrupted, self.can_start = False, True
        self.flights = 0
        #: How often a worker was asked for.
        self.asked = 0
        daemon = SimpleNamespace(workers=2)
        self.config = SimpleNamespace(daemon=daemon, limits=Limits())
        self.runtimes = {
            "tracker": SimpleNamespace(service=Service("tracker", "b", {}))
        }

    def begin(self) -> None:
        self.flights += 1

    def finish(self) -> None:
        self.flights -= 1

    def allowed(self, _broker: str, most: int) -> int:
        return most

    def succeeded(self, _broker: str) -> None:
        """It is noted."""

    async def worker(self, _service: str) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.can_start:
            raise HostFailed("no process could be forked")
        return SimpleNamespace(spent=False)

    def give_back(self, worker: Any) -> None:
        """It is let go of."""


class FullForAMoment(SqliteQueue):
    """Has no room for the first endings: those of the batch, and then those one by one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        end_all = self.end_all
        refusals = 2

        def end_when_there_is_room(
            now: int, endings: Sequence[tuple[Token, Ending]]
        ) -> list[Ended]:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise StorageFull("the disk is full")
            return end_all(now, endings)

        self.end_all = end_when_there_is_room


class OneCannotBeKept(SqliteQueue):
    """The end of the first delivery is refused, whatever comes with it, for a while."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        end_all = self.end_all
        self.refusals = 4
        self.kept: set[int] = set()

        def end_the_others(
            now: int, endings: Sequence[tuple[Token, Ending]]
        ) -> list[Ended]:
            if self.refusals and any(token.delivery == 1 for token, _ in endings):
                self.refusals -= 1
                raise ValueError("it cannot be written down")
            ended = end_all(now, endings)
            self.kept.update(token.delivery for token, _ in endings)
            return ended

        self.end_all = end_the_others


class Slow(SqliteQueue):
    """Leases when it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        lease = self.lease
        self.asked, self.may = threading.Event(), threading.Event()

        def lease_when_it_may(now: int, slots: Sequence[Slot], worker: str) -> Round:
            self.asked.set()
            assert self.may.wait(30)
            return lease(now, slots, worker)

        self.lease = lease_when_it_may


def _run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


@asynccontextmanager
async def _serving(
    queue: SqliteQueue, folder: Path, workers: Workers, log: list[str] | None = None
) -> AsyncIterator[tuple[QueueLink, Dispatcher]]:
    """A dispatcher that serves *workers*, and whose lines go to *log*; it has ended
    afterwards, and the queue can be looked into.
    """

    def say(text: str, _about: object = None, /) -> None:
        if log is not None:
            log.append(text)

    link = QueueLink(queue, folder, lambda error: None)
    dispatcher = Dispatcher(link, Endings(link, Notices(link, say), say), say)
    dispatcher.serve(workers)  # type: ignore[arg-type]
    yield link, dispatcher
    dispatcher.stop()
    await dispatcher.emptied()
    link.stop()


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The deliveries that were handled."""
    handled: list[int] = []

    async def attempt(
        _queue: QueueLink, _workers: Workers, _worker: Any, lease: Lease
    ) -> Ending:
        handled.append(lease.token.delivery)
        return Ending("done")

    monkeypatch.setattr(dispatch, "attempt", attempt)
    return handled


def test_the_lane_of_an_ending_that_did_not_fit_at_first_goes_on(
    tmp_path: Path, done: list[int]
) -> None:
    async def work() -> None:
        queue = FullForAMoment(tmp_path / "queue.sqlite")
        async with _serving(queue, tmp_path, Workers()) as (link, _):
            await asyncio.gather(*(link.accept(submission(n)) for n in (1, 2)))
            link.expect()
            await eventually_in_loop(lambda: done == [1, 2])
        queue.close()

    _run(work)


def test_an_ending_that_cannot_be_kept_keeps_no_other_from_it(
    tmp_path: Path, done: list[int]
) -> None:
    """They go to the queue together, and where that fails one by one."""

    async def work() -> None:
        queue = OneCannotBeKept(tmp_path / "queue.sqlite")
        queue.accept_all(
            NOW, [submission(number, f"repo {number}") for number in range(1, 9)]
        )
        log: list[str] = []
        async with _serving(queue, tmp_path, Workers(), log):
            await eventually_in_loop(lambda: len(queue.kept) == 8)
        assert {found.state for found in queue.deliveries()} == {"done"}
        queue.close()
        assert len(done) == 8
        assert "the end of delivery 1 could not be kept: it cannot be written" in log[0]

    _run(work)


def test_nothing_is_left_leased_when_workers_cannot_be_had_and_a_reload_comes(
    tmp_path: Path, done: list[int]
) -> None:
    async def work() -> None:
        queue = SqliteQueue(tmp_path / "queue.sqlite")
        failures: list[str] = []
        old, new = Workers(1), Workers(2)
        old.can_start = False
        async with _serving(queue, tmp_path, old, failures) as (link, dispatcher):
            for number in range(40):
                link.accept(submission(number, f"repo {number}"))
            link.expect()
            await eventually_in_loop(
                lambda: any("no worker" in text for text in failures)
            )
            dispatcher.serve(new)  # type: ignore[arg-type]
            await eventually_in_loop(lambda: len(done) == 40)
            assert len(set(done)) == 40
            await eventually_in_loop(lambda: not old.flights)
        assert violations(queue) == []
        queue.close()

    _run(work)


def test_what_is_leased_ahead_goes_back_when_the_dispatcher_stops(
    tmp_path: Path, done: list[int]
) -> None:
    async def work() -> None:
        queue, workers = SqliteQueue(tmp_path / "queue.sqlite"), Workers()
        async with _serving(queue, tmp_path, workers) as (link, dispatcher):
            await asyncio.gather(
                *(link.accept(submission(n, f"repo {n}")) for n in range(40))
            )
            await eventually_in_loop(lambda: done)
            dispatcher.stop()
            await dispatcher.emptied()
            await eventually_in_loop(lambda: not workers.flights)
        leased = [
            found for found in queue.deliveries(limit=100) if found.state == "leased"
        ]
        assert (leased, dispatcher.running) == ([], 0)
        queue.close()

    _run(work)


def test_while_the_queue_is_asked_no_worker_is_at_work(
    tmp_path: Path, done: list[int]
) -> None:
    async def work() -> None:
        queue = Slow(tmp_path / "queue.sqlite")
        async with _serving(queue, tmp_path, Workers()) as (_, dispatcher):
            await eventually_in_loop(queue.asked.is_set)
            assert dispatcher.running == 0
            queue.may.set()
        queue.close()

    _run(work)


def test_of_few_lanes_half_are_asked_for_together() -> None:
    """Ten lanes, and more would be leased ahead: one that is free again waits for the
    others, since a commit for each would cost more than all else.
    """
    line = Line(Workers(), "tracker")  # type: ignore[arg-type]
    line.pace = 0.001
    asked = []
    for ended in range(1, 7):
        line.leased = deque([object()] * (10 - ended))  # type: ignore[list-item]
        line.maybe_due = ended
        asked.append(line.ahead(4))
    assert asked == [0, 0, 0, 0, 5, 6]


def test_one_worker_comes_for_one_delivery(tmp_path: Path, done: list[int]) -> None:
    """Not a second one, as long as the first has not begun: each would be forked, find
    nothing, and have the queue asked again.
    """

    async def work() -> None:
        queue, workers = SqliteQueue(tmp_path / "queue.sqlite"), Workers()
        async with _serving(queue, tmp_path, workers) as (link, dispatcher):

            async def deliver(number: int) -> None:
                await link.accept(submission(number))
                await eventually_in_loop(lambda: len(done) == number)
                await dispatcher.emptied()

            for number in range(1, 6):
                await deliver(number)
            assert workers.asked == 5
        queue.close()

    _run(work)
