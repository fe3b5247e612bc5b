"""The breaker of a service: after failures that no one delivery can be blamed for,
nothing is sent to its destination but a probe now and then.

Pure values, the same for every engine: it loads the row, asks here what comes of it,
and keeps the answer.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from oberonc.policy import MINUTE, SECOND, EndingKind

#: This many transient failures in a row, over two lanes or more, open the breaker.
STREAK: Final = 5
#: The wait for the first probe, and the longest one for the next.
PROBE_FIRST_MS: Final = 30 * SECOND
PROBE_LAST_MS: Final = 10 * MINUTE


class BreakerState(StrEnum):
    """Whether deliveries of a service may start."""

    CLOSED = "closed"
    OPEN = "open"
    #: Half open: one delivery runs, and its end decides.
    PROBING = "probing"


class Breaker(NamedTuple):
    """What is known of the destination of one service."""

    state: BreakerState = BreakerState.CLOSED
    #: How often it has opened or closed: a wait during which this grew is excused.
    changes: int = 0
    #: Transient failures in a row, the lane of the first of them, and whether another
    #: lane failed too.
    failures: int = 0
    streak_lane: int | None = None
    spread: bool = False
    #: The delivery that is the probe, when the next may go, and what it waited for.
    probe: int | None = None
    probe_due_ms: int | None = None
    probe_wait_ms: int | None = None
    #: Of the last attempt that ended, if it failed.
    last_error: str = ""
    last_error_ms: int | None = None

    def allows(self, now: int, free: int) -> int:
        """How many deliveries may start now where *free* could."""
        if self.state is BreakerState.CLOSED:
            return free
        if self.state is BreakerState.OPEN and now >= (self.probe_due_ms or 0):
            return min(free, 1)
        return 0

    def wakes(self, due: int) -> int | None:
        """When a delivery that is due at *due* may start; None: not before something
        else has ended.
        """
        if self.state is BreakerState.CLOSED:
            return due
        if self.state is BreakerState.OPEN:
            return max(due, self.probe_due_ms or 0)
        return None

    def excuses(self, changes: int) -> bool:
        """Whether time that began when it had changed this often is not a delivery's
        own fault: its destination is known to be down, or was since.
        """
        return self.state is not BreakerState.CLOSED or changes != self.changes

    def probed(self, delivery: int) -> "Breaker":
        """*delivery*, the probe, has started."""
        return self._replace(state=BreakerState.PROBING, probe=delivery)

    def closed(self) -> "Breaker":
        """It lets everything through again."""
        if self.state is BreakerState.CLOSED:
            return self
        return Breaker(
            changes=self.changes + 1,
            last_error=self.last_error,
            last_error_ms=self.last_error_ms,
        )

    def answered(self) -> "Breaker":
        """The destination has answered."""
        if not self.failures and self.last_error_ms is None:
            return self.closed()
        return self.closed()._replace(
            failures=0, spread=False, last_error="", last_error_ms=None
        )

    def ended(
        self, now: int, kind: EndingKind, delivery: int, lane: int, note: str
    ) -> "Breaker":
        """An attempt of *delivery* has ended as *kind*.

        Only a transient failure speaks against the destination: who is rejected or half
        done was answered.
        """
        after = self
        if kind in ("done", "dead", "progress"):
            after = after.answered()
        if kind in ("dead", "crash"):
            after = after._replace(last_error=note, last_error_ms=now)
        if kind == "retry":
            after = after._failed(now, lane, note)
        if after.probe == delivery:
            wait = self.probe_wait_ms or PROBE_FIRST_MS
            if kind == "retry":
                wait = min(2 * wait, PROBE_LAST_MS)
            due = now if kind == "interrupted" else now + wait
            after = after._replace(
                state=BreakerState.OPEN,
                probe=None,
                probe_due_ms=due,
                probe_wait_ms=wait,
            )
        return after

    def _failed(self, now: int, lane: int, note: str) -> "Breaker":
        first = self.failures == 0
        after = self._replace(
            failures=self.failures + 1,
            streak_lane=lane if first else self.streak_lane,
            spread=not first and (self.spread or self.streak_lane != lane),
            last_error=note,
            last_error_ms=now,
        )
        if (
            after.failures >= STREAK
            and after.spread
            and after.state is BreakerState.CLOSED
        ):
            return after._replace(
                state=BreakerState.OPEN,
                changes=self.changes + 1,
                probe=None,
                probe_due_ms=now + PROBE_FIRST_MS,
                probe_wait_ms=PROBE_FIRST_MS,
            )
        return after
