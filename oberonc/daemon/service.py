"""The daemon as a whole: starts its parts in the order that loses nothing, and stops
them in reverse.

One event loop and the queue's writer thread; hosts and workers are processes. Signals
only set things going: what they ask for is done in the loop.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine
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
from oberonc.daemon.periodic import Periodic, say_given_up
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.reload import Reloader
from oberonc.daemon.stop import Stop
from oberonc.delivery import spool
from oberonc.errors import ConfigError, DiskFailed, OberoncError
from oberonc.queue.contract import Queue
from oberonc.queue.engines import open_queue
from oberonc.text import counted

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
        say_given_up(recovered.dead, say)
        listeners = listen(config)
        try:
            asyncio.run(_serve(config_path, config, queue, notifier, listeners))
        finally:
            listeners.remove()
    finally:
        queue.close()
        lock.release()


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
    """The running daemon: its parts, from the queue to who may ask for something."""

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
        self._periodic = Periodic(
            queue, self._intake, self._dispatcher, self._notices, notifier, say
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
            self._periodic.keep_up,
            self._periodic.watch_space,
            self._periodic.watchdog,
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
        waits = [
            asyncio.ensure_future(self._dispatcher.emptied()),
            asyncio.ensure_future(self._stop.wait_hurried()),
        ]
        await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        for generation in (self._reloader.draining, self._reloader.current):
            if generation:
                await generation.interrupt()
        await self._dispatcher.emptied()
        await self._server.finish(GRACE)
        await self._reloader.stop()
        await self._queue.call(lambda queue: queue.maintain(idle=True), alone=True)
        say("stopped")


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # asyncio says here what it could not tell anybody, such as a table of files that is
    # full.
    error = context.get("exception")
    say(
        f"{context.get('message', 'asyncio')}: {type(error).__name__ if error else ''}: {error or ''}"
    )
