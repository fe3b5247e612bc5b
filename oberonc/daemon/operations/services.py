"""Operations on services and repositories: paused, resumed, tested, renamed."""

from collections.abc import Iterable
from pathlib import Path

from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import About, Say
from oberonc.daemon.operations import renaming
from oberonc.daemon.operations.answers import Answer
from oberonc.daemon.operations.request import Request, actor, because, text
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.reload import Reloader
from oberonc.errors import BadInput, NotAccepted
from oberonc.text import nearest


class Services:
    """What can be asked of services and repositories; *state* is the daemon's folder."""

    def __init__(
        self,
        queue: QueueLink,
        intake: Intake,
        reloader: Reloader,
        state: Path,
        say: Say,
    ) -> None:
        self._queue = queue
        self._intake = intake
        self._reloader = reloader
        #: Services that are being tested.
        self._tested: set[str] = set()
        self._state = state
        self._say = say

    async def pause(self, request: Request, uid: int) -> Answer:
        """`lane.pause`: lease nothing more of a service, or of one of its lanes."""
        service = _service(request, self._intake.config.services)
        repo = text(request, "repository")
        await self._queue.call(lambda queue: queue.pause(service, repo))
        self._say(
            f"{actor(request, uid)} paused it{because(request)}",
            About(service, repo=repo or ""),
        )
        return {"ok": True}

    async def resume(self, request: Request, uid: int) -> Answer:
        """`lane.resume`: undo `lane.pause`."""
        # One that is no longer configured may have been paused before.
        kept = await self._queue.call(lambda queue: queue.stats(now_ms()).services)
        service = _service(request, [*self._intake.config.services, *kept])
        repo = text(request, "repository")
        await self._queue.call(lambda queue: queue.resume(service, repo))
        self._say(
            f"{actor(request, uid)} resumed it{because(request)}",
            About(service, repo=repo or ""),
        )
        self._queue.expect()
        return {"ok": True}

    async def test(self, request: Request, uid: int) -> Answer:
        """`service.test`: prove that a service could do its work, without changing
        anything: what was found, as `oberonc brokers test` shows it.
        """
        service = _service(request, self._intake.config.services)
        if service in self._tested:
            raise NotAccepted(f"service '{service}' is being tested")
        self._say(f"{actor(request, uid)} tested it", About(service))
        self._tested.add(service)
        try:
            findings = await self._reloader.current.check(service)
        finally:
            self._tested.discard(service)
        return {"ok": True, "findings": findings}

    async def rename(self, request: Request, uid: int) -> Answer:
        """`rename`: a repository has another name,
        and its issues, ledger and lanes follow.
        """
        old, new = text(request, "old") or "", text(request, "new") or ""
        renaming.check(old, new)
        await self._intake.catch_up(old)
        moved = await self._queue.call(
            lambda queue: renaming.in_queue(queue, self._state, old, new)
        )
        self._say(f"{actor(request, uid)} renamed {old} to {new}")
        self._queue.expect()
        return {"ok": True, **moved}


def _service(request: Request, known: Iterable[str]) -> str:
    """The service that *request* names, one of the *known*; raises BadInput."""
    service = text(request, "service")
    if service is None:
        raise BadInput("name a service")
    services = list(known)
    if service not in services:
        raise BadInput(
            f"there is no service called '{service}'{nearest(service, services)}"
        )
    return service
