"""Events come in: deduplicated, kept, one delivery per route at the end of its lane.

All events of a batch go in together, a few statements for all of them: each statement
gives up the interpreter's lock, and getting it back from a busy thread costs more than
the statement.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from oberonc.queue.sqlite.store import READY, Store, durable
from oberonc.queue.values import (
    Answer,
    Decision,
    Route,
    Submission,
    check,
)

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
  (SELECT paused FROM lane WHERE service = :service AND repo = :repo AND ordinal = 0), 0), :now)"""
#: Where a head stands before the newcomer its time stays. To be run before the
#: newcomers are there.
WAKE_LANES = """
UPDATE lane SET wake_ms = :now WHERE id IN (SELECT value FROM json_each(:lanes))
AND (wake_ms IS NULL OR wake_ms > :now)
AND NOT EXISTS(SELECT 1 FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0)"""
#: The first of the newcomers is a lane's oldest where nothing else waits or runs.
NEW_OLDEST = """
UPDATE lane SET oldest = new.seq FROM (
  SELECT json_extract(value, '$[0]') AS lane, json_extract(value, '$[1]') AS seq FROM json_each(:lanes)) AS new
WHERE lane.id = new.lane AND lane.oldest IS NULL"""
#: Table and columns of what an event puts in.
EVENTS = "event(seq, id, digest, repo, kind, origin, peer_uid, accepted_ms, decisions, live, ended_age)"
BODIES = "body(seq, bytes)"
COMMITS = "event_commit(seq, oids)"
DELIVERIES = "delivery(seq, lane, due_ms)"


class Newcomer(NamedTuple):
    """A submission that becomes an event."""

    seq: int
    digest: bytes
    submission: Submission


class Accepting(Store):
    """`accept` and `accept_all`."""

    def forget(self) -> None:
        super().forget()
        self._lane_ids: dict[tuple[str, str], tuple[int, int | None]] = {}
        self._last: int | None = None

    @durable
    def accept(self, now: int, submission: Submission) -> Answer:
        check(submission)
        return self.accept_all(now, (submission,))[0]

    @durable
    def accept_all(self, now: int, submissions: Sequence[Submission]) -> list[Answer]:
        asked = [
            Newcomer(
                seq,
                hashlib.sha256(submission.came or submission.body).digest(),
                submission,
            )
            for seq, submission in enumerate(submissions, self._last_seq() + 1)
        ]
        # Nearly every id is new: whose is not shows by not being kept, and only those
        # are looked up.
        rows = [] if self.room.low else [self._event_row(now, *one) for one in asked]
        kept = {
            seq
            for (seq,) in self._insert(
                EVENTS, rows, " ON CONFLICT(id) DO NOTHING RETURNING seq"
            )
        }
        if kept:
            self._last = max(kept)
            self._keep(now, [one for one in asked if one.seq in kept])
        known = self._known([one.submission.id for one in asked if one.seq not in kept])
        return [
            Answer("accepted", one.seq)
            if one.seq in kept
            else self._answer(known.get(one.submission.id), one.digest)
            for one in asked
        ]

    def _last_seq(self) -> int:
        if self._last is None:
            row = self.con.execute(LAST).fetchone()
            self._last = int(row[0]) if row else 0
        return self._last

    def _known(self, ids: list[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """{id: (seq, digest)} of the events that are there already."""
        found = {}
        size = max(_SIZES)
        for first in range(0, len(ids), size):
            some = ids[first : first + size]
            room = min(known for known in _SIZES if known >= len(some))
            sql = KNOWN.format(", ".join("?" * room))
            for id, seq, digest in self.con.execute(
                sql, some + [some[0]] * (room - len(some))
            ):
                found[id] = (seq, digest)
        return found

    def _answer(self, known: tuple[int, bytes] | None, digest: bytes) -> Answer:
        """What a submission gets that was not kept, given the event of the same id."""
        if known and known[1] != digest:
            self.tallies.add("", "conflicts")
            return Answer("conflict")
        if known:
            self.tallies.add("", "duplicates")
            return Answer("duplicate", known[0])
        self.tallies.add("", "storage_low")
        return Answer("storage_low")

    def _keep(self, now: int, new: list[Newcomer]) -> None:
        self._insert(BODIES, [(seq, submission.body) for seq, _, submission in new])
        named = [
            (seq, submission.commits)
            for seq, _, submission in new
            if submission.commits
        ]
        self._insert(
            COMMITS,
            [(seq, "".join(f" {oid}" for oid in commits)) for seq, commits in named],
        )
        routes = [
            (seq, submission.repo, route)
            for seq, _, submission in new
            for route in submission.routes
        ]
        rows = [
            (seq, self._lane(now, seq, repo, route), now) for seq, repo, route in routes
        ]
        self.con.execute(
            WAKE_LANES, {"now": now, "lanes": json.dumps([lane for _, lane, _ in rows])}
        )
        self._insert(DELIVERIES, rows)
        firsts = {lane: seq for seq, lane, _ in reversed(rows)}
        self.con.execute(NEW_OLDEST, {"lanes": json.dumps([*firsts.items()])})
        self.tallies.add("", "accepted", len(new))
        for _, _, route in routes:
            self.tallies.add(route.service, "accepted")
            self.tallies.place(route.service, READY, 0)
        self.wrote(sum(len(submission.body) for _, _, submission in new))

    def _event_row(
        self, now: int, seq: int, digest: bytes, submission: Submission
    ) -> tuple[Any, ...]:
        id, _, repo, kind, origin, peer, routes, decisions, *_ = submission
        ended = None if routes else self.age
        return (
            seq,
            id,
            digest,
            repo,
            kind,
            origin,
            peer,
            now,
            _as_text(decisions),
            len(routes),
            ended,
        )

    def _insert(
        self, columns: str, rows: Sequence[tuple[Any, ...]], more: str = ""
    ) -> list[Any]:
        """Insert *rows*; returns what *more*, the end of the statement, has it return."""
        left = iter(rows)
        returned: list[Any] = []
        for size in _SIZES:
            for _ in range(len(rows) // size):
                values = [value for row in islice(left, size) for value in row]
                returned += self.con.execute(insert_sql(columns, size, more), values)
            rows = rows[len(rows) - len(rows) % size :]
        return returned

    def _lane(self, now: int, seq: int, repo: str, route: Route) -> int:
        """The id of the lane this route's delivery joins."""
        if route.order == "none":
            return self._new_lane(now, route.service, repo, seq, None)
        hold = route.hold_ms if route.order == "bounded" else None
        key = (route.service, repo)
        known = self._lane_ids.get(key) or self.con.execute(FIND_LANE, key).fetchone()
        lane: int = (
            known[0] if known else self._new_lane(now, route.service, repo, 0, hold)
        )
        if known and known[1] != hold:
            self.con.execute("UPDATE lane SET hold_ms = ? WHERE id = ?", (hold, lane))
        if len(self._lane_ids) >= _LANES:
            self._lane_ids.clear()
        self._lane_ids[key] = (lane, hold)
        return lane

    def _new_lane(
        self, now: int, service: str, repo: str, ordinal: int, hold: int | None
    ) -> int:
        values = {
            "service": service,
            "repo": repo,
            "ordinal": ordinal,
            "hold": hold,
            "now": now,
        }
        return self.con.execute(NEW_LANE, values).lastrowid or 0


@lru_cache(256)
def _as_text(decisions: tuple[Decision, ...]) -> str:
    # pushes to one ref get the same decisions again and again
    return json.dumps(decisions)


@cache
def insert_sql(columns: str, rows: int, more: str = "") -> str:
    """INSERT of several rows in one statement, which ends with *more*."""
    row = "(" + ", ".join("?" * (columns.count(",") + 1)) + ")"
    return f"INSERT INTO {columns} VALUES {', '.join([row] * rows)}{more}"  # noqa: S608 - columns from above
