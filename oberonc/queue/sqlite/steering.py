"""What people tell the queue: pause, resume, again, no more, another name."""

from collections.abc import Callable

from oberonc.errors import BadInput, NotAccepted
from oberonc.queue.sqlite.database import Database, Known, Part, durable
from oberonc.queue.sqlite.reading import Reading
from oberonc.queue.sqlite.rows import (
    Move,
    Position,
    find_service,
    follow,
    move_members,
    refresh_lanes,
    save_breaker,
)
from oberonc.queue.sqlite.tallies import CANCELLED, READY, STATES
from oberonc.queue.values import Delivery

LANE_OF_REPO = """
INSERT INTO lane(service, repo) VALUES(?, ?) ON CONFLICT DO NOTHING"""
PAUSE_LANE = (
    "UPDATE lane SET paused = :paused WHERE service = :service AND repo = :repo"
)
PAUSE_SERVICE = """
INSERT INTO service(name, paused) VALUES(:service, :paused) ON CONFLICT DO UPDATE SET paused = :paused"""
REDRIVE = """
UPDATE delivery SET state = 0, parked = 1, suspect = 0, due_ms = ?, since_ms = NULL, tries = 0, crashes = 0,
  orphans = 0, waited_ms = 0, blocked_ms = 0, ended_ms = NULL, note = ?, born_age = ?, joined = NULL, members = 0
WHERE id = ?"""
#: Who asks for it again wants it whatever came later.
NOT_MOVED = "DELETE FROM moved WHERE delivery = ?"
HURRY = "UPDATE delivery SET due_ms = ?, since_ms = NULL WHERE id = ?"
CANCEL = (
    "UPDATE delivery SET state = 4, suspect = 0, ended_ms = ?, note = ? WHERE id = ?"
)
RUNS = (
    "SELECT repo FROM lane WHERE repo IN (:old, :new) AND running IS NOT NULL LIMIT 1"
)
LANES_OF = "SELECT id, service, ordinal, paused FROM lane WHERE repo = ?"
JOIN_LANE = "UPDATE delivery SET lane = :to WHERE lane = :lane"
MOVED_THERE = "UPDATE moved SET lane = :to WHERE lane = :lane"
PAUSE_TOO = "UPDATE lane SET paused = max(paused, ?) WHERE id = ?"
RENAME_LANE = "UPDATE lane SET repo = ? WHERE id = ?"
WAIT_IN = """
SELECT count(*) FROM delivery WHERE state = 0 AND lane IN (SELECT id FROM lane WHERE repo = ?)"""
LANE = "SELECT lane FROM delivery WHERE id = :id"


class Steering(Part):
    """`pause`, `resume`, `retry`, `drop`, `rename`."""

    def __init__(self, database: Database, reading: Reading) -> None:
        super().__init__(database)
        self._reading = reading

    @durable
    def pause(self, service: str, repo: str | None = None) -> None:
        """See `Queue.pause`."""
        self._set_paused(service, repo, 1)

    @durable
    def resume(self, service: str, repo: str | None = None) -> None:
        """See `Queue.resume`."""
        self._set_paused(service, repo, 0)
        if repo is None:
            # Whoever resumes a service has mended something: try it now, not at the
            # next probe.
            breaker = find_service(self._database, service).breaker
            save_breaker(self._database, service, breaker, breaker.closed())

    def _set_paused(self, service: str, repo: str | None, paused: int) -> None:
        values = {"service": service, "repo": repo, "paused": paused}
        if repo is None:
            self._con.execute(PAUSE_SERVICE, values)
            return
        # This row also stands for the lanes of deliveries without order, those to come
        # included.
        self._con.execute(LANE_OF_REPO, (service, repo))
        self._con.execute(PAUSE_LANE, values)

    @durable
    def retry(self, now: int, delivery: int, by: str) -> Delivery:
        """See `Queue.retry`."""
        found = self._found(delivery)
        if found.state == "leased":
            raise BadInput(f"delivery {delivery} is running now")
        if found.state == "ready":
            # What is part of a digest goes when that goes.
            self._con.execute(HURRY, (now, found.joined or delivery))
            new = Position(READY, found.parked)
        else:
            note, age = f"again, asked for by {by}", self._database.age_at(now)
            self._con.execute(REDRIVE, (now, note, age, delivery))
            self._con.execute(NOT_MOVED, (delivery,))
            self._database.tallies.add(found.service, "redriven")
            new = Position(READY, True)
        follow(self._database, [self._move(found, new)])
        return self._found(delivery)

    @durable
    def drop(self, now: int, delivery: int, by: str) -> Delivery:
        """See `Queue.drop`."""
        found = self._found(delivery)
        if found.state not in ("ready", "dead"):
            raise BadInput(
                f"delivery {delivery} is {found.state}: only ready and dead ones can be dropped"
            )
        if found.state == "ready" and found.joined:
            raise BadInput(
                f"delivery {delivery} is handed over together with {found.joined}: drop that one, and all go with it"
            )
        note = f"cancelled by {by}"
        self._con.execute(CANCEL, (now, note, delivery))
        move = self._move(found, Position(CANCELLED, found.parked))
        moves = [move, *move_members(self._database, move, now, note)]
        follow(self._database, moves)
        self._database.tallies.add(found.service, "cancelled", len(moves))
        return self._found(delivery)

    def _found(self, delivery: int) -> Delivery:
        found = self._reading.delivery(delivery)
        if not found:
            raise BadInput(f"there is no delivery {delivery}")
        return found

    def _move(self, found: Delivery, new: Position) -> Move:
        (lane,) = self._database.row(LANE, id=found.id)
        old = Position(STATES.index(found.state), found.parked)
        return Move(found.id, found.seq, lane, found.service, old, new)

    @durable
    def rename(
        self, old: str, new: str, beside: Callable[[], None] = lambda: None
    ) -> int:
        """See `Queue.rename`."""
        running = self._database.row(RUNS, old=old, new=new)
        if running:
            raise NotAccepted(
                f"a delivery of {running[0]} is running: try again when it has ended"
            )
        beside()
        # The lanes that others join are those with an order, whose ordinal is 0.
        lanes = self._con.execute(LANES_OF, (new,)).fetchall()
        there = {service: lane for lane, service, ordinal, _ in lanes if not ordinal}
        for lane, service, ordinal, paused in self._con.execute(
            LANES_OF, (old,)
        ).fetchall():
            if ordinal or service not in there:
                self._con.execute(RENAME_LANE, (new, lane))
                continue
            joined = there[service]
            for there_too in (JOIN_LANE, MOVED_THERE):
                self._con.execute(there_too, {"to": joined, "lane": lane})
            self._con.execute(PAUSE_TOO, (paused, joined))
            self._con.execute("DELETE FROM lane WHERE id = ?", (lane,))
            refresh_lanes(self._database, [joined])
        self._database.known = Known()  # which lane is whose
        waiting: int = self._con.execute(WAIT_IN, (new,)).fetchone()[0]
        return waiting
