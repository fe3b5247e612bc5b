"""Publish the push to a stream of NATS JetStream.

The protocol is spoken here: its Python library sends credentials in clear to a server
that does not ask for TLS, also where the address says `tls://`.
"""

import json
import re
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event
from oberonc.kit.answers import CREDENTIALS_AFTER

SCHEMES = {"nats": 4222, "tls": 4222}
#: Bytes of a line from the server, and of a message: an INFO can name many servers.
LONGEST_LINE, LONGEST = 1 << 16, 1 << 20
#: JetStream's codes for a message or head that is larger than the stream takes.
_TOO_LARGE = {10054, 10097}
_NO_STREAM = "no stream takes '{}': add one that has this subject"


class Nats(BaseBroker):
    """Publishes a push to a stream of NATS JetStream, once."""

    class Settings:
        url: str  # nats://host:port or, never without TLS, tls://
        subject: str = "oberonc.${repository.full_name}"
        user: str = ""
        password: Secret | None = None
        token: Secret | None = None
        ca: str = ""

    def verify(self) -> None:
        event.address(self.settings.url, SCHEMES)
        event.check_place("subject", self.settings.subject)
        literal = re.sub(r"\$\{[^}]*\}", "x", self.settings.subject)
        if not re.fullmatch(r"[^\s.*>]+(\.[^\s.*>]+)*", literal):
            raise ValueError("setting 'subject' must be words with dots between them")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"publish the push to {self._subject(payload)}"]

    def check(self) -> list[Check]:
        # What the push fills in may be anything, within one word.
        any_word = re.sub(r"\$\{[^}]*\}", "*", self.settings.subject).split(".")
        subject = ".".join("*" if "*" in word else word for word in any_word)
        with self._session() as session:
            asked = json.dumps({"subject": subject}).encode()
            found = session.request("$JS.API.STREAM.NAMES", {}, asked)
        mend = _NO_STREAM.format(subject)
        return [
            Check(True, f"{self.settings.url} answers, and lets us in"),
            Check(bool(found.get("streams")), "a stream takes the push", mend),
        ]

    def handle(self, payload: dict[str, Any]) -> str:
        subject = self._subject(payload)
        # JetStream drops what comes again with the same id (ADR-2; two minutes).
        head = event.attributes(payload, "ce-") | {
            "Nats-Msg-Id": payload["delivery_id"],
            "Content-Type": "application/json",
        }
        with self._session() as session:
            body = event.body(payload, session.most - len(_headers(head)))
            taken = session.request(subject, head, body)
        if "seq" not in taken:
            raise Retry("what answered is no stream")
        before = "taken before" if taken.get("duplicate") else "taken"
        return f"{before}: {taken['seq']} of {taken.get('stream')}"

    def _subject(self, payload: dict[str, Any]) -> str:
        return event.place(self.settings.subject, payload, r"[.*>]")

    @contextmanager
    def _session(self) -> Iterator["_Session"]:
        """A session with the server for one turn, which let us in."""
        given = self.settings
        secure, host, port = event.address(given.url, SCHEMES)
        limit = max(1.0, min(10.0, self.remaining() / 3))
        known = {
            "user": given.user,
            "pass": str(given.password or ""),
            "auth_token": str(given.token or ""),
        }
        try:
            connection = socket.create_connection((host, port), limit)
            with connection:
                session = _Session(connection, self.remaining)
                if secure or session.info.get("tls_required"):
                    trusted = ssl.create_default_context(cafile=given.ca or None)
                    session.protect(trusted, host)
                session.enter({name: value for name, value in known.items() if value})
                yield session
        except OSError as error:
            raise Retry(f"{host}:{port}: {error}") from None


class _Session:
    """What is said between a client and a server of NATS.
    Source: docs.nats.io/reference/reference-protocols/nats-protocol
    """

    def __init__(self, connection: Any, remaining: Callable[[], float]) -> None:
        self._connection, self._remaining = connection, remaining
        self._file = connection.makefile("rb")
        _, said = self._next("INFO")
        self.info: dict[str, Any] = said
        #: Bytes that the server takes of a message and its head.
        most = said.get("max_payload")
        self.most = most if isinstance(most, int) else LONGEST

    def protect(self, trusted: ssl.SSLContext, host: str) -> None:
        """Go on by TLS; raises OSError where the server cannot, or is another."""
        self._file.close()
        self._connection = trusted.wrap_socket(self._connection, server_hostname=host)
        self._file = self._connection.makefile("rb")

    def enter(self, known: dict[str, str]) -> None:
        """Say who we are, and wait until the server takes it."""
        options = {
            "verbose": False,
            "pedantic": False,
            "lang": "python",
            "version": "1",
        }
        features = {"name": "oberonc", "headers": True, "no_responders": True}
        said = json.dumps({**options, **features, "protocol": 1, **known})
        self._send(f"CONNECT {said}\r\nPING\r\n".encode())
        self._next("PONG")

    def request(
        self, subject: str, head: dict[str, str], body: bytes
    ) -> dict[str, Any]:
        """The answer to a message to *subject*; raises what a failure means."""
        inbox, written = f"_INBOX.{secrets.token_hex(11)}", _headers(head)
        sizes = f"{len(written)} {len(written) + len(body)}"
        asked = f"SUB {inbox} 1\r\nHPUB {subject} {inbox} {sizes}\r\n"
        self._send(asked.encode() + written + body + b"\r\n")
        kind, said = self._next("MSG", "HMSG")
        if kind == "HMSG":  # 503: nobody is there to answer
            raise Retry(_NO_STREAM.format(subject), after=CREDENTIALS_AFTER)
        error = said.get("error") or {}
        if error:
            never = error.get("err_code") in _TOO_LARGE
            raise (Reject if never else Retry)(f"{error.get('description')}"[:300])
        answer: dict[str, Any] = said
        return answer

    def _send(self, raw: bytes) -> None:
        self._connection.sendall(raw)

    def _next(self, *wanted: str) -> tuple[str, Any]:
        """The next of the *wanted* kinds that the server says, and its JSON if any."""
        while self._remaining() > 1:
            line = self._file.readline(LONGEST_LINE).decode("utf-8", "replace")
            kind, _, rest = line.strip().partition(" ")
            if not line:
                raise Retry("the server ended the connection")
            if kind == "-ERR":
                _refused(rest.strip("'")[:300])
            if kind == "PING":
                self._send(b"PONG\r\n")
            raw = rest
            if kind in ("MSG", "HMSG"):
                size = rest.rpartition(" ")[2]
                raw = self._message(int(size) if size.isdecimal() else LONGEST)
            if kind in wanted:
                return kind, _parsed(raw) if kind in ("INFO", "MSG") else {}
        raise Retry("the server is too slow")

    def _message(self, size: int) -> str:
        if size >= LONGEST:
            raise Retry("the server's answer is too long")
        raw: bytes = self._file.read(size + 2)
        return raw.decode("utf-8", "replace")


def _parsed(raw: str) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Retry("the server says what is not of NATS")
    return found


def _headers(named: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def _refused(why: str) -> None:
    """Raise what an error of the server means."""
    low = why.lower()
    if "authorization" in low or "authentication" in low or "permissions" in low:
        event.unwelcome(why)
    if "maximum payload" in low or "invalid" in low:
        raise Reject(why)
    raise Retry(why)
