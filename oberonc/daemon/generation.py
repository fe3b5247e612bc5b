"""A generation in service: its host, its warm workers, and the services it can run."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from oberonc.config import Config, Service
from oberonc.daemon.hosts import Host, HostFailed
from oberonc.daemon.journal import Say
from oberonc.daemon.snapshot import Snapshot
from oberonc.daemon.worker_link import Worker

#: Seconds a worker may wait for its next delivery; beyond the first few, which keep the usual push quick, only
#: as long as a burst pauses: each costs memory.
MAX_IDLE: Final = 100.0
KEPT_WARM: Final = 3
BRIEFLY: Final = 2.0
#: Seconds before a host that ended is started again, doubled each time up to the last.
RESTART_FIRST: Final = 0.5
RESTART_LAST: Final = 60.0


class Runtime(NamedTuple):
    """A service as this generation runs it: its settings with secrets, its broker's time limit."""

    service: Service
    settings: dict[str, Any]
    timeout: float


class Generation:
    """One snapshot with its processes. Owned by the event loop."""

    def __init__(self, number: int, config: Config, snapshot: Snapshot, say: Say) -> None:
        self.number = number
        self.config = config
        self.snapshot = snapshot
        self.runtimes: dict[str, Runtime] = {}
        #: Why a configured service cannot run here.
        self.unavailable: dict[str, str] = {}
        #: Brokers that must not be forked, and each broker's time limit.
        self.threaded: set[str] = set()
        self.timeouts: dict[str, float] = {}
        self.busy: set[Worker] = set()
        #: Lease rounds and deliveries that count on this generation; it must not end before they do.
        self.flights = 0
        self._empty = asyncio.Event()
        #: Set when busy workers are being ended for our own reasons: no delivery is charged for it.
        self.interrupted = False
        self._idle: dict[str, list[tuple[Worker, asyncio.TimerHandle]]] = {}
        self._say = say
        self._host: Host | None = None
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None
        #: Called when the host is up again.
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def ready(self) -> bool:
        """Whether workers can be had."""
        return self._host is not None and not self._host.ended.done() and not self._stopping

    @property
    def idle(self) -> int:
        """How many workers wait."""
        return sum(map(len, self._idle.values()))

    def adopt(self, host: Host) -> None:
        """Take the verified host into service, and start a new one whenever it ends."""
        self._host = host
        self._keeper = asyncio.create_task(self._keep(host))

    async def worker(self, service: str) -> Worker:
        """A worker for *service*, warm where there is one. Raises HostFailed."""
        while waiting := self._idle.get(service):
            worker, timer = waiting.pop()
            timer.cancel()
            if not worker.ended.done():
                break
        else:
            worker = await self.new_worker(service)
        self.busy.add(worker)
        return worker

    async def new_worker(self, service: str, host: Host | None = None) -> Worker:
        """Fork one for *service*: it sees that service's secrets and no other's."""
        host = host or self._host
        if host is None or host.ended.done():
            raise HostFailed("the host is being started again")
        worker = await host.spawn(self.config.services[service].broker)
        worker.service = service
        return worker

    def give_back(self, worker: Worker) -> None:
        """The worker's delivery ended; it waits for the next, or ends."""
        self.busy.discard(worker)
        full = self.idle >= self.config.daemon.workers
        if worker.spent or self._stopping or full:
            worker.retire()
            return
        patience = MAX_IDLE if self.idle < KEPT_WARM else BRIEFLY
        timer = asyncio.get_running_loop().call_later(patience, self._expire, worker)
        self._idle.setdefault(worker.service, []).append((worker, timer))

    def drain(self) -> None:
        """Take no more deliveries: idle workers end, busy ones when they are done."""
        self._stopping = True
        for waiting in self._idle.values():
            for worker, timer in waiting:
                timer.cancel()
                worker.retire()
        self._idle.clear()

    def begin(self) -> None:
        """Something counts on this generation from here to `finish`."""
        self.flights += 1
        self._empty.clear()

    def finish(self) -> None:
        """See `begin`."""
        self.flights -= 1
        if not self.flights:
            self._empty.set()

    async def emptied(self) -> None:
        """Returns when nothing counts on this generation."""
        if self.flights:
            await self._empty.wait()

    async def interrupt(self) -> None:
        """End the deliveries that run; they go back to the queue uncharged."""
        self.interrupted = True
        await asyncio.gather(*(worker.kill() for worker in self.busy))
        await self.emptied()

    async def stop(self) -> None:
        """End host and workers."""
        self.drain()
        if self._keeper:
            self._keeper.cancel()
        if self._host:
            await self._host.stop()

    def _expire(self, worker: Worker) -> None:
        waiting = self._idle.get(worker.service, [])
        waiting[:] = [(other, timer) for other, timer in waiting if other is not worker]
        worker.retire()

    async def _keep(self, host: Host) -> None:
        delay = RESTART_FIRST
        while True:
            status = await asyncio.shield(host.ended)
            if self._stopping:
                return
            self._say(f"the host of generation {self.number} ended with status {status}; starting it again")
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_LAST)
            try:
                host = Host(f"generation {self.number}")
            except OSError as error:
                self._say(f"the host of generation {self.number} did not start: {error}")
                continue
            try:
                await host.load(self.loaded_places(), self.threaded)
            except (HostFailed, TimeoutError) as error:
                self._say(f"the host of generation {self.number} did not start: {error}")
                await host.kill()
                continue
            except asyncio.CancelledError:
                host.abandon()
                raise
            self._host = host
            self.on_ready()

    def loaded_places(self) -> list[Any]:
        """The places of the brokers that the services use."""
        used = {self.config.services[name].broker for name in self.config.services if name not in self.unavailable}
        return [place for name, place in self.snapshot.places.items() if name in used]
