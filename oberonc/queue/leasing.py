"""Deliveries go out: which are due, whose turn it is in each lane, and what a breaker or a suspect holds back."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from oberonc.queue.base import Breaker, Lease, Round, Slot, Token
from oberonc.queue.store import LEASED, READY, Store, durable
from oberonc.retry import observed

_BEHIND: Final = 20

DUE_LANES = """
SELECT id FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms <= ? ORDER BY wake_ms LIMIT ?"""
NEXT_WAKE = """
SELECT min(wake_ms) FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms IS NOT NULL"""
HEAD = "SELECT id, due_ms FROM delivery WHERE lane = ? AND state = 0 AND parked = 0 ORDER BY seq LIMIT 1"
PARKED = "SELECT id, due_ms FROM delivery WHERE lane = ? AND state = 0 AND parked = 1 ORDER BY due_ms LIMIT 1"
#: `wake_ms` is the earlier of the two above; min() of SQL is NULL when either is.
REFRESH_LANE = """
WITH
  head(due) AS (SELECT due_ms FROM delivery
    WHERE lane = :lane AND state = 0 AND parked = 0 ORDER BY seq LIMIT 1),
  parked(due) AS (SELECT due_ms FROM delivery
    WHERE lane = :lane AND state = 0 AND parked = 1 ORDER BY due_ms LIMIT 1)
UPDATE lane SET running = :running, wake_ms = (
  SELECT min(due) FROM (SELECT due FROM head UNION ALL SELECT due FROM parked))
WHERE id = :lane"""
SUSPECTS = """
SELECT d.id, d.state, d.lane, d.due_ms, d.parked, l.service, l.paused
FROM delivery d CROSS JOIN lane l ON l.id = d.lane WHERE d.suspect = 1 ORDER BY d.id"""
TO_LEASE = """
SELECT d.id, d.seq, d.lane, d.due_ms, d.since_ms, d.turns, d.waited_ms, d.blocked_ms,
  d.parked, l.service, l.repo, e.id, b.bytes
FROM delivery d JOIN lane l ON l.id = d.lane JOIN event e ON e.seq = d.seq JOIN body b ON b.seq = d.seq
WHERE d.id = ?"""
TAKE = """
UPDATE delivery SET state = 1, attempt = attempt + 1, waited_ms = ?, blocked_ms = ?, since_ms = ?
WHERE id = ? AND state = 0 RETURNING attempt"""
NEW_ATTEMPT = "INSERT INTO attempt(delivery, number, generation, worker, began_ms) VALUES(?, ?, ?, ?, ?)"
PASSED_PARKED = """
SELECT seq FROM delivery WHERE lane = ? AND state = 0 AND parked = 1 AND seq < ? ORDER BY seq LIMIT ?"""
PASSED_DEAD = "SELECT 1 FROM delivery WHERE lane = ? AND state = 3 AND seq < ? LIMIT 1"
SERVICE = "SELECT paused, turns, probe, probe_due_ms, probe_wait_ms FROM service WHERE name = ?"
PROBE = "UPDATE service SET probe = ? WHERE name = ?"


class Service(NamedTuple):
    """What decides whether a service may be leased to."""

    paused: int = 0
    turns: int = 0
    probe: int | None = None
    probe_due_ms: int | None = None
    probe_wait_ms: int | None = None

    @property
    def open(self) -> bool:
        """The breaker is open: the destination seems to be down."""
        return self.turns % 2 == 1

    @property
    def breaker(self) -> Breaker:
        """Its state in one word."""
        return "closed" if not self.open else "open" if self.probe is None else "probing"

    def allows(self, now: int, free: int) -> int:
        """How many deliveries may start now."""
        if self.paused:
            return 0
        if not self.open:
            return free
        return 1 if self.probe is None and now >= (self.probe_due_ms or 0) else 0


class Leasing(Store):
    """`lease`."""

    @durable
    def lease(self, now: int, slots: Sequence[Slot], worker: str) -> Round:
        slots = [slot for slot in slots if slot.free > 0]
        alone = self._suspects(now, slots)
        if alone is None:
            return Round((), None)
        if alone:
            slot, delivery = alone
            return Round((self._take(now, slot, worker, delivery),), None)
        leases: list[Lease] = []
        wakes: list[int] = []
        for slot in slots:
            service = self._service(slot.service)
            limit = service.allows(now, slot.free)
            lanes = self.con.execute(DUE_LANES, (slot.service, now, limit)).fetchall() if limit else []
            leases += [self._take(now, slot, worker, self._turn(lane, now)) for (lane,) in lanes]
            if len(lanes) < slot.free and not service.paused:
                wakes += self._wake(slot.service)
        return Round(tuple(leases), min(wakes, default=None))

    def _service(self, name: str) -> Service:
        row = self.con.execute(SERVICE, (name,)).fetchone()
        return Service(*row) if row else Service()

    def _wake(self, name: str) -> list[int]:
        """When this service can next be leased to, if time alone can bring that about."""
        service = self._service(name)  # again: a probe may just have been leased
        (wake,) = self.con.execute(NEXT_WAKE, (name,)).fetchone()
        if wake is None or service.breaker == "probing":
            return []
        return [max(wake, service.probe_due_ms or 0) if service.open else wake]

    def _turn(self, lane: int, now: int) -> int:
        """The delivery whose turn it is in a due lane: its head or its first parked one, the longer due."""
        head = self.con.execute(HEAD, (lane,)).fetchone()
        parked = self.con.execute(PARKED, (lane,)).fetchone()
        return int(min((row for row in (head, parked) if row and row[1] <= now), key=lambda row: row[1])[0])

    def _suspects(self, now: int, slots: Sequence[Slot]) -> tuple[Slot, int] | tuple[()] | None:
        """The suspect to lease alone; () when there is none; None when nothing may be leased beside one."""
        by_service = {slot.service: slot for slot in slots}
        found = self._rows(SUSPECTS)
        if any(state == LEASED for _, state, *_ in found):
            return None
        for delivery, _, lane, due, parked, name, paused in found:
            slot = by_service.get(name)
            if not slot or paused or due > now or not self._service(name).allows(now, 1):
                continue
            if not parked and self.con.execute(HEAD, (lane,)).fetchone()[0] != delivery:
                continue
            return None if self._leased() else (slot, delivery)
        return ()

    def _leased(self) -> bool:
        return bool(self._row("SELECT 1 FROM delivery INDEXED BY delivery_one_leased WHERE state = 1 LIMIT 1"))

    def _take(self, now: int, slot: Slot, worker: str, delivery: int) -> Lease:
        row = self.con.execute(TO_LEASE, (delivery,)).fetchone()
        _, seq, lane, due, since, turns, waited, blocked, parked, name, repo, event, body = row
        service = self._service(name)
        if since is not None:
            wait = observed(now, since, due)
            blocked += wait
            # While the breaker is or was open the wait is not this delivery's fault.
            waited += wait if turns == service.turns and not service.open else 0
        (attempt,) = self.con.execute(TAKE, (waited, blocked, now, delivery)).fetchone()
        self.con.execute(NEW_ATTEMPT, (delivery, attempt, slot.generation, worker, now))
        self.refresh(lane, running=delivery)
        self.tallies.place(name, READY, parked, -1)
        self.tallies.place(name, LEASED, parked)
        if service.open:
            self.con.execute(PROBE, (delivery, name))
        behind = self._behind(lane, seq)
        gap = bool(behind) or bool(self.con.execute(PASSED_DEAD, (lane, seq)).fetchone())
        token, delivery_id = Token(delivery, attempt), delivery_name(event, name)
        return Lease(token, delivery_id, event, seq, name, repo, body, slot.generation, gap, behind)

    def _behind(self, lane: int, seq: int) -> tuple[int, ...]:
        return tuple(row[0] for row in self.con.execute(PASSED_PARKED, (lane, seq, _BEHIND)))

    def refresh(self, lane: int, running: int | None = None) -> None:
        """Bring a lane's row up to its deliveries."""
        self.con.execute(REFRESH_LANE, {"lane": lane, "running": running})


def delivery_name(event: bytes, service: str) -> str:
    """The id of a delivery that brokers see: the same over all its attempts."""
    return f"{event.hex()}-{service}"
