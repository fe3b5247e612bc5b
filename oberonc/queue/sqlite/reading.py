"""What people ask of the queue: events, deliveries, attempts, counts. Nothing here
changes anything.
"""

import json
from typing import Any, Final

from oberonc.errors import BadInput
from oberonc.queue.sqlite.leasing import Service, delivery_name
from oberonc.queue.sqlite.store import NOW, STATES, Store, durable
from oberonc.queue.values import (
    Attempt,
    Decision,
    Delivery,
    Event,
    Generation,
    LogQuery,
    ServiceStats,
    State,
    Stats,
)

_COLUMNS: Final = """
d.id, e.id, d.seq, l.service, l.repo, d.state, d.parked,
l.paused OR coalesce((SELECT paused FROM service WHERE name = l.service), 0),
e.accepted_ms, d.due_ms, d.ended_ms, d.tries, d.crashes, d.orphans, d.waited_ms, d.note,
CASE WHEN d.state = 0 THEN coalesce(l.running, CASE WHEN d.parked = 0 THEN (
  SELECT h.id FROM delivery h WHERE h.lane = d.lane AND h.state = 0 AND h.parked = 0 AND h.seq < d.seq
  ORDER BY h.seq LIMIT 1) END) END, e.peer_uid"""
_JOINED: Final = "delivery d {} CROSS JOIN lane l ON l.id = d.lane CROSS JOIN event e ON e.seq = d.seq"
ONE = f"SELECT {_COLUMNS} FROM {_JOINED.format('')} WHERE d.id = :id"  # noqa: S608 - constants
#: Few among many: found by the index that holds nothing else.
NEXT_WAKE: Final = """
SELECT min(wake_ms) FROM lane
WHERE service = ? AND running IS NULL AND paused = 0 AND wake_ms IS NOT NULL"""
_RARE: Final = {
    "leased": "INDEXED BY delivery_one_leased",
    "dead": "INDEXED BY delivery_dead",
}
ATTEMPTS = """
SELECT number, generation, worker, began_ms, took_ms, outcome, note, output
FROM attempt WHERE delivery = ? ORDER BY number"""
LAST_ATTEMPT = """
SELECT number, generation, worker, began_ms, took_ms, outcome, note, ''
FROM attempt WHERE delivery = ? ORDER BY number DESC LIMIT 1"""
EVENT = (
    "SELECT seq, id, repo, kind, origin, peer_uid, accepted_ms, decisions FROM event"
)
OF_COMMIT = "SELECT seq FROM event_commit WHERE instr(oids, :begins) ORDER BY seq DESC LIMIT :limit"
OLDEST = """
SELECT accepted_ms FROM event WHERE seq = (
  SELECT min(oldest) FROM lane WHERE service = ? AND oldest IS NOT NULL)"""
#: What a log tells of a payload, made by SQLite: it lets go of the interpreter while it
#: reads megabytes.
ABOUT = """
SELECT CAST(json_object('user', json_extract(text, '$.user'), 'submitter', json_extract(text, '$.submitter'),
  'truncated', json(iif(json_extract(text, '$.truncated'), 'true', 'false')),
  'commits_total', json_extract(text, '$.commits_total'),
  'updates', (SELECT json_group_array(json_object('ref', json_extract(value, '$.ref'),
    'old', json_extract(value, '$.old'), 'new', json_extract(value, '$.new'))) FROM json_each(text, '$.updates')),
  'commits', (SELECT json_group_array(json_object('raw_node', json_extract(value, '$.raw_node')))
    FROM (SELECT value FROM json_each(text, '$.merged') UNION ALL SELECT value FROM json_each(text, '$.commits')))
  ) AS BLOB)
FROM (SELECT CAST(bytes AS TEXT) AS text FROM body WHERE seq = :seq) WHERE json_valid(text)"""
#: Bytes of payloads that are read for one answer, and the newest events among which
#: somebody's own are looked for.
MOST_READ: Final = 32 << 20
OWN: Final = 10_000
#: The newest events among which those that were cut are looked for, by an administrator
#: and by anybody: it reads them.
CUT: Final = 500
OWN_CUT: Final = 50
_IS_CUT: Final = "EXISTS (SELECT 1 FROM body b WHERE b.seq = event.seq AND instr(b.bytes, CAST(:cut AS BLOB)))"
SERVICES = """
SELECT name, paused, turns, probe, probe_due_ms, probe_wait_ms, failures, last_error_ms, last_error FROM service"""
_COUNTERS: Final = (
    "accepted",
    "done",
    "retry",
    "crash",
    "dead",
    "interrupted",
    "progress",
    "orphaned",
    "cancelled",
    "redriven",
    "pruned",
)
_TOTALS: Final = (
    "accepted",
    "duplicates",
    "conflicts",
    "storage_low",
    "late_results",
    "pruned_events",
    "pruned_dead",
)


class Reading(Store):
    """The questions."""

    @durable
    def event(self, id: bytes) -> Event | None:
        row = self._row(f"{EVENT} WHERE id = :id", id=id)
        return self._event(row, ATTEMPTS, full=True) if row else None

    @durable
    def events_of_commit(self, prefix: str, limit: int = 50) -> list[Event]:
        found = self._rows(OF_COMMIT, begins=f" {_digits(prefix)}", limit=limit)
        rows = [self._row(f"{EVENT} WHERE seq = :seq", seq=seq) for (seq,) in found]
        return [self._event(row, ATTEMPTS, full=True) for row in rows]

    @durable
    def recent_events(self, limit: int = 20, before: int | None = None) -> list[Event]:
        sql = f"{EVENT} WHERE seq < :before ORDER BY seq DESC LIMIT :limit"
        rows = self._rows(
            sql, before=1 << 62 if before is None else before, limit=limit
        )
        return [self._event(row) for row in rows]

    @durable
    def log_events(self, asked: LogQuery) -> list[Event]:
        if asked.key:
            found = self._of_key(asked)
        else:
            found = [
                row
                for id in asked.ids
                for row in self._wanted(asked, "id = :id", id=id)
            ]
            found += [] if asked.ids and asked.after is None else self._newest(asked)
        left = MOST_READ
        events = []
        # Attempts are many where a service is down, and each may have printed 64 KiB.
        attempts = ATTEMPTS if asked.key and asked.uid is None else LAST_ATTEMPT
        for row in found:
            event = self._event(row, attempts)
            (size,) = self._row(
                "SELECT length(bytes) FROM body WHERE seq = :seq", seq=row[0]
            ) or (0,)
            left -= size
            about = self._row(ABOUT, seq=row[0]) if size and left >= 0 else None
            events.append(event._replace(body=about[0] if about else None))
        return sorted(events)

    def _of_key(self, asked: LogQuery) -> list[Any]:
        values = {"begins": f" {_digits(asked.key)}", "floor": self._floor(asked)}
        sql = "SELECT seq FROM event_commit WHERE seq > :floor AND instr(oids, :begins) ORDER BY seq DESC LIMIT 50"
        return [
            row
            for (seq,) in self._rows(sql, **values)
            for row in self._wanted(asked, "seq = :seq", seq=seq)
        ]

    def _newest(self, asked: LogQuery) -> list[Any]:
        if asked.after is not None:
            return self._wanted(
                asked,
                "seq > :after ORDER BY seq LIMIT :limit",
                after=asked.after,
                limit=asked.limit,
            )
        if asked.cut:
            return self._wanted(
                asked,
                f"seq > :first AND {_IS_CUT} ORDER BY seq DESC LIMIT :limit",
                first=self._newest_seq() - (CUT if asked.uid is None else OWN_CUT),
                cut='"truncated":true',
                limit=asked.limit,
            )
        return self._wanted(
            asked, "seq > 0 ORDER BY seq DESC LIMIT :limit", limit=asked.limit
        )

    def _floor(self, asked: LogQuery) -> int:
        return 0 if asked.uid is None else self._newest_seq() - OWN

    def _newest_seq(self) -> int:
        (last,) = self._row("SELECT coalesce(max(seq), 0) FROM event")
        return int(last)

    def _wanted(self, asked: LogQuery, where: str, **values: Any) -> list[Any]:
        """The rows of the events *where*, if whoever asked may see them."""
        mine = "1" if asked.uid is None else "seq > :floor AND peer_uid = :uid"
        values |= (
            {} if asked.uid is None else {"uid": asked.uid, "floor": self._floor(asked)}
        )
        return self._rows(f"{EVENT} WHERE {mine} AND {where}", **values)

    def _event(self, row: Any, attempts: str = "", *, full: bool = False) -> Event:
        """The event of *row*, with the attempts that the statement *attempts* finds;
        *full*: with its body.
        """
        *head, decisions = row
        seq = head[0]
        found = self._rows(
            f"SELECT {_COLUMNS} FROM {_JOINED.format('')} WHERE d.seq = :seq ORDER BY d.id",  # noqa: S608 - constants
            seq=seq,
        )
        deliveries = tuple(self._delivery(row, attempts) for row in found)
        body = (
            self._row("SELECT bytes FROM body WHERE seq = :seq", seq=seq)
            if full
            else None
        )
        said = tuple(
            Decision(name, bool(matched), reason)
            for name, matched, reason in json.loads(decisions)
        )
        return Event._make((*head, body[0] if body else None, said, deliveries))

    @durable
    def delivery(self, id: int) -> Delivery | None:
        row = self._row(ONE, id=id)
        return self._delivery(row, ATTEMPTS) if row else None

    @durable
    def deliveries(
        self,
        state: State | None = None,
        service: str | None = None,
        repo: str | None = None,
        limit: int = 100,
        after: int = 0,
        *,
        before: int | None = None,
        since: int = 0,
    ) -> list[Delivery]:
        wanted = {"service": service, "repo": repo}
        given: dict[str, Any] = {
            column: value for column, value in wanted.items() if value is not None
        }
        where = "".join(f" AND l.{column} = :{column}" for column in given)
        if state:
            # A literal: with a parameter SQLite cannot use the partial indexes.
            where += f" AND d.state = {STATES.index(state)}"
        if since:
            where, given = (
                f"{where} AND e.accepted_ms >= :since",
                given | {"since": since},
            )
        tables = _JOINED.format(_RARE.get(state or "", ""))
        place = "d.id > :after" if before is None else "d.id < :before"
        order = "" if before is None else "DESC"
        sql = f"SELECT {_COLUMNS} FROM {tables} WHERE {place}{where} ORDER BY d.id {order} LIMIT :limit"  # noqa: S608 - constants
        return [
            self._delivery(row)
            for row in self._rows(sql, after=after, before=before, limit=limit, **given)
        ]

    def _delivery(self, row: Any, attempts: str = "") -> Delivery:
        id, event, seq, service, repo, state, parked, paused, *rest = row
        tried = (
            tuple(Attempt(*row) for row in self.con.execute(attempts, (id,)))
            if attempts
            else ()
        )
        name = delivery_name(event, service)
        flags = (STATES[state], bool(parked), bool(paused))
        return Delivery._make(
            (id, name, event, seq, service, repo, *flags, *rest, tried)
        )

    @durable
    def stats(self, now: int) -> Stats:
        counts = self.tallies.by_service()
        rows = {row[0]: row[1:] for row in self._rows(SERVICES)}
        names = sorted((counts.keys() | rows.keys()) - {""})
        services = {
            name: self._service_stats(name, counts.get(name, {}), rows.get(name))
            for name in names
        }
        (paused,) = self._row("SELECT count(*) FROM lane WHERE paused = 1")
        totals = {name: self.tallies.get("", name) for name in _TOTALS}
        return Stats(services, totals, paused, self.room)

    def _service_stats(
        self, name: str, counts: dict[str, int], row: Any
    ) -> ServiceStats:
        service, error = (Service(*row[:-1]), row[-1]) if row else (Service(), "")
        (wake,) = self.con.execute(NEXT_WAKE, (name,)).fetchone()
        oldest = self.con.execute(OLDEST, (name,)).fetchone()
        return ServiceStats(
            ready=counts.get(NOW + "ready", 0),
            leased=counts.get(NOW + "leased", 0),
            done=counts.get(NOW + "done", 0),
            dead=counts.get(NOW + "dead", 0),
            cancelled=counts.get(NOW + "cancelled", 0),
            parked=counts.get(NOW + "parked", 0),
            paused=bool(service.paused),
            breaker=service.breaker,
            failures=service.failures,
            probe_due_ms=service.probe_due_ms,
            oldest_ms=oldest[0] if oldest else None,
            oldest_due_ms=wake,
            last_error=error,
            last_error_ms=service.last_error_ms,
            counters={counter: counts.get(counter, 0) for counter in _COUNTERS},
        )

    @durable
    def paused_lanes(self) -> list[tuple[str, str]]:
        return self._rows(
            "SELECT DISTINCT service, repo FROM lane WHERE paused = 1 ORDER BY 1, 2"
        )

    @durable
    def generations(self, limit: int = 20) -> list[Generation]:
        rows = self._rows(
            "SELECT number, digest, created_ms, state, report FROM generation "
            "WHERE state = 'active' OR number > (SELECT max(number) FROM generation) - :limit "
            "ORDER BY number DESC",
            limit=limit,
        )
        return [Generation(*row) for row in rows]


def _digits(prefix: str) -> str:
    """*prefix* as the beginning of a commit id; raises BadInput when it is none."""
    digits = prefix.lower()
    if not 4 <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        raise BadInput(f"'{prefix[:80]}' is no commit id: give 4 to 64 hex digits")
    return digits
