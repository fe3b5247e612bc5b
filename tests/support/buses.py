"""Message buses for the tests: real servers on loopback, a wire that loses answers, and
what every push looks like on a bus.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oberonc import BaseBroker, testing
from oberonc.broker.request import Outcome
from tests.support.children import end
from tests.support.daemon_site import Site
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.trackers.servers import folder, need, run

KINDS = ["push", "commits", "merge", "tag", "delete", "all", "message", "hostile"]
#: RabbitMQ's own script first: Debian's wrapper runs it as another user, in that user's
#: folders.
PROGRAMS = "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/usr/local/bin"


class Server:
    """A server's process; its log stands in its folder."""

    def __init__(self, command: list[str], place: Path, port: int, **more: Any) -> None:
        self.command, self.folder, self.port, self.more = command, place, port, more
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with (self.folder / "server.log").open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self.more,
            )
        eventually(self._answers, 120, f"{self.command[0]} does not answer")

    def stop(self) -> None:
        """End it, and wait for that."""
        if self._child:
            self._child.terminate()
            try:
                self._child.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self._child.pid, signal.SIGKILL)
            end(self._child)
            self._child = None

    def _answers(self) -> bool:
        assert self._child
        log = self.folder / "server.log"
        assert self._child.poll() is None, log.read_text(errors="replace")[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def serving(
    program: str, command: Callable[[str, Path, int], list[str]], **more: Any
) -> Iterator[Server]:
    """The server *program* by the *command* for it, a folder and a port. A port that
    another took in between costs one more try.
    """
    found = shutil.which(program, path=PROGRAMS)
    need(bool(found), program)
    for left in (2, 1, 0):
        with folder() as place:
            port = free_port()
            server = Server(command(str(found), place, port), place, port, **more)
            try:
                server.start()
            except AssertionError:
                server.stop()
                if not left:
                    raise
                continue
            try:
                yield server
            finally:
                server.stop()
            return


def certificate(place: Path) -> tuple[Path, Path]:
    """(key, certificate) of 127.0.0.1, which is its own authority."""
    key, made = place / "key.pem", place / "cert.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(made)]
    run(["openssl", *words.split(), *names.split(), *files], place)
    return key, made


class Wire:
    """Passes bytes on to a server. Once a client has sent the bytes in `lose`, the
    server still gets them, and the client no answer any more, but the end of the
    connection; that happens once.
    """

    def __init__(self, port: int) -> None:
        self.lose = b""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                lost = threading.Event()
                for work in (self._up, self._down):
                    way = (client, server, lost)
                    threading.Thread(target=work, args=way, daemon=True).start()

    def _up(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                seen += chunk
                if self.lose and self.lose in seen:
                    self.lose = b""
                    lost.set()
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    def _down(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while (chunk := server.recv(65536)) and not lost.is_set():
                client.sendall(chunk)
        # What the client sent is read by the server, which answers with these bytes.
        for end_of in (client, server):
            with contextlib.suppress(OSError):
                end_of.shutdown(socket.SHUT_RDWR)
            end_of.close()


@contextlib.contextmanager
def wire(port: int) -> Iterator[Wire]:
    """A wire to the server at *port*."""
    made = Wire(port)
    try:
        yield made
    finally:
        made.close()


class Told(NamedTuple):
    """A push that is delivered, and the bytes that have to arrive."""

    payload: dict[str, Any]
    raw: bytes


def told(kind: str, **changes: Any) -> Told:
    """A push of *kind*."""
    payload = testing.payload(kind, **changes)
    return Told(payload, json.dumps(payload, separators=(",", ":")).encode())


def large() -> dict[str, Any]:
    """A push that is larger than the servers take here."""
    payload: dict[str, Any] = testing.payload("many")
    for each in payload["commits"]:
        each["message"] = "x" * 20_000
    return payload


def lose_an_answer(
    broker: type[BaseBroker],
    push: Told,
    port: int,
    settings: Callable[[int], dict[str, Any]],
    state: Path,
) -> None:
    """Deliver *push* twice to the server at *port*, whose first answer gets lost."""
    with wire(port) as between:
        between.lose = push.raw[-40:]
        tries = [
            testing.deliver(broker, push.payload, state, **settings(between.port))
            for _ in range(2)
        ]
    assert [each.kind for each in tries] == ["retry", "done"]


def assert_refused(done: Outcome) -> None:
    """The credentials were refused: it waits for somebody, and does not tell them."""
    assert (done.kind, done.after) == ("retry", 600), done.note
    assert done.note.startswith("CREDENTIALS refused")
    assert "word" not in done.note.replace("password", "")


def through_a_daemon(site: Site, broker: str, **settings: Any) -> str:
    """Have a real daemon deliver a push to a service `bus`; the push's id."""
    site.configure({"bus": {"broker": broker, **settings}})
    site.start()
    one = site.submit()
    counts = site.settled()["deliveries"]
    assert counts["done"] == 1, (counts, site.daemons[0].log[-2000:])
    return one
