"""Operations on the daemon itself: that it is
there, what it did and has to do, what it serves.
"""

import os
import time
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any, Final, get_args

import oberonc
from oberonc.broker import declared
from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.operations.answers import Answer
from oberonc.daemon.operations.request import MOST_ROWS, Request, number, text
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.reload import Reloader
from oberonc.delivery import frames, spool
from oberonc.queue.breaker import BreakerState
from oberonc.queue.values import Period, ServiceStats, Span, State, Stats

#: {field of a request: (what it counts, the most of them)}
_PERIODS: Final[dict[str, tuple[Span, int]]] = {
    "minutes": ("minute", 1440),
    "hours": ("hour", 366 * 24),
}
#: The most of them for each service.
MOST_EACH: Final = 120


class Status:
    """*connections* are the clients, and *refused* how often something was refused, by
    the `error` of the answer; *folder* is the spool.
    """

    def __init__(
        self,
        queue: QueueLink,
        intake: Intake,
        reloader: Reloader,
        dispatcher: Dispatcher,
        connections: Sized,
        refused: Mapping[str, int],
        folder: Path,
    ) -> None:
        self._queue = queue
        self._intake = intake
        self._dispatcher = dispatcher
        self._reloader = reloader
        self._connections = connections
        self._refused = refused
        self._spool = folder
        self._began = time.monotonic()

    async def ping(self, _request: Request, _uid: int) -> Answer:
        """`ping`: versions of protocol and daemon, and the generation in service."""
        return {
            "ok": True,
            "v": [frames.VERSION, frames.VERSION],
            "version": oberonc.__version__,
            "generation": self._reloader.current.number,
        }

    async def stats(self, request: Request, _uid: int) -> Answer:
        """`stats`: counts and states; with `minutes` or `hours`, what happened in each
        of so many.

        These are of all services together, of `service`, or with `each` of every one.
        """
        value = await self._stats()
        for key, (span, most) in _PERIODS.items():
            last = number(request, key, 0)
            if last:
                value[key] = await self._periods(request, span, min(last, most))
        return {"ok": True, "stats": value}

    async def _periods(
        self, request: Request, span: Span, last: int
    ) -> list[dict[str, Any]]:
        service = text(request, "service") or ""
        each = bool(request.get("each"))
        if each:
            last = min(last, MOST_EACH)
        found = await self._queue.call(
            lambda queue: queue.periods(now_ms(), span, last, None if each else service)
        )
        return [period_row(period) for period in found]

    async def brokers(self, _request: Request, _uid: int) -> Answer:
        """`brokers`: every broker of the generation in service, every configured
        service, and which repositories are paused for one.
        """
        generation = self._reloader.current
        brokers = [
            {
                "broker": name,
                "origin": place.origin,
                "doc": declared.docline(place),
                "mode": "exec" if name in generation.threaded else "fork",
                "plugins": generation.plugins.get(name, {}),
                "services": [
                    service.name
                    for service in generation.config.services.values()
                    if service.broker == name
                ],
            }
            for name, place in sorted(generation.snapshot.places.items())
        ]
        paused = await self._queue.call(lambda queue: queue.paused_lanes())
        return {
            "ok": True,
            "generation": generation.number,
            "brokers": brokers,
            "services": (await self._stats())["services"],
            "paused_lanes": paused[:MOST_ROWS],
        }

    async def generations(self, _request: Request, _uid: int) -> Answer:
        """`generation`: the newest generations."""
        known = await self._queue.call(lambda queue: queue.generations())
        return {"ok": True, "generations": [row._asdict() for row in known]}

    async def _stats(self) -> dict[str, Any]:
        config, now = self._intake.config, now_ms()
        known, unclaimed = await self._queue.call(
            lambda queue: (queue.stats(now), queue.unclaimed(list(config.services)))
        )
        generation, draining = self._reloader.current, self._reloader.draining
        value: dict[str, Any] = {
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._began, 3),
            "version": oberonc.__version__,
            "generation": generation.number,
            "draining": draining.number if draining else None,
            "workers": {
                "running": self._dispatcher.running,
                "idle": generation.idle,
                "limit": config.daemon.workers,
            },
            "connections": len(self._connections),
            "refused": dict(self._refused),
            "spool": self._intake.files,
            "spool_unreadable": self._intake.unreadable,
            "spool_bad": len(spool.rejected(self._spool)),
        }
        value |= summary(known, now)
        for name, service in config.services.items():
            row = value["services"].setdefault(name, service_row(None, now))
            row["broker"] = service.broker
            row["problem"] = generation.unavailable.get(name, "")
        value["unclaimed"] = unclaimed
        return value


def period_row(period: Period) -> dict[str, Any]:
    """A minute or an hour: when it began, in seconds since 1970, counts, and `latency`,
    the mean seconds from being accepted to being done; None where nothing was.
    """
    latency = period.took_ms / period.done / 1000 if period.done else None
    return {
        "began": period.began_ms // 1000,
        "service": period.service,
        "accepted": period.accepted,
        "done": period.done,
        "retried": period.retried,
        "dead": period.dead,
        "latency": latency,
    }


def service_row(known: ServiceStats | None, now: int) -> dict[str, Any]:
    """One service's row, as of one that is not configured; *known* is None before its
    first event.

    `oldest` is the age in seconds of the oldest delivery that
    has not ended, `behind` how long its most overdue lane could
    have been worked on; both None where there is nothing.
    """
    if known is None:
        known = ServiceStats(
            ready=0,
            leased=0,
            done=0,
            dead=0,
            cancelled=0,
            expired=0,
            collapsed=0,
            parked=0,
            paused=False,
            breaker=BreakerState.CLOSED,
            failures=0,
            probe_due_ms=None,
            next_ms=None,
            oldest_ms=None,
            oldest_due_ms=None,
            last_error="",
            last_error_ms=None,
            counters={},
        )
    row = known._asdict()
    for name, key in (("oldest", "oldest_ms"), ("behind", "oldest_due_ms")):
        since = row.pop(key)
        row[name] = max(0.0, (now - since) / 1000) if since is not None else None
    return row | {"broker": None, "problem": ""}


def summary(stats: Stats, now: int) -> dict[str, Any]:
    """The queue's part of `stats --json`."""
    rows = stats.services.values()
    states = (*get_args(State), "parked")
    counters = stats.counters
    return {
        "events": {
            name: counters.get(name, 0)
            for name in ("accepted", "duplicates", "conflicts", "storage_low")
        },
        "deliveries": {
            state: sum(getattr(row, state) for row in rows) for state in states
        },
        "late_results": counters.get("late_results", 0),
        "pruned": {
            "events": counters.get("pruned_events", 0),
            "dead": counters.get("pruned_dead", 0),
        },
        "services": {
            name: service_row(row, now) for name, row in sorted(stats.services.items())
        },
        "paused_lanes": stats.paused_lanes,
        "storage_low": stats.room.low,
        "storage_free": stats.room.free,
        "storage_threshold": stats.room.threshold,
    }
