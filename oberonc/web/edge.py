"""What holds of every answer, whoever made it, and of every request, whatever it asks
for: the outermost ASGI application.
"""

import json
from collections.abc import Callable
from typing import Final

from oberonc.web.journal import fault, say
from oberonc.web.limits import App, Message, Receive, Scope, Send

#: All that something is there for. CONNECT and TRACE are a proxy's and a debugger's, and
#: of others nobody knows what they do.
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
#: What an answer says that says nothing of its own: nothing runs, nothing is loaded,
#: guessed, framed or kept.
HEADERS: Final = {
    b"cache-control": b"no-store",
    b"content-security-policy": (
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


def _problem(status: int, title: str, detail: str) -> bytes:
    document = {"type": "about:blank", "title": title, "status": status}
    return json.dumps(document | {"detail": detail}).encode()


_UNKNOWN: Final = _problem(501, "Not Implemented", "Nothing here is asked so.")
_BROKEN: Final = _problem(500, "Internal Server Error", "The error is logged.")
_FULL: Final = _problem(503, "Service Unavailable", "Too many are connected.")


def _refusal(body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that is the last one of its connection."""
    return [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]


def _whole(status: int, title: str, body: bytes) -> bytes:
    lines = [b"%s: %s" % row for row in (*_refusal(body), *HEADERS.items())]
    head = b"\r\n".join((f"HTTP/1.1 {status} {title}".encode(), *lines))
    return b"%s\r\n\r\n%s" % (head, body)


_MALFORMED: Final = _problem(400, "Bad Request", "This is no request of HTTP.")
#: The whole answer to what is no request, and to a method that the parser does not know.
MALFORMED: Final = _whole(400, "Bad Request", _MALFORMED)
UNKNOWN: Final = _whole(501, "Not Implemented", _UNKNOWN)


class Edge:
    """*app*, with bounds for whatever shows its answers. *is_full* tells whether there
    are more connections than are served.
    """

    def __init__(self, app: App, is_full: Callable[[], bool]) -> None:
        self._app = app
        self._is_full = is_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        began = False

        async def bounded(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                said = [*message.get("headers", ())]
                names = {name.lower() for name, _ in said}
                said += [row for row in HEADERS.items() if row[0] not in names]
                message = {**message, "headers": said}
            await send(message)

        if scope["type"] == "http" and scope["method"] not in METHODS:
            await _answer(bounded, 501, _UNKNOWN)
            return
        if self._is_full():
            await _answer(bounded, 503, _FULL, (b"retry-after", b"5"))
            return
        try:
            await self._app(scope, receive, bounded)
        except Exception as error:
            if began:
                raise
            say(f"{scope['method']} {scope['path']}: {fault(error)}")
            await _answer(bounded, 500, _BROKEN)


async def _answer(
    send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]
) -> None:
    headers = [*_refusal(body), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
