"""Attempts end: what becomes of the delivery, of its lane, and of the breaker of its
service.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from oberonc import policy
from oberonc.policy import Spent
from oberonc.queue.sqlite.database import Database, Part, durable
from oberonc.queue.sqlite.rows import (
    Move,
    Position,
    find_service,
    follow,
    move_members,
    save_breaker,
)
from oberonc.queue.sqlite.tallies import DONE, LEASED, STATES
from oberonc.queue.values import OUTPUT_LIMIT, Ended, Ending, Token
from oberonc.text import shortened

_NOTE_LIMIT: Final = 4000

HELD = """
SELECT d.id, d.seq, d.lane, d.attempt, d.parked, d.tries, d.crashes, d.orphans, d.waited_ms, d.blocked_ms,
  l.service, l.hold_ms, d.members
FROM delivery d JOIN lane l ON l.id = d.lane WHERE d.id = ? AND d.state = 1 AND d.attempt = ?"""
#: The fence: the same condition again, in the statement that changes something.
END = """
UPDATE delivery SET state = :state, parked = :parked, suspect = 0, due_ms = :due, since_ms = :since, turns = :turns,
  tries = :tries, crashes = :crashes, waited_ms = :waited, blocked_ms = :blocked, ended_ms = :ended, note = :note
WHERE id = :id AND state = 1 AND attempt = :attempt"""
END_ATTEMPT = """
UPDATE attempt SET took_ms = ?, outcome = ?, note = ?, output = ? WHERE delivery = ? AND number = ?"""
#: Those that are simply done, all in one statement each. The same fence; who is not
#: returned was late.
DONE_ALL = """
UPDATE delivery SET state = 2, suspect = 0, due_ms = :now, since_ms = NULL, ended_ms = :now, note = ended.note
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,
  json_extract(value, '$[3]') AS note FROM json_each(:endings)) AS ended
WHERE delivery.id = ended.id AND delivery.attempt = ended.attempt AND delivery.state = 1
RETURNING id, attempt, seq, lane, parked, members, born_age"""
ATTEMPTS_DONE = """
UPDATE attempt SET took_ms = ended.took, outcome = 'done', note = ended.note, output = ended.output
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS number,
  json_extract(value, '$[2]') AS took, json_extract(value, '$[3]') AS note, json_extract(value, '$[4]') AS output
  FROM json_each(:endings)) AS ended
WHERE attempt.delivery = ended.id AND attempt.number = ended.number"""
SERVICES = (
    "SELECT id, service FROM lane WHERE id IN (SELECT value FROM json_each(:lanes))"
)


class Held(NamedTuple):
    """A leased delivery, as its ending needs it."""

    id: int
    seq: int
    lane: int
    attempt: int
    parked: int
    tries: int
    crashes: int
    orphans: int
    waited_ms: int
    blocked_ms: int
    service: str
    hold_ms: int | None
    members: int

    @property
    def spent(self) -> Spent:
        """What it had used up when it was leased."""
        budgets = (self.tries, self.crashes, self.orphans)
        return Spent(*budgets, self.waited_ms, self.blocked_ms)


class Finishing(Part):
    """`end` and `end_all`."""

    def __init__(self, database: Database, rng: random.Random) -> None:
        super().__init__(database)
        self._rng = rng

    @durable
    def end(self, now: int, token: Token, ending: Ending) -> Ended:
        """See `Queue.end`."""
        return self.end_all(now, [(token, ending)])[0]

    @durable
    def end_all(self, now: int, endings: Sequence[tuple[Token, Ending]]) -> list[Ended]:
        """See `Queue.end_all`."""
        answers: list[Ended] = []
        for kind, alike in groupby(endings, lambda pair: pair[1].kind):
            if kind == "done":
                answers += self._end_done(now, [*alike])
            else:
                answers += [self._end_one(now, *pair) for pair in alike]
        return answers

    def _end_done(
        self, now: int, endings: Sequence[tuple[Token, Ending]]
    ) -> list[Ended]:
        """End all of *endings*, which are simply done."""
        rows = [
            (
                *token,
                ending.took_ms,
                _storable(ending.note, _NOTE_LIMIT),
                _storable(ending.output, OUTPUT_LIMIT),
            )
            for token, ending in endings
        ]
        values = {"now": now, "endings": json.dumps(rows)}
        held = {
            Token(id, attempt): found
            for id, attempt, *found in self._con.execute(DONE_ALL, values)
        }
        if len(held) < len(rows):
            late = len(rows) - len(held)
            self._database.tallies.add("", "late_results", late)
            values["endings"] = json.dumps([row for row in rows if row[:2] in held])
        if held:
            self._con.execute(ATTEMPTS_DONE, values)
            lanes = json.dumps([lane for _, lane, *_ in held.values()])
            services = dict(self._con.execute(SERVICES, {"lanes": lanes}).fetchall())
            moves, age = [], self._database.age_at(now)
            took: Counter[str] = Counter()
            for (id, _), (seq, lane, parked, members, born) in held.items():
                old, new = Position(LEASED, parked), Position(DONE, parked)
                moves.append(Move(id, seq, lane, services[lane], old, new))
                took[services[lane]] += (1 + members) * max(0, age - born)
                if members:
                    moves += move_members(self._database, moves[-1], now, "")
            follow(self._database, moves)
            ended = Counter(move.service for move in moves)
            for service, count in ended.items():
                self._database.tallies.add(service, "done", count)
                self._database.periods.add(
                    now, service, done=count, took_ms=took[service]
                )
                before = find_service(self._database, service).breaker
                save_breaker(self._database, service, before, before.answered())
        answers = []
        for token, _ in endings:
            # The same token a second time is late.
            found = held.pop(token, None)
            if found is None:
                answers.append(Ended("late"))
            else:
                answers.append(Ended("done", None, bool(found[2])))
        return answers

    def _end_one(self, now: int, token: Token, ending: Ending) -> Ended:
        """End an attempt that is not simply done."""
        row = self._con.execute(HELD, token).fetchone()
        if row is None:
            self._database.tallies.add("", "late_results")
            return Ended("late")
        held = Held(*row)
        breaker = find_service(self._database, held.service).breaker
        spent = policy.after_attempt(
            held.spent,
            ending.kind,
            ending.took_ms,
            excused=breaker.excuses(breaker.changes),
        )
        fate = policy.fate(
            ending.kind,
            spent,
            after_ms=ending.after_ms,
            parked=bool(held.parked),
            hold_ms=held.hold_ms,
            chance=self._rng.random(),
        )
        state = STATES.index(fate.state)
        due = now + fate.delay_ms
        note = _storable(ending.note, _NOTE_LIMIT)
        output = _storable(ending.output, OUTPUT_LIMIT)
        said = "; ".join(filter(None, (fate.reason, note)))
        values = {
            "id": held.id,
            "attempt": held.attempt,
            "state": state,
            "parked": fate.parked,
            "due": due,
            "since": now if ending.kind in policy.CHARGED else None,
            "turns": breaker.changes,
            "tries": spent.tries,
            "crashes": spent.crashes,
            "waited": spent.waited_ms,
            "blocked": spent.blocked_ms,
            "ended": None if fate.state == "ready" else now,
            "note": said,
        }
        self._con.execute(END, values)
        attempt = (ending.took_ms, ending.kind, note, output, held.id, held.attempt)
        self._con.execute(END_ATTEMPT, attempt)
        old, new = Position(LEASED, held.parked), Position(state, fate.parked)
        moves = [Move(held.id, held.seq, held.lane, held.service, old, new)]
        if held.members and (fate.state == "dead" or fate.parked != held.parked):
            moves += move_members(self._database, moves[0], now, said)
        follow(self._database, moves)
        after = breaker.ended(now, ending.kind, held.id, held.lane, note)
        save_breaker(self._database, held.service, breaker, after)
        if fate.state == "dead":
            self._database.tallies.add(held.service, "dead", len(moves))
            self._database.periods.add(now, held.service, dead=len(moves))
            return Ended("dead", None, fate.parked, fate.reason)
        self._database.tallies.add(held.service, ending.kind)
        self._database.periods.add(now, held.service, retried=1)
        return Ended("ready", due, fate.parked)


def _storable(text: str, limit: int) -> str:
    """What brokers say, made fit for SQLite: an ending must not fail for a lone
    surrogate or a NUL.
    """
    return (
        shortened(text, limit)
        .encode("utf-8", "replace")
        .decode("utf-8")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
