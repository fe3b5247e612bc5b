"""The daemon as a whole: starts its parts in the order that loses nothing, and stops
them in reverse.

One event loop and the queue's writer thread; hosts and workers are processes. Signals
only set things going: what they ask for is done in the loop.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

from oberonc import accounts
from oberonc import config as configuration
from oberonc.config import Config
from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.endings import Endings
from oberonc.daemon.front.server import Server
from oberonc.daemon.front.sockets import Listeners, listen
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import say
from oberonc.daemon.lock import Lock
from oberonc.daemon.notices import Notices
from oberonc.daemon.notify import Notifier
from oberonc.daemon.operations.operations import Operations
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.reload import Reloader
from oberonc.daemon.stop import Stop
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import spool
from oberonc.errors import ConfigError, DiskFailed, NotAccepted, OberoncError
from oberonc.queue.contract import Queue
from oberonc.queue.engines import open_queue
from oberonc.queue.values import Delivery
from oberonc.text import counted

#: Seconds between looks at the free space.
LOOK: Final = 1.0
#: Seconds between looks at clock and retention.
UPKEEP: Final = 15.0
#: Seconds workers get to end once the stop's own time is over.
GRACE: Final = 5.0


def run(config_path: str | None) -> None:
    """Be the daemon until told to stop. Raises OberoncError when it cannot start; the
    code is the exit code.
    """
    os.umask(0o077)
    notifier = Notifier()
    config = configuration.load(config_path)
    _claim(config.state)
    lock = Lock(config.state / "daemon.lock", f"the state folder {config.state}")
    spool.make(config.spool)
    queue = open_queue(
        str(config.state / "queue.sqlite"), low_space=config.daemon.low_space
    )
    try:
        recovered = queue.recover(now_ms())
        if recovered.orphaned:
            running = counted(recovered.orphaned, "delivery", "deliveries")
            say(
                f"the last daemon died while {running} ran; what is not given up here runs again"
            )
        _tell_given_up(recovered.dead)
        listeners = listen(config)
        try:
            asyncio.run(_serve(config_path, config, queue, notifier, listeners))
        finally:
            listeners.remove()
    finally:
        queue.close()
        lock.release()


def _tell_given_up(dead: Iterable[Delivery]) -> None:
    for delivery in dead:
        say(f"delivery {delivery.id} is given up: {delivery.note}", delivery)


def _claim(state: Path) -> None:
    """Make the state folder; refuse one in which a stranger could have put something."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = state.stat()
    except OSError as error:
        raise ConfigError(
            f"cannot make the state folder {state}: {error.strerror}"
        ) from None
    if facts.st_uid != os.geteuid():
        whose, mine = accounts.person(facts.st_uid), accounts.person(os.geteuid())
        # To chown what is another account's would take it from the daemon whose it is.
        mend = f"run the daemon as {whose}" if facts.st_uid else f"chown it to {mine}"
        raise ConfigError(
            f"the state folder {state} belongs to {whose}: {mend}, or give {mine} a `state` of its own"
        )
    if facts.st_mode & 0o002:
        raise ConfigError(
            f"everybody may write the state folder {state}: chmod o-w it, and look at what is in it"
        )


async def _serve(
    config_path: str | None,
    config: Config,
    queue: Queue,
    notifier: Notifier,
    listeners: Listeners,
) -> None:
    link = QueueLink(queue, config.state, _disk_failed)
    try:
        await Daemon(config_path, config, link, notifier).main(listeners)
    finally:
        link.stop()


def _disk_failed(error: DiskFailed) -> None:
    # Nothing may be promised any more, and nothing synced again: the next start reads
    # what the disk has.
    say(f"the disk failed: {error}; exiting, nothing unanswered was promised")
    os._exit(error.exit_code)


class Daemon:
    """The running daemon: its parts, and what it does by the clock."""

    def __init__(
        self,
        config_path: str | None,
        config: Config,
        queue: QueueLink,
        notifier: Notifier,
    ) -> None:
        self._config = config
        self._queue = queue
        self._notifier = notifier
        self._stop = Stop()
        self._notices = Notices(queue, say)
        self._dispatcher = Dispatcher(queue, Endings(queue, self._notices, say), say)
        self._intake = Intake(config, queue, say)
        self._reloader = Reloader(
            config_path,
            queue,
            self._intake,
            self._dispatcher,
            self._notices,
            self._stop,
            notifier,
            say,
        )
        self._server = Server(say)
        self._operations = Operations(
            config,
            queue,
            self._intake,
            self._reloader,
            self._dispatcher,
            self._server.connections,
            self._server.refused,
            self._stop,
            say,
        )
        self._background: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    async def main(self, listeners: Listeners) -> None:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.order)
        loop.add_signal_handler(signal.SIGHUP, self._hangup)
        # What comes by the socket waits for what the spool holds of its repository, so
        # nobody waits for all of it.
        self._intake.look()
        await self._reloader.first()
        perform = self._operations.perform
        await self._server.listen(listeners.submit, perform, control=False)
        await self._server.listen(listeners.control, perform, control=True)
        for work in (
            self._server.sweep,
            self._intake.watch,
            self._upkeep,
            self._watch_space,
            self._watchdog,
        ):
            self._start(work())
        # What is there now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        self._notifier.ready(self._reloader.serving)
        say(f"ready: {self._reloader.serving}, on {self._config.daemon.socket}")
        await self._stop.wait()
        await self._shut_down()
        if self._failure:
            raise self._failure

    def _hangup(self) -> None:
        """SIGHUP: reload, and look at the spool."""
        self._intake.look()
        self._start(self._reload_by_signal())

    async def _reload_by_signal(self) -> None:
        try:
            await self._reloader.reload()
        except OberoncError as error:
            say(f"no reload: {error}")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A part that fails takes the daemon down in order: the next start begins from
        what the disk has.
        """
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failure = self._failure or error
            self._stop.order()

    async def _upkeep(self) -> None:
        """Clock, retention, the size of the log written ahead."""
        while True:
            await asyncio.sleep(UPKEEP)
            try:
                await self._look_at_clock()
                await self._sweep()
                spool.sweep(self._config.spool)
                self._notices.look()
                await self._forget_rejected()
                await self._queue.call(
                    lambda queue: queue.maintain(idle=True), alone=True
                )
            except OberoncError as error:  # a full disk: it is tried again
                say(f"upkeep waits: {error}")

    async def _watch_space(self) -> None:
        """Say when space runs low, and when there is enough again; for ever."""
        low = False
        while True:
            try:
                room = await self._queue.call(lambda queue: queue.room())
            except NotAccepted:  # a full disk: it is asked again
                room = None
            if room and room.low != low:
                low = room.low
                what = (
                    "low: new pushes are refused, and spooled by their senders"
                    if low
                    else "enough again"
                )
                say(
                    f"space is {what}: {room.free} bytes free, daemon.low_space is {room.threshold}"
                )
            await asyncio.sleep(LOOK)

    async def _look_at_clock(self) -> None:
        pulled = await self._queue.call(lambda queue: queue.tick(now_ms()))
        if pulled:
            say(
                f"the clock was set back: {counted(pulled, 'delivery', 'deliveries')} due earlier"
            )
            self._queue.expect()

    async def _sweep(self) -> None:
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
            _tell_given_up(swept.buried)
            if swept.events:
                dead = counted(swept.dead, "dead letter")
                say(
                    f"retention: {counted(swept.events, 'event')} forgotten, and {dead} with them"
                )

    async def _forget_rejected(self) -> None:
        """Retention of what could not be taken in."""
        gone = await in_a_thread(
            spool.forget_rejected, self._config.spool, self._intake.config.daemon.keep
        )
        if gone:
            say(f"retention: {counted(gone, 'file')} of the spool's bad/ forgotten")

    async def _watchdog(self) -> None:
        """Say that we live, while the loop and the writer thread both move."""
        while self._notifier.watchdog:
            await asyncio.sleep(self._notifier.watchdog)
            await self._queue.call(lambda queue: None)
            self._notifier.alive()

    async def _shut_down(self) -> None:
        """No new work; what runs may end; what does not goes back to the queue
        uncharged.
        """
        patience = self._intake.config.daemon.stop_timeout
        say(f"stopping: {counted(self._dispatcher.running, 'worker')} busy")
        self._notifier.stopping(patience + 2 * GRACE)
        self._dispatcher.stop()
        self._notices.stop()
        self._server.stop_listening()
        for task in self._background:
            task.cancel()
        await _first(patience, self._dispatcher.emptied(), self._stop.wait_hurried())
        for generation in (self._reloader.draining, self._reloader.current):
            if generation:
                await generation.interrupt()
        await self._dispatcher.emptied()
        await self._server.finish(GRACE)
        await self._reloader.stop()
        await self._queue.call(lambda queue: queue.maintain(idle=True), alone=True)
        say("stopped")


async def _first(patience: float, *waits: Awaitable[Any]) -> None:
    """Return when one of *waits* is over, or after *patience* seconds."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # asyncio says here what it could not tell anybody, such as a table of files that is
    # full.
    error = context.get("exception")
    say(
        f"{context.get('message', 'asyncio')}: {type(error).__name__ if error else ''}: {error or ''}"
    )
