"""What a service's rules make of the deliveries that wait in a lane: what is too old,
or was overtaken, ends; what goes together is joined.

It looks at a lane from its head on and no further than it must: at those that end, the
first that does not, and those that are joined to it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from oberonc.queue.sqlite.database import Database, Part
from oberonc.queue.sqlite.rows import Move, Position, follow, move_members
from oberonc.queue.sqlite.tallies import READY, STATES
from oberonc.queue.values import Member, Passed, Rules, body_under

#: Deliveries that one lease ends at the most; the next one goes on.
MOST: Final = 500
#: Events that a collapsed one is said to be collapsed into.
_NAMED: Final = 5

#: Each ref that it moved was moved by a later one that waits, runs or is done.
OVERTAKEN: Final = """
EXISTS(SELECT 1 FROM moved WHERE delivery = d.id) AND NOT EXISTS(
  SELECT 1 FROM moved mine WHERE mine.delivery = d.id AND NOT EXISTS(
    SELECT 1 FROM moved later CROSS JOIN delivery other ON other.id = later.delivery
    WHERE later.lane = mine.lane AND later.ref = mine.ref AND later.delivery > mine.delivery
    AND other.state IN (0, 1, 2)))"""
_COLUMNS: Final = f"""
d.id, d.seq, d.parked, d.attempt, d.members, d.born_age < :before,
CASE WHEN :collapse AND d.members = 0 THEN {OVERTAKEN} ELSE 0 END, (SELECT length(bytes) FROM body WHERE seq = d.seq)"""  # noqa: S608 - constants
WAITING = f"""
SELECT {_COLUMNS} FROM delivery d
WHERE d.lane = :lane AND d.state = 0 AND d.parked = 0 AND d.joined IS NULL AND d.seq > :after ORDER BY d.seq"""  # noqa: S608 - constants
PARKED = f"""
SELECT {_COLUMNS} FROM delivery d
WHERE d.lane = :lane AND d.state = 0 AND d.parked = 1 AND d.joined IS NULL AND d.due_ms <= :now ORDER BY d.due_ms"""  # noqa: S608 - constants
INTO = """
SELECT DISTINCT e.seq, e.id FROM moved mine
CROSS JOIN delivery other ON other.id = (
  SELECT max(later.delivery) FROM moved later CROSS JOIN delivery live ON live.id = later.delivery
  WHERE later.lane = mine.lane AND later.ref = mine.ref AND live.state IN (0, 1, 2))
CROSS JOIN event e ON e.seq = other.seq
WHERE mine.delivery = :delivery LIMIT :limit"""
ABOUT = "SELECT service, repo FROM lane WHERE id = :lane"
EVENT = "SELECT id FROM event WHERE seq = :seq"
KIND = "SELECT kind FROM event WHERE seq = :seq"
END_UNSENT = """
UPDATE delivery SET state = :state, suspect = 0, ended_ms = :now, note = :note WHERE id = :id AND state = 0"""
JOIN = """
UPDATE delivery SET joined = :leader WHERE id IN (SELECT value FROM json_each(:ids))"""
LEAD = """
UPDATE delivery SET members = :members, born_age = (SELECT max(born_age) FROM delivery WHERE joined = :leader)
WHERE id = :leader"""
MEMBERS = """
SELECT e.id, e.repo, b.bytes FROM delivery d JOIN event e ON e.seq = d.seq JOIN body b ON b.seq = d.seq
WHERE d.joined = ? AND d.joined IS NOT NULL AND d.state = 0 ORDER BY d.seq"""


class Waiting(NamedTuple):
    """A delivery that waits, as the rules look at it."""

    id: int
    seq: int
    parked: int
    attempt: int
    members: int
    is_old: int
    is_overtaken: int
    size: int


class Thinning(Part):
    """The rules of one service at one moment, on its lanes."""

    def __init__(
        self, database: Database, now: int, rules: Rules, lane_limit: int = MOST
    ) -> None:
        super().__init__(database)
        self._now, self._rules, self._limit = now, rules, lane_limit
        age = database.age_at(now)
        self._values: dict[str, Any] = {
            "now": now,
            "before": age - rules.max_age_ms if rules.max_age_ms else -(1 << 62),
            "collapse": rules.collapse,
        }
        #: What ended.
        self.passed: list[Passed] = []

    def thin(self, lane: int) -> bool:
        """End what is not to be delivered, up to the first that is; whether there was
        any.
        """
        ended = [
            *self._until_one_stays(WAITING, lane),
            *self._until_one_stays(PARKED, lane),
        ]
        self._end(lane, ended)
        return bool(ended)

    def _until_one_stays(self, sql: str, lane: int) -> Iterator[Waiting]:
        for one in self._look(sql, lane, 0):
            if not (one.is_old or one.is_overtaken):
                return
            yield one

    def _look(self, sql: str, lane: int, after: int) -> Iterator[Waiting]:
        """What waits in *lane*, read one by one: each costs something."""
        found = self._con.execute(sql, self._values | {"lane": lane, "after": after})
        try:
            for row, _ in zip(found, range(self._limit), strict=False):
                yield Waiting(*row)
        finally:
            found.close()

    def _end(self, lane: int, ended: list[Waiting]) -> None:
        moves: list[Move] = []
        for one in ended:
            state: Literal["expired", "collapsed"]
            if one.is_old:
                state = "expired"
                note = f"older than {self._rules.max_age_ms / 1000:g} s"
            else:
                state, note = "collapsed", self._into(one.id)
            service, repo = self._database.row(ABOUT, lane=lane)
            number = STATES.index(state)
            values = {"id": one.id, "state": number, "now": self._now, "note": note}
            self._con.execute(END_UNSENT, values)
            old, new = Position(READY, one.parked), Position(number, one.parked)
            mine = [Move(one.id, one.seq, lane, service, old, new)]
            if one.members:
                mine += move_members(self._database, mine[0], self._now, note)
            self._database.tallies.add(service, state, len(mine))
            moves += mine
            for move in mine:
                (event,) = self._database.row(EVENT, seq=move.seq)
                self.passed.append(Passed(move.id, event, service, repo, state, note))
        if moves:
            follow(self._database, moves)

    def _into(self, delivery: int) -> str:
        found = self._database.rows(INTO, delivery=delivery, limit=_NAMED + 1)
        names = [event.hex() for _, event in sorted(found)]
        more = " and others" if len(names) > _NAMED else ""
        return f"collapsed into {', '.join(names[:_NAMED])}{more}"

    def join(self, lane: int, leader: int, seq: int, size: int) -> int:
        """Join what waits behind the delivery *leader* in *lane*, to be handed over
        with it, as much as the rules allow; returns how many were.

        One that was tried before goes alone, as it did then, and so does a notice: what
        it says is no push.
        """
        if self._is_notice(seq):
            return 0
        ids: list[int] = []
        ended: list[Waiting] = []
        for one in self._look(WAITING, lane, seq):
            if one.is_old or one.is_overtaken:
                ended.append(one)
                continue
            size += one.size
            if (
                one.attempt
                or self._is_notice(one.seq)
                or size > self._rules.together_bytes
                or len(ids) + 1 >= self._rules.together
            ):
                break
            ids.append(one.id)
        self._end(lane, ended)
        if ids:
            self._con.execute(JOIN, {"leader": leader, "ids": json.dumps(ids)})
            self._con.execute(LEAD, {"leader": leader, "members": len(ids)})
        return len(ids)

    def _is_notice(self, seq: int) -> bool:
        (kind,) = self._database.row(KIND, seq=seq)
        return bool(kind == "dead")


def members(database: Database, leader: int, repo: str) -> tuple[Member, ...]:
    """What is handed over with *leader*, under the name that *repo* has now."""
    return tuple(
        Member(event, body if repo == repo_then else body_under(repo, body))
        for event, repo_then, body in database.con.execute(MEMBERS, (leader,))
    )
