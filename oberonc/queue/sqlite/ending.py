"""Attempts end: what becomes of the delivery, of its lane, and of the breaker of its
service.
"""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from oberonc import policy
from oberonc.policy import MINUTE, SECOND
from oberonc.queue.sqlite.leasing import Leasing, Service
from oberonc.queue.sqlite.store import DEAD, DONE, LEASED, READY, STATES, durable
from oberonc.queue.values import (
    OUTPUT_LIMIT,
    Ended,
    Ending,
    Recovered,
    Token,
)
from oberonc.text import shortened

#: This many transient failures in a row, over two lanes or more, open the breaker.
STREAK: Final = 5
PROBE_FIRST_MS: Final = 30 * SECOND
PROBE_LAST_MS: Final = 10 * MINUTE
_NOTE_LIMIT: Final = 4000

HELD = """
SELECT d.id, d.seq, d.lane, d.attempt, d.parked, d.tries, d.crashes, d.orphans, d.waited_ms, d.blocked_ms,
  l.service, l.hold_ms
FROM delivery d JOIN lane l ON l.id = d.lane WHERE d.id = ? AND d.state = 1 AND d.attempt = ?"""
#: The fence: the same condition again, in the statement that changes something.
END = """
UPDATE delivery SET state = :state, parked = :parked, suspect = 0, due_ms = :due, since_ms = :since, turns = :turns,
  tries = :tries, crashes = :crashes, waited_ms = :waited, blocked_ms = :blocked, ended_ms = :ended, note = :note
WHERE id = :id AND state = 1 AND attempt = :attempt"""
END_ATTEMPT = """
UPDATE attempt SET took_ms = ?, outcome = ?, note = ?, output = ? WHERE delivery = ? AND number = ?"""
FAILED = """
INSERT INTO service(name, failures, streak_lane, last_error, last_error_ms) VALUES(:name, 1, :lane, :note, :now)
ON CONFLICT DO UPDATE SET failures = failures + 1, last_error = :note, last_error_ms = :now,
  streak_lane = CASE WHEN failures = 0 THEN :lane ELSE streak_lane END,
  spread = CASE WHEN failures = 0 THEN 0 ELSE spread OR streak_lane <> :lane END
RETURNING failures, spread"""
ERROR = """
INSERT INTO service(name, last_error, last_error_ms) VALUES(:name, :note, :now)
ON CONFLICT DO UPDATE SET last_error = :note, last_error_ms = :now"""
ALIVE = "UPDATE service SET failures = 0, spread = 0, last_error = '', last_error_ms = NULL WHERE name = ?"
OPEN = "UPDATE service SET turns = turns + 1, probe = NULL, probe_due_ms = ?, probe_wait_ms = ? WHERE name = ?"
CLOSE = """
UPDATE service SET turns = turns + 1, failures = 0, spread = 0, probe = NULL, probe_due_ms = NULL,
  probe_wait_ms = NULL WHERE name = ? AND turns % 2 = 1"""
NEXT_PROBE = "UPDATE service SET probe = NULL, probe_due_ms = ?, probe_wait_ms = ? WHERE name = ?"
#: Those that are simply done, all in one statement each. The same fence; who is not
#: returned was late.
DONE_ALL = """
UPDATE delivery SET state = 2, suspect = 0, due_ms = :now, since_ms = NULL, ended_ms = :now, note = told.note
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,
  json_extract(value, '$[3]') AS note FROM json_each(:endings)) AS told
WHERE delivery.id = told.id AND delivery.attempt = told.attempt AND delivery.state = 1
RETURNING id, attempt, seq, lane, parked"""
ATTEMPTS_DONE = """
UPDATE attempt SET took_ms = told.took, outcome = 'done', note = told.note, output = told.output
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS number,
  json_extract(value, '$[2]') AS took, json_extract(value, '$[3]') AS note, json_extract(value, '$[4]') AS output
  FROM json_each(:endings)) AS told
WHERE attempt.delivery = told.id AND attempt.number = told.number"""
SERVICES = (
    "SELECT id, service FROM lane WHERE id IN (SELECT value FROM json_each(:lanes))"
)
FEWER = """
UPDATE event SET live = live - gone.n, ended_age = CASE WHEN live = gone.n THEN :age END
FROM (SELECT json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS n FROM json_each(:events)) AS gone
WHERE event.seq = gone.seq"""
#: Never of those that tell of others: else each notice that is given up would make the
#: next one.
DIED = """
INSERT OR IGNORE INTO untold
SELECT d.id FROM delivery d JOIN event e ON e.seq = d.seq WHERE d.id = ? AND e.kind <> 'dead'"""
ORPHANS = """
SELECT d.id, d.seq, d.lane, d.attempt, d.parked, d.orphans, l.service
FROM delivery d INDEXED BY delivery_one_leased JOIN lane l ON l.id = d.lane WHERE d.state = 1"""
ORPHANED = """
UPDATE delivery SET state = :state, suspect = :suspect, orphans = :orphans, due_ms = :now, since_ms = NULL,
  ended_ms = :ended, note = CASE WHEN :ended IS NULL THEN note ELSE :note END WHERE id = :id"""


class Held(NamedTuple):
    """A leased delivery, as `end` needs it."""

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


class Left(NamedTuple):
    """A delivery that was leased, and the state it went to."""

    seq: int
    lane: int
    service: str
    state: int
    parked: bool


class Fate(NamedTuple):
    """What an ending makes of a delivery: its state, when it is due again, why it was
    given up.
    """

    state: int
    delay_ms: int = 0
    parked: bool = False
    reason: str = ""


class Finishing(Leasing):
    """`end` and `recover`."""

    @durable
    def end(self, now: int, token: Token, ending: Ending) -> Ended:
        return self.end_all(now, [(token, ending)])[0]

    @durable
    def end_all(self, now: int, endings: Sequence[tuple[Token, Ending]]) -> list[Ended]:
        answers: list[Ended] = []
        for kind, run in groupby(endings, lambda told: told[1].kind):
            alike = [*run]
            answers += (
                self._all_done(now, alike)
                if kind == "done"
                else [self._not_done(now, *told) for told in alike]
            )
        return answers

    def _all_done(
        self, now: int, endings: Sequence[tuple[Token, Ending]]
    ) -> list[Ended]:
        told = [
            (
                *token,
                ending.took_ms,
                _storable(ending.note, _NOTE_LIMIT),
                _storable(ending.output, OUTPUT_LIMIT),
            )
            for token, ending in endings
        ]
        values = {"now": now, "endings": json.dumps(told)}
        ended = {
            Token(id, attempt): rest
            for id, attempt, *rest in self.con.execute(DONE_ALL, values)
        }
        if len(ended) < len(told):
            self.tallies.add("", "late_results", len(told) - len(ended))
            values["endings"] = json.dumps([row for row in told if row[:2] in ended])
        if ended:
            self.con.execute(ATTEMPTS_DONE, values)
            lanes = json.dumps([lane for _, lane, _ in ended.values()])
            service_of = dict(self._rows(SERVICES, lanes=lanes))
            self.left(
                [
                    Left(seq, lane, service_of[lane], DONE, bool(parked))
                    for seq, lane, parked in ended.values()
                ]
            )
            for name, count in Counter(
                service_of[lane] for _, lane, _ in ended.values()
            ).items():
                self.tallies.add(name, "done", count)
                self._alive(name, self._service(name))
        # The same token a second time is late.
        found = [ended.pop(token, None) for token, _ in endings]
        return [
            Ended("done", None, bool(one[2])) if one else Ended("late") for one in found
        ]

    def _alive(self, name: str, service: Service) -> None:
        """The destination answered."""
        if service.open:
            self.con.execute(CLOSE, (name,))
        if service.failures or service.last_error_ms is not None:
            self.con.execute(ALIVE, (name,))

    def _not_done(self, now: int, token: Token, ending: Ending) -> Ended:
        row = self.con.execute(HELD, token).fetchone()
        if row is None:
            self.tallies.add("", "late_results")
            return Ended("late")
        held = Held(*row)
        note, output = (
            _storable(ending.note, _NOTE_LIMIT),
            _storable(ending.output, OUTPUT_LIMIT),
        )
        ending = ending._replace(note=note, output=output)
        service = self._service(held.service)
        spent = _spent(held, ending, service)
        fate = self._fate(held, ending, spent)
        self._write_end(now, held, ending, spent, fate, service)
        self._breaker(now, held, ending, service)
        self.tallies.add(held.service, "dead" if fate.state == DEAD else ending.kind)
        if fate.state == DEAD:
            return Ended("dead", None, bool(held.parked), fate.reason)
        return Ended("ready", now + fate.delay_ms, fate.parked)

    def _fate(self, held: Held, ending: Ending, spent: policy.Spent) -> Fate:
        fate = policy.fate(
            ending.kind,
            spent,
            after_ms=ending.after_ms,
            parked=bool(held.parked),
            hold_ms=held.hold_ms,
            chance=self.rng.random(),
        )
        return Fate(STATES.index(fate.state), fate.delay_ms, fate.parked, fate.reason)

    def _write_end(
        self,
        now: int,
        held: Held,
        ending: Ending,
        spent: policy.Spent,
        fate: Fate,
        service: Service,
    ) -> None:
        note = "; ".join(filter(None, (fate.reason, ending.note)))
        ended = None if fate.state == READY else now
        parked = fate.parked if ended is None else held.parked
        values: dict[str, Any] = {
            "id": held.id,
            "attempt": held.attempt,
            "now": now,
            "due": now + fate.delay_ms,
            "ended": ended,
        }
        values |= {
            "state": fate.state,
            "parked": parked,
            "turns": service.turns,
            "note": note,
        }
        # A wait that we caused is charged to nothing.
        values |= {"since": now if ending.kind in policy.CHARGED else None}
        values |= {"tries": spent.tries, "crashes": spent.crashes}
        values |= {"waited": spent.waited_ms, "blocked": spent.blocked_ms}
        self.con.execute(END, values)
        if fate.state == DEAD:
            self.con.execute(DIED, (held.id,))
        attempt = (
            ending.took_ms,
            ending.kind,
            ending.note,
            ending.output,
            held.id,
            held.attempt,
        )
        self.con.execute(END_ATTEMPT, attempt)
        self.left([Left(held.seq, held.lane, held.service, fate.state, bool(parked))])

    def left(self, gone: Sequence[Left]) -> None:
        """Deliveries are leased no more: their lanes are free, their events may be
        over.
        """
        self.refresh({one.lane for one in gone})
        for one in gone:
            self.tallies.place(one.service, LEASED, one.parked, -1)
            self.tallies.place(one.service, one.state, one.parked)
        self.fewer([one.seq for one in gone if one.state != READY])

    def fewer(self, events: Sequence[int]) -> None:
        """Of each of *events*, given by `seq`, once for each delivery that ended, fewer
        live.
        """
        self.con.execute(
            FEWER, {"age": self.age, "events": json.dumps([*Counter(events).items()])}
        )

    def _breaker(self, now: int, held: Held, ending: Ending, service: Service) -> None:
        """Only a transient failure speaks against the destination; rejected or
        half-way, it answered.
        """
        if ending.kind in ("dead", "progress"):
            self._alive(held.service, service)
        note = {"name": held.service, "note": ending.note, "now": now}
        if ending.kind in ("dead", "crash"):
            self.con.execute(ERROR, note)
        if ending.kind == "retry":
            failures, spread = self._row(FAILED, **note, lane=held.lane)
            if failures >= STREAK and spread and not service.open:
                self.con.execute(
                    OPEN, (now + PROBE_FIRST_MS, PROBE_FIRST_MS, held.service)
                )
        if service.probe == held.id and ending.kind in (
            "retry",
            "crash",
            "interrupted",
        ):
            self._next_probe(now, held.service, ending, service)

    def _next_probe(
        self, now: int, name: str, ending: Ending, service: Service
    ) -> None:
        wait = service.probe_wait_ms or PROBE_FIRST_MS
        if ending.kind == "retry":
            wait = min(2 * wait, PROBE_LAST_MS)
        due = now if ending.kind == "interrupted" else now + wait
        self.con.execute(NEXT_PROBE, (due, wait, name))

    @durable
    def recover(self, now: int) -> Recovered:
        self.forget()
        orphans = self._rows(ORPHANS)
        given_up = [row[0] for row in orphans if self._orphan(now, *row)]
        # A probe in flight died with its lease; the next may go at once.
        self.con.execute(
            "UPDATE service SET probe = NULL, probe_due_ms = ? WHERE probe IS NOT NULL",
            (now,),
        )
        self.con.execute(
            "UPDATE generation SET state = 'rejected' WHERE state = 'probing'"
        )
        self.con.execute(
            "UPDATE generation SET state = 'retired' WHERE state = 'draining'"
        )
        dead = (self.delivery(id) for id in given_up)
        return Recovered(len(orphans), tuple(found for found in dead if found))

    def _orphan(
        self, now: int, id: int, seq: int, lane: int, attempt: int, *rest: Any
    ) -> bool:
        """Give one delivery back; True when it was running at too many daemon deaths."""
        parked, orphans, service = rest
        orphans += 1
        state = DEAD if policy.exhausted(policy.Spent(orphans=orphans)) else READY
        values = {
            "id": id,
            "state": state,
            "now": now,
            "ended": now if state == DEAD else None,
        }
        values |= {
            "orphans": orphans,
            "suspect": state == READY and orphans >= policy.SUSPECT,
        }
        self.con.execute(
            ORPHANED,
            {**values, "note": f"the daemon died {orphans} times while it ran"},
        )
        self.con.execute(END_ATTEMPT, (None, "orphaned", "", "", id, attempt))
        if state == DEAD:
            self.con.execute(DIED, (id,))
        self.left([Left(seq, lane, service, state, bool(parked))])
        self.tallies.add(service, "orphaned" if state == READY else STATES[DEAD])
        return state == DEAD


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


def _spent(held: Held, ending: Ending, service: Service) -> policy.Spent:
    """The budgets after this ending."""
    spent = policy.Spent(
        held.tries, held.crashes, held.orphans, held.waited_ms, held.blocked_ms
    )
    return policy.after_attempt(
        spent, ending.kind, ending.took_ms, excused=service.open
    )
