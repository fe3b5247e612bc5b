"""What happened in each minute and each hour, so that charts outlive the daemon."""

import sqlite3
from typing import Any, Final

from oberonc.policy import DAY, HOUR, MINUTE

#: Columns of `period` that count.
COUNTS: Final = ("accepted", "done", "retried", "dead", "took_ms")
ADD: Final = """
INSERT INTO period(span_ms, began_ms, service, accepted, done, retried, dead, took_ms)
VALUES(?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, done = done + excluded.done,
  retried = retried + excluded.retried, dead = dead + excluded.dead, took_ms = took_ms + excluded.took_ms"""
FORGET: Final = "DELETE FROM period WHERE span_ms = ? AND began_ms < ?"
#: Minutes are kept for a day.
MINUTES_MS: Final = DAY


class Periods:
    """Counts of the batch that is written, by service; '' is all of them.

    A clock that is set back counts into a time that it shows for the second time; one
    that leaps ahead has what is older than it says forgotten. Nothing is decided by it.
    """

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con
        self._changed: dict[tuple[int, str], dict[str, int]] = {}

    def add(self, now: int, service: str, **counts: int) -> None:
        """Count more of COUNTS for *service* and, but for what it accepted, for all: a
        push is counted there once, for however many services it is.
        """
        self._add(now, service, counts)
        if service:
            self._add(now, "", counts | {"accepted": 0})

    def _add(self, now: int, service: str, counts: dict[str, int]) -> None:
        minute = now - now % MINUTE
        known = self._changed.setdefault((minute, service), dict.fromkeys(COUNTS, 0))
        for name, n in counts.items():
            known[name] += n

    def write(self) -> None:
        """Put the changes into the transaction."""
        if not self._changed:
            return
        rows: list[tuple[Any, ...]] = []
        for (minute, service), counts in self._changed.items():
            if any(counts.values()):
                rows.append((MINUTE, minute, service, *counts.values()))
                hour = minute - minute % HOUR
                rows.append((HOUR, hour, service, *counts.values()))
        self._con.executemany(ADD, rows)

    def settle(self) -> None:
        """The transaction is over."""
        self._changed.clear()

    def forget(self, now: int, keep_ms: int) -> None:
        """Leave a day of minutes, and *keep_ms* of hours."""
        self._con.execute(FORGET, (MINUTE, now - MINUTES_MS))
        self._con.execute(FORGET, (HOUR, now - max(keep_ms, MINUTES_MS)))
