"""After the death of a daemon, and after a leap of the clock."""

from oberonc import policy
from oberonc.policy import LONGEST_MS, Spent
from oberonc.queue.breaker import PROBE_LAST_MS
from oberonc.queue.sqlite.database import Database, Known, Part, durable
from oberonc.queue.sqlite.finishing import END_ATTEMPT
from oberonc.queue.sqlite.reading import Reading
from oberonc.queue.sqlite.rows import Move, Position, follow, move_members
from oberonc.queue.sqlite.tallies import DEAD, LEASED, READY
from oberonc.queue.values import Recovered

ORPHANS = """
SELECT d.id, d.seq, d.lane, l.service, d.attempt, d.parked, d.orphans, d.members
FROM delivery d INDEXED BY delivery_one_leased JOIN lane l ON l.id = d.lane WHERE d.state = 1"""
ORPHANED = """
UPDATE delivery SET state = :state, suspect = :suspect, orphans = :orphans, due_ms = :now, since_ms = NULL,
  ended_ms = :ended, note = CASE WHEN :ended IS NULL THEN note ELSE :note END WHERE id = :id"""
#: A probe in flight died with its lease; the next may go at once.
NO_PROBES = "UPDATE service SET probe = NULL, probe_due_ms = ? WHERE probe IS NOT NULL"
FAR = "UPDATE delivery SET due_ms = :limit WHERE state = 0 AND due_ms > :limit"
FAR_LANES = "UPDATE lane SET wake_ms = :limit WHERE wake_ms > :limit"
FAR_PROBES = "UPDATE service SET probe_due_ms = :limit WHERE probe_due_ms > :limit"


class Recovering(Part):
    """`recover` and `tick`."""

    def __init__(self, database: Database, reading: Reading) -> None:
        super().__init__(database)
        self._reading = reading

    @durable
    def recover(self, now: int) -> Recovered:
        """See `Queue.recover`."""
        self._database.known = Known()
        orphans = self._con.execute(ORPHANS).fetchall()
        given_up = []
        for id, seq, lane, service, attempt, parked, deaths, members in orphans:
            deaths += 1
            reason = policy.exhausted(Spent(orphans=deaths))
            state = DEAD if reason else READY
            values = {
                "id": id,
                "state": state,
                "suspect": state == READY and deaths >= policy.SUSPECT,
                "orphans": deaths,
                "now": now,
                "ended": now if reason else None,
                "note": reason,
            }
            self._con.execute(ORPHANED, values)
            self._con.execute(END_ATTEMPT, (None, "orphaned", "", "", id, attempt))
            old, new = Position(LEASED, parked), Position(state, parked)
            moves = [Move(id, seq, lane, service, old, new)]
            if reason and members:
                moves += move_members(self._database, moves[0], now, reason)
            follow(self._database, moves)
            if reason:
                self._database.tallies.add(service, "dead", len(moves))
                self._database.periods.add(now, service, dead=len(moves))
                given_up += [move.id for move in moves]
            else:
                self._database.tallies.add(service, "orphaned")
                self._database.periods.add(now, service, retried=1)
        self._con.execute(NO_PROBES, (now,))
        for then, since in (("probing", "rejected"), ("draining", "retired")):
            change = "UPDATE generation SET state = ? WHERE state = ?"
            self._con.execute(change, (since, then))
        self.tick(now)
        dead = (self._reading.delivery(id) for id in given_up)
        return Recovered(len(orphans), tuple(found for found in dead if found))

    @durable
    def tick(self, now: int) -> int:
        """See `Queue.tick`."""
        database = self._database
        if now >= database.observe(now):
            return 0
        # It reads all that is ready.
        limit = {"limit": now + LONGEST_MS}
        pulled = self._con.execute(FAR, limit).rowcount
        self._con.execute(FAR_LANES, limit)
        self._con.execute(FAR_PROBES, {"limit": now + PROBE_LAST_MS})
        return pulled
