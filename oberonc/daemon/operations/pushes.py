"""Operations on pushes: handing one in, and what became of it."""

import os
import re
from typing import Final

from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.operations import rows
from oberonc.daemon.operations.answers import RETRY_MS, Answer, refusal
from oberonc.daemon.operations.request import Request, number, optional_number, text
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.stop import Stop
from oberonc.delivery import frames
from oberonc.errors import BadInput
from oberonc.queue.contract import Queue
from oberonc.queue.values import Event, EventQuery, LogQuery

#: Events one answer tells of at most, and of how many of them by their id.
MOST_EVENTS: Final = 200
MOST_IDS: Final = 100
#: Hex digits an id must be given with, and the most it can have.
SHORTEST_KEY: Final = 4
LONGEST_KEY: Final = 64
_ID: Final = re.compile("[0-9a-f]{32}").fullmatch

_REFUSALS: Final = {
    "conflict": "this id was used before for another payload",
    "storage_low": "the disk is nearly full",
    "busy": "too many events are waiting",
}


class Pushes:
    """What can be asked of pushes."""

    def __init__(self, queue: QueueLink, intake: Intake, stop: Stop) -> None:
        self._queue = queue
        self._intake = intake
        self._stop = stop

    async def submit(self, request: Request, uid: int) -> Answer:
        """`submit`: accept a payload; the answer comes once it is durable."""
        if self._stop.ordered:
            return refusal("stopping", "the daemon is stopping", retry_ms=RETRY_MS)
        # Taken out: held by who waits here until the commit, the payloads of many
        # clients would be walked by the collector and crowd the processor's cache.
        answer = await self._intake.submit(request.pop("payload", None), uid)
        if answer.status in ("accepted", "duplicate"):
            return {"ok": True, "status": answer.status, "seq": answer.seq}
        return refusal(answer.status, _REFUSALS[answer.status], retry_ms=RETRY_MS)

    async def log(self, request: Request, _uid: int) -> Answer:
        """`log`: the events an id's or a commit id's beginning stands for, oldest
        first; without one, the newest.

        To follow the log: `after`, the `last` of the answer before, and `ids`, of
        events to tell of again.
        """
        return await self._log(_log_query(request), outputs=True)

    async def own_log(self, request: Request, uid: int) -> Answer:
        """`log` on the submit socket: what the caller submitted, and nothing that
        brokers printed.
        """
        query = _log_query(request)
        if uid in (0, os.geteuid()):
            return await self._log(query, outputs=True)
        return await self._log(query._replace(uid=uid), outputs=False)

    async def _log(self, query: LogQuery, outputs: bool) -> Answer:
        def find(queue: Queue) -> tuple[int, list[Event]]:
            # Before the events: what comes in between is told of the next time.
            last = max((event.seq for event in queue.recent_events(1)), default=0)
            return last, queue.log_events(query)

        last, found = await self._queue.call(find)
        if query.after is not None and len(found) >= query.limit:
            last = found[-1].seq
        return {
            "ok": True,
            "last": last,
            "events": [rows.record(event, outputs=outputs) for event in found],
        }

    async def list(self, request: Request, _uid: int) -> Answer:
        """`event.list`: events, the newest first, of a `repository`, of a commit or an
        id (`key`), that name an `issue`, from `since` on and before `until` (milliseconds); the `next` of an
        answer is the `before` of the next request, null where there are no more. Of a
        repository there may be more though few, or none, came.
        """
        query = EventQuery(
            text(request, "repository"),
            _key(request),
            number(request, "since", 0),
            optional_number(request, "until"),
            optional_number(request, "before"),
            min(number(request, "limit", 20), MOST_EVENTS),
            text(request, "issue") or "",
        )
        events, after = await self._queue.call(lambda queue: queue.list_events(query))
        found = [rows.record(event, outputs=False) for event in events]
        return {"ok": True, "events": found, "next": after}

    async def show(self, request: Request, _uid: int) -> Answer:
        """`event.show`: one event, its payload, its deliveries and their attempts, and
        `services` as `delivery.list` has it.
        """
        key = text(request, "id") or ""
        try:
            event_id = bytes.fromhex(key)
        except ValueError:
            raise BadInput("an event's id has 32 hex digits") from None
        event, known = await self._queue.call(
            lambda queue: (queue.event(event_id), queue.stats(now_ms()))
        )
        if event is None:
            raise BadInput(f"there is no event {key}")
        body = frames.decode(event.body) if event.body else None
        return {
            "ok": True,
            "event": rows.event(event) | {"payload": body},
            "services": rows.services(known, event.deliveries),
        }


def _log_query(request: Request) -> LogQuery:
    """What a request for the log asks; raises BadInput."""
    key = _key(request)
    ids = request.get("ids") or []
    if (
        not isinstance(ids, list)
        or len(ids) > MOST_IDS
        or not all(isinstance(id, str) and _ID(id) for id in ids)
    ):
        raise BadInput(
            f"'ids' must be a list of at most {MOST_IDS} ids of 32 hex digits"
        )
    return LogQuery(
        key=key,
        ids=tuple(map(bytes.fromhex, ids)),
        after=optional_number(request, "after"),
        cut=bool(request.get("cut")),
        limit=min(number(request, "limit", 20), MOST_EVENTS),
    )


def _key(request: Request) -> str:
    """The beginning of an id that *request* names, or an empty text; raises BadInput."""
    key = (text(request, "key") or "").lower()
    is_hex = set(key) <= set("0123456789abcdef")
    if key and not (is_hex and SHORTEST_KEY <= len(key) <= LONGEST_KEY):
        raise BadInput(
            f"give {SHORTEST_KEY} to {LONGEST_KEY} hex digits of an event's or a commit's id"
        )
    return key
