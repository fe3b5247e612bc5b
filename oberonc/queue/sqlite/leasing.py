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
    ServiceState,
    delivery_name,
    find_service,
    follow,
    save_breaker,
)
from oberonc.queue.sqlite.tallies import LEASED, READY
from oberonc.queue.sqlite.thinning import MOST as MOST_PASSED
from oberonc.queue.sqlite.thinning import Thinning, members
from oberonc.queue.values import Lease, Passed, Round, Slot, Token, body_under

#: For how long a suspect runs alone at the most, and for how long it is waited for that
#: it can.
ALONE_MS: Final = MINUTE
#: One more than wanted says when the next one is due.
DUE_LANES = """
SELECT id, wake_ms FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms IS NOT NULL ORDER BY wake_ms LIMIT ?"""
HEAD = """
SELECT id FROM delivery WHERE lane = ? AND state = 0 AND parked = 0 AND joined IS NULL ORDER BY seq LIMIT 1"""
SUSPECTS = """
SELECT d.id, d.state, d.lane, d.due_ms, d.since_ms, d.parked, l.service, l.paused
FROM delivery d CROSS JOIN lane l ON l.id = d.lane WHERE d.suspect = 1 ORDER BY d.id"""
ANY_LEASED = """
SELECT 1 FROM delivery INDEXED BY delivery_one_leased WHERE state = 1 LIMIT 1"""
#: What a lease needs. Passed over are the dead and the parked deliveries before it in
#: its lane.
TO_LEASE = """
SELECT d.id, d.seq, d.lane, d.attempt, d.due_ms, d.since_ms, d.turns, d.waited_ms, d.blocked_ms, d.parked,
  d.members, l.service, l.repo, e.repo, e.id, b.bytes,
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
      SELECT id, due_ms FROM delivery WHERE lane = due.value AND state = 0 AND parked = 0 AND joined IS NULL
      ORDER BY seq LIMIT 1)
    UNION ALL SELECT id, due_ms, 1 FROM (
      SELECT id, due_ms FROM delivery WHERE lane = due.value AND state = 0 AND parked = 1 AND joined IS NULL
      ORDER BY due_ms LIMIT 1)
  ) WHERE due_ms <= :now ORDER BY due_ms, rank LIMIT 1)""")
CHARGE = "UPDATE delivery SET waited_ms = ?, blocked_ms = ? WHERE id = ?"
TAKE = """
UPDATE delivery SET state = 1, attempt = attempt + 1, since_ms = :now
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 0"""
NEW_ATTEMPTS = """
INSERT INTO attempt(delivery, number, generation, worker, began_ms)
SELECT d.id, d.attempt, :generation, :worker, :now
FROM json_each(:ids) AS taken CROSS JOIN delivery d ON d.id = taken.value"""
#: For services with a rate alone.
NEXT = """
INSERT INTO service(name, next_ms) VALUES(:service, :next) ON CONFLICT DO UPDATE SET next_ms = :next"""


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
    members: int
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
            return self._lease_alone(now, suspicion.slot, suspicion.delivery, worker)
        if suspicion:
            return Round((), suspicion.until_ms)
        leases: list[Lease] = []
        wakes: list[int] = []
        passed: list[Passed] = []
        for slot in slots:
            granted, wake, ended = self._lease_of(now, slot, worker)
            leases += granted
            wakes += [] if wake is None else [wake]
            passed += ended
        return Round(tuple(leases), min(wakes, default=None), tuple(passed))

    def _lease_of(self, now: int, slot: Slot, worker: str) -> Round:
        """The round of one service."""
        known = find_service(self._database, slot.service)
        breaker, rules = known.breaker, slot.rules
        if known.paused:
            return Round((), None)
        turn = self._turn(now, known, slot)
        free = breaker.allows(now, slot.free)
        if rules.apart_ms:
            free = min(free, 1 if turn <= now else 0)
        thinning = Thinning(self._database, now, rules)
        while True:
            rows = self._con.execute(DUE_LANES, (slot.service, free + 1)).fetchall()
            lanes = [lane for lane, wake in rows[:free] if wake <= now]
            if not (rules.max_age_ms or rules.collapse):
                break
            # What ends may make way for what is not due, or must end as well.
            if not [lane for lane in lanes if thinning.thin(lane)]:
                break
            if len(thinning.passed) >= MOST_PASSED:
                return Round((), now, tuple(thinning.passed))
        leases: list[Lease] = []
        if lanes:
            values = {"now": now, "lanes": json.dumps(lanes)}
            turns = self._con.execute(TURNS, values).fetchall()
            leases = self._take(now, slot, worker, breaker, turns, thinning)
            turn = now + rules.apart_ms
        wake = None
        # Where a probe was leased, its end decides when there is another.
        probes = lanes and breaker.state is BreakerState.OPEN
        if len(lanes) < len(rows) and not probes:
            wake = breaker.wakes(rows[len(lanes)][1])
        if wake is not None:
            wake = max(wake, turn)
        return Round(tuple(leases), wake, tuple(thinning.passed))

    def _lease_alone(self, now: int, slot: Slot, delivery: int, worker: str) -> Round:
        """Lease a suspect, unless the rules of its service end it, or others that are in
        its way.
        """
        thinning = Thinning(self._database, now, slot.rules)
        alone = self._con.execute(ONE, {"delivery": delivery}).fetchall()
        if (slot.rules.max_age_ms or slot.rules.collapse) and thinning.thin(
            Chosen(*alone[0]).lane
        ):
            return Round((), now, tuple(thinning.passed))
        breaker = find_service(self._database, slot.service).breaker
        taken = self._take(now, slot, worker, breaker, alone, thinning)
        return Round(tuple(taken), now + ALONE_MS, tuple(thinning.passed))

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
            known = find_service(self._database, service)
            if (
                known.paused
                or not known.breaker.allows(now, 1)
                or self._turn(now, known, slot) > now
            ):
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
        self,
        now: int,
        slot: Slot,
        worker: str,
        breaker: Breaker,
        rows: Sequence[Any],
        thinning: Thinning,
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
        if slot.rules.together > 1:
            chosen = [_with_others(one, thinning) for one in chosen]
        if slot.rules.apart_ms:
            self._set_turn(slot, now + slot.rules.apart_ms)
        leases = [self._lease(one, slot.generation) for one in chosen]
        if breaker.state is BreakerState.OPEN:
            save_breaker(self._database, slot.service, breaker, breaker.probed(ids[0]))
        moves = []
        for one in chosen:
            old, new = Position(READY, one.parked), Position(LEASED, one.parked)
            moves.append(Move(one.id, one.seq, one.lane, one.service, old, new))
        follow(self._database, moves)
        return leases

    def _turn(self, now: int, known: ServiceState, slot: Slot) -> int:
        """When the rate of a service lets its next delivery start: never later than its
        rate from now on, whatever the clock or a slower rate said before.
        """
        if not slot.rules.apart_ms or known.next_ms is None:
            return 0
        latest = now + slot.rules.apart_ms
        if known.next_ms > latest:
            self._set_turn(slot, latest)
        return min(known.next_ms, latest)

    def _set_turn(self, slot: Slot, next_ms: int) -> None:
        self._con.execute(NEXT, {"service": slot.service, "next": next_ms})

    def _lease(self, one: Chosen, generation: int) -> Lease:
        behind = tuple(map(int, one.behind.split(","))) if one.behind else ()
        body = one.body if one.repo == one.repo_then else body_under(one.repo, one.body)
        return Lease(
            token=Token(one.id, one.attempt + 1),
            delivery_id=delivery_name(one.event, one.service),
            event=one.event,
            seq=one.seq,
            service=one.service,
            repo=one.repo,
            body=body,
            generation=generation,
            gap=bool(behind or one.after_dead),
            behind=behind,
            members=members(self._database, one.id, one.repo) if one.members else (),
        )


def _with_others(one: Chosen, thinning: Thinning) -> Chosen:
    """*one* with what is joined to it; it stays as it is where it was tried before, or a
    person asked for it.
    """
    if one.attempt or one.parked:
        return one
    joined = thinning.join(one.lane, one.id, one.seq, len(one.body))
    return one._replace(members=joined)
