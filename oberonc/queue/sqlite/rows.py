"""Rows that several operations read or bring up to date: what is known of a service,
and what follows when a delivery changes its state.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from oberonc.queue.breaker import Breaker, BreakerState
from oberonc.queue.sqlite.database import Database
from oberonc.queue.sqlite.tallies import DEAD, LEASED, READY

SERVICE = """
SELECT paused, next_ms, turns, failures, streak_lane, spread, probe, probe_due_ms, probe_wait_ms, last_error,
  last_error_ms
FROM service WHERE name = ?"""
SAVE_BREAKER = """
INSERT INTO service(name, turns, failures, streak_lane, spread, probe, probe_due_ms, probe_wait_ms, last_error,
  last_error_ms)
VALUES(:name, :changes, :failures, :streak_lane, :spread, :probe, :probe_due_ms, :probe_wait_ms, :last_error,
  :last_error_ms)
ON CONFLICT DO UPDATE SET turns = :changes, failures = :failures, streak_lane = :streak_lane, spread = :spread,
  probe = :probe, probe_due_ms = :probe_due_ms, probe_wait_ms = :probe_wait_ms, last_error = :last_error,
  last_error_ms = :last_error_ms"""
#: Bring lanes up to their deliveries. `wake_ms` is the earlier of head and first parked
#: one.
REFRESH_LANES = """
UPDATE lane SET
  running = (SELECT id FROM delivery WHERE lane = lane.id AND state = 1),
  oldest = (SELECT min(seq) FROM (
    SELECT seq FROM delivery WHERE lane = lane.id AND state = 1
    UNION ALL SELECT min(seq) FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0 AND joined IS NULL
    UNION ALL SELECT min(seq) FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 1)),
  wake_ms = (SELECT min(due_ms) FROM (
    SELECT due_ms FROM (
      SELECT due_ms FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0 AND joined IS NULL
      ORDER BY seq LIMIT 1)
    UNION ALL SELECT due_ms FROM (
      SELECT due_ms FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 1 AND joined IS NULL
      ORDER BY due_ms LIMIT 1)))
WHERE id IN (SELECT value FROM json_each(:lanes))"""
CHANGE_LIVE = """
UPDATE event SET live = live + change.n, ended_age = CASE WHEN live + change.n = 0 THEN :age END
FROM (SELECT json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS n FROM json_each(:events)) AS change
WHERE event.seq = change.seq"""
#: Never of those that report others: else each notice that is given up would make the
#: next one.
TO_REPORT = """
INSERT OR IGNORE INTO untold
SELECT d.id FROM json_each(:ids) AS dead CROSS JOIN delivery d ON d.id = dead.value JOIN event e ON e.seq = d.seq
WHERE e.kind <> 'dead'"""
NOT_TO_REPORT = (
    "DELETE FROM untold WHERE delivery IN (SELECT value FROM json_each(:ids))"
)
#: What is joined to a delivery goes where that goes.
MOVE_MEMBERS = """
UPDATE delivery SET state = :state, parked = :parked, ended_ms = :ended, note = :note
WHERE joined = :leader AND joined IS NOT NULL AND state = 0 RETURNING id, seq"""
#: States of deliveries that have not ended.
_LIVE = (READY, LEASED)


class ServiceState(NamedTuple):
    """Whether a person has paused a service, its breaker, and when its rate lets the
    next delivery start.
    """

    paused: bool = False
    breaker: Breaker = Breaker()
    next_ms: int | None = None


def service_of(row: Any) -> ServiceState:
    """The service of a row with the columns of SERVICE; None: nothing is kept of it.

    How often its breaker turned says which way it stands: it is open after an odd
    number.
    """
    if row is None:
        return ServiceState()
    paused, next_ms, turns, failures, lane, spread, probe, *rest = row
    if turns % 2 == 0:
        state = BreakerState.CLOSED
    else:
        state = BreakerState.OPEN if probe is None else BreakerState.PROBING
    breaker = Breaker(state, turns, failures, lane, bool(spread), probe, *rest)
    return ServiceState(bool(paused), breaker, next_ms)


def find_service(database: Database, name: str) -> ServiceState:
    """What is known of a service."""
    return service_of(database.con.execute(SERVICE, (name,)).fetchone())


def save_breaker(
    database: Database, name: str, before: Breaker, after: Breaker
) -> None:
    """Keep the breaker of a service where it has changed."""
    if after != before:
        database.con.execute(SAVE_BREAKER, {"name": name, **after._asdict()})


class Position(NamedTuple):
    """The state of a delivery, and whether it gave up its place in the lane, as in its
    row.
    """

    state: int
    parked: int


class Move(NamedTuple):
    """A delivery that has changed its position."""

    id: int
    seq: int
    lane: int
    service: str
    old: Position
    new: Position


def follow(database: Database, moves: Sequence[Move]) -> None:
    """Bring up to date what depends on the rows of deliveries that moved: their lanes,
    the counts, whether their events have ended, and what is to be reported.
    """
    refresh_lanes(database, {move.lane for move in moves})
    alike: defaultdict[tuple[str, Position, Position], list[Move]] = defaultdict(list)
    for move in moves:
        alike[move.service, move.old, move.new].append(move)
    live: Counter[int] = Counter()
    died: list[int] = []
    risen: list[int] = []
    for (service, old, new), some in alike.items():
        database.tallies.place(service, old.state, old.parked, -len(some))
        database.tallies.place(service, new.state, new.parked, len(some))
        change = (new.state in _LIVE) - (old.state in _LIVE)
        if change:
            for move in some:
                live[move.seq] += change
        if new.state == DEAD:
            died += [move.id for move in some]
        if old.state == DEAD:
            risen += [move.id for move in some]
    if live:
        values = {"age": database.age, "events": json.dumps([*live.items()])}
        database.con.execute(CHANGE_LIVE, values)
    if died:
        database.con.execute(TO_REPORT, {"ids": json.dumps(died)})
    if risen:
        database.con.execute(NOT_TO_REPORT, {"ids": json.dumps(risen)})


def move_members(database: Database, leader: Move, now: int, note: str) -> list[Move]:
    """What is joined to *leader* ends, or is parked, as that did; to be followed
    together with it.
    """
    state, parked = leader.new
    values = {
        "leader": leader.id,
        "state": state,
        "parked": parked,
        "ended": None if state in _LIVE else now,
        "note": "; ".join(filter(None, (f"together with delivery {leader.id}", note))),
    }
    # They wait while the one they are joined to runs.
    old, new = leader.old._replace(state=READY), leader.new
    return [
        leader._replace(id=id, seq=seq, old=old, new=new)
        for id, seq in database.con.execute(MOVE_MEMBERS, values).fetchall()
    ]


def delivery_name(event: bytes, service: str) -> str:
    """The id of a delivery that brokers see: the same over all its attempts."""
    return f"{event.hex()}-{service}"


def refresh_lanes(database: Database, lanes: Iterable[int]) -> None:
    """Bring the rows of *lanes* up to their deliveries."""
    database.con.execute(REFRESH_LANES, {"lanes": json.dumps([*lanes])})
