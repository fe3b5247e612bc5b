"""Deliveries go out: which are due, whose turn it is in each lane, and what a breaker
or a suspect holds back.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from oberonc import jsontext
from oberonc.payload.schema import renamed
from oberonc.policy import MINUTE, Spent, after_wait
from oberonc.queue.sqlite.store import LEASED, READY, Store, durable
from oberonc.queue.values import (
    Breaker,
    Lease,
    Round,
    Slot,
    Token,
)

#: For how long a suspect runs alone at the most, and for how long it is waited for that
#: it can.
ALONE_MS: Final = MINUTE
#: One more than wanted says when the next one is due.
DUE_LANES = """
SELECT id, wake_ms FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms IS NOT NULL ORDER BY wake_ms LIMIT ?"""
HEAD = "SELECT id FROM delivery WHERE lane = ? AND state = 0 AND parked = 0 ORDER BY seq LIMIT 1"
#: Bring lanes up to their deliveries. `wake_ms` is the earlier of head and first parked
#: one.
REFRESH_LANES = """
UPDATE lane SET
  running = (SELECT id FROM delivery WHERE lane = lane.id AND state = 1),
  oldest = (SELECT min(seq) FROM (
    SELECT seq FROM delivery WHERE lane = lane.id AND state = 1
    UNION ALL SELECT min(seq) FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0
    UNION ALL SELECT min(seq) FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 1)),
  wake_ms = (SELECT min(due_ms) FROM (
    SELECT due_ms FROM (
      SELECT due_ms FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0 ORDER BY seq LIMIT 1)
    UNION ALL SELECT due_ms FROM (
      SELECT due_ms FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 1 ORDER BY due_ms LIMIT 1)))
WHERE id IN (SELECT value FROM json_each(:lanes))"""
SUSPECTS = """
SELECT d.id, d.state, d.lane, d.due_ms, d.since_ms, d.parked, l.service, l.paused
FROM delivery d CROSS JOIN lane l ON l.id = d.lane WHERE d.suspect = 1 ORDER BY d.id"""
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
SERVICE = """
SELECT paused, turns, probe, probe_due_ms, probe_wait_ms, failures, last_error_ms FROM service WHERE name = ?"""
PROBE = "UPDATE service SET probe = ? WHERE name = ?"


class Service(NamedTuple):
    """What decides whether a service may be leased to."""

    paused: int = 0
    turns: int = 0
    probe: int | None = None
    probe_due_ms: int | None = None
    probe_wait_ms: int | None = None
    failures: int = 0
    last_error_ms: int | None = None

    @property
    def open(self) -> bool:
        """The breaker is open: the destination seems to be down."""
        return self.turns % 2 == 1

    @property
    def breaker(self) -> Breaker:
        """Its state in one word."""
        return (
            "closed" if not self.open else "open" if self.probe is None else "probing"
        )

    def wakes(self, wake: int) -> list[int]:
        """When it can next be leased to, if time alone can bring that about, with a
        lane due at *wake*.
        """
        if not self.open:
            return [wake]
        return [] if self.probe is not None else [max(wake, self.probe_due_ms or 0)]

    def allows(self, now: int, free: int) -> int:
        """How many deliveries may start now."""
        if self.paused:
            return 0
        if not self.open:
            return free
        return 1 if self.probe is None and now >= (self.probe_due_ms or 0) else 0


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

    def lease(self, generation: int) -> Lease:
        """The lease, once it is taken."""
        token = Token(self.id, self.attempt + 1)
        behind = tuple(map(int, self.behind.split(","))) if self.behind else ()
        name = delivery_name(self.event, self.service)
        gap = bool(behind or self.after_dead)
        body = self.body
        # a body is kept as it came: its digest tells duplicates
        if self.repo != self.repo_then:
            body = jsontext.canonical(renamed(json.loads(body), self.repo))
        return Lease(
            token,
            name,
            self.event,
            self.seq,
            self.service,
            self.repo,
            body,
            generation,
            gap,
            behind,
        )


class Leasing(Store):
    """`lease`."""

    def forget(self) -> None:
        super().forget()
        #: Whether there is none for sure: only the death of a daemon makes one.
        self._no_suspects = False

    @durable
    def lease(self, now: int, slots: Sequence[Slot], worker: str) -> Round:
        slots = [slot for slot in slots if slot.free > 0]
        alone = self._suspects(now, slots)
        if isinstance(alone, int):
            return Round((), alone)
        if alone:
            slot, delivery = alone
            chosen = self._chosen(ONE, delivery=delivery)
            taken = self._take(now, slot, worker, self._service(slot.service), chosen)
            return Round(tuple(taken), now + ALONE_MS)
        leases: list[Lease] = []
        wakes: list[int] = []
        for slot in slots:
            service = self._service(slot.service)
            if service.paused:
                continue
            lanes, wake = self._due(now, slot.service, service.allows(now, slot.free))
            turns = (
                self._chosen(TURNS, now=now, lanes=json.dumps(lanes)) if lanes else []
            )
            leases += self._take(now, slot, worker, service, turns)
            # A probe that has just been leased decides when there is another.
            if wake is not None and not (service.open and lanes):
                wakes += service.wakes(wake)
        return Round(tuple(leases), min(wakes, default=None))

    def _due(self, now: int, service: str, limit: int) -> tuple[list[int], int | None]:
        """The lanes that are due, at most *limit*, and when the next one is."""
        rows = self.con.execute(DUE_LANES, (service, limit + 1)).fetchall()
        lanes = [lane for lane, wake in rows[:limit] if wake <= now]
        return lanes, rows[len(lanes)][1] if len(lanes) < len(rows) else None

    def _service(self, name: str) -> Service:
        row = self.con.execute(SERVICE, (name,)).fetchone()
        return Service(*row) if row else Service()

    def _suspects(
        self, now: int, slots: Sequence[Slot]
    ) -> tuple[Slot, int] | int | None:
        """The suspect to lease alone; until when nothing may be leased because of one;
        None: go on as ever.

        Who runs alone does so for a while only, and for a while only is it waited for
        that nothing else runs: a delivery may take days, and the others have not done
        anything.
        """
        if self._no_suspects:
            return None
        by_service = {slot.service: slot for slot in slots}
        found = self._rows(SUSPECTS)
        self._no_suspects = not found
        began = max(
            (since for _, state, _, _, since, *_ in found if state == LEASED),
            default=None,
        )
        if began is not None and 0 <= now - began < ALONE_MS:
            return int(began + ALONE_MS)
        for delivery, state, lane, due, _, parked, name, paused in found:
            slot = by_service.get(name)
            if (
                state == LEASED
                or not slot
                or paused
                or due > now
                or not self._service(name).allows(now, 1)
            ):
                continue
            if not parked and self.con.execute(HEAD, (lane,)).fetchone()[0] != delivery:
                continue
            if not self._leased():
                return slot, delivery
            if now - due < ALONE_MS:
                return int(due + ALONE_MS)
        return None

    def _leased(self) -> bool:
        return bool(
            self._row(
                "SELECT 1 FROM delivery INDEXED BY delivery_one_leased WHERE state = 1 LIMIT 1"
            )
        )

    def _chosen(self, sql: str, **values: Any) -> list[Chosen]:
        return [Chosen(*row) for row in self.con.execute(sql, values)]

    def _take(
        self, now: int, slot: Slot, worker: str, service: Service, chosen: list[Chosen]
    ) -> list[Lease]:
        """Lease deliveries of one service, a few statements for all of them."""
        if not chosen:
            return []
        ids = [one.id for one in chosen]
        values = {
            "now": now,
            "ids": json.dumps(ids),
            "generation": slot.generation,
            "worker": worker,
        }
        charges = [charge for one in chosen if (charge := _charge(now, one, service))]
        if charges:
            self.con.executemany(CHARGE, charges)
        if self.con.execute(TAKE, values).rowcount != len(ids):
            raise RuntimeError(
                f"deliveries {ids} were to be leased, and some of them are not ready"
            )
        self.con.execute(NEW_ATTEMPTS, values)
        self.refresh(one.lane for one in chosen)
        if service.open:
            self.con.execute(PROBE, (ids[0], slot.service))
        for one in chosen:
            self.tallies.place(slot.service, READY, one.parked, -1)
            self.tallies.place(slot.service, LEASED, one.parked)
        return [one.lease(slot.generation) for one in chosen]

    def refresh(self, lanes: Iterable[int]) -> None:
        """Bring the rows of *lanes* up to their deliveries."""
        self.con.execute(REFRESH_LANES, {"lanes": json.dumps([*lanes])})


def _charge(now: int, one: Chosen, service: Service) -> tuple[int, int, int] | None:
    """What the wait that follows a failure costs a delivery, as CHARGE takes it."""
    if one.since_ms is None:
        return None
    # While the breaker is or was open the wait is not this delivery's fault.
    spent = after_wait(
        Spent(waited_ms=one.waited_ms, blocked_ms=one.blocked_ms),
        now,
        one.since_ms,
        one.due_ms,
        excused=service.open or one.turns != service.turns,
    )
    return spent.waited_ms, spent.blocked_ms, one.id


def delivery_name(event: bytes, service: str) -> str:
    """The id of a delivery that brokers see: the same over all its attempts."""
    return f"{event.hex()}-{service}"
