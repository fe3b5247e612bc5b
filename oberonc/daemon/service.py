"""The daemon as a whole: starts its parts in the order that loses nothing, and stops
them in reverse.

One event loop and the queue's writer thread; hosts and workers are processes. Signals
only set things going: what they ask for is done in the loop.
"""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

import oberonc
from oberonc import accounts
from oberonc import config as configuration
from oberonc.config import Config
from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.front.server import Server
from oberonc.daemon.front.sockets import Listeners, listen
from oberonc.daemon.generation.generation import Generation
from oberonc.daemon.generation.reload import Reloader
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import NOTHING, Subject, say
from oberonc.daemon.lock import Lock
from oberonc.daemon.notices import Notices
from oberonc.daemon.notify import Notifier
from oberonc.daemon.operations.operations import Operations
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import spool
from oberonc.errors import ConfigError, DiskFailed, NotAccepted, OberoncError
from oberonc.queue.sqlite.engine import SqliteQueue
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
    queue = SqliteQueue(config.state / "queue.sqlite", reserve=config.daemon.low_space)
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
    queue: SqliteQueue,
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
    """The running daemon; what operations ask of it."""

    def __init__(
        self,
        config_path: str | None,
        config: Config,
        queue: QueueLink,
        notifier: Notifier,
    ) -> None:
        self.pid = os.getpid()
        self.began = time.monotonic()
        #: Of this process; the files may be replaced while it runs.
        self.version: str = oberonc.__version__
        self.config = config
        self.queue = queue
        self.stopping = False
        self.intake = Intake(config, queue, say)
        self.reloader = Reloader(config_path, queue, say)
        self.dispatcher = Dispatcher(queue, config.daemon.workers, say)
        self.notices = Notices(queue, say)
        self._notifier = notifier
        self._server = Server(Operations(self).perform, say)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._background: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    async def main(self, listeners: Listeners) -> None:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hangup)
        self.intake.on_accept = self.dispatcher.kick
        self.dispatcher.on_dead = self.notices.look
        self.notices.on_accept = self.dispatcher.kick
        self.reloader.on_swap = self._swapped
        # What comes by the socket waits for what the spool holds of its repository, so
        # nobody waits for all of it.
        self.intake.look()
        await self.reload(first=True)
        await self._server.listen(listeners.submit, control=False)
        await self._server.listen(listeners.control, control=True)
        for work in (
            self._server.sweep,
            self.intake.watch,
            self._upkeep,
            self._watch_space,
            self._watchdog,
        ):
            self._start(work())
        # What is there now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        self._notifier.ready(self._line())
        say(f"ready: {self._line()}, on {self.config.daemon.socket}")
        await self._stop.wait()
        await self._shut_down()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """SIGTERM: finish and go; asked again: go."""
        if self._stop.is_set():
            self._hurry.set()
        self.stopping = True
        self._stop.set()

    async def reload(
        self, *, partial: bool = False, check: bool = False, first: bool = False
    ) -> dict[str, Any]:
        """Snapshot, verify, swap; the verdict goes to the log too."""
        if self.stopping and not first:
            raise NotAccepted("the daemon is stopping")
        if not first:
            self._notifier.reloading()
        try:
            report = await (
                self.reloader.first()
                if first
                else self.reloader.reload(partial=partial, check=check)
            )
        finally:
            if not first:
                self._notifier.ready(self._line())
        verdict = (
            "found good"
            if check and report["accepted"]
            else "taken"
            if report["accepted"]
            else "rejected"
        )
        say(
            f"reload {verdict}, generation {report['generation']} serves: {report['message']}"
        )
        self._notifier.status(f"{self._line()}; {report['message']}")
        return report

    def say(self, text: str, about: Subject = NOTHING, /) -> None:
        """One line of the log."""
        say(text, about)

    @property
    def generation(self) -> Generation:
        """The one in service."""
        assert self.reloader.current is not None
        return self.reloader.current

    @property
    def number(self) -> int:
        """The number of the generation in service."""
        return self.generation.number

    def kick(self) -> None:
        """Something became due by hand."""
        self.dispatcher.kick()

    def problem(self, service: str) -> str:
        """Why *service* cannot run now, or nothing."""
        return self.generation.unavailable.get(service, "")

    def own_stats(self) -> dict[str, Any]:
        """What the queue does not know."""
        draining = self.reloader.draining
        return {
            "version": self.version,
            "generation": self.number,
            "draining": draining.number if draining else None,
            "workers": {
                "running": self.dispatcher.running,
                "idle": self.generation.idle,
                "limit": self.intake.config.daemon.workers,
            },
            "connections": len(self._server.connections),
            "refused": dict(self._server.refused),
            "spool": self.intake.files,
            "spool_unreadable": self.intake.unreadable,
            "spool_bad": len(spool.rejected(self.config.spool)),
        }

    def _swapped(self) -> None:
        self.intake.config = config = self.generation.config
        self.queue.call(lambda queue: queue.keep_free(config.daemon.low_space))
        self.notices.service = config.daemon.on_dead
        self.dispatcher.serve(self.generation)

    def _line(self) -> str:
        return f"generation {self.number}, {counted(len(self.generation.runtimes), 'service')}"

    def _hangup(self) -> None:
        """SIGHUP: reload, and look at the spool."""
        self.intake.look()
        self._start(self._reload_by_signal())

    async def _reload_by_signal(self) -> None:
        try:
            await self.reload()
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
            self.stop()

    async def _upkeep(self) -> None:
        """Clock, retention, the size of the log written ahead."""
        while True:
            await asyncio.sleep(UPKEEP)
            try:
                await self._look_at_clock()
                await self._sweep()
                spool.sweep(self.config.spool)
                self.notices.look()
                await self._forget_rejected()
                await self.queue.call(
                    lambda queue: queue.checkpoint(idle=True), alone=True
                )
            except OberoncError as error:  # a full disk: it is tried again
                say(f"upkeep waits: {error}")

    async def _watch_space(self) -> None:
        """Say when space runs low, and when there is enough again; for ever."""
        low = False
        while True:
            try:
                room = await self.queue.call(lambda queue: queue.room)
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
        pulled = await self.queue.call(lambda queue: queue.tick(now_ms()))
        if pulled:
            say(
                f"the clock was set back: {counted(pulled, 'delivery', 'deliveries')} due earlier"
            )
            self.kick()

    async def _sweep(self) -> None:
        config = self.intake.config
        names, keep_ms = list(config.services), int(config.daemon.keep * 1000)
        more = True
        while more:
            swept = await self.queue.call(
                lambda queue: queue.sweep(now_ms(), names, keep_ms)
            )
            # One slice whatever runs, so that a queue that is never idle does not grow
            # for ever.
            more = swept.more and not self.dispatcher.running
            _tell_given_up(swept.buried)
            if swept.events:
                dead = counted(swept.dead, "dead letter")
                say(
                    f"retention: {counted(swept.events, 'event')} forgotten, and {dead} with them"
                )

    async def _forget_rejected(self) -> None:
        """Retention of what could not be taken in."""
        gone = await in_a_thread(
            spool.forget_rejected, self.config.spool, self.intake.config.daemon.keep
        )
        if gone:
            say(f"retention: {counted(gone, 'file')} of the spool's bad/ forgotten")

    async def _watchdog(self) -> None:
        """Say that we live, while the loop and the writer thread both move."""
        while self._notifier.watchdog:
            await asyncio.sleep(self._notifier.watchdog)
            await self.queue.call(lambda queue: None)
            self._notifier.alive()

    async def _shut_down(self) -> None:
        """No new work; what runs may end; what does not goes back to the queue
        uncharged.
        """
        patience = self.intake.config.daemon.stop_timeout
        say(f"stopping: {counted(self.dispatcher.running, 'worker')} busy")
        self._notifier.stopping(patience + 2 * GRACE)
        self.dispatcher.stop()
        self.notices.stop()
        self._server.stop_listening()
        for task in self._background:
            task.cancel()
        await _first(patience, self.dispatcher.emptied(), self._hurry.wait())
        for generation in (self.reloader.draining, self.reloader.current):
            if generation:
                await generation.interrupt()
        await self.dispatcher.emptied()
        await self._server.finish(GRACE)
        await self.reloader.stop()
        await self.queue.call(lambda queue: queue.checkpoint(idle=True), alone=True)
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
