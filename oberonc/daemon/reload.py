"""Reload: SNAPSHOT, PROBE, WARM, COMMIT, SWAP, DRAIN. Until COMMIT nothing in service
has changed.

The old generation is kept until the new one has been proved. A crash before COMMIT
leaves the old one active, after it the new one: that row is the only durable point.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.faults import crash_point
from oberonc.daemon.generation import material, snapshot
from oberonc.daemon.generation.candidate import (
    Candidate,
    examine,
    fall_back,
    predecessor,
)
from oberonc.daemon.generation.generation import Generation
from oberonc.daemon.generation.host_link import HostFailed
from oberonc.daemon.generation.material import Material
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import Say
from oberonc.daemon.notices import Notices
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.stop import Stop
from oberonc.daemon.threads import in_a_thread
from oberonc.errors import NotAccepted, OberoncError
from oberonc.manager import Notifier
from oberonc.text import counted

#: Seconds the old generation may take to finish what it runs.
DRAIN_TIMEOUT: Final = 60.0
#: Seconds a reload waits for that before it answers.
SETTLE: Final = 2.0


class Report(NamedTuple):
    """What came of a reload or a check; on the wire, and in the queue, as JSON."""

    accepted: bool
    message: str
    #: One row for each broker, and for whatever else was found wrong.
    brokers: list[dict[str, Any]]
    #: The number of the generation that serves now.
    generation: int


class Reloader:
    """Makes generations, one at a time, and takes them into service. Owned by the event
    loop.
    """

    def __init__(
        self,
        config_path: str | None,
        queue: QueueLink,
        intake: Intake,
        dispatcher: Dispatcher,
        notices: Notices,
        stop: Stop,
        notifier: Notifier,
        say: Say,
    ) -> None:
        self._config_path = config_path
        self._queue = queue
        self._intake = intake
        self._dispatcher = dispatcher
        self._notices = notices
        self._stop = stop
        self._notifier = notifier
        self._say = say
        self._folder = queue.state / "generations"
        self._working = False
        self._current: Generation | None = None
        self.draining: Generation | None = None
        self._drainage: asyncio.Task[None] | None = None
        #: What serves, in words, and what the last reload said of it.
        self.serving = self.status = ""

    @property
    def current(self) -> Generation:
        """The generation in service; there is one once `first` has returned."""
        assert self._current is not None
        return self._current

    async def first(self) -> None:
        """Take the generation to start with into service: what is in the folders now;
        what is broken there as it last ran. Raises OberoncError or OSError.
        """
        self._log("taken", await self._renew(partial=True))

    async def reload(self, *, partial: bool = False) -> Report:
        """Take what is in the files now into service; where *partial*, all of it that is
        good, and the rest as it was. Raises NotAccepted while another reload, or its
        drain, is under way, and while the daemon stops.
        """
        self._begin()
        try:
            report = await self._renew(partial=partial)
            self._log("taken" if report.accepted else "rejected", report)
        except (OberoncError, OSError) as error:
            report = Report(False, str(error), [], self.current.number)
            self._log("rejected", report)
        finally:
            self._notifier.ready(self.status)
        return report

    async def check(self) -> Report:
        """What a reload would say. Raises NotAccepted as `reload` does."""
        self._begin()
        try:
            async with self._material() as wanted:
                generation = Generation(0, wanted.config, wanted.snapshot, self._say)
                candidate = await examine(generation, wanted)
                await candidate.discard()
            report = _report(candidate, not candidate.faults, self.current.number)
            self._log("found good" if report.accepted else "rejected", report)
        except (OberoncError, OSError) as error:
            report = Report(False, str(error), [], self.current.number)
            self._log("rejected", report)
        finally:
            self._notifier.ready(self.status)
        return report

    async def stop(self) -> None:
        """End every process of every generation."""
        if self._drainage:
            await asyncio.wait([self._drainage])
        if self._current:
            await self._current.stop()

    def _begin(self) -> None:
        if self._stop.ordered:
            raise NotAccepted("the daemon is stopping")
        if self._working:
            raise NotAccepted("a reload is under way: wait for it")
        if self.draining:
            flights = self.draining.flights
            raise NotAccepted(
                f"generation {self.draining.number} is draining, {flights} in flight: try again"
            )
        self._notifier.reloading()

    def _log(self, verdict: str, report: Report) -> None:
        services = counted(len(self.current.runtimes), "service")
        self.serving = f"generation {self.current.number}, {services}"
        self.status = f"{self.serving}; {report.message}"
        number, message = report.generation, report.message
        self._say(f"reload {verdict}, generation {number} serves: {message}")

    @asynccontextmanager
    async def _material(self) -> AsyncIterator[Material]:
        """What is in the files now; what is left of its snapshot is removed."""
        self._working = True
        scratch = self._folder / f"new-{time.time_ns()}"
        config = self._current and self._current.config
        try:
            yield await in_a_thread(material.make, self._config_path, config, scratch)
        finally:
            self._working = False
            await in_a_thread(snapshot.remove, scratch)

    async def _renew(self, *, partial: bool) -> Report:
        """Make a generation and take it into service; the report says whether it was
        fit. Raises OberoncError or OSError.
        """
        async with self._material() as wanted:
            crash_point("snapshot")
            digest = wanted.snapshot.digest
            number = await self._queue.call(
                lambda queue: queue.new_generation(now_ms(), digest)
            )
            try:
                # Named for good before anything is imported: a late import looks where
                # its first one was found.
                settled = await in_a_thread(snapshot.settle, wanted.snapshot, number)
                wanted = wanted._replace(snapshot=settled)
                generation = Generation(number, wanted.config, settled, self._say)
                candidate = await examine(generation, wanted)
                if candidate.faults and partial:
                    known = await self._queue.call(lambda queue: queue.generations())
                    before = predecessor(self._current, known, self._folder)
                    candidate = await fall_back(candidate, wanted, before, self._say)
                elif candidate.faults:
                    report = _report(candidate, False, self.current.number)
                    await candidate.discard()
                    await self._reject(number, json.dumps(report._asdict()))
                    return report
                return await self._accept(candidate)
            except (HostFailed, OSError) as error:
                await self._reject(number, str(error))
                raise

    async def _reject(self, number: int, report: str) -> None:
        await self._queue.call(lambda queue: queue.reject_generation(number, report))

    async def _accept(self, candidate: Candidate) -> Report:
        """COMMIT and SWAP, and the beginning of DRAIN."""
        generation, old = candidate.generation, self._current
        report = _report(candidate, True, generation.number)
        text = json.dumps(report._asdict())
        crash_point("commit")
        await self._queue.call(
            lambda queue: queue.commit_generation(generation.number, text)
        )
        crash_point("committed")
        config = generation.config
        self._current = generation
        self._intake.config = config
        self._notices.services = [
            name
            for name, service in config.services.items()
            if "dead" in service.events
        ]
        self._queue.call(lambda queue: queue.keep_free(config.daemon.low_space))
        generation.adopt(on_ready=self._queue.expect)
        self._dispatcher.serve(generation)
        crash_point("swapped")
        if old:
            self.draining = old
            self._drainage = asyncio.create_task(self._drain(old))
            await asyncio.wait([self._drainage], timeout=SETTLE)
        return report

    async def _drain(self, old: Generation) -> None:
        """Let *old* finish what it runs, for a while, then end it; its lanes are free
        from then on.
        """
        old.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await old.emptied()
        await old.interrupt()
        await old.stop()
        await self._queue.call(lambda queue: queue.retire_generation(old.number))
        self.draining = None
        await in_a_thread(snapshot.prune, self._folder, {self.current.snapshot.root})


def _report(candidate: Candidate, accepted: bool, serving: int) -> Report:
    """The verdicts, one row for each broker and its services, and what else was found."""
    generation, faults = candidate.generation, dict(candidate.faults)
    rows = []
    for name in sorted(generation.timeouts):
        services = [
            service.name
            for service in generation.config.services.values()
            if service.broker == name
        ]
        keys = (name, *(f"service {service}" for service in services))
        why = "; ".join(faults.pop(key) for key in keys if key in faults)
        verdict = "ok"
        if why:
            verdict = "kept" if name in candidate.kept else "broken"
        mode = "exec" if name in generation.threaded else "fork"
        rows.append(_row(name, verdict, why, services, mode))
    rows += [_row(key, "broken", why, [], "") for key, why in faults.items()]
    good = sum(row["verdict"] == "ok" for row in rows)
    bad = [f"{row['broker']}: {row['why']}" for row in rows if row["verdict"] != "ok"]
    return Report(accepted, "; ".join([f"{good} ok", *bad]), rows, serving)


def _row(
    broker: str, verdict: str, why: str, services: list[str], mode: str
) -> dict[str, Any]:
    return {
        "broker": broker,
        "verdict": verdict,
        "why": why,
        "services": services,
        "mode": mode,
    }
