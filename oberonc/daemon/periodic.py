"""What the daemon does by the clock, whether anybody asks for something or not: looks at
clock and retention, at the free space, and gives signs of life.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import Say
from oberonc.daemon.notices import Notices
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import spool
from oberonc.errors import NotAccepted, OberoncError
from oberonc.manager import Notifier
from oberonc.queue.values import Delivery
from oberonc.text import counted

#: Seconds between looks at the free space.
LOOK: Final = 1.0
#: Seconds between looks at clock and retention.
EVERY: Final = 15.0


def say_given_up(dead: Iterable[Delivery], say: Say) -> None:
    """A line of the log for each of *dead*, which no attempt of now gave up."""
    for delivery in dead:
        say(f"delivery {delivery.id} is given up: {delivery.note}", delivery)


class Periodic:
    """The daemon's periodic work: each method goes on for ever. Owned by the event
    loop.
    """

    def __init__(
        self,
        queue: QueueLink,
        intake: Intake,
        dispatcher: Dispatcher,
        notices: Notices,
        notifier: Notifier,
        say: Say,
    ) -> None:
        self._queue = queue
        self._intake = intake
        self._dispatcher = dispatcher
        self._notices = notices
        self._notifier = notifier
        self._say = say

    async def keep_up(self) -> None:
        """Clock, retention, the size of the log written ahead."""
        while True:
            await asyncio.sleep(EVERY)
            config = self._intake.config
            try:
                pulled = await self._queue.call(lambda queue: queue.tick(now_ms()))
                if pulled:
                    earlier = counted(pulled, "delivery", "deliveries")
                    self._say(f"the clock was set back: {earlier} due earlier")
                    self._queue.expect()
                await self._forget_events()
                spool.sweep(config.spool)
                self._notices.look()
                keep = config.daemon.keep
                gone = await in_a_thread(spool.forget_rejected, config.spool, keep)
                if gone:
                    files = counted(gone, "file")
                    self._say(f"retention: {files} of the spool's bad/ forgotten")
                await self._queue.call(
                    lambda queue: queue.maintain(idle=True), alone=True
                )
            except OberoncError as error:  # a full disk: it is tried again
                self._say(f"upkeep waits: {error}")

    async def _forget_events(self) -> None:
        config = self._intake.config
        names, keep_ms = list(config.services), int(config.daemon.keep * 1000)
        more = True
        while more:
            swept = await self._queue.call(
                lambda queue: queue.sweep(now_ms(), names, keep_ms)
            )
            # One slice whatever runs, so that a queue that is never idle does not grow
            # for ever.
            more = swept.more and not self._dispatcher.running
            say_given_up(swept.buried, self._say)
            if swept.events:
                events, dead = (
                    counted(swept.events, "event"),
                    counted(swept.dead, "dead letter"),
                )
                self._say(f"retention: {events} forgotten, and {dead} with them")

    async def watch_space(self) -> None:
        """Say when space runs low, and when there is enough again."""
        low = False
        while True:
            try:
                room = await self._queue.call(lambda queue: queue.room())
            except NotAccepted:  # a full disk: it is tried again
                room = None
            if room and room.low != low:
                low = room.low
                what = "enough again"
                if low:
                    what = "low: new pushes are refused, and spooled by their senders"
                self._say(
                    f"space is {what}: {room.free} bytes free, daemon.low_space is {room.threshold}"
                )
            await asyncio.sleep(LOOK)

    async def watchdog(self) -> None:
        """Say that we live, while the loop and the writer thread both move; returns
        where nobody wants to know.
        """
        while self._notifier.watchdog:
            await asyncio.sleep(self._notifier.watchdog)
            await self._queue.call(lambda queue: None)
            self._notifier.alive()
