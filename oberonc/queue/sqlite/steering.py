"""What people tell the queue: pause, resume, again, no more; and the generations of a
reload.
"""

from collections.abc import Callable
from typing import Final

from oberonc.errors import BadInput, NotAccepted
from oberonc.queue.sqlite.ending import CLOSE, Finishing
from oberonc.queue.sqlite.reading import Reading
from oberonc.queue.sqlite.store import CANCELLED, READY, STATES, durable
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
  orphans = 0, waited_ms = 0, blocked_ms = 0, ended_ms = NULL, note = ? WHERE id = ?"""
HURRY = "UPDATE delivery SET due_ms = ?, since_ms = NULL WHERE id = ?"
CANCEL = (
    "UPDATE delivery SET state = 4, suspect = 0, ended_ms = ?, note = ? WHERE id = ?"
)
ONE_MORE = "UPDATE event SET live = live + 1, ended_age = NULL WHERE seq = ?"
#: It is no dead letter any more: nobody need be told.
FORGIVE = "DELETE FROM untold WHERE delivery = ?"
RUNS = (
    "SELECT repo FROM lane WHERE repo IN (:old, :new) AND running IS NOT NULL LIMIT 1"
)
LANES_OF = "SELECT id, service, ordinal, hold_ms, paused FROM lane WHERE repo = ?"
JOIN_LANE = "UPDATE delivery SET lane = :to WHERE lane = :lane"
RENAME_LANE = "UPDATE lane SET repo = ? WHERE id = ?"
WAIT_IN = """
SELECT count(*) FROM delivery WHERE state = 0 AND lane IN (SELECT id FROM lane WHERE repo = ?)"""
_STATE_OF: Final = {name: number for number, name in enumerate(STATES)}


class Steering(Finishing, Reading):
    """The orders."""

    @durable
    def pause(self, service: str, repo: str | None = None) -> None:
        self._set_paused(service, repo, 1)

    @durable
    def resume(self, service: str, repo: str | None = None) -> None:
        self._set_paused(service, repo, 0)
        if repo is None:
            # Whoever resumes a service has mended something: try it now, not at the
            # next probe.
            self.con.execute(CLOSE, (service,))

    def _set_paused(self, service: str, repo: str | None, paused: int) -> None:
        values = {"service": service, "repo": repo, "paused": paused}
        if repo is None:
            self.con.execute(PAUSE_SERVICE, values)
            return
        # This row also stands for the lanes of deliveries without order, those to come
        # included.
        self.con.execute(LANE_OF_REPO, (service, repo))
        self.con.execute(PAUSE_LANE, values)

    @durable
    def retry(self, now: int, delivery: int, by: str) -> Delivery:
        found = self._found(delivery)
        if found.state == "leased":
            raise BadInput(f"delivery {delivery} is running now")
        if found.state == "ready":
            self.con.execute(HURRY, (now, delivery))
        else:
            self._redrive(now, found, by)
        self._refresh_of(delivery)
        return self._found(delivery)

    def _redrive(self, now: int, found: Delivery, by: str) -> None:
        self.con.execute(REDRIVE, (now, f"again, asked for by {by}", found.id))
        self.con.execute(FORGIVE, (found.id,))
        self.con.execute(ONE_MORE, (found.seq,))
        self.tallies.place(found.service, _STATE_OF[found.state], 0, -1)
        self.tallies.place(found.service, READY, 1)
        self.tallies.add(found.service, "redriven")

    @durable
    def drop(self, now: int, delivery: int, by: str) -> Delivery:
        found = self._found(delivery)
        if found.state not in ("ready", "dead"):
            raise BadInput(
                f"delivery {delivery} is {found.state}: only ready and dead ones can be dropped"
            )
        self.con.execute(CANCEL, (now, f"cancelled by {by}", delivery))
        self.con.execute(FORGIVE, (delivery,))
        if found.state == "ready":
            self.fewer([found.seq])
        self.tallies.place(found.service, _STATE_OF[found.state], found.parked, -1)
        self.tallies.place(found.service, CANCELLED, 0)
        self.tallies.add(found.service, "cancelled")
        self._refresh_of(delivery)
        return self._found(delivery)

    @durable
    def rename(
        self, old: str, new: str, beside: Callable[[], None] = lambda: None
    ) -> int:
        running = self._row(RUNS, old=old, new=new)
        if running:
            raise NotAccepted(
                f"a delivery of {running[0]} is running: try again when it has ended"
            )
        beside()
        there = {
            row[1]: row[0] for row in self.con.execute(LANES_OF, (new,)) if row[2] == 0
        }
        for lane, service, ordinal, _hold, paused in self.con.execute(
            LANES_OF, (old,)
        ).fetchall():
            if ordinal or service not in there:
                self.con.execute(RENAME_LANE, (new, lane))
                continue
            self.con.execute(JOIN_LANE, {"to": there[service], "lane": lane})
            self.con.execute(
                "UPDATE lane SET paused = max(paused, ?) WHERE id = ?",
                (paused, there[service]),
            )
            self.con.execute("DELETE FROM lane WHERE id = ?", (lane,))
            self.refresh([there[service]])
        self.forget()  # which lane is whose
        waiting: int = self.con.execute(WAIT_IN, (new,)).fetchone()[0]
        return waiting

    def _found(self, delivery: int) -> Delivery:
        found = self.delivery(delivery)
        if not found:
            raise BadInput(f"there is no delivery {delivery}")
        return found

    def _refresh_of(self, delivery: int) -> None:
        self.refresh(self._row("SELECT lane FROM delivery WHERE id = :id", id=delivery))

    @durable
    def new_generation(self, now: int, digest: str) -> int:
        sql = (
            "INSERT INTO generation(digest, created_ms, state) VALUES(?, ?, 'probing')"
        )
        return self.con.execute(sql, (digest, now)).lastrowid or 0

    @durable
    def reject_generation(self, number: int, report: str) -> None:
        self._turn_generation(number, "rejected", ("probing",), report)

    @durable
    def commit_generation(self, number: int, report: str = "") -> None:
        self._turn_generation(number, "active", ("probing", "retired"), report)

    @durable
    def retire_generation(self, number: int) -> None:
        self._turn_generation(number, "retired", ("draining", "active"))

    def _turn_generation(
        self, number: int, state: str, old: tuple[str, ...], report: str = ""
    ) -> None:
        row = self._row(
            "SELECT state FROM generation WHERE number = :number", number=number
        )
        if not row or row[0] not in old:
            raise BadInput(
                f"generation {number} is {row[0] if row else 'unknown'}: it cannot become {state}"
            )
        if state == "active":
            # The old one first: there is never a second active one, not even between
            # two statements.
            self.con.execute(
                "UPDATE generation SET state = 'draining' WHERE state = 'active'"
            )
        sql = "UPDATE generation SET state = ?, report = coalesce(nullif(?, ''), report) WHERE number = ?"
        self.con.execute(sql, (state, report, number))
