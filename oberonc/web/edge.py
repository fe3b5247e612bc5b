"""What holds of every answer, whoever made it, and of every request, whatever it asks
for: the outermost ASGI application.
"""

from typing import Final

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
_UNKNOWN: Final = (
    b'{"type":"about:blank","title":"Not Implemented","status":501,'
    b'"detail":"Nothing here is asked so."}'
)


class Edge:
    """*app*, with bounds for whatever shows its answers."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def bounded(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = [*message.get("headers", ())]
                names = {name.lower() for name, _ in said}
                said += [row for row in HEADERS.items() if row[0] not in names]
                message = {**message, "headers": said}
            await send(message)

        if scope["type"] == "http" and scope["method"] not in METHODS:
            await _refuse(bounded)
        else:
            await self._app(scope, receive, bounded)


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(_UNKNOWN)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 501, "headers": headers})
    await send({"type": "http.response.body", "body": _UNKNOWN})
