"""What stands at the other end of each shipped broker: it keeps what arrives as bytes,
knows again what it has as the real one does, and can lose an answer.
"""

import asyncio
import email
import email.policy
import json
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from oberonc.issues.embedded import IssueFile
from oberonc.testing import Answer, Sent, Server
from tests.support.eventually import eventually
from tests.support.ports import free_port

SECRET = "s3cret-value"


class Receiver:
    """The other end of a service with *settings*."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        #: What arrived, in order.
        self.came: list[bytes] = []
        #: The same as its people have it: what came again is there once, where the
        #: service knows it again.
        self.posts: dict[str, bytes] = {}
        #: The answer to what arrives as the first, second ... is lost; it is taken all
        #: the same.
        self.lose = 0

    def take(self, raw: bytes, key: str = "") -> bool:
        """Keep *raw*; whether the answer arrives. *key* is what the service knows it
        again by, if it does.
        """
        self.came.append(raw)
        self.posts.setdefault(key or f"number {len(self.came)}", raw)
        return len(self.came) != self.lose

    def ready(self) -> None:
        """Before a delivery."""

    def look(self) -> None:
        """After it: have in `came` and `posts` what is kept in a file."""


_FOUND: dict[str, Callable[[Sent], str]] = {
    "webhook": lambda sent: sent.headers["webhook-id"],
    "matrix": lambda sent: unquote(sent.path.rpartition("/")[2]),
    "mastodon": lambda sent: sent.headers["idempotency-key"],
    "bluesky": lambda sent: sent.json()["rkey"],
    "twitter": lambda sent: sent.json()["text"],
}


@contextmanager
def over_http(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """Any service that is posted to."""
    made = Receiver(settings)

    def answer(sent: Sent) -> Answer:
        if "createSession" in sent.path:
            session = {"did": "did:plc:1", "accessJwt": "jwt", "handle": "a"}
            return Answer(200, json.dumps(session))
        key = _FOUND[name](sent) if name in _FOUND else ""
        if name == "twitter" and key in made.posts:
            made.came.append(sent.body)
            return Answer(403, '{"detail": "duplicate content"}')
        arrives = made.take(f"{sent.method} {sent.path}\n".encode() + sent.body, key)
        known = {"event_id": "$1", "id": "1", "url": "https://m/1", "uri": "at://1"}
        said = {**known, "data": known, "ok": True, "ts": "1.1"}
        return Answer(200 if arrives else 0, json.dumps(said))

    with Server(answer) as server:
        made.settings = {"url": server.url, **settings}
        if "api" in settings:
            made.settings |= {"api": server.url, "url": None}
            del made.settings["url"]
        yield made


class _Lines(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def irker(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """An irkerd, which answers nothing."""
    made = Receiver(settings)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                made.take(line)

    with _Lines(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        made.settings = {"irker": f"127.0.0.1:{server.server_address[1]}", **settings}
        yield made
        server.shutdown()
        thread.join()


@contextmanager
def irc(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """A server of IRC that lets everybody in, and takes lines until it loses one."""
    made = Receiver(settings)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                command, _, _ = line.partition(b" ")
                if command == b"PRIVMSG" and not made.take(line):
                    return
                if command.strip() == b"QUIT":  # who went waits for this
                    return
                reply = {b"USER": b"001 x", b"JOIN": b"366 x", b"PING": b"PONG x"}
                if command in reply:
                    self.wfile.write(b":x " + reply[command] + b"\r\n")

    with _Lines(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        made.settings = {
            "url": f"irc://127.0.0.1:{server.server_address[1]}"
        } | settings
        yield made
        server.shutdown()
        thread.join()


@contextmanager
def mailbox(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """A mailbox, whose reader drops a mail that is there already."""
    made = Receiver(settings)

    class Box:
        async def handle_DATA(self, server: Any, session: Any, got: Envelope) -> str:
            raw = cast(bytes, got.content)
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            rcpt = " ".join(got.rcpt_tos)
            if not made.take(f"RCPT {rcpt}\n".encode() + raw, mail["Message-ID"]):
                server.transport.abort()
                await asyncio.sleep(0)
            return "250 taken"

    port = free_port()
    controller = Controller(Box(), hostname="127.0.0.1", port=port)
    controller.start()
    made.settings = {"server": f"smtp://127.0.0.1:{port}", **settings}
    yield made
    controller.stop()


_PROGRAM = """
import os, signal, sys
folder, lose = sys.argv[1:]
name = f"{len(os.listdir(folder))}-{os.environ['OBERONC_DELIVERY_ID']}"
with open(f"{folder}/{name}", "wb") as file:
    file.write(sys.stdin.buffer.read())
if os.path.exists(lose):
    os.unlink(lose)
    os.kill(os.getpid(), signal.SIGKILL)
"""


class _Program(Receiver):
    """A program that keeps what it reads, and is killed where an answer is lost."""

    def __init__(self, place: Path) -> None:
        self.folder, self.lost = place / "read", place / "lose"
        self.folder.mkdir()
        file = place / "program.py"
        file.write_text(_PROGRAM)
        words = [sys.executable, str(file), str(self.folder), str(self.lost)]
        super().__init__({"command": words})

    def ready(self) -> None:
        if self.lose == 1 + len(list(self.folder.iterdir())):
            self.lost.touch()

    def look(self) -> None:
        self.came.clear()
        for path in sorted(self.folder.iterdir()):
            self.take(path.read_bytes(), path.name.partition("-")[2])


@contextmanager
def program(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """A program."""
    yield _Program(place)


class _File(Receiver):
    """A file that is read when it is looked at."""

    def __init__(self, path: Path, lines: bool, settings: dict[str, Any]) -> None:
        self.path, self.lines = path, lines
        super().__init__(settings)

    def look(self) -> None:
        self.came.clear()
        raw = self.path.read_bytes() if self.path.exists() else b""
        for part in raw.splitlines(keepends=True) if self.lines else [raw]:
            self.take(part)


@contextmanager
def line_file(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """A file of lines."""
    path = place / "pushes.jsonl"
    yield _File(path, True, {"path": str(path)})


class _Feed(Receiver):
    """The feed of the one repository there is."""

    def look(self) -> None:
        self.came.clear()
        for path in Path(self.settings["folder"]).glob("*.atom"):
            self.take(path.read_bytes())


@contextmanager
def feed(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """A folder of feeds."""
    (place / "feeds").mkdir()
    yield _Feed({"folder": str(place / "feeds"), **settings})


class _Tracker(Receiver):
    """The embedded tracker, with the issues that the samples name."""

    def __init__(self, place: Path) -> None:
        self.file = IssueFile(place)
        for number in range(1, 43):
            self.file.new("web/shop", f"issue {number}")
        super().__init__({})

    def look(self) -> None:
        self.came.clear()
        for row in self.file.issues("web/shop"):
            for comment in self.file.show("web/shop", row.number)["comments"]:
                about = f"#{row.number} {row.state}\n{comment['text']}\n"
                self.take(about.encode())


@contextmanager
def tracker(name: str, place: Path, **settings: Any) -> Iterator[Receiver]:
    """The embedded tracker."""
    yield _Tracker(place)


def until_all_came(made: Receiver, count: int) -> None:
    """Wait for what needs no answer."""
    eventually(lambda: len(made.came) >= count)
