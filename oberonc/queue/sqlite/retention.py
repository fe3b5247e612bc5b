"""What the queue forgets: events that ended long ago, and what waits for a service that
is gone.
"""

from collections.abc import Collection
from typing import Final

from oberonc.queue.sqlite.counting import Counting
from oberonc.queue.sqlite.database import Database, Part, durable
from oberonc.queue.sqlite.reading import Reading
from oberonc.queue.sqlite.rows import Move, Position, follow, move_members
from oberonc.queue.sqlite.tallies import DEAD, READY
from oberonc.queue.values import DEDUPE_MS, UNCLAIMED_GRACE_MS, Delivery, Swept

EXPIRED = "SELECT seq FROM event WHERE ended_age <= ? AND ended_age IS NOT NULL AND stub = 0 LIMIT ?"
EXPIRED_STUBS = "SELECT seq FROM event WHERE ended_age <= ? AND stub = 1 LIMIT ?"
OF_EVENT = """
SELECT d.lane, l.ordinal, l.service, d.state FROM delivery d JOIN lane l ON l.id = d.lane WHERE d.seq = ?"""
UNCLAIMED = """
INSERT INTO service(name, unclaimed_age) VALUES(:name, :age)
ON CONFLICT DO UPDATE SET unclaimed_age = coalesce(unclaimed_age, :age) RETURNING unclaimed_age"""
NOTED = "SELECT name FROM service WHERE unclaimed_age IS NOT NULL"
CLAIMED = "UPDATE service SET unclaimed_age = NULL WHERE name = ?"
WAITING = """
SELECT d.id, d.seq, d.lane FROM lane l CROSS JOIN delivery d ON d.lane = l.id
WHERE l.service = :service AND d.state = 0 AND d.parked = {} AND d.joined IS NULL LIMIT :limit"""
BURY = "UPDATE delivery SET state = 3, suspect = 0, ended_ms = ?, note = ? WHERE id = ?"
#: What hangs on an event, in an order that breaks no reference.
_OF_EVENT: Final = ("delivery", "body", "event_commit")


class Retention(Part):
    """`sweep`."""

    def __init__(
        self, database: Database, reading: Reading, counting: Counting
    ) -> None:
        super().__init__(database)
        self._reading = reading
        self._counting = counting

    @durable
    def sweep(
        self, now: int, configured: Collection[str], keep_ms: int, limit: int = 500
    ) -> Swept:
        """See `Queue.sweep`."""
        self._database.periods.forget(now, keep_ms)
        age = self._database.age
        expired = self._con.execute(EXPIRED, (age - keep_ms, limit)).fetchall()
        dead = sum(self._forget(seq) for (seq,) in expired)
        # The row of an event goes when it has answered duplicates long enough.
        self._con.executemany("UPDATE event SET stub = 1 WHERE seq = ?", expired)
        before = age - max(keep_ms, DEDUPE_MS)
        stubs = self._con.execute(EXPIRED_STUBS, (before, limit)).fetchall()
        self._con.executemany("DELETE FROM event WHERE seq = ?", stubs)
        self._database.tallies.add("", "pruned_events", len(expired))
        self._database.tallies.add("", "pruned_dead", dead)
        buried = self._bury_unclaimed(now, configured, limit)
        more = limit in (len(expired), len(stubs), len(buried))
        return Swept(len(expired), dead, tuple(buried), more)

    def _forget(self, seq: int) -> int:
        """Remove all of an event but its row; returns how many dead letters went with
        it.
        """
        rows = self._con.execute(OF_EVENT, (seq,)).fetchall()
        for table in _OF_EVENT:
            self._con.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))  # noqa: S608 - names from above
        for lane, ordinal, service, state in rows:
            self._database.tallies.place(service, state, 0, -1)
            self._database.tallies.add(service, "pruned")
            if ordinal:
                self._con.execute("DELETE FROM lane WHERE id = ?", (lane,))
        return sum(state == DEAD for *_, state in rows)

    def _bury_unclaimed(
        self, now: int, configured: Collection[str], limit: int
    ) -> list[Delivery]:
        """Give up what has waited long enough for somebody to serve it again."""
        waiting = self._counting.unclaimed(configured)
        noted = self._con.execute(NOTED).fetchall()
        claimed = [(name,) for (name,) in noted if name not in waiting]
        self._con.executemany(CLAIMED, claimed)
        buried: list[Delivery] = []
        for name in waiting:
            age = self._database.age
            (since,) = self._database.row(UNCLAIMED, name=name, age=age)
            if age - since < UNCLAIMED_GRACE_MS:
                continue
            for parked in (0, 1):
                found = self._database.rows(
                    WAITING.format(parked), service=name, limit=limit - len(buried)
                )
                for id, seq, lane in found:
                    note = "no service of this name is configured any more"
                    self._con.execute(BURY, (now, note, id))
                    old, new = Position(READY, parked), Position(DEAD, parked)
                    move = Move(id, seq, lane, name, old, new)
                    moves = [move, *move_members(self._database, move, now, note)]
                    follow(self._database, moves)
                    self._database.tallies.add(name, "dead", len(moves))
                    self._database.periods.add(now, name, dead=len(moves))
                    buried += self._reading.without_attempts(one.id for one in moves)
        return buried
