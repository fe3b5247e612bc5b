"""A generation on trial: is every broker file fit, and does every service's
configuration fit its broker?
"""

import asyncio
from pathlib import Path
from typing import Any, Final, NamedTuple

from oberonc import paths
from oberonc.broker.registry import Place
from oberonc.daemon.faults import crash_point
from oberonc.daemon.generation import snapshot
from oberonc.daemon.generation.generation import Generation, Runtime
from oberonc.daemon.generation.host_link import HostFailed
from oberonc.daemon.generation.material import Material
from oberonc.daemon.journal import Say
from oberonc.daemon.threads import in_a_thread
from oberonc.queue.values import Generation as Known

#: Seconds all files together may take to be examined.
EXAMINATION: Final = 30.0


class Predecessor(NamedTuple):
    """What a broken broker falls back to: where the code was, and how its services were
    configured.
    """

    places: dict[str, Place]
    runtimes: dict[str, Runtime]


def predecessor(
    current: Generation | None, known: list[Known], folder: Path
) -> Predecessor:
    """*current*, or at the daemon's start what its last run had active, of the
    generations *known* with their snapshots in *folder*.
    """
    if current:
        return Predecessor(current.snapshot.places, current.runtimes)
    places = {}
    for generation in known:
        if generation.state == "active":
            root = snapshot.settled(folder, generation.number, generation.digest)
            places = snapshot.remembered(root)
    return Predecessor(places, {})


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


async def examine(generation: Generation, material: Material) -> Candidate:
    """Start processes for *generation*, which is of *material*, and try everything.
    Raises HostFailed, OSError or TimeoutError.
    """
    services = material.config.services.values()
    faults = dict(material.faults)
    try:
        await _examine_files(generation, faults)
        crash_point("probe")
        for service in services:
            why = faults.get(f"service {service.name}") or faults.get(service.broker)
            if why is None and service.broker not in material.snapshot.places:
                why = f"there is no broker called '{service.broker}'"
            if why is not None:
                generation.unavailable[service.name] = why
        await generation.load()
        for service in services:
            if service.name not in generation.unavailable:
                why = await generation.admit(service, material.settings[service.name])
                if why:
                    faults[f"service {service.name}"] = why
        crash_point("warm")
    except BaseException:
        await generation.stop()
        raise
    return Candidate(generation, faults)


async def fall_back(
    candidate: Candidate, material: Material, before: Predecessor, say: Say
) -> Candidate:
    """A second trial, in which whatever failed is as it was in the generation before,
    or left out.
    """
    services = dict(material.config.services)
    settings = dict(material.settings)
    broken = {name for name in candidate.faults if name in material.snapshot.places}
    broken |= {services[name].broker for name in candidate.generation.unavailable}
    await candidate.generation.stop()
    old = {name: before.places[name] for name in broken if name in before.places}
    kept = await in_a_thread(snapshot.keep, material.snapshot, old)
    for name, service in material.config.services.items():
        if name in before.runtimes and service.broker in broken:
            services[name] = before.runtimes[name].service
            settings[name] = before.runtimes[name].settings
    unresolved = {
        f"service {name}": candidate.faults[f"service {name}"]
        for name in services
        if name not in settings
    }
    config = material.config._replace(services=services)
    generation = Generation(candidate.generation.number, config, kept, say)
    second = await examine(generation, Material(config, kept, settings, unresolved))
    return second._replace(faults=candidate.faults, kept=frozenset(old))


async def _examine_files(generation: Generation, faults: dict[str, str]) -> None:
    """Have each file imported: what the administrator put there, and what is used of
    the rest; what is wrong with one goes to *faults*.
    """
    used = {service.broker for service in generation.config.services.values()}
    shipped = str(paths.bundled("brokers"))
    places = [
        place
        for name, place in generation.snapshot.places.items()
        if name in used or (place.file is not None and place.origin != shipped)
    ]
    verdicts: dict[str, dict[str, Any]] = {}
    try:
        async with asyncio.timeout(EXAMINATION):
            root = await generation.root()
            async for verdict in root.probe(places):
                verdicts[verdict["name"]] = verdict
    except TimeoutError:
        raise HostFailed(
            f"examining the brokers took more than {EXAMINATION:g} s: reload again with fewer"
        ) from None
    for name, verdict in verdicts.items():
        generation.timeouts[name] = verdict["timeout"]
        generation.plugins[name] = verdict["plugins"]
        if verdict["threads"]:
            generation.threaded.add(name)
        if verdict["why"]:
            faults[name] = generation.snapshot.shown(verdict["why"])
