"""An HTTP server between oberonc and a tracker: passes everything on, and spoils what
it is told to spoil.
"""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Seen(NamedTuple):
    """A request that came by, and the status it was answered with (0: not answered)."""

    method: str
    path: str
    body: bytes
    status: int


class Spoil(NamedTuple):
    """What to do to one exchange.

    `drop`: act, then hang up. `truncate`: act, then answer half. `hang`: say nothing.
    `answer`: answer this instead.
    """

    how: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


Rule = Callable[[str, str], Spoil | None]


class Relay:
    """Listens on a port of its own; `target` is the (host, port) behind it."""

    def __init__(self) -> None:
        self.target: tuple[str, int] = ("127.0.0.1", 0)
        self.rule: Rule = lambda method, path: None
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        relay = self

        class Handler(_Handler):
            owner = relay

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(
            target=self.server.serve_forever, args=(0.05,), daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    def writes(self) -> int:
        """How many requests that change something were passed on."""
        return sum(seen.method in WRITES and seen.status != 0 for seen in self.seen)

    def spoil_write(self, number: int, spoil: Spoil) -> None:
        """Spoil the *number*th write from now on (0 is the next), and nothing else."""
        left = [number]

        def rule(method: str, path: str) -> Spoil | None:
            if method not in WRITES:
                return None
            left[0] -= 1
            return spoil if left[0] == -1 else None

        self.rule = rule

    def spoil_nothing(self) -> None:
        self.rule = lambda method, path: None


class _Handler(BaseHTTPRequestHandler):
    owner: Relay
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        spoil = self.owner.rule(self.command, self.path)
        if spoil and spoil.how == "hang":
            self.owner.stopping.wait(60)
            self.close_connection = True
            return
        if spoil and spoil.how == "answer":
            self._answer(spoil.status, list(spoil.headers), spoil.body.encode(), body)
            return
        status, headers, content = self._forward(body)
        if spoil and spoil.how == "drop":
            self.owner.seen.append(Seen(self.command, self.path, body, status))
            self.close_connection = True
            return
        self._answer(status, headers, content, body, half=bool(spoil))

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.owner.target, timeout=60)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() != "connection"
        }
        connection.request(
            self.command, self.path, body or None, headers | {"Connection": "close"}
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        body: bytes,
        half: bool = False,
    ) -> None:
        self.owner.seen.append(Seen(self.command, self.path, body, status))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in (
                "connection",
                "transfer-encoding",
                "content-length",
            ):
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass
