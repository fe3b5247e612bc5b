"""A generation in service: its hosts, its warm workers, and the services it can run."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from oberonc import jsontext, redaction
from oberonc.broker import secrets
from oberonc.broker.request import Request
from oberonc.config import Config, Service
from oberonc.daemon.generation.host_link import PROBE_LIMIT, HostFailed, RootLink
from oberonc.daemon.generation.keeper import Keeper
from oberonc.daemon.generation.snapshot import Snapshot
from oberonc.daemon.generation.worker_link import WorkerLink, WorkerLost
from oberonc.daemon.journal import Say
from oberonc.delivery import frames
from oberonc.text import one_line

#: Seconds a worker may wait for its next delivery; beyond the first few, which keep the
#: usual push quick, only as long as a burst pauses: each costs memory.
MAX_IDLE: Final = 100.0
KEPT_WARM: Final = 3
BRIEFLY: Final = 2.0
#: Seconds in which a broker has to find out whether it could do its work.
CHECK_LIMIT: Final = 60.0
#: What it says of each thing it looked at.
_FINDING: Final = ("ok", "what", "mend")
#: Characters of what a worker printed before it was lost that are shown.
SHOWN: Final = 300


class Runtime:
    """A service as this generation runs it: its *settings* with secrets, its broker's
    time limit. What is the same for each delivery is made here, once.
    """

    def __init__(
        self, service: Service, settings: dict[str, Any], timeout: float, state: str
    ) -> None:
        self.service = service
        self.settings = settings
        self.timeout = timeout
        #: What must not be shown.
        self.hidden = redaction.secrets_in(settings)
        every = Request(service.name, service.broker, settings, state, timeout, "", {})
        #: What a worker is told with every delivery, as JSON.
        self.told: Final = jsontext.canonical(every.wire())


class Generation:
    """One snapshot with its processes. Owned by the event loop."""

    def __init__(
        self, number: int, config: Config, snapshot: Snapshot, say: Say
    ) -> None:
        self.number = number
        self.config = config
        self.snapshot = snapshot
        self.runtimes: dict[str, Runtime] = {}
        #: Why a configured service cannot run here.
        self.unavailable: dict[str, str] = {}
        #: Brokers that must not be forked, and each broker's time limit.
        self.threaded: set[str] = set()
        self.timeouts: dict[str, float] = {}
        #: What is told of the plugins that each broker has of its own.
        self.plugins: dict[str, dict[str, Any]] = {}
        self.busy: set[WorkerLink] = set()
        #: Lease rounds and deliveries that count on this generation, each until its
        #: `finish`; it must not end before they do.
        self.flights = 0
        self._empty = asyncio.Event()
        #: Set when busy workers are being ended for our own reasons: no delivery is
        #: charged for it.
        self.interrupted = False
        self._idle: dict[str, list[tuple[WorkerLink, asyncio.TimerHandle]]] = {}
        self._say = say
        self._root: RootLink | None = None
        self._root_starts = asyncio.Lock()
        #: By broker: who keeps its host.
        self._keepers: dict[str, Keeper] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._stopping = False

    def allowed(self, broker: str, most: int) -> int:
        """How many workers *broker* may have, at most *most*."""
        return 0 if self._stopping else self._keepers[broker].allowed(most)

    def succeeded(self, broker: str) -> None:
        """A delivery of *broker* left its host alive."""
        self._keepers[broker].succeeded()

    @property
    def idle(self) -> int:
        """How many workers wait."""
        return sum(map(len, self._idle.values()))

    async def root(self) -> RootLink:
        """The process that examines and forks, started where there is none. Raises
        OSError.
        """
        async with self._root_starts:
            if self._root is None or self._root.ended.done():
                self._root = RootLink(f"generation {self.number}")
            return self._root

    async def load(self) -> None:
        """Start a host for each broker that the services use. Raises HostFailed,
        OSError or TimeoutError.
        """
        used = {
            service.broker
            for service in self.config.services.values()
            if service.name not in self.unavailable
        }
        for name, place in self.snapshot.places.items():
            if name in used:
                threaded = name in self.threaded
                keeper = Keeper(place, threaded, self.root, self._say)
                await keeper.start()
                self._keepers[name] = keeper

    async def admit(self, service: Service, settings: dict[str, Any]) -> str:
        """Have *service* run here; or why it cannot. It is bound in a worker of its
        own, which then stays, warm, for its first delivery. Raises HostFailed, OSError
        or TimeoutError.
        """
        worker = await self.new_worker(service.name)
        request = {
            "op": "verify",
            "service": service.name,
            "settings": secrets.to_wire(settings),
            "state": str(self.config.state),
        }
        frame = frames.frame(jsontext.canonical(request))
        hidden = redaction.secrets_in(settings)
        try:
            fault = (await worker.ask(frame, PROBE_LIMIT))["verified"]
        except WorkerLost as lost:
            printed = redaction.redact(worker.printed.text, hidden, cut=True)
            fault = f"{lost}: {one_line(printed[-SHOWN:])}"
        if fault is None:
            limit = service.timeout or self.timeouts.get(service.broker, 60.0)
            state = str(self.config.state)
            self.runtimes[service.name] = Runtime(service, settings, limit, state)
            self.give_back(worker)
            return ""
        worker.retire()
        fault = redaction.redact(str(fault), hidden)
        if service.origin not in fault:
            fault = f"{service.origin}: service '{service.name}': {fault}"
        self.unavailable[service.name] = fault
        return fault

    async def check(self, name: str) -> list[dict[str, Any]]:
        """What the broker of service *name* finds of it (`ok`, `what`, `mend`), in a
        worker of its own: it waits for no delivery, and none waits for it.
        """
        runtime = self.runtimes.get(name)
        if runtime is None:
            why = self.unavailable.get(name, "it is not in service yet: reload")
            return [{"ok": False, "what": why, "mend": ""}]
        hidden = runtime.hidden
        state = str(self.config.state)
        # A payload is what `check` has no use for.
        asked = Request(
            name, runtime.service.broker, runtime.settings, state, CHECK_LIMIT, "", {}
        )
        frame = frames.frame(
            jsontext.canonical({"op": "check", "request": asked.wire()})
        )
        try:
            worker = await self.new_worker(name)
        except (HostFailed, OSError, TimeoutError) as error:
            return [{"ok": False, "what": str(error), "mend": "try again soon"}]
        try:
            answer = await worker.ask(frame, CHECK_LIMIT)
        except WorkerLost as lost:
            return [{"ok": False, "what": str(lost), "mend": ""}]
        finally:
            worker.retire()
        # Again, though the worker did it: the answer may be the broker's.
        said = redaction.redact_all(answer.get("said"), hidden)
        if not isinstance(said, list) or not all(
            isinstance(row, list) and len(row) == len(_FINDING) for row in said
        ):
            fault = redaction.redact(str(answer.get("error", "no answer")), hidden)
            return [{"ok": False, "what": fault, "mend": ""}]
        ready = f"broker '{runtime.service.broker}' loads and takes the settings"
        return [
            dict(zip(_FINDING, row, strict=True)) for row in [[True, ready, ""], *said]
        ]

    def adopt(self, on_ready: Callable[[], None]) -> None:
        """The generation goes into service: whichever host ends is started again, and
        *on_ready* called when it is up.
        """
        self._keeping = [
            asyncio.create_task(keeper.keep(on_ready))
            for keeper in self._keepers.values()
        ]

    async def worker(self, service: str) -> WorkerLink:
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

    async def new_worker(self, service: str) -> WorkerLink:
        """Fork one for *service*: it sees that service's secrets and no other's."""
        return await self._keepers[self.config.services[service].broker].spawn(service)

    def give_back(self, worker: WorkerLink) -> None:
        """The worker's turn is over; it waits for the next, or ends."""
        self.busy.discard(worker)
        idle = self.idle
        if worker.spent or self._stopping or idle >= self.config.daemon.workers:
            worker.retire()
            return
        patience = MAX_IDLE if idle < KEPT_WARM else BRIEFLY
        timer = asyncio.get_running_loop().call_later(patience, self._expire, worker)
        self._idle.setdefault(worker.service, []).append((worker, timer))

    def _expire(self, worker: WorkerLink) -> None:
        waiting = self._idle.get(worker.service, [])
        waiting[:] = [(other, timer) for other, timer in waiting if other is not worker]
        worker.retire()

    def drain(self) -> None:
        """Take no more deliveries: idle workers end, busy ones when they are done."""
        self._stopping = True
        for keeper in self._keepers.values():
            keeper.stop()
        for waiting in self._idle.values():
            for worker, timer in waiting:
                timer.cancel()
                worker.retire()
        self._idle.clear()

    def finish(self) -> None:
        """One of the `flights` is over."""
        self.flights -= 1
        if not self.flights:
            self._empty.set()

    async def emptied(self) -> None:
        """Returns when nothing counts on this generation."""
        while self.flights:
            self._empty.clear()
            await self._empty.wait()

    async def interrupt(self) -> None:
        """End the deliveries that run; they go back to the queue uncharged."""
        self.interrupted = True
        await asyncio.gather(*(worker.kill() for worker in self.busy))
        await self.emptied()

    async def stop(self) -> None:
        """End all processes."""
        self.drain()
        for task in self._keeping:
            task.cancel()
        if self._root:
            await self._root.stop()
