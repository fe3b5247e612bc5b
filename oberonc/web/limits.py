"""What a stranger's request may take: bytes, seconds, and the memory of all together.

An ASGI application around another one, which it gives bodies that have come whole.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

from oberonc.web.forges.delivery import LARGEST

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Seconds in which a body has to come.
SECONDS: Final = 10.0
#: Seconds in which, and bytes that, who is refused may still send: a connection that is
#: closed before they were read takes the answer with it.
LINGER, LEFT = 5.0, 2 * LARGEST
#: Bytes of all bodies that are on their way or looked at, and of those of one address.
TOGETHER: Final = 128 << 20
OF_ONE: Final = TOGETHER // 2
#: Requests of one address that are under way.
AT_ONCE: Final = 128


class Limits:
    """*app* with bodies of at most `LARGEST` bytes. Owned by the event loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._held = 0
        #: Bytes and requests of each address that has one under way.
        self._bytes: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        body = bytearray()
        # Nobody knows who comes by a local socket, where no proxy says it.
        who = (scope.get("client") or [""])[0]
        self._requests[who] += 1
        refusal: int | None
        try:
            if who and self._requests[who] > AT_ONCE:
                refusal, more = 503, True
            elif _said(scope) > LARGEST:
                refusal, more = 413, True
            else:
                refusal, more = await self._take(who, body, receive)
            if refusal is None:
                await self._app(scope, _once(bytes(body), receive), send)
            elif refusal:
                await _refuse(send, refusal, receive if more else None)
        finally:
            self._held -= len(body)
            self._bytes[who] -= len(body)
            self._requests[who] -= 1
            if not self._requests[who]:
                del self._requests[who], self._bytes[who]

    async def _take(
        self, who: str, body: bytearray, receive: Receive
    ) -> tuple[int | None, bool]:
        """Fill *body*. The status to refuse it with, 0 where nobody is there any more;
        and whether more of it is to come soon.
        """
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return 0, False
                    part, more = (
                        message.get("body", b""),
                        message.get("more_body", False),
                    )
                    body += part
                    self._held += len(part)
                    self._bytes[who] += len(part)
                    if len(body) > LARGEST:
                        return 413, more
                    if self._held > TOGETHER or (who and self._bytes[who] > OF_ONE):
                        return 503, more
                    if not more:
                        return None, False
        except TimeoutError:
            return 408, False


def _said(scope: Scope) -> int:
    """The bytes that a body has, by what is said before it; 0 where nothing is."""
    return int(dict(scope["headers"]).get(b"content-length", 0))


def _once(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


_REFUSALS: Final = {
    408: ("Request Timeout", f"The body has to come within {SECONDS:g} s."),
    413: ("Content Too Large", f"A body has at most {LARGEST} bytes."),
    503: ("Service Unavailable", "Too much is being sent at once; try again."),
}


async def _refuse(send: Send, status: int, receive: Receive | None) -> None:
    """Answer; then *receive* what is still sent, so that who sends it can read that."""
    title, detail = _REFUSALS[status]
    problem = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    left = LEFT if receive else 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while receive and left > 0:
                message = await receive()
                if not message.get("more_body"):
                    break
                left -= len(message.get("body", b""))
    await send({"type": "http.response.body", "body": b""})
