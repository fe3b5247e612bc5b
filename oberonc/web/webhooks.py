"""`/in/NAME`: a forge tells of a push. It is durable before it is answered."""

import asyncio
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from oberonc.config import Config
from oberonc.delivery import handover
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
from oberonc.web.line import Line
from oberonc.web.ringing import Ringer
from oberonc.web.settings import Settings

#: Seconds in which the daemon has to take a push; what it does not take is spooled.
#: Gitea waits 5 s for all of it.
BUDGET: Final = 2.0
#: What every request gets that is not to be believed, whatever was wrong.
UNBELIEVED: Final = "The request is not signed as this webhook asks for."


class Door:
    """Takes what forges send; several threads may use it."""

    def __init__(self, config: Config, settings: Settings) -> None:
        self._config = config
        self._webhooks = settings.webhooks
        self._ledger = Ledger(settings.state)
        self._lock = threading.Lock()
        #: Each thread's to the daemon.
        self._lines = threading.local()
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

    def take(
        self, name: str, headers: list[tuple[str, str]], raw: bytes, sender: str
    ) -> dict[str, str]:
        """The answer to a request to `/in/NAME` from the address *sender*. Raises
        Problem.
        """
        try:
            answer, line = self._taken(name, headers, raw)
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

    def _taken(
        self, name: str, headers: list[tuple[str, str]], raw: bytes
    ) -> tuple[dict[str, str], str]:
        webhook = self._webhooks.get(name)
        if webhook is None:
            raise incoming.Refused("there is no webhook of this name")
        request = delivery.received(headers, raw)
        incoming.authentic(webhook, request, time.time())
        made = incoming.read(webhook, request, self._config, self._ledger)
        if isinstance(made, Nothing):
            return {"status": "ignored"}, made.why
        other = self._ledger.told_of(made)
        if other:
            return {"status": "known", "event": other}, f"event {other} told of it"
        if webhook.origin and bells.rings(made):
            # No name that leads elsewhere gets as far as the disk.
            webhook.origin.address(made["repository"]["full_name"])
            self._ringer.ring(name, made)
            status = "noted"
        else:
            status = self._submit(made)
        self._ledger.note(made)
        about = f"{made['repository']['full_name']}, {counted(len(made['commits']), 'commit')}"
        line = f"event {made['id']}: {about}"
        if made["truncated"]:
            line += "; the forge did not list all of it"
        return {"status": status, "event": made["id"]}, line

    def _submit(self, made: Payload) -> str:
        if not hasattr(self._lines, "line"):
            self._lines.line = Line()
        exchange = self._lines.line.exchange
        return handover.submit(self._config, made, BUDGET, exchange).status

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


#: Threads that take requests: nearly all they do is waiting for a sync, which those that
#: wait together share.
_THREADS: Final = ThreadPoolExecutor(64, thread_name_prefix="webhook")


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
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                _THREADS, self._door.take, name, headers, body, sender
            )
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001 - our own fault is no answer's text
            say(f"webhook {name} from {sender}: {fault(error)}")
            raise Problem(500) from None
