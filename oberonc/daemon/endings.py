"""How deliveries ended: gathered, told to the queue, and said in the log where a
delivery is not simply done.

Nobody waits for the queue here: until an ending is durable, its delivery counts as
running.
"""

import asyncio
from functools import partial
from typing import Final

from oberonc.daemon.journal import Say
from oberonc.daemon.notices import Notices
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.errors import DiskFailed, NotAccepted
from oberonc.queue.values import Ended, Ending, Lease, StorageFull
from oberonc.text import counted

#: Seconds for which endings are gathered while more is at hand to be done, and so the
#: work that is leased ahead of a worker.
GATHER: Final = 0.05
#: Seconds to wait after something could not be had: a worker, room for an ending.
PAUSE: Final = 1.0


class Endings:
    """Has the queue keep how each delivery ended. Owned by the event loop."""

    def __init__(self, queue: QueueLink, notices: Notices, say: Say) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._notices = notices
        self._say = say
        #: What the queue was not told yet, and when it is at the latest.
        self._gathered: list[tuple[Lease, Ending]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, lease: Lease, ending: Ending, *, more: bool) -> None:
        """A delivery ended; *more*: another of its service follows at once."""
        self._gathered.append((lease, ending))
        if not more:
            self._hurry()
        elif not self._timer:
            # A commit for each would be most of the work there is.
            self._timer = self._loop.call_later(GATHER, self._hurry)

    def _hurry(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._queue.wake()

    def join(self) -> None:
        """Requests go to the queue: what was gathered goes along, unless it would go
        alone and may wait.
        """
        if self._timer and not self._queue.gathering:
            return
        if self._timer:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._request(gathered)

    def _request(self, ended: list[tuple[Lease, Ending]], again: bool = False) -> None:
        kept = self._queue.end([(lease.token, ending) for lease, ending in ended])
        kept.add_done_callback(partial(self._answered, ended, again))

    def _answered(
        self,
        told: list[tuple[Lease, Ending]],
        again: bool,
        kept: "asyncio.Future[list[Ended]]",
    ) -> None:
        """What is not simply done is news."""
        error = kept.exception()
        if error:
            self._not_kept(told, error)
            return
        for (lease, ending), ended in zip(told, kept.result(), strict=True):
            if ended.state != "done":
                self._tell(lease, ending, ended)
            # Otherwise nobody expects its lane to be free now.
            if ended.state != "done" or again:
                self._queue.expect([lease.service])

    def _not_kept(self, told: list[tuple[Lease, Ending]], error: BaseException) -> None:
        # Only a queue that is closing keeps it no more: the next start gives the
        # delivery back.
        closing = isinstance(error, (NotAccepted, DiskFailed))
        for lease, ending in told:
            delivery = lease.token.delivery
            why = f"the end of delivery {delivery} could not be kept: {error}"
            self._say(why, lease)
            if isinstance(error, StorageFull) or not closing:
                # By itself: it may be the one that stands in the way of the others.
                self._loop.call_later(PAUSE, self._request, [(lease, ending)], True)

    def _tell(self, lease: Lease, ending: Ending, ended: Ended) -> None:
        delivery, attempt = lease.token
        why = "; ".join(filter(None, (ended.reason, ending.note)))
        this = f"delivery {delivery}, attempt {attempt}: {ending.kind}"
        if ended.state == "dead":
            attempts = counted(attempt, "attempt")
            news = f"delivery {delivery} is given up after {attempts}: {why}"
        elif ended.due_ms is None:
            news = f"{this}, too late: the lease had ended: {why}"
        else:
            wait = max(0, ended.due_ms - now_ms()) / 1000
            parked = ", and its lane goes on without it" if ended.parked else ""
            news = f"{this}, again in {wait:.0f} s{parked}: {why}"
        self._say(news, lease)
        if ended.state == "dead":
            self._notices.look()
