"""Events come in: deduplicated, kept, one delivery per route at the end of its lane.

All events of a batch go in together, a few statements for all of them: each statement
gives up the interpreter's lock, and getting it back from a busy thread costs more than
the statement.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from oberonc.queue.sqlite.database import Part, durable
from oberonc.queue.sqlite.tallies import READY
from oberonc.queue.values import Answer, Decision, Route, Submission, check

#: How many rows one statement takes. Few sizes, so that all of them stay prepared.
_SIZES: Final = (64, 32, 16, 8, 4, 2, 1)
#: Lanes whose ids are remembered.
_LANES: Final = 10_000

KNOWN = "SELECT id, seq, digest FROM event WHERE id IN ({})"
LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
FIND_LANE = (
    "SELECT id, hold_ms FROM lane WHERE service = ? AND repo = ? AND ordinal = 0"
)
#: Without order every delivery has its own lane, which is paused when the repository's
#: is.
NEW_LANE = """
INSERT INTO lane(service, repo, ordinal, hold_ms, paused, wake_ms)
VALUES(:service, :repo, :ordinal, :hold, coalesce(
  (SELECT paused FROM lane WHERE service = :service AND repo = :repo AND ordinal = 0), 0), :due)"""
#: The first newcomer of each lane. Where a head stands before it the lane's time stays,
#: and it is the oldest where nothing else waits or runs. To be run before the newcomers
#: are there.
JOIN_LANES = """
UPDATE lane SET oldest = coalesce(oldest, new.seq), wake_ms = min(coalesce(wake_ms, new.due), new.due) FROM (
  SELECT json_extract(value, '$[0]') AS lane, json_extract(value, '$[1]') AS seq, json_extract(value, '$[2]') AS due
  FROM json_each(:lanes)) AS new
WHERE lane.id = new.lane AND (oldest IS NULL OR wake_ms IS NULL OR wake_ms > new.due)
AND NOT EXISTS(SELECT 1 FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0 AND joined IS NULL)"""
#: Table and columns of what an event puts in.
EVENTS = "event(seq, id, digest, repo, kind, origin, peer_uid, accepted_ms, decisions, live, ended_age)"
BODIES = "body(seq, bytes)"
COMMITS = "event_commit(seq, oids)"
DELIVERIES = "delivery(seq, lane, due_ms, born_age)"
#: RETURNING would say which: it costs a table of its own each time, and nearly always
#: it is all of them.
UNLESS_KNOWN = " ON CONFLICT(id) DO NOTHING"
SINCE = "SELECT seq FROM event WHERE seq >= ?"
#: Of the services that collapse what waits.
MOVED = """
INSERT OR IGNORE INTO moved(lane, ref, delivery)
SELECT d.lane, ref.value, d.id FROM json_each(:routes) AS route
CROSS JOIN delivery d ON d.seq = json_extract(route.value, '$[0]') AND d.lane = json_extract(route.value, '$[1]')
CROSS JOIN json_each(route.value, '$[2]') AS ref"""
#: What counts an answer.
_TALLY_OF: Final = {
    "accepted": "accepted",
    "duplicate": "duplicates",
    "conflict": "conflicts",
    "storage_low": "storage_low",
}


class Newcomer(NamedTuple):
    """A submission that becomes an event, unless its id is known."""

    seq: int
    digest: bytes
    submission: Submission


class Accepting(Part):
    """`accept` and `accept_all`."""

    @durable
    def accept(self, now: int, submission: Submission) -> Answer:
        """See `Queue.accept`."""
        check(submission)
        return self.accept_all(now, (submission,))[0]

    @durable
    def accept_all(self, now: int, submissions: Sequence[Submission]) -> list[Answer]:
        """See `Queue.accept_all`."""
        newcomers = [
            Newcomer(
                seq,
                hashlib.sha256(submission.came or submission.body).digest(),
                submission,
            )
            for seq, submission in enumerate(submissions, self._last_seq() + 1)
        ]
        # Nearly every id is new: whose is not shows by not being kept, and only those
        # are looked up.
        kept: set[int] = set()
        if not self._database.space.room.low:
            kept = self._add_events(now, newcomers)
        new = [one for one in newcomers if one.seq in kept]
        if new:
            self._database.known.last_seq = new[-1].seq
            self._add_deliveries(now, new)
        known = self._find(
            [one.submission.id for one in newcomers if one.seq not in kept]
        )
        answers = []
        for seq, digest, submission in newcomers:
            if seq in kept:
                answers.append(Answer("accepted", seq))
            elif submission.id not in known:
                answers.append(Answer("storage_low"))
            elif known[submission.id][1] == digest:
                answers.append(Answer("duplicate", known[submission.id][0]))
            else:
                answers.append(Answer("conflict"))
        tallies = self._database.tallies
        for _, _, submission in new:
            self._database.written += len(submission.body)
            for route in submission.routes:
                tallies.add(route.service, "accepted")
                self._database.periods.add(now, route.service, accepted=1)
                tallies.place(route.service, READY, 0)
        self._database.periods.add(now, "", accepted=len(new))
        for status, count in Counter(answer.status for answer in answers).items():
            tallies.add("", _TALLY_OF[status], count)
        return answers

    def _last_seq(self) -> int:
        known = self._database.known
        if known.last_seq is None:
            row = self._con.execute(LAST).fetchone()
            known.last_seq = int(row[0]) if row else 0
        return known.last_seq

    def _add_events(self, now: int, newcomers: Sequence[Newcomer]) -> set[int]:
        """Add those whose id is new; returns their `seq`."""
        rows = []
        for seq, digest, submission in newcomers:
            id, _, repo, kind, origin, peer, routes, decisions, *_ = submission
            said = _as_text(decisions)
            ended = None if routes else self._database.age
            sender = (repo, kind, origin, peer)
            rows.append((seq, id, digest, *sender, now, said, len(routes), ended))
        if insert(self._con, EVENTS, rows, UNLESS_KNOWN) == len(rows):
            return {one.seq for one in newcomers}
        return {seq for (seq,) in self._con.execute(SINCE, (newcomers[0].seq,))}

    def _add_deliveries(self, now: int, new: Sequence[Newcomer]) -> None:
        """Add what belongs to events that are new: bodies, commits, deliveries."""
        insert(self._con, BODIES, [(seq, event.body) for seq, _, event in new])
        commits = [
            (seq, "".join(f" {oid}" for oid in event.commits))
            for seq, _, event in new
            if event.commits
        ]
        insert(self._con, COMMITS, commits)
        age = self._database.age_at(now)
        deliveries, moved = [], []
        for seq, _, event in new:
            for route in event.routes:
                lane, due = self._lane(now, seq, event.repo, route)
                deliveries.append((seq, lane, due, age))
                if route.refs:
                    moved.append((seq, lane, route.refs))
        first = {lane: (lane, seq, due) for seq, lane, due, _ in reversed(deliveries)}
        self._con.execute(JOIN_LANES, {"lanes": json.dumps([*first.values()])})
        insert(self._con, DELIVERIES, deliveries)
        if moved:
            self._con.execute(MOVED, {"routes": json.dumps(moved)})

    def _lane(self, now: int, seq: int, repo: str, route: Route) -> tuple[int, int]:
        """The id of the lane that the delivery of this route joins, and when that is
        due.
        """
        due = now + route.gather_ms
        values = {"service": route.service, "repo": repo, "due": due}
        if route.order == "none":
            values |= {"ordinal": seq, "hold": None}
            return self._con.execute(NEW_LANE, values).lastrowid or 0, due
        hold = route.hold_ms if route.order == "bounded" else None
        key = (route.service, repo)
        lanes = self._database.known.lanes
        found = lanes.get(key) or self._con.execute(FIND_LANE, key).fetchone()
        if found is None:
            values |= {"ordinal": 0, "hold": hold}
            lane = self._con.execute(NEW_LANE, values).lastrowid or 0
        else:
            lane = found[0]
            if found[1] != hold:
                change = "UPDATE lane SET hold_ms = ? WHERE id = ?"
                self._con.execute(change, (hold, lane))
        if len(lanes) >= _LANES:
            lanes.clear()
        lanes[key] = (lane, hold)
        return lane, due

    def _find(self, ids: list[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """{id: (seq, digest)} of the events that are there already."""
        found = {}
        size = max(_SIZES)
        for first in range(0, len(ids), size):
            some = ids[first : first + size]
            room = min(known for known in _SIZES if known >= len(some))
            sql = KNOWN.format(", ".join("?" * room))
            padded = some + [some[0]] * (room - len(some))
            for id, seq, digest in self._con.execute(sql, padded):
                found[id] = (seq, digest)
        return found


@lru_cache(256)
def _as_text(decisions: tuple[Decision, ...]) -> str:
    # pushes to one ref get the same decisions again and again
    return json.dumps(decisions)


def insert(
    con: sqlite3.Connection,
    columns: str,
    rows: Sequence[tuple[Any, ...]],
    more: str = "",
) -> int:
    """Insert *rows*, by a statement that ends with *more*; returns how many it took."""
    waiting = iter(rows)
    count = len(rows)
    taken = 0
    for size in _SIZES:
        for _ in range(count // size):
            values = [value for row in islice(waiting, size) for value in row]
            taken += con.execute(insert_sql(columns, size, more), values).rowcount
        count %= size
    return taken


@cache
def insert_sql(columns: str, rows: int, more: str = "") -> str:
    """INSERT of several rows in one statement, which ends with *more*."""
    row = "(" + ", ".join("?" * (columns.count(",") + 1)) + ")"
    return f"INSERT INTO {columns} VALUES {', '.join([row] * rows)}{more}"  # noqa: S608 - columns from above
