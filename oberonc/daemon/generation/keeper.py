"""Keeps one broker's host: up while there is work for it, away while there is none, and
started again when it ends by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oberonc.broker.registry import Place
from oberonc.daemon.generation.host_link import HostFailed, HostLink, RootLink
from oberonc.daemon.generation.worker_link import WorkerLink
from oberonc.daemon.journal import Say

#: Seconds without a worker after which a host ends: to load its broker again costs the
#: next delivery some milliseconds, to keep it some megabytes.
REST: Final = 100.0
#: Seconds before a host that ended is started again, doubled each time up to the last.
RESTART_FIRST: Final = 0.5
RESTART_LAST: Final = 60.0
#: Seconds for which a broker whose host ended has one worker at a time: else it could
#: not be told which delivery ends it.
CAUTION: Final = 60.0


class Keeper:
    """Owned by the event loop. *root* gives the process that forks the host."""

    def __init__(
        self,
        place: Place,
        threaded: bool,
        root: Callable[[], Awaitable[RootLink]],
        say: Say,
    ) -> None:
        self._place = place
        self._threaded = threaded
        self._root = root
        self._say = say
        self._loop = asyncio.get_running_loop()
        #: The host; not done while it rests or is started after that, failed while it
        #: is down.
        self._host: asyncio.Future[HostLink] = self._loop.create_future()
        self._wanted = asyncio.Event()
        self._delay = RESTART_FIRST
        self._cautious_until = 0.0
        self._stopped = False

    async def start(self) -> None:
        """Have the host running. Raises HostFailed, OSError or TimeoutError."""
        root = await self._root()
        host = await root.host(self._place, self._threaded)
        self._becomes().set_result(host)

    def allowed(self, most: int) -> int:
        """How many workers there may be: none while the host is down, one while it has
        to be found out which delivery ends it, else *most*.
        """
        if self._host.done() and (
            self._host.exception() or self._host.result().ended.done()
        ):
            return 0
        return 1 if self._cautious_until > self._loop.time() else most

    def succeeded(self) -> None:
        """A delivery left the host alive."""
        self._delay = RESTART_FIRST

    async def spawn(self, service: str) -> WorkerLink:
        """A new worker for *service*. Raises HostFailed, OSError or TimeoutError."""
        self._wanted.set()
        host = await asyncio.shield(self._host)
        return await host.spawn(service)

    async def keep(self, on_ready: Callable[[], None]) -> None:
        """Start the host again whenever it ends: later each time, until a delivery
        succeeds. *on_ready* is called when it is up.
        """
        while True:
            host = self._host.result()
            if await _unused(host):
                self._wanted.clear()
                self._host = self._loop.create_future()
                host.close()
                await self._wanted.wait()
                up = await self._try()
            else:
                if self._stopped:
                    return
                self._down(f"ended with status {host.ended.result()}")
                up = False
            while not up:
                delay = self._delay
                self._delay = min(delay * 2, RESTART_LAST)
                self._cautious_until = self._loop.time() + delay + CAUTION
                await asyncio.sleep(delay)
                up = await self._try()
            on_ready()

    def stop(self) -> None:
        """A host that runs goes on; none is started any more."""
        self._stopped = True
        if not self._host.done():
            self._fail("its generation ends")

    async def _try(self) -> bool:
        try:
            await self.start()
        except (HostFailed, OSError, TimeoutError) as error:
            self._down(f"did not start: {error}")
            return False
        return True

    def _down(self, why: str) -> None:
        self._say(
            f"the host of broker {self._place.name} {why}; starting it again in {self._delay:g} s"
        )
        self._fail("its host is being started again")

    def _becomes(self) -> "asyncio.Future[HostLink]":
        """What is to be told of the host from now on, and to who waits for it."""
        if self._host.done():
            self._host = self._loop.create_future()
        return self._host

    def _fail(self, why: str) -> None:
        self._becomes().set_exception(HostFailed(why))
        self._host.exception()  # perhaps nobody waits, which asyncio would complain of


async def _unused(host: HostLink) -> bool:
    """True once *host* has had nothing to do for long, False when it has ended."""
    while not host.ended.done():
        forks = host.forks
        await asyncio.wait([host.ended], timeout=REST)
        if not (host.ended.done() or host.in_use or host.forks != forks):
            return True
    return False
