"""Reload: SNAPSHOT, PROBE, WARM, COMMIT, SWAP, DRAIN. Until COMMIT nothing in service
has changed.

The old generation is kept until the new one has been proved. A crash before COMMIT
leaves the old one active, after it the new one: that row is the only durable point.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from oberonc.daemon.faults import crash_point
from oberonc.daemon.generation import material as planning
from oberonc.daemon.generation import snapshot
from oberonc.daemon.generation.candidate import (
    Candidate,
    Predecessor,
    examine,
    fall_back,
)
from oberonc.daemon.generation.generation import Generation
from oberonc.daemon.generation.material import Plan
from oberonc.daemon.host_link import HostFailed
from oberonc.daemon.journal import Say
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.threads import in_a_thread
from oberonc.errors import NotAccepted, OberoncError

#: Seconds the old generation may take to finish what it runs.
DRAIN_TIMEOUT: Final = 60.0
#: Seconds a reload waits for that before it answers.
SETTLE: Final = 2.0


class Reloader:
    """Makes generations, one at a time, and takes them into service."""

    def __init__(self, config_path: str | None, queue: QueueLink, say: Say) -> None:
        self._config_path = config_path
        self._queue = queue
        self._say = say
        self._working = False
        self.current: Generation | None = None
        self.draining: Generation | None = None
        self._drainage: asyncio.Task[None] | None = None
        #: Called after each swap.
        self.on_swap: Callable[[], None] = lambda: None

    async def first(self) -> dict[str, Any]:
        """The generation to start with: what is in the folders now; what is broken
        there as it last ran.
        """
        active = await self._queue.active_generation()
        places = snapshot.remembered(self._folder(*active)) if active else {}
        return await self._reload(Predecessor(places, {}), partial=True, check=False)

    async def reload(self, *, partial: bool, check: bool) -> dict[str, Any]:
        """The report; raises NotAccepted while another reload, or its drain, is under
        way.
        """
        assert self.current is not None
        if self._working:
            raise NotAccepted("a reload is under way: wait for it")
        if self.draining:
            flights = self.draining.flights
            raise NotAccepted(
                f"generation {self.draining.number} is draining, {flights} in flight: try again"
            )
        before = Predecessor(self.current.snapshot.places, self.current.runtimes)
        return await self._reload(before, partial=partial, check=check)

    async def stop(self) -> None:
        """End every process of every generation."""
        if self._drainage:
            await asyncio.wait([self._drainage])
        if self.current:
            await self.current.stop()

    async def _reload(
        self, before: Predecessor, *, partial: bool, check: bool
    ) -> dict[str, Any]:
        self._working = True
        scratch = self._generations / f"new-{time.time_ns()}"
        try:
            plan = await in_a_thread(
                planning.make,
                self._config_path,
                self.current and self.current.config,
                scratch,
            )
            crash_point("snapshot")
            if check:
                return await self._check(plan)
            return await self._attempt(plan, before, partial=partial)
        except (OberoncError, OSError) as error:
            if self.current is None:
                raise
            return {
                "accepted": False,
                "message": str(error),
                "brokers": [],
                "generation": self.current.number,
            }
        finally:
            self._working = False
            await in_a_thread(snapshot.remove, scratch)

    async def _check(self, plan: Plan) -> dict[str, Any]:
        candidate = await examine(0, plan, self._say)
        await candidate.discard()
        return self._report(candidate, accepted=not candidate.faults)

    async def _attempt(
        self, plan: Plan, before: Predecessor, *, partial: bool
    ) -> dict[str, Any]:
        number = await self._queue.new_generation(plan.snapshot.digest)
        try:
            # Named for good before anything is imported: a late import looks where its
            # first one was found.
            settled = await in_a_thread(
                snapshot.settle,
                plan.snapshot,
                self._folder(number, plan.snapshot.digest),
            )
            plan = plan._replace(snapshot=settled)
            candidate = await examine(number, plan, self._say)
            if candidate.faults and partial:
                candidate = await fall_back(candidate, plan, before, self._say)
            elif candidate.faults:
                return await self._reject(candidate)
            return await self._accept(candidate)
        except (HostFailed, OSError) as error:
            await self._queue.reject_generation(number, str(error))
            raise

    async def _reject(self, candidate: Candidate) -> dict[str, Any]:
        report = self._report(candidate, accepted=False)
        await candidate.discard()
        await self._queue.reject_generation(
            candidate.generation.number, json.dumps(report)
        )
        return report

    async def _accept(self, candidate: Candidate) -> dict[str, Any]:
        """COMMIT and SWAP, and the beginning of DRAIN."""
        generation = candidate.generation
        report = self._report(candidate, accepted=True)
        crash_point("commit")
        await self._queue.commit_generation(generation.number, json.dumps(report))
        crash_point("committed")
        generation.adopt()
        old, self.current = self.current, generation
        self.on_swap()
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
        await self._queue.retire_generation(old.number)
        self.draining = None
        assert self.current is not None
        await in_a_thread(
            snapshot.prune, self._generations, {self.current.snapshot.root}
        )

    def _report(self, candidate: Candidate, *, accepted: bool) -> dict[str, Any]:
        """The verdicts, one row per broker, and what else was found."""
        generation, faults = candidate.generation, dict(candidate.faults)
        serving = generation if accepted and generation.number else self.current
        rows = [_row(candidate, faults, name) for name in sorted(generation.timeouts)]
        rows += [
            {"broker": key, "verdict": "broken", "why": why, "services": [], "mode": ""}
            for key, why in faults.items()
        ]
        good = sum(row["verdict"] == "ok" for row in rows)
        message = f"{good} ok" + "".join(
            f"; {row['broker']}: {row['why']}" for row in rows if row["verdict"] != "ok"
        )
        return {
            "accepted": accepted,
            "message": message,
            "brokers": rows,
            "generation": serving.number if serving else 0,
        }

    @property
    def _generations(self) -> Path:
        return self._queue.state / "generations"

    def _folder(self, number: int, digest: str) -> Path:
        return self._generations / f"{number}-{digest[:16]}"


def _row(candidate: Candidate, faults: dict[str, str], name: str) -> dict[str, Any]:
    """The verdict on one broker and its services; what it tells is taken out of
    *faults*.
    """
    generation = candidate.generation
    services = [
        service.name
        for service in generation.config.services.values()
        if service.broker == name
    ]
    keys = (name, *(f"service {service}" for service in services))
    why = "; ".join(faults.pop(key) for key in keys if key in faults)
    verdict = "ok" if not why else "kept" if name in candidate.kept else "broken"
    mode = "exec" if name in generation.threaded else "fork"
    return {
        "broker": name,
        "verdict": verdict,
        "why": why,
        "services": services,
        "mode": mode,
    }
