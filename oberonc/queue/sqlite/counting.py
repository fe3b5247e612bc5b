"""Counts and states of the whole queue; what they cost does not depend on how much is
queued.
"""

from collections.abc import Collection
from typing import Final

from oberonc.queue.sqlite.database import Part, durable
from oberonc.queue.sqlite.rows import service_of
from oberonc.queue.sqlite.tallies import NOW
from oberonc.queue.values import SPANS, Period, ServiceStats, Span, Stats

NEXT_WAKE: Final = """
SELECT min(wake_ms) FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms IS NOT NULL"""
OLDEST = """
SELECT accepted_ms FROM event WHERE seq = (
  SELECT min(oldest) FROM lane WHERE service = ? AND oldest IS NOT NULL)"""
#: The columns of `rows.SERVICE` after the name.
SERVICES = """
SELECT name, paused, next_ms, turns, failures, streak_lane, spread, probe, probe_due_ms, probe_wait_ms, last_error,
  last_error_ms
FROM service"""
PERIODS: Final = """
SELECT began_ms, service, accepted, done, retried, dead, took_ms FROM period
WHERE span_ms = :span AND began_ms >= :since {} ORDER BY began_ms, service"""
#: Whether those of every service are wanted.
_OF: Final = {True: "", False: "AND service = :service"}
_COUNTERS: Final = (
    "accepted",
    "done",
    "retry",
    "crash",
    "dead",
    "interrupted",
    "progress",
    "orphaned",
    "cancelled",
    "expired",
    "collapsed",
    "redriven",
    "pruned",
)
_TOTALS: Final = (
    "accepted",
    "duplicates",
    "conflicts",
    "storage_low",
    "late_results",
    "pruned_events",
    "pruned_dead",
)


class Counting(Part):
    """`stats`, `periods`, `unclaimed`, `paused_lanes`."""

    @durable
    def stats(self, now: int) -> Stats:
        """See `Queue.stats`."""
        tallies = self._database.tallies
        counts = tallies.by_service()
        rows = {name: row for name, *row in self._con.execute(SERVICES)}
        services = {}
        for name in sorted((counts.keys() | rows.keys()) - {""}):
            count = counts.get(name, {})
            paused, breaker, next_ms = service_of(rows.get(name))
            oldest = self._con.execute(OLDEST, (name,)).fetchone()
            (oldest_due,) = self._con.execute(NEXT_WAKE, (name,)).fetchone()
            services[name] = ServiceStats(
                ready=count.get(NOW + "ready", 0),
                leased=count.get(NOW + "leased", 0),
                done=count.get(NOW + "done", 0),
                dead=count.get(NOW + "dead", 0),
                cancelled=count.get(NOW + "cancelled", 0),
                expired=count.get(NOW + "expired", 0),
                collapsed=count.get(NOW + "collapsed", 0),
                parked=count.get(NOW + "parked", 0),
                paused=paused,
                breaker=breaker.state,
                failures=breaker.failures,
                probe_due_ms=breaker.probe_due_ms,
                next_ms=next_ms,
                oldest_ms=oldest[0] if oldest else None,
                oldest_due_ms=oldest_due,
                last_error=breaker.last_error,
                last_error_ms=breaker.last_error_ms,
                counters={name: count.get(name, 0) for name in _COUNTERS},
            )
        (paused_lanes,) = self._database.row(
            "SELECT count(*) FROM lane WHERE paused = 1"
        )
        totals = {name: tallies.get("", name) for name in _TOTALS}
        return Stats(services, totals, paused_lanes, self._database.space.room)

    @durable
    def periods(
        self, now: int, span: Span, last: int, service: str | None
    ) -> list[Period]:
        """See `Queue.periods`."""
        length = SPANS[span]
        values = {
            "span": length,
            "since": now - now % length - (last - 1) * length,
            "service": service,
        }
        found = self._database.rows(PERIODS.format(_OF[service is None]), **values)
        return [Period(*row) for row in found]

    @durable
    def paused_lanes(self) -> list[tuple[str, str]]:
        """See `Queue.paused_lanes`."""
        return self._database.rows(
            "SELECT DISTINCT service, repo FROM lane WHERE paused = 1 ORDER BY 1, 2"
        )

    @durable
    def unclaimed(self, configured: Collection[str]) -> dict[str, int]:
        """See `Queue.unclaimed`."""
        waiting = {
            name: counts.get(NOW + "ready", 0)
            for name, counts in self._database.tallies.by_service().items()
        }
        return {
            name: count
            for name, count in waiting.items()
            if count and name and name not in configured
        }
