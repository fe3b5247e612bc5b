"""A generation on trial: is every broker file fit, and does every service's
configuration fit its broker?
"""

import asyncio
from typing import Any, Final, NamedTuple

from oberonc import redaction
from oberonc.broker.registry import Place
from oberonc.broker.secrets import to_wire
from oberonc.config import Service
from oberonc.daemon.faults import crash_point
from oberonc.daemon.generation import snapshot
from oberonc.daemon.generation.generation import Generation, Runtime
from oberonc.daemon.generation.material import Plan
from oberonc.daemon.host_link import PROBE_LIMIT, HostFailed
from oberonc.daemon.journal import Say
from oberonc.daemon.threads import in_a_thread
from oberonc.daemon.worker_link import WorkerLost
from oberonc.delivery import frames
from oberonc.text import one_line

#: Seconds all files together may take to be examined.
EXAMINATION: Final = 30.0


class Predecessor(NamedTuple):
    """What a broken broker falls back to: where the code was, and how its services were
    configured.
    """

    places: dict[str, Place]
    runtimes: dict[str, Runtime]


class Candidate(NamedTuple):
    """What came out: a generation whose hosts run, and what is wrong, by broker,
    `service NAME` or path.
    """

    generation: Generation
    faults: dict[str, str]
    #: Brokers that run the code of the generation before.
    kept: frozenset[str] = frozenset()

    async def discard(self) -> None:
        """Nothing of it is left."""
        await self.generation.stop()
        await in_a_thread(snapshot.remove, self.generation.snapshot.root)


async def examine(number: int, plan: Plan, say: Say) -> Candidate:
    """Start processes on *plan*'s snapshot and try everything. Raises HostFailed."""
    generation = Generation(number, plan.config, plan.snapshot, say)
    try:
        faults = dict(plan.faults) | await _examine_files(generation, plan)
        crash_point("probe")
        _mark_unavailable(generation, faults)
        await generation.load()
        for service in plan.config.services.values():
            if service.name not in generation.unavailable:
                await _try_service(
                    generation, service, plan.settings[service.name], faults
                )
        crash_point("warm")
    except BaseException:
        await generation.stop()
        raise
    return Candidate(generation, faults)


async def fall_back(
    candidate: Candidate, plan: Plan, before: Predecessor, say: Say
) -> Candidate:
    """A second trial, in which whatever failed is as it was in the generation before,
    or left out.
    """
    broken = {name for name in candidate.faults if name in plan.snapshot.places}
    affected = set(candidate.generation.unavailable)
    broken |= {plan.config.services[name].broker for name in affected}
    await candidate.generation.stop()
    old = {name: before.places[name] for name in broken if name in before.places}
    kept = await in_a_thread(snapshot.keep, plan.snapshot, old)
    services = dict(plan.config.services)
    settings = dict(plan.settings)
    for name, service in plan.config.services.items():
        if name in before.runtimes and service.broker in broken:
            services[name] = before.runtimes[name].service
            settings[name] = before.runtimes[name].settings
    unresolved = {
        f"service {name}": candidate.faults[f"service {name}"]
        for name in services
        if name not in settings
    }
    second = await examine(
        candidate.generation.number,
        Plan(plan.config._replace(services=services), kept, settings, unresolved),
        say,
    )
    return second._replace(faults=candidate.faults, kept=frozenset(old))


async def _examine_files(generation: Generation, plan: Plan) -> dict[str, str]:
    faults: dict[str, str] = {}
    places = plan.examined()
    verdicts: dict[str, dict[str, Any]] = {}
    try:
        async with asyncio.timeout(EXAMINATION):
            async for verdict in (await generation.root()).probe(places):
                verdicts[verdict["name"]] = verdict
    except TimeoutError:
        raise HostFailed(
            f"examining the brokers took more than {EXAMINATION:g} s: reload again with fewer"
        ) from None
    for name, verdict in verdicts.items():
        generation.timeouts[name] = verdict["timeout"]
        if verdict["threads"]:
            generation.threaded.add(name)
        if verdict["why"]:
            faults[name] = plan.snapshot.shown(verdict["why"])
    return faults


def _mark_unavailable(generation: Generation, faults: dict[str, str]) -> None:
    for service in generation.config.services.values():
        own = faults.get(f"service {service.name}")
        why = own or faults.get(service.broker)
        if why is None and service.broker not in generation.snapshot.places:
            why = f"there is no broker called '{service.broker}'"
        if why is not None:
            generation.unavailable[service.name] = why


async def _try_service(
    generation: Generation,
    service: Service,
    settings: dict[str, Any],
    faults: dict[str, str],
) -> None:
    """Bind the service in a worker of its own, which then stays, warm, for its first
    delivery.
    """
    worker = await generation.new_worker(service.name)
    request = {
        "op": "verify",
        "service": service.name,
        "settings": to_wire(settings),
        "state": str(generation.config.state),
    }
    try:
        fault = (await worker.ask(frames.encode(request), PROBE_LIMIT))["verified"]
    except WorkerLost as lost:
        fault = f"{lost}: {_end(redaction.redact(worker.printed(), redaction.secrets_in(settings), cut=True))}"
    fault = (
        fault
        if fault is None
        else redaction.redact(str(fault), redaction.secrets_in(settings))
    )
    if fault is None:
        limit = service.timeout or generation.timeouts.get(service.broker, 60.0)
        generation.runtimes[service.name] = Runtime(service, settings, limit)
        generation.give_back(worker)
        return
    worker.retire()
    where = (
        ""
        if service.origin in str(fault)
        else f"{service.origin}: service '{service.name}': "
    )
    generation.unavailable[service.name] = faults[f"service {service.name}"] = (
        where + str(fault)
    )


def _end(printed: str) -> str:
    return one_line(printed[-300:])
