"""The loop's end of the queue: gathers while the thread is busy, bounds what waits,
answers everybody.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from oberonc.daemon.queue_link import WAITING_EVENTS, QueueLink
from oberonc.errors import BadInput, NotAccepted
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import Round, Slot
from tests.support.store_values import NOW, submission

Work = Callable[[QueueLink], Awaitable[None]]


@pytest.fixture
def with_link(tmp_path: Path) -> Callable[[Work], None]:
    """Runs a coroutine with a link to a queue of its own."""

    async def run(work: Work) -> None:
        queue = SqliteQueue(tmp_path / "queue.sqlite")
        link = QueueLink(queue, tmp_path, lambda error: None)
        try:
            await asyncio.wait_for(work(link), 60)
        finally:
            link.stop()
            queue.close()

    return lambda work: asyncio.run(run(work))


def _accepted(queue: Queue) -> int:
    return queue.stats(NOW).counters.get("accepted", 0)


def test_each_gets_its_own_answer_in_the_order_of_asking(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        answers = await asyncio.gather(
            *(link.accept(submission(number)) for number in range(200))
        )
        assert [answer.seq for answer in answers] == list(range(1, 201))

    with_link(work)


def test_what_is_asked_for_while_the_thread_is_busy_goes_to_it_together(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        free = threading.Event()
        sizes: list[int] = []
        link.before_hand_over(lambda _due: sizes.append(len(link._made)))
        busy = link.call(lambda queue: free.wait(60), alone=True)
        await asyncio.sleep(0)
        waiting = []
        for number in range(5):
            waiting.append(link.accept(submission(number)))
            await asyncio.sleep(0)  # each in a turn of its own
        free.set()
        await asyncio.gather(busy, *waiting)
        assert sizes[:2] == [1, 5]

    with_link(work)


def test_a_lease_that_joins_at_the_last_moment_sees_what_was_accepted_with_it(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        joined: list[asyncio.Future[Round]] = []

        def join(_due: object) -> None:
            if joined:
                return
            joined.append(
                link.call(
                    lambda queue: queue.lease(
                        NOW + 10**12, [Slot("tracker", 1, 1)], "worker"
                    )
                )
            )

        link.before_hand_over(join)
        await link.accept(submission(1))
        assert len((await joined[0]).leases) == 1

    with_link(work)


def test_a_fault_in_what_joins_stops_nobody(with_link: Callable[[Work], None]) -> None:
    async def work(link: QueueLink) -> None:
        told: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _loop, context: told.append(str(context["exception"]))
        )
        link.before_hand_over(lambda _due: [][1])
        first = link.accept(submission(1))
        await asyncio.sleep(0)
        link.before_hand_over(lambda _due: None)
        second = link.accept(submission(2))
        assert [(await first).seq, (await second).seq] == [1, 2]
        assert told == ["list index out of range"]

    with_link(work)


def test_too_much_that_waits_is_busy_at_once_and_room_comes_back(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        waiting = [link.accept(submission(number)) for number in range(WAITING_EVENTS)]
        refused = link.accept(submission(WAITING_EVENTS))
        assert refused.done()
        assert refused.result().status == "busy"
        assert await link.call(_accepted) == WAITING_EVENTS, (
            "what is no event is never refused"
        )
        await asyncio.gather(*waiting)
        assert (await link.accept(submission(WAITING_EVENTS))).status == "accepted"

    with_link(work)


def test_what_no_queue_could_hold_is_refused_at_once(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        with pytest.raises(BadInput):
            link.accept(submission(1)._replace(repo=""))
        assert await link.call(_accepted) == 0

    with_link(work)


def test_who_stops_waiting_cannot_take_the_request_back(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        link.accept(submission(1)).cancel()
        assert await link.call(_accepted) == 1

    with_link(work)


def test_a_stopped_link_runs_what_waits_and_takes_nothing_more(
    with_link: Callable[[Work], None],
) -> None:
    async def work(link: QueueLink) -> None:
        before = link.accept(submission(1))
        link.stop()
        assert (await before).status == "accepted"
        with pytest.raises(NotAccepted):
            await link.accept(submission(2))

    with_link(work)
