"""Dispatch: leases deliveries for the workers that are free, and tells the queue how each one ended.

A round asks the queue for work for every free slot in one commit. The end of a delivery and the round it
makes room for are requested in the same turn of the loop, so that they share that commit.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from oberonc import filters, secrets, wire
from oberonc.config import Service
from oberonc.daemon.generation import Generation, Runtime
from oberonc.daemon.hosts import HostFailed
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.worker_link import Worker, WorkerLost
from oberonc.queue.base import Ending, Lease, Round, Slot
from oberonc.text import visible

#: Workers a broker may have at once when there are many brokers; with few, its even share.
PER_BROKER: Final = 2
#: Seconds to wait after a worker could not be had.
PAUSE: Final = 1.0
#: Seconds after which the queue is asked again though nothing happened and nothing is due.
LONGEST_NAP: Final = 60.0

_ENDINGS: Final = {"done": "done", "retry": "retry", "dead": "dead", "crash": "crash"}


class Dispatcher:
    """Keeps the workers busy. Owned by the event loop."""

    def __init__(self, queue: QueueLink, workers: int, say: Callable[[str], None]) -> None:
        self._queue = queue
        self._workers = workers
        self._say = say
        self._generation: Generation | None = None
        #: The broker of each service, and the workers one broker may have.
        self._brokers: dict[str, str] = {}
        self._limit = PER_BROKER
        #: Slots taken per service: by deliveries that run, and by rounds under way.
        self._taken: Counter[str] = Counter()
        self._flights: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._kicks = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._taken.total()

    def serve(self, generation: Generation) -> None:
        """Lease for *generation* from now on."""
        self._generation = generation
        self._workers = generation.config.daemon.workers
        self._brokers = {name: runtime.service.broker for name, runtime in generation.runtimes.items()}
        self._limit = max(PER_BROKER, self._workers // max(1, len(set(self._brokers.values()))))
        generation.on_ready = self.kick
        self.kick()

    def stop(self) -> None:
        """Lease nothing more."""
        self._stopped = True
        if self._timer:
            self._timer.cancel()

    async def emptied(self) -> None:
        """Returns when nothing runs."""
        while self._flights:
            await asyncio.wait(self._flights)

    def kick(self) -> None:
        """Something may have become due, or a slot free: ask the queue."""
        self._kicks += 1
        self._ask()

    def _ask(self) -> None:
        generation = self._generation
        if self._stopped or generation is None or not generation.ready:
            return
        slots = self._slots(generation)
        if slots:
            for slot in slots:
                self._taken[slot.service] += slot.free
            generation.begin()
            asked = self._queue.call(lambda queue: queue.lease(now_ms(), slots, f"daemon {os.getpid()}"))
            self._track(self._round(generation, slots, asked, self._kicks))

    def _slots(self, generation: Generation) -> list[Slot]:
        """The free slots, dealt out one by one: first to the services whose brokers have the fewest."""
        free = self._workers - self._taken.total()
        brokers, used, dealt = self._brokers, Counter[str](), Counter[str]()
        for service, taken in self._taken.items():
            used[brokers.get(service, "")] += taken
        while free > 0:
            open_to = [name for name, broker in brokers.items() if used[broker] < self._limit]
            idle = {broker for broker in brokers.values() if not used[broker]}
            if free == 1 and idle:
                # The last slot is for a broker that runs nothing, so that slow ones cannot take them all.
                open_to = [name for name in open_to if brokers[name] in idle]
            if not open_to:
                break
            name = min(open_to, key=lambda name: (used[brokers[name]], dealt[name] + self._taken[name]))
            dealt[name] += 1
            used[brokers[name]] += 1
            free -= 1
        return [Slot(name, count, generation.number) for name, count in dealt.items()]

    async def _round(
        self, generation: Generation, slots: list[Slot], asked: "asyncio.Future[Round]", kicks: int
    ) -> None:
        """What came of one request for work."""
        try:
            granted = await asked
        except BaseException:
            self._give_back(slots)
            generation.finish()
            raise
        started = Counter(lease.service for lease in granted.leases)
        for lease in granted.leases:
            generation.begin()
            self._track(self._fly(generation, lease))
        self._give_back([slot._replace(free=slot.free - started[slot.service]) for slot in slots])
        generation.finish()
        self._nap(granted.next_due_ms)
        # What came in while these slots were on their way was not seen by this round; and where one service
        # used all it was dealt, slots that others left may serve it.
        if kicks != self._kicks or any(started[slot.service] == slot.free for slot in slots):
            self._ask()

    def _give_back(self, slots: list[Slot]) -> None:
        for slot in slots:
            self._taken[slot.service] -= slot.free
        self._taken += Counter()  # drops the zeros

    def _nap(self, due_ms: int | None) -> None:
        """Wake when the next delivery is due."""
        if self._timer:
            self._timer.cancel()
        wait = LONGEST_NAP if due_ms is None else min(max(due_ms - now_ms(), 0) / 1000 + 0.001, LONGEST_NAP)
        self._timer = asyncio.get_running_loop().call_later(wait, self.kick)

    def _track(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._flights.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._flights.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._say(f"a delivery could not be settled: {type(error).__name__}: {error}")

    async def _fly(self, generation: Generation, lease: Lease) -> None:
        """One attempt, from lease to ending."""
        began = time.monotonic()
        try:
            ending = await self._attempt(generation, lease)
        except HostFailed as error:
            self._say(f"{lease.service}: no worker: {error}")
            ending = Ending("interrupted", str(error))
            await asyncio.sleep(PAUSE)
        except Exception as error:  # noqa: BLE001  whatever it is, the lease must end
            ending = Ending("crash", f"the daemon could not hand it over: {type(error).__name__}: {error}")
        ending = ending._replace(took_ms=int((time.monotonic() - began) * 1000))
        ended = self._queue.end(lease.token, ending)
        self._taken[lease.service] -= 1
        self._taken += Counter()
        generation.finish()
        self.kick()
        outcome = await ended
        if outcome.state != "done":
            why = outcome.reason or ending.note
            self._say(f"delivery {lease.token.delivery} of {lease.service}: {ending.kind}, now {outcome.state}: {why}")
            self.kick()

    async def _attempt(self, generation: Generation, lease: Lease) -> Ending:
        runtime = generation.runtimes[lease.service]
        request = _request(runtime, lease, str(generation.config.state))
        worker = await generation.worker(lease.service)
        try:
            return await self._handled(worker, request, lease, runtime)
        except WorkerLost as lost:
            output = _output(worker, runtime)
            if generation.interrupted:
                return Ending("interrupted", "stopped to make way", output=output)
            return Ending("crash", secrets.redact(str(lost), secrets.values(runtime.settings)), output=output)
        finally:
            generation.give_back(worker)

    async def _handled(self, worker: Worker, request: bytes, lease: Lease, runtime: Runtime) -> Ending:
        answer = await worker.ask(request, runtime.timeout)
        if answer.get("lease") != lease.token.attempt or not isinstance(answer.get("outcome"), dict):
            # Broker code wrote to the channel itself. If it named an older lease, the queue counts it as late.
            if isinstance(answer.get("lease"), int):
                await self._queue.end(lease.token._replace(attempt=answer["lease"]), Ending("done"))
            await worker.kill()
            raise WorkerLost("answered for a lease it does not hold")
        return _ending(answer["outcome"], _output(worker, runtime))


def _request(runtime: Runtime, lease: Lease, state: str) -> bytes:
    """The frame that has the lease's delivery handled."""
    request = {
        "op": "handle",
        "lease": lease.token.attempt,
        "request": {
            "service": lease.service,
            "broker": runtime.service.broker,
            "settings": secrets.to_wire(runtime.settings),
            "state": state,
            "timeout": runtime.timeout,
            "delivery_id": lease.delivery_id,
            "attempt": lease.token.attempt,
            "order": {"gap": lease.gap, "behind": list(lease.behind)},
        },
    }
    # The payload is JSON already: it is not read and written again on its way through.
    return wire.frame(wire.canonical(request)[:-1] + b',"payload":' + _trimmed(runtime.service, lease.body) + b"}")


def _trimmed(service: Service, body: bytes) -> bytes:
    """The payload cut down to what passes the filters of *service*."""
    if not (service.refs or service.paths or service.authors):
        return body
    chosen = filters.choose(service, json.loads(body)).payload
    # The filters may have changed since the event was accepted; what was promised then is kept.
    return body if chosen is None else wire.canonical(chosen)


def _output(worker: Worker, runtime: Runtime) -> str:
    return visible(secrets.redact(worker.printed(), secrets.values(runtime.settings)))


def _ending(outcome: dict[str, Any], output: str) -> Ending:
    """What the worker said, as the queue takes it."""
    kind = _ENDINGS.get(str(outcome.get("kind")), "crash")
    after = outcome.get("after")
    after_ms = int(min(max(after, 0), 10**9) * 1000) if isinstance(after, (int, float)) else None
    if kind == "retry" and outcome.get("progress") is True:
        kind = "progress"
    return Ending(kind, str(outcome.get("note", "")), after_ms, output=output)  # type: ignore[arg-type]
