"""Somebody is told of what is given up: a small event for the services that have `dead`
among their `events`.

At most once a minute, and what comes in between is in the next one. The queue remembers
what nobody was told of, and takes a notice in the commit that forgets it: a restart
neither loses nor repeats one. A notice is delivered as any event is; one that is given
up itself is told of by the log alone.
"""

import asyncio
import os
from functools import partial
from typing import Any, Final

from oberonc import jsontext
from oberonc.daemon.journal import Say
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.errors import DiskFailed, OberoncError
from oberonc.payload.notice import MOST, REPOSITORY, notice
from oberonc.policy import MINUTE
from oberonc.queue.contract import Queue
from oberonc.queue.values import Decision, Delivery, Route, Submission
from oberonc.text import one_line, utc

#: Milliseconds between two notices.
EVERY: Final = MINUTE


class Notices:
    """Has notices made when there is something to tell. Owned by the event loop."""

    def __init__(self, queue: QueueLink, say: Say) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._say = say
        self._timer: asyncio.TimerHandle | None = None
        #: The services that are told.
        self.services: list[str] = []

    def look(self) -> None:
        """Something may have been given up."""
        wait = self._queue.call(partial(tell, now_ms(), self.services))
        wait.add_done_callback(self._looked)
        # The lease of the notice can share its commit.
        self._queue.expect(self.services)

    def stop(self) -> None:
        """Wake no more."""
        if self._timer:
            self._timer.cancel()

    def _looked(self, wait: "asyncio.Future[int | None]") -> None:
        error = wait.exception()
        if isinstance(error, OberoncError) and not isinstance(error, DiskFailed):
            self._say(f"a notice of dead letters has to wait: {error}")
        elif error is None and (milliseconds := wait.result()) is not None:
            self.stop()
            self._timer = self._loop.call_later(milliseconds / 1000, self.look)


def tell(now: int, services: list[str], queue: Queue) -> int | None:
    """Have *services* told of what was given up, in one batch; the milliseconds to wait
    when it is too soon for that.
    """
    untold = queue.unreported(now, MOST)
    if not untold.total:
        return None
    if services:
        if untold.since_ms is not None and untold.since_ms < EVERY:
            return EVERY - untold.since_ms
        if (
            queue.accept(now, submission(services, untold.total, untold.first)).status
            != "accepted"
        ):
            return EVERY
    queue.mark_reported(now)
    return None


def submission(
    services: list[str], total: int, first: tuple[Delivery, ...]
) -> Submission:
    """The event that tells of *total* dead letters, the *first* of them by name."""
    payload = notice([_entry(delivery) for delivery in first], total)
    event = bytes.fromhex(payload["id"])
    return Submission(
        event,
        jsontext.canonical(payload),
        REPOSITORY,
        kind="dead",
        origin="daemon",
        peer_uid=os.geteuid(),
        # Each in a lane of its own: one that fails must not hold up the news.
        routes=tuple(Route(name, "none") for name in services),
        decisions=tuple(Decision(name, True, "it has `dead`") for name in services),
        commits=(event.hex() + "0" * 8,),
    )


def _entry(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery": delivery.id,
        "service": delivery.service,
        "repository": delivery.repo,
        "push": delivery.event.hex(),
        "accepted": utc(delivery.accepted_ms / 1000),
        "given_up": utc((delivery.ended_ms or 0) / 1000),
        "error": one_line(delivery.note),
    }
