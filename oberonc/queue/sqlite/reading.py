"""What people ask of the queue: events, deliveries, attempts. Nothing here changes
anything.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from oberonc.errors import BadInput
from oberonc.queue.sqlite.database import Part, durable
from oberonc.queue.sqlite.rows import delivery_name
from oberonc.queue.sqlite.tallies import STATES
from oberonc.queue.values import (
    Attempt,
    Decision,
    Delivery,
    Event,
    EventQuery,
    Listed,
    LogQuery,
    State,
)

_COLUMNS: Final = """
d.id, e.id, d.seq, l.service, l.repo, d.state, d.parked,
l.paused OR coalesce((SELECT paused FROM service WHERE name = l.service), 0),
e.accepted_ms, d.due_ms, d.ended_ms, d.tries, d.crashes, d.orphans, d.waited_ms, d.note,
CASE WHEN d.state = 0 THEN coalesce(d.joined, l.running, CASE WHEN d.parked = 0 THEN (
  SELECT h.id FROM delivery h WHERE h.lane = d.lane AND h.state = 0 AND h.parked = 0 AND h.joined IS NULL
  AND h.seq < d.seq ORDER BY h.seq LIMIT 1) END) END, e.peer_uid, d.joined"""
_JOINED: Final = "delivery d {} CROSS JOIN lane l ON l.id = d.lane CROSS JOIN event e ON e.seq = d.seq"
ONE = f"SELECT {_COLUMNS} FROM {_JOINED.format('')} WHERE d.id = :id"  # noqa: S608 - constants
#: Few among many: found by the index that holds nothing else.
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
#: What a log shows of a payload, made by SQLite: it lets go of the interpreter while it
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
OF_KEY = """
SELECT seq FROM event_commit WHERE seq > :floor AND instr(oids, :begins) ORDER BY seq DESC LIMIT 50"""
ALL_OF_KEY = """
SELECT seq FROM event_commit WHERE seq >= :floor AND seq < :end AND instr(oids, :begins)"""
NEXT_TIME = "SELECT seq, accepted_ms FROM event WHERE seq >= :seq ORDER BY seq LIMIT 1"
BODY_SIZE = "SELECT length(bytes) FROM body WHERE seq = :seq"
#: Bytes of payloads that are read for one answer, and the newest events among which
#: somebody's own are looked for.
MOST_READ: Final = 32 << 20
OWN: Final = 10_000
#: The newest events among which those that were cut are looked for, by an administrator
#: and by anybody: it reads them.
CUT: Final = 500
OWN_CUT: Final = 50
#: Events that one query for a repository looks at: there is no index of them, which
#: every accept would pay for.
LOOKED: Final = 20_000
#: The same for an issue, for which payloads are read: of what names one of that number,
#: the next character is no digit, since a payload does not end with it.
READ: Final = 200
_NAMES: Final = "EXISTS (SELECT 1 FROM body b WHERE b.seq = event.seq AND CAST(b.bytes AS TEXT) GLOB :names)"
_IS_CUT: Final = "EXISTS (SELECT 1 FROM body b WHERE b.seq = event.seq AND instr(b.bytes, CAST(:cut AS BLOB)))"


class Reading(Part):
    """Events and deliveries."""

    @durable
    def event(self, id: bytes) -> Event | None:
        """See `Queue.event`."""
        row = self._database.row(f"{EVENT} WHERE id = :id", id=id)
        return self._event(row, ATTEMPTS, body=True) if row else None

    @durable
    def events_of_commit(self, prefix: str, limit: int = 50) -> list[Event]:
        """See `Queue.events_of_commit`."""
        begins = f" {_digits(prefix)}"
        found = self._database.rows(OF_COMMIT, begins=begins, limit=limit)
        events = []
        for (seq,) in found:
            row = self._database.row(f"{EVENT} WHERE seq = :seq", seq=seq)
            events.append(self._event(row, ATTEMPTS, body=True))
        return events

    @durable
    def recent_events(self, limit: int = 20, before: int | None = None) -> list[Event]:
        """See `Queue.recent_events`."""
        sql = f"{EVENT} WHERE seq < :before ORDER BY seq DESC LIMIT :limit"
        end = 1 << 62 if before is None else before
        rows = self._database.rows(sql, before=end, limit=limit)
        return [self._event(row) for row in rows]

    @durable
    def log_events(self, query: LogQuery) -> list[Event]:
        """See `Queue.log_events`."""
        found: list[Any] = []
        if query.key:
            begins = f" {_digits(query.key)}"
            floor = self._floor(query)
            for (seq,) in self._database.rows(OF_KEY, begins=begins, floor=floor):
                found += self._visible(query, "seq = :seq", seq=seq)
        else:
            for id in query.ids:
                found += self._visible(query, "id = :id", id=id)
            if query.after is not None or not query.ids:
                found += self._newest(query)
        # Attempts are many where a service is down, and each may have printed 64 KiB.
        in_full = query.key and query.uid is None
        return sorted(self._told(found, ATTEMPTS if in_full else LAST_ATTEMPT))

    def _told(self, found: Iterable[Any], attempts: str) -> list[Event]:
        """The events of these rows as a log tells of them, with what the statement
        *attempts* finds.
        """
        events = []
        unread = MOST_READ
        for row in found:
            event = self._event(row, attempts)
            size = self._database.row(BODY_SIZE, seq=event.seq)
            unread -= size[0] if size else 0
            about = None
            if size and unread >= 0:
                about = self._database.row(ABOUT, seq=event.seq)
            events.append(event._replace(body=about[0] if about else None))
        return events

    @durable
    def list_events(self, query: EventQuery) -> Listed:
        """See `Queue.list_events`."""
        first = self._since(query.since_ms)
        end = self._newest_seq() + 1
        if query.until_ms is not None:
            end = min(end, self._since(query.until_ms))
        if query.before is not None:
            end = min(end, query.before)
        values: dict[str, Any] = {"limit": query.limit}
        where, floor = "", first
        if query.repo is not None:
            where += " AND repo = :repo"
            values["repo"] = query.repo
        if query.key:
            where += f" AND seq IN ({ALL_OF_KEY})"
            values["begins"] = f" {_digits(query.key)}"
        elif query.repo is not None:
            floor = max(first, end - LOOKED)
        if query.issue:
            where += f" AND {_NAMES}"
            values["names"] = f"*{_issue(query.issue)}[^0-9]*"
            floor = max(first, end - READ)
        sql = f"{EVENT} WHERE seq >= :floor AND seq < :end{where} ORDER BY seq DESC LIMIT :limit"
        rows = self._database.rows(sql, floor=floor, end=end, **values)
        if rows and len(rows) == query.limit:
            after = rows[-1][0]
        else:
            after = floor if floor > first else None
        return Listed(self._told(rows, LAST_ATTEMPT), after)

    def _since(self, ms: int) -> int:
        """The `seq` from which on events were accepted at *ms* or later."""
        if not ms:
            return 0  # the search takes longer the more there are
        low, high = 0, self._newest_seq() + 1
        while low < high:
            middle = (low + high) // 2
            row = self._database.row(NEXT_TIME, seq=middle)
            if row is not None and row[1] < ms:
                low = row[0] + 1
            else:
                high = middle
        return low

    def _newest(self, query: LogQuery) -> list[Any]:
        """The rows of events that no key and no id asks for."""
        limit = query.limit
        if query.after is not None:
            where = "seq > :after ORDER BY seq LIMIT :limit"
            return self._visible(query, where, after=query.after, limit=limit)
        if query.cut:
            where = f"seq > :first AND {_IS_CUT} ORDER BY seq DESC LIMIT :limit"
            first = self._newest_seq() - (CUT if query.uid is None else OWN_CUT)
            cut = '"truncated":true'
            return self._visible(query, where, first=first, cut=cut, limit=limit)
        where = "seq > 0 ORDER BY seq DESC LIMIT :limit"
        return self._visible(query, where, limit=limit)

    def _visible(self, query: LogQuery, where: str, **values: Any) -> list[Any]:
        """The rows of the events *where*, if whoever asks may see them."""
        if query.uid is None:
            return self._database.rows(f"{EVENT} WHERE {where}", **values)
        own = {"uid": query.uid, "floor": self._floor(query)}
        sql = f"{EVENT} WHERE seq > :floor AND peer_uid = :uid AND {where}"
        return self._database.rows(sql, **values, **own)

    def _floor(self, query: LogQuery) -> int:
        """Only events with a `seq` above this are looked at."""
        return 0 if query.uid is None else self._newest_seq() - OWN

    def _newest_seq(self) -> int:
        (newest,) = self._database.row("SELECT coalesce(max(seq), 0) FROM event")
        return int(newest)

    def _event(self, row: Any, attempts: str = "", *, body: bool = False) -> Event:
        """The event of *row*, with the attempts that the statement *attempts* finds,
        and perhaps with its body.
        """
        seq, *columns, decisions = row
        sql = f"SELECT {_COLUMNS} FROM {_JOINED.format('')} WHERE d.seq = :seq ORDER BY d.id"  # noqa: S608 - constants
        found = self._database.rows(sql, seq=seq)
        deliveries = tuple(self._delivery(one, attempts) for one in found)
        kept = None
        if body:
            kept = self._database.row(
                "SELECT bytes FROM body WHERE seq = :seq", seq=seq
            )
        decided = tuple(
            Decision(name, bool(matched), reason)
            for name, matched, reason in json.loads(decisions)
        )
        return Event._make(
            (seq, *columns, kept[0] if kept else None, decided, deliveries)
        )

    @durable
    def delivery(self, id: int) -> Delivery | None:
        """See `Queue.delivery`."""
        row = self._database.row(ONE, id=id)
        return self._delivery(row, ATTEMPTS) if row else None

    def without_attempts(self, ids: Iterable[int]) -> tuple[Delivery, ...]:
        """Deliveries that exist, as in a list."""
        return tuple(self._delivery(self._database.row(ONE, id=id)) for id in ids)

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
        """See `Queue.deliveries`."""
        where = "d.id > :after" if before is None else "d.id < :before"
        if service is not None:
            where += " AND l.service = :service"
        if repo is not None:
            where += " AND l.repo = :repo"
        if state is not None:
            # A literal: with a parameter SQLite cannot use the partial indexes.
            where += f" AND d.state = {STATES.index(state)}"
        if since:
            where += " AND e.accepted_ms >= :since"
        order = "" if before is None else "DESC"
        tables = _JOINED.format(_RARE.get(state or "", ""))
        sql = f"SELECT {_COLUMNS} FROM {tables} WHERE {where} ORDER BY d.id {order} LIMIT :limit"  # noqa: S608 - constants
        rows = self._database.rows(
            sql,
            service=service,
            repo=repo,
            limit=limit,
            after=after,
            before=before,
            since=since,
        )
        return [self._delivery(row) for row in rows]

    def _delivery(self, row: Any, attempts: str = "") -> Delivery:
        """The delivery of *row*, with the attempts that the statement *attempts* finds."""
        id, event, seq, service, repo, state, parked, paused, *columns = row
        name = delivery_name(event, service)
        flags = (STATES[state], bool(parked), bool(paused))
        tried: tuple[Attempt, ...] = ()
        if attempts:
            tried = tuple(Attempt(*one) for one in self._con.execute(attempts, (id,)))
        return Delivery._make(
            (id, name, event, seq, service, repo, *flags, *columns, tried)
        )


def _digits(prefix: str) -> str:
    """*prefix* as the beginning of a commit id; raises BadInput when it is none."""
    digits = prefix.lower()
    if not 4 <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        raise BadInput(f"'{prefix[:80]}' is no commit id: give 4 to 64 hex digits")
    return digits


def _issue(name: str) -> str:
    """*name* as a part of a pattern; raises BadInput for what is no issue."""
    if not re.fullmatch(r"(#|[A-Z][A-Z0-9_]{0,30}-)[1-9][0-9]{0,9}", name):
        raise BadInput(f"'{name[:80]}' is no issue: give #12 or KEY-12")
    return name if name.startswith("#") else f"[^A-Z0-9_]{name}"
