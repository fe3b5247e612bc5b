"""Deliveries go out: which are due, whose turn it is in each lane, and what a breaker
or a suspect holds back.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from oberonc.policy import MINUTE, Spent, after_wait
from oberonc.queue.breaker import Breaker, BreakerState
from oberonc.queue.sqlite.database import Part, durable
from oberonc.queue.sqlite.rows import (
    Move,
    Position,
    delivery_name,
    find_service,
    follow,
    save_breaker,
)
from oberonc.queue.sqlite.tallies import LEASED, READY
from oberonc.queue.values import Lease, Round, Slot, Token, body_under

#: For how long a suspect runs alone at the most, and for how long it is waited for that
#: it can.
ALONE_MS: Final = MINUTE
#: One more than wanted says when the next one is due.
DUE_LANES = """
SELECT id, wake_ms FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms IS NOT NULL ORDER BY wake_ms LIMIT ?"""
HEAD = "SELECT id FROM delivery WHERE lane = ? AND state = 0 AND parked = 0 ORDER BY seq LIMIT 1"
SUSPECTS = """
SELECT d.id, d.state, d.lane, d.due_ms, d.since_ms, d.parked, l.service, l.paused
FROM delivery d CROSS JOIN lane l ON l.id = d.lane WHERE d.suspect = 1 ORDER BY d.id"""
ANY_LEASED = """
SELECT 1 FROM delivery INDEXED BY delivery_one_leased WHERE state = 1 LIMIT 1"""
#: What a lease needs. Passed over are the dead and the parked deliveries before it in
#: its lane.
TO_LEASE = """
SELECT d.id, d.seq, d.lane, d.attempt, d.due_ms, d.since_ms, d.turns, d.waited_ms, d.blocked_ms, d.parked,
  l.service, l.repo, e.repo, e.id, b.bytes,
  EXISTS(SELECT 1 FROM delivery WHERE lane = d.lane AND state = 3 AND seq < d.seq),
  (SELECT group_concat(seq) FROM (
    SELECT seq FROM delivery WHERE lane = d.lane AND state = 0 AND parked = 1 AND seq < d.seq ORDER BY seq LIMIT 20))
FROM {}
JOIN lane l ON l.id = d.lane JOIN event e ON e.seq = d.seq JOIN body b ON b.seq = d.seq"""
ONE = TO_LEASE.format("(SELECT * FROM delivery WHERE id = :delivery) AS d")
#: Of due lanes the delivery whose turn it is: the head or the first parked one, the
#: longer due.
TURNS = TO_LEASE.format("""json_each(:lanes) AS due CROSS JOIN delivery d ON d.id = (
  SELECT id FROM (
    SELECT id, due_ms, 0 AS rank FROM (
      SELECT id, due_ms FROM delivery WHERE lane = due.value AND state = 0 AND parked = 0 ORDER BY seq LIMIT 1)
    UNION ALL SELECT id, due_ms, 1 FROM (
      SELECT id, due_ms FROM delivery WHERE lane = due.value AND state = 0 AND parked = 1 ORDER BY due_ms LIMIT 1)
  ) WHERE due_ms <= :now ORDER BY due_ms, rank LIMIT 1)""")
CHARGE = "UPDATE delivery SET waited_ms = ?, blocked_ms = ? WHERE id = ?"
TAKE = """
UPDATE delivery SET state = 1, attempt = attempt + 1, since_ms = :now
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 0"""
NEW_ATTEMPTS = """
INSERT INTO attempt(delivery, number, generation, worker, began_ms)
SELECT d.id, d.attempt, :generation, :worker, :now
FROM json_each(:ids) AS taken CROSS JOIN delivery d ON d.id = taken.value"""


class Chosen(NamedTuple):
    """A delivery about to be leased."""

    id: int
    seq: int
    lane: int
    attempt: int
    due_ms: int
    since_ms: int | None
    turns: int
    waited_ms: int
    blocked_ms: int
    parked: int
    service: str
    repo: str
    repo_then: str
    event: bytes
    body: bytes
    after_dead: int
    behind: str | None


class Suspicion(NamedTuple):
    """What a suspect asks of a round: to be leased alone in `slot`, or that nothing is
    leased until `until_ms`.
    """

    delivery: int = 0
    slot: Slot | None = None
    until_ms: int = 0


class Leasing(Part):
    """`lease`."""

    @durable
    def lease(self, now: int, slots: Sequence[Slot], worker: str) -> Round:
        """See `Queue.lease`."""
        slots = [slot for slot in slots if slot.free > 0]
        suspicion = self._suspicion(now, slots)
        if suspicion and suspicion.slot:
            slot = suspicion.slot
            breaker = find_service(self._database, slot.service).breaker
            alone = self._con.execute(ONE, {"delivery": suspicion.delivery}).fetchall()
            taken = self._take(now, slot, worker, breaker, alone)
            return Round(tuple(taken), now + ALONE_MS)
        if suspicion:
            return Round((), suspicion.until_ms)
        leases: list[Lease] = []
        wakes: list[int | None] = []
        for slot in slots:
            paused, breaker = find_service(self._database, slot.service)
            if paused:
                continue
            free = breaker.allows(now, slot.free)
            rows = self._con.execute(DUE_LANES, (slot.service, free + 1)).fetchall()
            lanes = [lane for lane, wake in rows[:free] if wake <= now]
            if lanes:
                values = {"now": now, "lanes": json.dumps(lanes)}
                turns = self._con.execute(TURNS, values).fetchall()
                leases += self._take(now, slot, worker, breaker, turns)
            # Where a probe was leased, its end decides when there is another.
            probes = lanes and breaker.state is BreakerState.OPEN
            if len(lanes) < len(rows) and not probes:
                wakes.append(breaker.wakes(rows[len(lanes)][1]))
        known = (wake for wake in wakes if wake is not None)
        return Round(tuple(leases), min(known, default=None))

    def _suspicion(self, now: int, slots: Sequence[Slot]) -> Suspicion | None:
        """What must be heeded because deliveries are suspect; None: go on as ever.

        Who runs alone does so for a while only, and for a while only is it waited for
        that nothing else runs: a delivery may take days, and the others have not done
        anything.
        """
        if not self._database.known.may_have_suspects:
            return None
        found = self._con.execute(SUSPECTS).fetchall()
        self._database.known.may_have_suspects = bool(found)
        running = [since for _, state, _, _, since, *_ in found if state == LEASED]
        if running and 0 <= now - max(running) < ALONE_MS:
            return Suspicion(until_ms=max(running) + ALONE_MS)
        by_service = {slot.service: slot for slot in slots}
        for delivery, state, lane, due, _, parked, service, lane_paused in found:
            slot = by_service.get(service)
            if state == LEASED or slot is None or lane_paused or due > now:
                continue
            paused, breaker = find_service(self._database, service)
            if paused or not breaker.allows(now, 1):
                continue
            if (
                not parked
                and self._con.execute(HEAD, (lane,)).fetchone()[0] != delivery
            ):
                continue
            if not self._con.execute(ANY_LEASED).fetchone():
                return Suspicion(delivery, slot)
            if now - due < ALONE_MS:
                return Suspicion(until_ms=due + ALONE_MS)
        return None

    def _take(
        self, now: int, slot: Slot, worker: str, breaker: Breaker, rows: Sequence[Any]
    ) -> list[Lease]:
        """Lease deliveries of one service, given as the rows of TO_LEASE: a few
        statements for all of them.
        """
        chosen = [Chosen(*row) for row in rows]
        if not chosen:
            return []
        charges = []
        for one in chosen:
            if one.since_ms is not None:
                spent = after_wait(
                    Spent(waited_ms=one.waited_ms, blocked_ms=one.blocked_ms),
                    now,
                    one.since_ms,
                    one.due_ms,
                    excused=breaker.excuses(one.turns),
                )
                charges.append((spent.waited_ms, spent.blocked_ms, one.id))
        if charges:
            self._con.executemany(CHARGE, charges)
        ids = [one.id for one in chosen]
        values = {
            "now": now,
            "ids": json.dumps(ids),
            "generation": slot.generation,
            "worker": worker,
        }
        if self._con.execute(TAKE, values).rowcount != len(ids):
            raise RuntimeError(
                f"deliveries {ids} were to be leased, and some of them are not ready"
            )
        self._con.execute(NEW_ATTEMPTS, values)
        leases = [_lease(one, slot.generation) for one in chosen]
        if breaker.state is BreakerState.OPEN:
            save_breaker(self._database, slot.service, breaker, breaker.probed(ids[0]))
        moves = []
        for one in chosen:
            old, new = Position(READY, one.parked), Position(LEASED, one.parked)
            moves.append(Move(one.id, one.seq, one.lane, one.service, old, new))
        follow(self._database, moves)
        return leases


def _lease(one: Chosen, generation: int) -> Lease:
    behind = tuple(map(int, one.behind.split(","))) if one.behind else ()
    return Lease(
        token=Token(one.id, one.attempt + 1),
        delivery_id=delivery_name(one.event, one.service),
        event=one.event,
        seq=one.seq,
        service=one.service,
        repo=one.repo,
        body=one.body if one.repo == one.repo_then else body_under(one.repo, one.body),
        generation=generation,
        gap=bool(behind or one.after_dead),
        behind=behind,
    )
