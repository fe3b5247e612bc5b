"""Tells open pages that something changed, as server-sent events: one look at the daemon
for all of them, and none while nobody looks.

`changed`: the page is to be read again. `gone`: the daemon does not answer.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import OberoncError
from oberonc.web.page.frame import HEADERS, Frame
from oberonc.web.settings import ROLES

#: Seconds between two looks, and after which ages are told anew though nothing changed.
INTERVAL: Final = 1.0
AGES: Final = 30
#: Seconds of a stream: a browser that comes again shows its session again.
LIFE: Final = 300.0
#: Seconds without a word, so that no proxy takes a stream for dead.
SILENCE: Final = 15.0
#: Streams at once.
MOST: Final = 200
#: Of a service, what only time changes.
_AGEING: Final = ("oldest", "behind")
_TOLD: Final = (
    "deliveries",
    "draining",
    "events",
    "generation",
    "paused_lanes",
    "spool",
    "spool_bad",
    "spool_unreadable",
    "storage_low",
    "unclaimed",
)


class Live:
    """Owned by the event loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._waiting: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        #: What was seen last; empty where the daemon does not answer.
        self._seen: str | None = None
        self._closed = False

    def close(self) -> None:
        """End all streams, and begin no more."""
        self._closed = True
        if self._task:
            self._task.cancel()
        self._wake()

    def view(self, frame: Frame) -> Any:
        """The view of the stream, for whoever may read."""

        async def answer(request: HttpRequest) -> HttpResponse:
            person = frame.person(request)
            status = 0
            if request.method != "GET":
                status = 405
            elif person is None or "read" not in ROLES[person.role]:
                status = 403
            elif self._closed or len(self._waiting) >= MOST:
                status = 503
            if status:
                allow = {"Allow": "GET"} if status == 405 else {}
                return HttpResponse(
                    status=status, content_type="text/plain", headers=HEADERS | allow
                )
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingHttpResponse(
                self._stream(request.headers.get("Last-Event-ID")),
                content_type="text/event-stream",
                headers=HEADERS | headers,
            )

        return answer

    async def _stream(self, told: str | None) -> AsyncIterator[str]:
        mine = asyncio.Event()
        self._waiting.add(mine)
        end = time.monotonic() + LIFE
        try:
            if self._task is None or self._task.done():
                self._seen = None
                self._task = asyncio.create_task(self._watch())
            yield "retry: 2000\n\n"
            while not self._closed and time.monotonic() < end:
                seen = self._seen
                if seen is not None and seen != told:
                    told = seen
                    yield f"id: {seen}\nevent: {'changed' if seen else 'gone'}\ndata:\n\n"
                mine.clear()
                try:
                    async with asyncio.timeout(SILENCE):
                        await mine.wait()
                except TimeoutError:
                    yield ":\n\n"
        finally:
            self._waiting.discard(mine)

    async def _watch(self) -> None:
        while self._waiting:
            seen = await asyncio.to_thread(self._look)
            if seen != self._seen:
                self._seen = seen
                self._wake()
            await asyncio.sleep(INTERVAL)

    def _wake(self) -> None:
        for one in self._waiting:
            one.set()

    def _look(self) -> str:
        try:
            stats = handover.call(self._config, "stats", within=5.0)["stats"]
        except OberoncError:
            return ""
        services = {
            name: {key: value for key, value in row.items() if key not in _AGEING}
            for name, row in stats["services"].items()
        }
        told = [int(time.time()) // AGES, services, *(stats[key] for key in _TOLD)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
