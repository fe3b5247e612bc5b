"""What the daemon does when asked: one method per operation, named as on the wire.

`submit` and `ping` exist on both sockets, and `log` does on the submit socket for what
the caller submitted; everything else exists on the control socket alone, and is the
right of whoever may open that.
"""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import oberonc
from oberonc.accounts import person
from oberonc.broker import registry
from oberonc.daemon.dispatch import Dispatcher
from oberonc.daemon.front.peers import Peer
from oberonc.daemon.front.server import RETRY_MS, Answer, Server, refusal
from oberonc.daemon.intake.intake import Intake
from oberonc.daemon.journal import About, Say
from oberonc.daemon.operations import fields, renaming, rows, stats
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.reload import Reloader
from oberonc.daemon.stop import Stop
from oberonc.delivery import frames, spool
from oberonc.errors import BadInput
from oberonc.queue.contract import Queue
from oberonc.queue.values import Delivery, Event, LogQuery, Stats
from oberonc.text import nearest

Request = dict[str, Any]
#: Changes a delivery in somebody's name: (queue, its number, who).
Steer = Callable[[Queue, int, str], Delivery]
STATES: Final = ("ready", "leased", "done", "dead", "cancelled")


class Operations:
    """The operations of a running daemon."""

    def __init__(
        self,
        state: Path,
        queue: QueueLink,
        intake: Intake,
        reloader: Reloader,
        dispatcher: Dispatcher,
        server: Server,
        stop: Stop,
        say: Say,
    ) -> None:
        self._state = state
        self._queue = queue
        self._intake = intake
        self._reloader = reloader
        self._dispatcher = dispatcher
        self._server = server
        self._stop = stop
        self._say = say
        #: Of this process; the files may be replaced while it runs.
        self._version: str = oberonc.__version__
        self._began = time.monotonic()
        public: dict[str, Callable[[Request, Peer], Awaitable[Answer]]] = {
            "submit": self.submit,
            "ping": self.ping,
        }
        self._public = public | {"log": self.own_log}
        self._all = public | {
            "stats": self.stats,
            "brokers": self.brokers,
            "reload": self.reload,
            "generation": self.generation,
            "lane.list": self.lane_list,
            "lane.pause": self.lane_pause,
            "lane.resume": self.lane_resume,
            "lane.unpark": self.lane_unpark,
            "rename": self.rename,
            "delivery.list": self.delivery_list,
            "dead.list": self.dead_list,
            "dead.show": self.delivery_show,
            "dead.retry": self.delivery_retry,
            "dead.drop": self.delivery_drop,
            "event.show": self.event_show,
            "event.replay": self.event_replay,
            "log": self.log,
            "drain": self.drain,
            "backup": self.backup,
        }

    async def perform(self, request: Request, peer: Peer, control: bool) -> Answer:
        """The answer to *request*; raises OberoncError for faults of the caller."""
        op = request.get("op")
        found = (
            (self._all if control else self._public).get(op)
            if isinstance(op, str)
            else None
        )
        lacking = [need for need in request.get("need") or () if need not in self._all]
        if found is None or lacking:
            what = f"the feature {lacking[0]!r}" if lacking else f"the operation {op!r}"
            return refusal(
                "unsupported",
                f"{what} is not known here",
                v=[frames.VERSION, frames.VERSION],
            )
        return await found(request, peer)

    async def submit(self, request: Request, peer: Peer) -> Answer:
        """Accept a payload; the answer comes once it is durable."""
        if self._stop.ordered:
            return refusal("stopping", "the daemon is stopping", retry_ms=RETRY_MS)
        answer = await self._intake.submit(request.get("payload"), peer.uid)
        if answer.status in ("accepted", "duplicate"):
            return {"ok": True, "status": answer.status, "seq": answer.seq}
        messages = {
            "conflict": "this id was used before for another payload",
            "storage_low": "the disk is nearly full",
            "busy": "too many events are waiting",
        }
        return refusal(answer.status, messages[answer.status], retry_ms=RETRY_MS)

    async def ping(self, _request: Request, _peer: Peer) -> Answer:
        """Here."""
        return {
            "ok": True,
            "v": [frames.VERSION, frames.VERSION],
            "version": self._version,
            "generation": self._reloader.current.number,
        }

    async def stats(self, _request: Request, _peer: Peer) -> Answer:
        """Counts and states."""
        return {"ok": True, "stats": await self._stats()}

    async def _stats(self) -> dict[str, Any]:
        now, config = now_ms(), self._intake.config
        configured = list(config.services)
        known, unclaimed = await self._queue.call(
            lambda queue: (queue.stats(now), queue.unclaimed(configured))
        )
        generation, draining = self._reloader.current, self._reloader.draining
        value: dict[str, Any] = {
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._began, 3),
            "version": self._version,
            "generation": generation.number,
            "draining": draining.number if draining else None,
            "workers": {
                "running": self._dispatcher.running,
                "idle": generation.idle,
                "limit": config.daemon.workers,
            },
            "connections": len(self._server.connections),
            "refused": dict(self._server.refused),
            "spool": self._intake.files,
            "spool_unreadable": self._intake.unreadable,
            "spool_bad": len(spool.rejected(config.spool)),
        }
        value |= stats.summary(known, now)
        for name, service in config.services.items():
            row = value["services"].setdefault(name, stats.service(None, now))
            problem = generation.unavailable.get(name, "")
            row |= {"broker": service.broker, "problem": problem}
        value["unclaimed"] = unclaimed
        return value

    async def brokers(self, _request: Request, _peer: Peer) -> Answer:
        """Every broker of the generation in service, and every configured service."""
        generation = self._reloader.current
        services = (await self._stats())["services"]
        found = [
            {
                "broker": name,
                "origin": place.origin,
                "doc": registry.docline(place),
                "mode": "exec" if name in generation.threaded else "fork",
                "services": [
                    s.name
                    for s in generation.config.services.values()
                    if s.broker == name
                ],
            }
            for name, place in sorted(generation.snapshot.places.items())
        ]
        return {
            "ok": True,
            "generation": generation.number,
            "brokers": found,
            "services": services,
        }

    async def reload(self, request: Request, _peer: Peer) -> Answer:
        """The verdict on new code and configuration, and the swap when it is good."""
        if request.get("check"):
            report = await self._reloader.check()
        else:
            report = await self._reloader.reload(partial=bool(request.get("partial")))
        return {"ok": True, "report": report._asdict()}

    async def generation(self, _request: Request, _peer: Peer) -> Answer:
        """The newest generations."""
        known = await self._queue.call(lambda queue: queue.generations())
        return {"ok": True, "generations": [g._asdict() for g in known]}

    async def lane_list(self, _request: Request, _peer: Peer) -> Answer:
        """The lanes that are paused by themselves."""
        lanes = await self._queue.call(lambda queue: queue.paused_lanes())
        return {
            "ok": True,
            "lanes": [
                {"service": service, "repository": repo} for service, repo in lanes
            ],
        }

    async def lane_pause(self, request: Request, peer: Peer) -> Answer:
        """Lease nothing more of a service, or of one of its lanes."""
        service, repo = self._lane(request)
        configured = self._intake.config.services
        if service not in configured:
            raise BadInput(
                f"there is no service called '{service}'{nearest(service, list(configured))}"
            )
        await self._queue.call(lambda queue: queue.pause(service, repo))
        self._say(f"{person(peer.uid)} paused it", About(service, repo=repo or ""))
        return {"ok": True}

    async def lane_resume(self, request: Request, peer: Peer) -> Answer:
        """Undo `lane.pause`."""
        service, repo = self._lane(request)
        # One that is gone may have been paused before.
        known = (await self._stats())["services"]
        if service not in known:
            raise BadInput(
                f"there is no service called '{service}'{nearest(service, list(known))}"
            )
        await self._queue.call(lambda queue: queue.resume(service, repo))
        self._say(f"{person(peer.uid)} resumed it", About(service, repo=repo or ""))
        self._queue.expect()
        return {"ok": True}

    async def lane_unpark(self, request: Request, peer: Peer) -> Answer:
        """Make the parked deliveries of a service, or of one lane, due now."""
        service, repo = self._lane(request)

        def unpark(queue: Queue) -> int:
            parked = [
                d
                for d in queue.deliveries(
                    "ready", service, repo, limit=fields.MOST_ROWS
                )
                if d.parked
            ]
            return len(
                [
                    queue.retry(now_ms(), delivery.id, person(peer.uid))
                    for delivery in parked
                ]
            )

        count = await self._queue.call(unpark)
        self._queue.expect()
        return {"ok": True, "unparked": count}

    async def rename(self, request: Request, peer: Peer) -> Answer:
        """A repository has another name: its issues, ledger and lanes follow."""
        old, new = fields.text(request, "old") or "", fields.text(request, "new") or ""
        renaming.check(old, new)
        await self._intake.catch_up(old)
        state = self._state
        told = await self._queue.call(
            lambda queue: renaming.in_queue(queue, state, old, new)
        )
        self._say(f"{person(peer.uid)} renamed {old} to {new}")
        self._queue.expect()
        return {"ok": True, **told}

    async def delivery_list(self, request: Request, _peer: Peer) -> Answer:
        """Deliveries, filtered, by id from `after` on, or the newest first from
        `before` down.

        `services` says of each of theirs whether it is failing, and when it is next
        tried.
        """
        state = fields.choice(request, "state", STATES)
        service, repo = (
            fields.text(request, "service"),
            fields.text(request, "repository"),
        )
        limit, after = (
            min(fields.number(request, "limit", 100), fields.MOST_ROWS),
            fields.number(request, "after", 0),
        )
        before = (
            None if request.get("before") is None else fields.number(request, "before")
        )
        since, now = fields.number(request, "since", 0), now_ms()

        def find(queue: Queue) -> tuple[list[Delivery], Stats]:
            found = queue.deliveries(
                state,  # type: ignore[arg-type]
                service,
                repo,
                limit,
                after,
                before=before,
                since=since,
            )
            return found, queue.stats(now)

        found, known = await self._queue.call(find)
        named = {delivery.service for delivery in found}
        services = {
            name: {"breaker": row.breaker, "probe_due_ms": row.probe_due_ms}
            for name, row in known.services.items()
            if name in named
        }
        return {
            "ok": True,
            "deliveries": [rows.delivery(delivery) for delivery in found],
            "services": services,
        }

    async def dead_list(self, request: Request, peer: Peer) -> Answer:
        """The dead letters."""
        return await self.delivery_list(request | {"state": "dead"}, peer)

    async def delivery_show(self, request: Request, _peer: Peer) -> Answer:
        """One delivery with its attempts."""
        number = fields.number(request, "delivery")
        found = await self._queue.call(lambda queue: queue.delivery(number))
        if found is None:
            raise BadInput(f"there is no delivery {number}")
        return {"ok": True, "delivery": rows.delivery(found)}

    async def delivery_retry(self, request: Request, peer: Peer) -> Answer:
        """Again, now; also for what is done."""
        return await self._steered(
            request,
            peer,
            "retries",
            lambda queue, number, by: queue.retry(now_ms(), number, by),
        )

    async def delivery_drop(self, request: Request, peer: Peer) -> Answer:
        """Never, in the name of the caller."""
        return await self._steered(
            request,
            peer,
            "dropped",
            lambda queue, number, by: queue.drop(now_ms(), number, by),
        )

    async def _steered(
        self, request: Request, peer: Peer, word: str, steer: Steer
    ) -> Answer:
        """`delivery` steered; or each of `deliveries`, whatever becomes of the others:
        a row, or why not, for each.
        """
        by = person(peer.uid)
        if "deliveries" not in request:
            number = fields.number(request, "delivery")
            found = await self._queue.call(lambda queue: steer(queue, number, by))
            self._steered_one(by, word, found)
            return {"ok": True, "delivery": rows.delivery(found)}
        numbers = fields.numbers(request, "deliveries")

        def each(queue: Queue) -> list[Delivery | str]:
            return [_or_why(steer, queue, number, by) for number in numbers]

        results = await self._queue.call(each)
        for result in results:
            if not isinstance(result, str):
                self._steered_one(by, word, result)
        told = [
            {"id": number}
            | (
                {"error": result}
                if isinstance(result, str)
                else {"delivery": rows.delivery(result)}
            )
            for number, result in zip(numbers, results, strict=True)
        ]
        return {"ok": True, "results": told}

    def _steered_one(self, by: str, word: str, found: Delivery) -> None:
        self._say(f"{by} {word} delivery {found.id}", found)
        self._queue.expect()

    async def event_show(self, request: Request, _peer: Peer) -> Answer:
        """One event, its payload, its deliveries and their attempts."""
        event = await self._event(request)
        body = frames.decode(event.body) if event.body else None
        return {"ok": True, "event": rows.event(event) | {"payload": body}}

    async def event_replay(self, request: Request, peer: Peer) -> Answer:
        """Every ended delivery of an event again, or that of one service."""
        event, service = await self._event(request), fields.text(request, "service")
        ended = [
            d
            for d in event.deliveries
            if d.ended_ms is not None and service in (None, d.service)
        ]
        again = [
            await self.delivery_retry({"delivery": delivery.id}, peer)
            for delivery in ended
        ]
        return {"ok": True, "deliveries": [answer["delivery"] for answer in again]}

    async def log(self, request: Request, _peer: Peer) -> Answer:
        """The events an id's or a commit id's beginning stands for, oldest first;
        without one, the newest.

        To follow the log: `after`, the `last` of the answer before, and `ids`, of
        events to tell of again.
        """
        return await self._log(fields.log_query(request))

    async def own_log(self, request: Request, peer: Peer) -> Answer:
        """The same of what the caller submitted, and nothing that brokers printed."""
        trusted = peer.uid in (0, os.geteuid())
        return await self._log(
            fields.log_query(request)._replace(uid=None if trusted else peer.uid),
            outputs=trusted,
        )

    async def _log(self, asked: LogQuery, *, outputs: bool = True) -> Answer:
        def find(queue: Queue) -> tuple[int, list[Event]]:
            # Before the events: what comes in between is told of the next time.
            last = max((event.seq for event in queue.recent_events(1)), default=0)
            return last, queue.log_events(asked)

        last, found = await self._queue.call(find)
        if asked.after is not None and len(found) >= asked.limit:
            last = found[-1].seq
        return {
            "ok": True,
            "last": last,
            "events": [rows.record(event, outputs=outputs) for event in found],
        }

    async def drain(self, _request: Request, peer: Peer) -> Answer:
        """Finish what runs and stop, as after SIGTERM."""
        self._say(f"{person(peer.uid)} asked for a stop")
        self._stop.order()
        return {"ok": True}

    async def backup(self, request: Request, peer: Peer) -> Answer:
        """A consistent copy of the queue, written by the daemon."""
        target = Path(fields.text(request, "path") or "")
        if not target.is_absolute():
            raise BadInput("backup needs an absolute path")
        try:
            await self._queue.call(lambda queue: queue.backup(target), alone=True)
        except BadInput as error:
            if os.path.lexists(target):
                raise
            # A service is kept from most of the file system, whatever the folder's mode
            # says to who asks.
            raise BadInput(
                f"{error}; the daemon can write below {self._state}"
            ) from None
        self._say(f"{person(peer.uid)} made a backup: {target}")
        return {"ok": True, "path": str(target), "bytes": target.stat().st_size}

    async def _event(self, request: Request) -> Event:
        key = fields.text(request, "id") or ""
        try:
            event_id = bytes.fromhex(key)
        except ValueError:
            raise BadInput("an event's id has 32 hex digits") from None
        event = await self._queue.call(lambda queue: queue.event(event_id))
        if event is None:
            raise BadInput(f"there is no event {key}")
        return event

    def _lane(self, request: Request) -> tuple[str, str | None]:
        service = fields.text(request, "service")
        if service is None:
            raise BadInput("name a service")
        return service, fields.text(request, "repository")


def _or_why(steer: Steer, queue: Queue, number: int, by: str) -> Delivery | str:
    try:
        return steer(queue, number, by)
    except BadInput as error:
        return str(error)
