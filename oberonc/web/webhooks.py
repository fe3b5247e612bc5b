"""`/in/NAME`: a forge tells of a push. It is durable before it is answered."""

import asyncio
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from oberonc.config import Config
from oberonc.delivery import frames, handover
from oberonc.errors import BadInput, OberoncError
from oberonc.mirror import bells
from oberonc.payload.schema import Payload
from oberonc.piston import Problem
from oberonc.piston.answers import problem_response
from oberonc.text import counted
from oberonc.web import incoming
from oberonc.web.forges import delivery
from oberonc.web.forges.push import Nothing
from oberonc.web.journal import fault, say
from oberonc.web.ledger import Ledger
from oberonc.web.limits import App, Receive, Scope, Send
from oberonc.web.line import Lines
from oberonc.web.ringing import Ringer
from oberonc.web.settings import Settings

#: Seconds in which the daemon has to take a push; what it does not take is spooled.
#: Gitea waits 5 s for all of it.
BUDGET: Final = 2.0
#: Bytes of a body that is looked at in the event loop; what is larger would hold up others.
SMALL: Final = 256 << 10
#: What every request gets that is not to be believed, whatever was wrong.
UNBELIEVED: Final = "The request is not signed as this webhook asks for."


T = TypeVar("T")
Moves = tuple[tuple[str, str, str, str], ...]


class Door:
    """Takes what forges send. Owned by the event loop, but for `counts`."""

    def __init__(self, config: Config, settings: Settings) -> None:
        self._config = config
        self._webhooks = settings.webhooks
        self._ledger = Ledger(settings.state)
        self._notes = Notes(self._ledger)
        self._lines = Lines(config.daemon.submit_socket)
        #: Of moves, or of an event without any, that are being told of: whose turn it is.
        self._turns: WeakValueDictionary[Moves | str, asyncio.Lock]
        self._turns = WeakValueDictionary()
        self._lock = threading.Lock()
        #: {(webhook, what became of the request, why)}: since this process began.
        self._counts: Counter[tuple[str, str, str]] = Counter()
        mirrored = {
            name: webhook.origin
            for name, webhook in settings.webhooks.items()
            if webhook.origin
        }
        self._ringer = Ringer(config, settings.state, mirrored)
        self._ringer.start()

    def counts(self) -> dict[str, dict[str, Any]]:
        """Per webhook how many requests ended how; of those refused, why."""
        found: dict[str, dict[str, Any]] = {}
        with self._lock:
            counted = dict(self._counts)
        for (name, status, why), n in sorted(counted.items()):
            row = found.setdefault(name, {"requests": {}, "refused": {}})
            row["requests"][status] = row["requests"].get(status, 0) + n
            if why:
                row["refused"][why] = n
        return found

    async def take(
        self, name: str, headers: list[tuple[str, str]], raw: bytes, sender: str
    ) -> dict[str, str]:
        """The answer to a request to `/in/NAME` from the address *sender*. Raises
        Problem.
        """
        try:
            answer, line = await self._taken(name, headers, raw)
        except incoming.Refused as refused:
            self._log("refused", name, sender, str(refused))
            raise Problem(401, UNBELIEVED) from None
        except delivery.WrongType as error:
            self._log("wrong", name, sender, str(error))
            raise Problem(415, "Send application/json.") from None
        except BadInput as error:
            self._log("wrong", name, sender, str(error))
            raise Problem(400, "This is no push as the forge sends it.") from None
        except (OberoncError, OSError) as error:
            self._log("failed", name, sender, str(error))
            again = {"Retry-After": "30"}
            raise Problem(503, "It cannot be kept now.", headers=again) from None
        self._log(answer["status"], name, sender, line)
        return answer

    async def _taken(
        self, name: str, headers: list[tuple[str, str]], raw: bytes
    ) -> tuple[dict[str, str], str]:
        made = await self._read(name, headers, raw)
        if isinstance(made, Nothing):
            return {"status": "ignored"}, made.why
        # Two hooks of a forge tell of a push at the same moment: what is noted of the
        # first says what the second is.
        turn = self._turns.setdefault(_moves(made) or made["id"], asyncio.Lock())
        is_second = turn.locked()
        async with turn:
            if is_second:
                again = await self._read(name, headers, raw)
                made = made if isinstance(again, Nothing) else again
            return await self._kept(name, made)

    async def _read(
        self, name: str, headers: list[tuple[str, str]], raw: bytes
    ) -> Payload | Nothing:
        if len(raw) <= SMALL:
            return self._read_now(name, headers, raw)
        return await _in_thread(self._read_now, name, headers, raw)

    def _read_now(
        self, name: str, headers: list[tuple[str, str]], raw: bytes
    ) -> Payload | Nothing:
        webhook = self._webhooks.get(name)
        if webhook is None:
            raise incoming.Refused("there is no webhook of this name")
        request = delivery.received(headers, raw)
        incoming.authentic(webhook, request, time.time())
        return incoming.read(webhook, request, self._config, self._ledger)

    async def _kept(self, name: str, made: Payload) -> tuple[dict[str, str], str]:
        other = self._ledger.told_of(made)
        if other:
            # Sent again when the moves are forgotten, it is the same push still.
            await self._note(name, made, other)
            return {"status": "known", "event": other}, f"event {other} told of it"
        webhook = self._webhooks[name]
        if webhook.origin and bells.rings(made):
            # No name that leads elsewhere gets as far as the disk.
            webhook.origin.address(made["repository"]["full_name"])
            await _in_thread(self._ringer.ring, name, made)
            status = "noted"
        else:
            status = await self._submit(webhook, made)
        await self._note(name, made, made["id"])
        about = f"{made['repository']['full_name']}, {counted(len(made['commits']), 'commit')}"
        line = f"event {made['id']}: {about}"
        if made["truncated"]:
            line += "; the forge did not list all of it"
        return {"status": status, "event": made["id"]}, line

    async def _note(self, name: str, made: Payload, event: str) -> None:
        """*made* was told of by *event*, itself or another one."""
        try:
            await self._notes.note(made, event)
        except sqlite3.Error as error:
            # It is taken all the same; a redelivery finds it in the daemon.
            say(f"webhook {name}: event {made['id']} is not remembered: {error}")

    async def _submit(self, webhook: incoming.Webhook, made: Payload) -> str:
        try:
            handed = await self._handed(made)
        except handover.Conflict:
            # It was taken, and what was noted of it is lost: killed in between, say.
            if incoming.names_events(webhook):
                raise
            return "duplicate"
        return handed.status

    async def _handed(self, made: Payload) -> handover.Handed:
        if "://" in self._config.delivery:
            return await _in_thread(handover.submit, self._config, made, BUDGET)
        frame = frames.submission(made)
        # What is read in one turn of the loop reaches the daemon at once, which then
        # takes it with one sync.
        await asyncio.sleep(0)
        answer: bytes | OSError | frames.BadFrame
        try:
            answer = await self._lines.exchange(frame, BUDGET)
        except (OSError, frames.BadFrame) as error:
            answer = error
        if isinstance(answer, bytes) and handover.is_taken(answer):
            return handover.Handed("accepted")
        # It is spooled, perhaps, and a disk takes its time.
        return await _in_thread(handover.handed, self._config, made, answer)

    def _log(self, status: str, name: str, sender: str, line: str) -> None:
        # Of names that strangers make up there is one count, and only a refusal's
        # reasons are a few that we know.
        known = name if name in self._webhooks else ""
        with self._lock:
            self._counts[known, status, line if status == "refused" else ""] += 1
        say(f"webhook {name} from {sender}: {status}: {line}")

    def close(self) -> None:
        """End what is fetched, and let go of what is remembered."""
        self._ringer.stop()
        self._ledger.close()


def _moves(made: Payload) -> Moves:
    """What *made* says that moved: repository, ref, old, new."""
    name = made["repository"]["full_name"]
    return tuple((name, u["ref"], u["old"], u["new"]) for u in made["updates"])


class Notes:
    """Has *ledger* note what is accepted: what comes while it syncs goes together with
    the next.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[tuple[tuple[Payload, str], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def note(self, payload: Payload, event: str) -> None:
        """*payload* was told of by *event*; durable when this returns."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(((payload, event), done))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            noted, self._waiting = self._waiting, []
            error: Exception | None = None
            try:
                # Only the disk is waited for beside the loop: with each statement a
                # thread would wait for the interpreter's lock, and have it waited for.
                self._ledger.put(*(told for told, _ in noted))
                await _in_thread(self._ledger.sync)
            except Exception as failure:  # noqa: BLE001 - who waits gets it
                error = failure
            for _, done in noted:
                if done.done():
                    continue  # who waited is gone
                if error:
                    done.set_exception(error)
                else:
                    done.set_result(None)
        self._writing = None


#: Threads for what takes its time: large bodies, and what waits for a disk or a network.
_THREADS: Final = ThreadPoolExecutor(64, thread_name_prefix="webhook")


async def _in_thread(function: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, function, *args)


class Doorway:
    """An ASGI application: `/in/NAME` is answered by *door*, all else by *app*.

    Before Django, of which a push needs nothing and which would be most of the work.
    Bodies come whole (`Limits`).
    """

    def __init__(self, door: Door, app: App) -> None:
        self._door = door
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        name = scope["path"].removeprefix("/in/")
        if name == scope["path"]:
            await self._app(scope, receive, send)
            return
        try:
            if scope["method"] != "POST":
                raise Problem(405, headers={"Allow": "POST"})
            answer = await self._answer(name, scope, (await receive())["body"])
            # 200 whether it is wanted or not: forges switch off webhooks that answer
            # anything else.
            status, body = 200, json.dumps(answer).encode()
            length = (b"content-length", b"%d" % len(body))
            headers = [(b"content-type", b"application/json"), length]
        except Problem as problem:
            response = problem_response(problem, "json")
            headers = [(k.encode(), v.encode()) for k, v in response.items()]
            status, body = response.status_code, response.content
        start = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, name: str, scope: Scope, body: bytes) -> dict[str, str]:
        headers = [
            (key.decode("latin-1"), value.decode("latin-1"))
            for key, value in scope["headers"]
        ]
        sender = (scope.get("client") or [""])[0] or "a local socket"
        try:
            return await self._door.take(name, headers, body, sender)
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001 - our own fault is no answer's text
            say(f"webhook {name} from {sender}: {fault(error)}")
            raise Problem(500) from None
