"""The daemon's life in its event loop: start, serve, stop.

Signals only set things going: what they ask for is done in the loop.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine
from typing import Any, Final

from oberonc.config import Config
from oberonc.daemon.front.sockets import Listeners
from oberonc.daemon.journal import say
from oberonc.daemon.parts import Parts
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.stop import Stop
from oberonc.errors import DiskFailed, OberoncError
from oberonc.manager import Notifier
from oberonc.queue.contract import Queue
from oberonc.text import counted

#: Seconds workers get to end once the stop's own time is over.
GRACE: Final = 5.0


async def live(
    config_path: str | None,
    config: Config,
    queue: Queue,
    notifier: Notifier,
    listeners: Listeners,
) -> None:
    """Be the daemon until it is told to stop. Raises OberoncError when it cannot start,
    and what ended a part that should never end.
    """
    asyncio.get_running_loop().set_exception_handler(_unhandled)
    with QueueLink(queue, config.state, _disk_failed) as link:
        parts = Parts(config_path, config, link, notifier)
        background = Background(parts.stop)
        _heed_signals(parts, background)
        # What comes by the socket waits for what the spool holds of its repository, so
        # nobody waits for all of it.
        parts.intake.take_spooled()
        await parts.reloader.first()
        perform = parts.operations.perform
        await parts.server.answer(listeners.submit, perform, control=False)
        await parts.server.answer(listeners.control, perform, control=True)
        for work in (
            parts.server.sweep,
            parts.intake.watch,
            parts.periodic.keep_up,
            parts.periodic.watch_space,
            parts.periodic.watchdog,
        ):
            background.start(work())
        # What is there now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        notifier.ready(parts.reloader.serving)
        say(f"ready: {parts.reloader.serving}, on {config.daemon.socket}")
        await parts.stop.wait()
        await _shut_down(parts, background, notifier)
        await link.call(lambda queue: queue.maintain(idle=True), alone=True)
        say("stopped")
    if background.failure:
        raise background.failure


def _heed_signals(parts: Parts, background: "Background") -> None:
    """SIGTERM and SIGINT stop; SIGHUP reloads, and looks at the spool."""

    async def reload() -> None:
        try:
            await parts.reloader.reload()
        except OberoncError as error:
            say(f"no reload: {error}")

    def hang_up() -> None:
        parts.intake.take_spooled()
        background.start(reload())

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, parts.stop.order)
    loop.add_signal_handler(signal.SIGHUP, hang_up)


class Background:
    """Work beside what is asked for. One that fails takes the daemon down in order: the
    next start begins from what the disk has.
    """

    def __init__(self, stop: Stop) -> None:
        self.failure: BaseException | None = None
        self._stop = stop
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have *work* done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """End all of it."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.failure = self.failure or error
            self._stop.order()


async def _shut_down(parts: Parts, background: Background, notifier: Notifier) -> None:
    """No new work; what runs may end; what does not goes back to the queue uncharged."""
    dispatcher, reloader = parts.dispatcher, parts.reloader
    patience = parts.intake.config.daemon.stop_timeout
    say(f"stopping: {counted(dispatcher.running, 'worker')} busy")
    notifier.stopping(patience + 2 * GRACE)
    dispatcher.stop()
    parts.notices.stop()
    parts.server.stop_listening()
    background.cancel()
    waits = [
        asyncio.ensure_future(dispatcher.emptied()),
        asyncio.ensure_future(parts.stop.wait_hurried()),
    ]
    await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    for generation in (reloader.draining, reloader.current):
        if generation:
            await generation.interrupt()
    await dispatcher.emptied()
    await parts.server.finish(GRACE)
    await reloader.stop()


def _disk_failed(error: DiskFailed) -> None:
    # Nothing may be promised any more, and nothing synced again: the next start reads
    # what the disk has.
    say(f"the disk failed: {error}; exiting, nothing unanswered was promised")
    os._exit(error.exit_code)


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # asyncio says here what it could not tell anybody, such as a table of files that is
    # full.
    error = context.get("exception")
    say(
        f"{context.get('message', 'asyncio')}: {type(error).__name__ if error else ''}: {error or ''}"
    )
