"""What the daemon does when asked: one method per operation, named as on the wire.

`submit` and `ping` exist on both sockets, everything else on the control socket alone: there it is the right
of whoever may open that socket, here it does not exist.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from oberonc import registry, wire
from oberonc.daemon import rows, stats
from oberonc.daemon.journal import About
from oberonc.daemon.peers import Peer, person
from oberonc.daemon.queue_link import now_ms
from oberonc.daemon.server import RETRY_MS, Answer, refusal
from oberonc.errors import BadInput
from oberonc.queue.base import Event, Queue
from oberonc.text import nearest

if TYPE_CHECKING:
    from oberonc.daemon.service import Daemon

Request = dict[str, Any]
#: Rows one answer holds at most.
MOST_ROWS: Final = 1000
#: Hex digits an id must be given with.
SHORTEST_KEY: Final = 4


class Operations:
    """The operations of a running daemon."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._queue = daemon.queue
        public: dict[str, Callable[[Request, Peer], Awaitable[Answer]]] = {"submit": self.submit, "ping": self.ping}
        self._public = public
        self._all = public | {
            "stats": self.stats,
            "brokers": self.brokers,
            "reload": self.reload,
            "generation": self.generation,
            "lane.list": self.lane_list,
            "lane.pause": self.lane_pause,
            "lane.resume": self.lane_resume,
            "lane.unpark": self.lane_unpark,
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
        found = (self._all if control else self._public).get(op) if isinstance(op, str) else None
        lacking = [need for need in request.get("need") or () if need not in self._all]
        if found is None or lacking:
            what = f"the feature {lacking[0]!r}" if lacking else f"the operation {op!r}"
            return refusal("unsupported", f"{what} is not known here", v=[wire.VERSION, wire.VERSION])
        return await found(request, peer)

    async def submit(self, request: Request, peer: Peer) -> Answer:
        """Accept a payload; the answer comes once it is durable."""
        if self._daemon.stopping:
            return refusal("stopping", "the daemon is stopping", retry_ms=RETRY_MS)
        answer = await self._daemon.intake.submit(request.get("payload"), peer.uid)
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
        return {"ok": True, "v": [wire.VERSION, wire.VERSION], "generation": self._daemon.number}

    async def stats(self, _request: Request, _peer: Peer) -> Answer:
        """Counts and states."""
        return {"ok": True, "stats": await self._stats()}

    async def _stats(self) -> dict[str, Any]:
        daemon, now = self._daemon, now_ms()
        configured = list(daemon.intake.config.services)
        known, unclaimed = await self._queue.call(lambda queue: (queue.stats(now), queue.unclaimed(configured)))
        value = {"pid": daemon.pid, "uptime": round(time.monotonic() - daemon.began, 3), **daemon.own_stats()}
        value |= stats.summary(known, now)
        for name, service in daemon.intake.config.services.items():
            row = value["services"].setdefault(name, stats.service(None, now))
            row |= {"broker": service.broker, "problem": daemon.problem(name)}
        value["unclaimed"] = unclaimed
        return value

    async def brokers(self, _request: Request, _peer: Peer) -> Answer:
        """Every broker of the generation in service, and every configured service."""
        generation = self._daemon.generation
        services = (await self._stats())["services"]
        found = [
            {
                "broker": name,
                "origin": place.origin,
                "doc": registry.docline(place),
                "mode": "exec" if name in generation.threaded else "fork",
                "services": [s.name for s in generation.config.services.values() if s.broker == name],
            }
            for name, place in sorted(generation.snapshot.places.items())
        ]
        return {"ok": True, "generation": generation.number, "brokers": found, "services": services}

    async def reload(self, request: Request, _peer: Peer) -> Answer:
        """The verdict on new code and configuration, and the swap when it is good."""
        report = await self._daemon.reload(partial=bool(request.get("partial")), check=bool(request.get("check")))
        return {"ok": True, "report": report}

    async def generation(self, _request: Request, _peer: Peer) -> Answer:
        """The newest generations."""
        known = await self._queue.call(lambda queue: queue.generations())
        return {"ok": True, "generations": [g._asdict() for g in known]}

    async def lane_list(self, _request: Request, _peer: Peer) -> Answer:
        """The lanes that are paused by themselves."""
        lanes = await self._queue.call(lambda queue: queue.paused_lanes())
        return {"ok": True, "lanes": [{"service": service, "repository": repo} for service, repo in lanes]}

    async def lane_pause(self, request: Request, peer: Peer) -> Answer:
        """Lease nothing more of a service, or of one of its lanes."""
        service, repo = self._lane(request)
        configured = self._daemon.intake.config.services
        if service not in configured:
            raise BadInput(f"there is no service called '{service}'{nearest(service, list(configured))}")
        await self._queue.call(lambda queue: queue.pause(service, repo))
        self._daemon.say(f"{person(peer.uid)} paused it", About(service, repo=repo or ""))
        return {"ok": True}

    async def lane_resume(self, request: Request, peer: Peer) -> Answer:
        """Undo `lane.pause`."""
        service, repo = self._lane(request)
        # One that is gone may have been paused before.
        known = (await self._stats())["services"]
        if service not in known:
            raise BadInput(f"there is no service called '{service}'{nearest(service, list(known))}")
        await self._queue.call(lambda queue: queue.resume(service, repo))
        self._daemon.say(f"{person(peer.uid)} resumed it", About(service, repo=repo or ""))
        self._daemon.kick()
        return {"ok": True}

    async def lane_unpark(self, request: Request, peer: Peer) -> Answer:
        """Make the parked deliveries of a service, or of one lane, due now."""
        service, repo = self._lane(request)

        def unpark(queue: Queue) -> int:
            parked = [d for d in queue.deliveries("ready", service, repo, limit=MOST_ROWS) if d.parked]
            return len([queue.retry(now_ms(), delivery.id, person(peer.uid)) for delivery in parked])

        count = await self._queue.call(unpark)
        self._daemon.kick()
        return {"ok": True, "unparked": count}

    async def delivery_list(self, request: Request, _peer: Peer) -> Answer:
        """Deliveries, filtered; `after` continues a list."""
        state = _choice(request, "state", ("ready", "leased", "done", "dead", "cancelled"))
        service, repo = _text(request, "service"), _text(request, "repository")
        limit, after = min(_number(request, "limit", 100), MOST_ROWS), _number(request, "after", 0)
        found = await self._queue.call(
            lambda queue: queue.deliveries(state, service, repo, limit, after)  # type: ignore[arg-type]
        )
        return {"ok": True, "deliveries": [rows.delivery(delivery) for delivery in found]}

    async def dead_list(self, request: Request, peer: Peer) -> Answer:
        """The dead letters."""
        return await self.delivery_list(request | {"state": "dead"}, peer)

    async def delivery_show(self, request: Request, _peer: Peer) -> Answer:
        """One delivery with its attempts."""
        number = _number(request, "delivery")
        found = await self._queue.call(lambda queue: queue.delivery(number))
        if found is None:
            raise BadInput(f"there is no delivery {number}")
        return {"ok": True, "delivery": rows.delivery(found)}

    async def delivery_retry(self, request: Request, peer: Peer) -> Answer:
        """Again, now; also for what is done."""
        number = _number(request, "delivery")
        found = await self._queue.call(lambda queue: queue.retry(now_ms(), number, person(peer.uid)))
        self._daemon.say(f"{person(peer.uid)} retries delivery {number}", found)
        self._daemon.kick()
        return {"ok": True, "delivery": rows.delivery(found)}

    async def delivery_drop(self, request: Request, peer: Peer) -> Answer:
        """Never, in the name of the caller."""
        number = _number(request, "delivery")
        found = await self._queue.call(lambda queue: queue.drop(now_ms(), number, person(peer.uid)))
        self._daemon.say(f"{person(peer.uid)} dropped delivery {number}", found)
        self._daemon.kick()
        return {"ok": True, "delivery": rows.delivery(found)}

    async def event_show(self, request: Request, _peer: Peer) -> Answer:
        """One event, its payload, its deliveries and their attempts."""
        event = await self._event(request)
        body = wire.decode(event.body) if event.body else None
        return {"ok": True, "event": rows.event(event) | {"payload": body}}

    async def event_replay(self, request: Request, peer: Peer) -> Answer:
        """Every ended delivery of an event again, or that of one service."""
        event, service = await self._event(request), _text(request, "service")
        ended = [d for d in event.deliveries if d.ended_ms is not None and service in (None, d.service)]
        again = [await self.delivery_retry({"delivery": delivery.id}, peer) for delivery in ended]
        return {"ok": True, "deliveries": [answer["delivery"] for answer in again]}

    async def log(self, request: Request, _peer: Peer) -> Answer:
        """The events an id's or a commit id's beginning stands for, oldest first; without one, the newest."""
        key = (_text(request, "key") or "").lower()
        if key and (set(key) - set("0123456789abcdef") or len(key) < SHORTEST_KEY):
            raise BadInput(f"give at least {SHORTEST_KEY} hex digits of an event's or a commit's id")

        def find(queue: Queue) -> list[Event]:
            if key:
                return queue.events_of_commit(key)
            return queue.recent_events(_number(request, "limit", 20))

        found = await self._queue.call(find)
        return {"ok": True, "events": [rows.record(event) for event in reversed(found)]}

    async def drain(self, _request: Request, peer: Peer) -> Answer:
        """Finish what runs and stop, as after SIGTERM."""
        self._daemon.say(f"{person(peer.uid)} asked for a stop")
        self._daemon.stop()
        return {"ok": True}

    async def backup(self, request: Request, peer: Peer) -> Answer:
        """A consistent copy of the queue, written by the daemon."""
        target = Path(_text(request, "path") or "")
        if not target.is_absolute():
            raise BadInput("backup needs an absolute path")
        await self._queue.call(lambda queue: queue.backup(target), alone=True)
        self._daemon.say(f"{person(peer.uid)} made a backup: {target}")
        return {"ok": True, "path": str(target), "bytes": target.stat().st_size}

    async def _event(self, request: Request) -> Event:
        key = _text(request, "id") or ""
        try:
            event_id = bytes.fromhex(key)
        except ValueError:
            raise BadInput("an event's id has 32 hex digits") from None
        event = await self._queue.call(lambda queue: queue.event(event_id))
        if event is None:
            raise BadInput(f"there is no event {key}")
        return event

    def _lane(self, request: Request) -> tuple[str, str | None]:
        service = _text(request, "service")
        if service is None:
            raise BadInput("name a service")
        return service, _text(request, "repository")


def _text(request: Request, key: str) -> str | None:
    value = request.get(key)
    if value is None or (isinstance(value, str) and value.isprintable()):
        return value
    raise BadInput(f"'{key}' must be printable text")


def _number(request: Request, key: str, default: int | None = None) -> int:
    value = request.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62:
        return value
    raise BadInput(f"'{key}' must be a whole number")


def _choice(request: Request, key: str, choices: tuple[str, ...]) -> str | None:
    value = _text(request, key)
    if value is None or value in choices:
        return value
    raise BadInput(f"'{key}' must be one of {', '.join(choices)}")
