"""The queue against a plain model: any operations, the database reopened in between
(P3, P4, P6, P13, P15).
"""

import os
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from oberonc.errors import BadInput
from oberonc.policy import ASKED_MS, JITTER, LONGEST_MS, ORPHANS, SUSPECT
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import (
    DEDUPE_MS,
    Ended,
    Ending,
    Lease,
    Order,
    Rules,
    Slot,
    State,
    Token,
)
from tests.support.store_rounds import rounds
from tests.support.store_rules import violations
from tests.support.store_values import HOUR, MINUTE, NOW, YEARS, submission

SERVICES = ("chat", "tracker")
ORDERS: dict[str, Order] = {"a": "bounded", "b": "strict", "c": "none"}
#: What pushes move, by their number.
REFS = (("main",), ("main",), ("main", "next"), ("next",), ())
RULES = st.builds(
    Rules,
    apart_ms=st.sampled_from([0, 0, MINUTE]),
    max_age_ms=st.sampled_from([0, 0, 2 * HOUR]),
    collapse=st.booleans(),
    together=st.sampled_from([1, 3, 100]),
    together_bytes=st.just(1_000_000),
)
Kind = Literal["done", "retry", "crash", "dead", "interrupted", "progress"]
KINDS: tuple[Kind, ...] = (
    "done",
    "done",
    "retry",
    "retry",
    "crash",
    "dead",
    "interrupted",
    "progress",
)


@dataclass
class Modelled:
    """A delivery as the model sees it."""

    id: int
    seq: int
    event: bytes
    service: str
    repo: str
    due: int
    accepted: int
    state: str = "ready"
    parked: bool = False
    attempt: int = 0
    orphans: int = 0
    suspect: bool = False
    #: What its push moved, its observed age then, and what it is handed over with.
    refs: tuple[str, ...] = ()
    born: int = 0
    joined: int | None = None
    members: list[int] = field(default_factory=list)

    @property
    def lane(self) -> tuple[str, str, int]:
        return self.service, self.repo, self.seq if ORDERS[self.repo] == "none" else 0


@dataclass
class Model:
    """All that was ever accepted and not pruned, and what the queue may do with it."""

    deliveries: dict[int, Modelled] = field(default_factory=dict)
    #: Event id to the observed age at which it ended (None: it lives).
    events: dict[bytes, int | None] = field(default_factory=dict)
    paused: set[tuple[str, str]] = field(default_factory=set)
    late: int = 0
    age: int = 0
    #: {service: when its rate lets the next one start}
    turns: dict[str, int] = field(default_factory=dict)

    def in_state(self, *states: str) -> list[Modelled]:
        return [found for found in self.deliveries.values() if found.state in states]

    def may_run(self, wanted: Modelled, now: int) -> bool:
        """Due, not paused, its lane idle, and at its lane's head or parked."""
        if (
            wanted.state != "ready"
            or wanted.joined is not None
            or wanted.due > now
            or (wanted.service, wanted.repo) in self.paused
        ):
            return False
        lane = [
            found
            for found in self.in_state("ready", "leased")
            if found.lane == wanted.lane
        ]
        if any(found.state == "leased" for found in lane):
            return False
        waiting = [
            found.seq for found in lane if not found.parked and found.joined is None
        ]
        return wanted.parked or wanted.seq == min(waiting)

    def is_overtaken(self, wanted: Modelled) -> bool:
        """Each of its refs moved again, by one that waits, runs or is done."""
        later = {
            ref
            for found in self.in_state("ready", "leased", "done")
            if found.lane == wanted.lane and found.seq > wanted.seq
            for ref in found.refs
        }
        return bool(wanted.refs) and not wanted.members and {*wanted.refs} <= later

    def is_old(self, wanted: Modelled, rules: Rules) -> bool:
        return bool(rules.max_age_ms) and self.age - wanted.born > rules.max_age_ms

    def with_members(self, found: Modelled) -> list[Modelled]:
        return [found, *(self.deliveries[member] for member in found.members)]

    def due_lanes(self, service: str, now: int) -> int:
        runnable = (
            found for found in self.deliveries.values() if self.may_run(found, now)
        )
        return len({found.lane for found in runnable if found.service == service})

    def ended(self, event: bytes) -> None:
        """Note the age of an event when its last delivery has ended."""
        if not any(found.event == event for found in self.in_state("ready", "leased")):
            self.events[event] = self.age


class QueueMachine(RuleBasedStateMachine):
    """Operations in any order; after each the queue must equal the model."""

    leases: Bundle[Lease] = Bundle("leases")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "queue.sqlite"
        self.model = Model()
        self.now = self.ticked = NOW
        self.queue = self._opened()
        self.queue.tick(NOW)

    def _opened(self) -> SqliteQueue:
        """Each time with the same chances: an example that fails does so again."""
        return SqliteQueue(self.path, rng=random.Random(0))

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.queue.close()
            self.folder.cleanup()

    @rule(
        number=st.integers(0, 30),
        services=st.sets(st.sampled_from(SERVICES)),
        other=st.booleans(),
    )
    def accept(self, number: int, services: set[str], other: bool) -> None:
        self._accept(number, services, other)

    @rule(first=st.integers(0, 8), service=st.sampled_from(SERVICES))
    def accept_several_of_one_lane(self, first: int, service: str) -> None:
        for number in range(first, first + 4):
            self._accept(3 * number, {service}, other=False)

    def _accept(self, number: int, services: set[str], other: bool) -> None:
        repo = "abc"[number % 3]
        event = submission(number, repo, sorted(services), ORDERS[repo])
        refs = REFS[number % len(REFS)]
        routes = tuple(route._replace(refs=refs) for route in event.routes)
        event = event._replace(routes=routes)
        if other:
            event = event._replace(body=b"other bytes")
        known = self.queue.event(event.id)
        answer = self.queue.accept(self.now, event)
        if event.id in self.model.events:
            assert answer.status in ("duplicate", "conflict")
            assert known is not None
            if known.body is not None:
                assert (answer.status == "duplicate") == (known.body == event.body)
            return
        assert answer.status == "accepted"
        assert answer.seq is not None
        self.model.events[event.id] = None
        kept = self.queue.event(event.id)
        assert kept is not None
        assert [found.service for found in kept.deliveries] == sorted(services)
        for found in kept.deliveries:
            made = Modelled(
                found.id,
                answer.seq,
                event.id,
                found.service,
                repo,
                self.now,
                self.now,
                refs=refs,
                born=self.model.age,
            )
            assert found.id not in self.model.deliveries
            self.model.deliveries[found.id] = made
        self.model.ended(event.id)

    @rule(target=leases, service=st.sampled_from(SERVICES))
    def lease_one(self, service: str) -> Lease:
        found = self._lease(service, 1)
        # A bundle needs a value: a lease nobody holds.
        return found[0] if found else _nothing()

    @rule(
        service=st.sampled_from(SERVICES),
        kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=4),
    )
    def lease_some_and_end_them_in_one_go(
        self, service: str, kinds: list[Kind]
    ) -> None:
        leases = self._lease(service, len(kinds))
        self._end(
            [
                (lease.token, kind, None)
                for lease, kind in zip(leases, kinds, strict=False)
            ]
        )

    @precondition(lambda self: self.model.in_state("ready"))
    @rule(target=leases, service=st.sampled_from(SERVICES), rules=RULES)
    def lease_by_rules(self, service: str, rules: Rules) -> Lease:
        return self._lease_by_rules(service, rules)

    @precondition(lambda self: self.model.in_state("ready"))
    @rule(
        service=st.sampled_from(SERVICES),
        rules=RULES,
        kind=st.sampled_from(KINDS),
        times=st.integers(1, 7),
        newcomer=st.integers(0, 30),
    )
    def try_again_and_again_while_others_come(
        self, service: str, rules: Rules, kind: Kind, times: int, newcomer: int
    ) -> None:
        for number in range(times):
            lease = self._lease_by_rules(service, rules)
            if lease == _nothing():
                break
            self._accept(newcomer + number, {service}, other=False)
            self._end([(lease.token, kind, None)])
            found = self.model.deliveries[lease.token.delivery]
            self.now = max(self.now, found.due)
            self.queue.tick(self.now)
            self._observe()

    def _lease_by_rules(self, service: str, rules: Rules) -> Lease:
        model = self.model
        tried = {found.id: found.attempt for found in model.deliveries.values()}
        granted = self.queue.lease(self.now, [Slot(service, 1, 1, rules)], "worker")
        ended = [model.deliveries[one.delivery] for one in granted.passed]
        for one, found in zip(granted.passed, ended, strict=True):
            assert found.state == "ready", "what runs is never taken back"
            assert found.service == service
            if one.state == "collapsed":
                assert rules.collapse
                assert model.is_overtaken(found)
            elif found.joined:
                assert model.deliveries[found.joined] in ended
            else:
                assert model.is_old(found, rules)
        for one, found in zip(granted.passed, ended, strict=True):
            found.state, found.suspect = one.state, False
            model.ended(found.event)
        if rules.apart_ms:
            latest = self.now + rules.apart_ms
            turn = min(model.turns.get(service, 0), latest)
            assert turn <= self.now or not granted.leases
            if granted.leases:
                model.turns[service] = latest
        if not granted.leases:
            return _nothing()
        (lease,) = granted.leases
        leased = model.deliveries[lease.token.delivery]
        assert model.may_run(leased, self.now)
        assert not model.is_old(leased, rules)
        assert not (rules.collapse and model.is_overtaken(leased))
        self._joined(leased, lease, rules, tried)
        leased.state, leased.attempt = "leased", lease.token.attempt
        return lease

    def _joined(
        self, leased: Modelled, lease: Lease, rules: Rules, tried: dict[int, int]
    ) -> None:
        """The members of a lease are those of its first, or what waits behind it."""
        lane = [
            found
            for found in self.model.in_state("ready")
            if found.lane == leased.lane
            and not found.parked
            and found.joined is None
            and found.seq > leased.seq
        ]
        lane.sort(key=lambda found: found.seq)
        if not leased.members and not tried[leased.id] and not leased.parked:
            for found in lane[: rules.together - 1]:
                if tried[found.id]:
                    break
                assert not self.model.is_old(found, rules)
                assert not (rules.collapse and self.model.is_overtaken(found))
                found.joined, leased.born = leased.id, found.born
                leased.members.append(found.id)
        members = self.model.with_members(leased)[1:]
        assert [one.event for one in lease.members] == [one.event for one in members]

    def _lease(self, service: str, free: int) -> list[Lease]:
        breaker = self._breaker(service)
        expected = min(free, self.model.due_lanes(service, self.now))
        suspects = any(
            found.suspect for found in self.model.in_state("ready", "leased")
        )
        granted = self.queue.lease(self.now, [Slot(service, free, 1)], "worker")
        if breaker == "closed" and not suspects:
            assert len(granted.leases) == expected, "nothing due may be left waiting"
        assert len(granted.leases) <= expected
        assert breaker == "closed" or len(granted.leases) <= 1
        if granted.next_due_ms is not None and len(granted.leases) < free:
            assert granted.next_due_ms > self.now
        for lease in granted.leases:
            leased = self.model.deliveries[lease.token.delivery]
            assert self.model.may_run(leased, self.now), (
                "not leased twice, one per lane, the oldest first"
            )
            assert lease.token.attempt == leased.attempt + 1
            assert lease.body == (self._body(leased.event))
            assert not leased.suspect or not self.model.in_state("leased")
            self._joined(leased, lease, Rules(), {leased.id: leased.attempt})
            leased.state, leased.attempt = "leased", lease.token.attempt
        return list(granted.leases)

    def _breaker(self, service: str) -> str:
        stats = self.queue.stats(self.now).services.get(service)
        return stats.breaker if stats else "closed"

    def _body(self, event: bytes) -> bytes | None:
        found = self.queue.event(event)
        return found.body if found else None

    @rule(
        lease=consumes(leases),
        kind=st.sampled_from(KINDS),
        after=st.none() | st.integers(0, 2 * HOUR) | st.integers(0, 30 * HOUR),
    )
    def end(self, lease: Lease, kind: Kind, after: int | None) -> None:
        # the same answer again comes too late
        self._end([(lease.token, kind, after)] * 2)

    @precondition(lambda self: self.model.in_state("leased"))
    @rule(data=st.data(), off=st.sampled_from([-1, 1]))
    def end_with_another_token(self, data: st.DataObject, off: int) -> None:
        leased = data.draw(st.sampled_from(self.model.in_state("leased")))
        self._end([(Token(leased.id, leased.attempt + off), "done", None)])

    def _end(self, told: list[tuple[Token, Kind, int | None]]) -> None:
        endings = [
            (token, Ending(kind, "note", after, took_ms=10))
            for token, kind, after in told
        ]
        for (token, ending), ended in zip(
            endings, self.queue.end_all(self.now, endings), strict=True
        ):
            self._ended(token, ending, ended)

    def _ended(self, token: Token, ending: Ending, ended: Ended) -> None:
        kind, asked = ending.kind, min(ending.after_ms or 0, ASKED_MS)
        found = self.model.deliveries.get(token.delivery)
        held = (
            found is not None
            and found.state == "leased"
            and found.attempt == token.attempt
        )
        if not held or found is None:
            assert ended.state == "late"
            self.model.late += 1
            return
        allowed = {
            "done": {"done"},
            "dead": {"dead"},
            "retry": {"ready", "dead"},
            "crash": {"ready", "dead"},
        }
        assert ended.state in allowed.get(kind, {"ready"})
        assert ORDERS[found.repo] == "bounded" or found.parked or not ended.parked
        assert kind in ("retry", "crash") or ended.parked == found.parked
        for one in self.model.with_members(found):
            one.state, one.suspect, one.parked = ended.state, False, ended.parked
        if ended.state == "ready":
            assert ended.due_ms is not None
            least = asked if kind in ("retry", "progress") else 0
            assert (
                self.now + least
                <= ended.due_ms
                <= self.now + max(LONGEST_MS, round(asked * (1 + JITTER)))
            )
            found.due = ended.due_ms
        else:
            for one in self.model.with_members(found):
                self.model.ended(one.event)

    @rule(delivery=st.integers(1, 40))
    def redrive(self, delivery: int) -> None:
        found = self.model.deliveries.get(delivery)
        if not found or found.state == "leased":
            _refused(lambda: self.queue.retry(self.now, delivery, "ann"))
            return
        again = self.queue.retry(self.now, delivery, "ann")
        if found.state != "ready":
            found.parked, found.orphans = True, 0
            found.refs, found.born = (), self.model.age
            found.joined, found.members = None, []
            self.model.events[found.event] = None
        found.state = "ready"
        self.model.deliveries[found.joined or found.id].due = self.now
        assert (again.state, again.parked) == ("ready", found.parked)

    @rule(delivery=st.integers(1, 40))
    def drop(self, delivery: int) -> None:
        found = self.model.deliveries.get(delivery)
        if (
            not found
            or found.state not in ("ready", "dead")
            or (found.state == "ready" and found.joined)
        ):
            _refused(lambda: self.queue.drop(self.now, delivery, "ann"))
            return
        was_live = found.state == "ready"
        self.queue.drop(self.now, delivery, "ann")
        for one in self.model.with_members(found) if was_live else [found]:
            one.state, one.suspect = "cancelled", False
            if was_live:
                self.model.ended(one.event)

    @rule(service=st.sampled_from(SERVICES), repo=st.sampled_from("abc"))
    def pause(self, service: str, repo: str) -> None:
        self.queue.pause(service, repo)
        self.model.paused.add((service, repo))

    @rule(service=st.sampled_from(SERVICES), repo=st.sampled_from("abc"))
    def resume(self, service: str, repo: str) -> None:
        self.queue.resume(service, repo)
        self.model.paused.discard((service, repo))

    @rule(step=st.sampled_from([1, 5 * MINUTE, HOUR, 2 * HOUR, YEARS, -YEARS, -HOUR]))
    def advance(self, step: int) -> None:
        self.now = max(HOUR, self.now + step)
        self.queue.tick(self.now)
        self._observe()

    @rule()
    def a_week_passes(self) -> None:
        with self.queue.batch():
            for _ in range(7 * 24):
                self.now += HOUR
                self.queue.tick(self.now)
                self._observe()

    def _observe(self) -> None:
        self.model.age += max(0, min(self.now - self.ticked, HOUR))
        went_back = self.now < self.ticked
        self.ticked = self.now
        for found in self.model.in_state("ready") if went_back else ():
            found.due = min(found.due, self.now + LONGEST_MS)

    @rule()
    def reopen(self) -> None:
        self.queue.close()
        self.queue = self._opened()

    @rule()
    def die_and_recover(self) -> None:
        self.queue.database.con.close()  # no clean mark, no checkpoint of ours
        self.queue = self._opened()
        self.queue.recover(self.now)
        for found in self.model.in_state("leased"):
            found.orphans += 1
            found.due, found.suspect = self.now, found.orphans >= SUSPECT
            found.state = "dead" if found.orphans >= ORPHANS else "ready"
            for one in self.model.with_members(found) if found.state == "dead" else ():
                one.state, one.suspect = "dead", False
                self.model.ended(one.event)
        self._observe()

    @rule()
    def prune(self) -> None:
        swept = self.queue.sweep(self.now, SERVICES, 0)
        gone = {event for event, age in self.model.events.items() if age is not None}
        kept = [
            found for found in self.model.deliveries.values() if found.event not in gone
        ]
        assert swept.buried == ()
        self.model.deliveries = {found.id: found for found in kept}
        for event in gone:
            if (self.model.events[event] or 0) <= self.model.age - DEDUPE_MS:
                del self.model.events[event]

    @invariant()
    def nothing_lost_nothing_invented(self) -> None:
        if not hasattr(self, "queue"):
            return
        real = {
            found.id: (
                found.state,
                found.parked,
                found.event,
                found.service,
                found.repo,
                found.orphans,
                found.joined if found.state == "ready" else None,
            )
            for found in self.queue.deliveries(limit=1000)
        }
        assert real == {
            found.id: (
                found.state,
                found.parked,
                found.event,
                found.service,
                found.repo,
                found.orphans,
                found.joined if found.state == "ready" else None,
            )
            for found in self.model.deliveries.values()
        }

    @invariant()
    def counts_equal_the_model(self) -> None:
        if not hasattr(self, "queue"):
            return
        stats = self.queue.stats(self.now)
        assert stats.counters["late_results"] == self.model.late
        for service, now in stats.services.items():
            of_service = [
                found
                for found in self.model.deliveries.values()
                if found.service == service
            ]
            for state in get_args(State):
                assert getattr(now, state) == sum(
                    found.state == state for found in of_service
                )
            assert now.parked == sum(
                found.parked for found in of_service if found.state == "ready"
            )
            live = [
                (found.seq, found.accepted)
                for found in of_service
                if found.state in ("ready", "leased")
            ]
            assert now.oldest_ms == min(live, default=(0, None))[1]

    @invariant()
    def the_rules_of_the_queue_hold(self) -> None:
        if hasattr(self, "queue"):
            assert violations(self.queue) == []


def _nothing() -> Lease:
    return Lease(Token(10**6, 1), "", b"", 0, "", "", b"", 1, False, ())


def _refused(call: object) -> None:
    assert callable(call)
    try:
        call()
    except BadInput:
        return
    raise AssertionError("should have been refused")


TestQueueMachine = QueueMachine.TestCase
#: The same examples in every run, unless more are asked for: a run of the suite is no
#: lottery.
TestQueueMachine.settings = settings(
    max_examples=rounds(120),
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize="OBERONC_TEST_ROUNDS" not in os.environ,
)
