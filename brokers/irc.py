"""Tell a channel of IRC, by irker or directly."""

import json
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event
from oberonc.kit.answers import CREDENTIALS_AFTER
from oberonc.kit.markup import MARKUPS
from oberonc.kit.message import NOTHING, check_settings, message

#: Bytes of a text; of the 512 of a line the server needs some for who says it where
#: (RFC 2812, 2.3).
TEXT = 380
#: Lines that are said at once; networks take about five, and then one in a second or two.
BURST = 4
#: Default ports of the servers' addresses, and of an irkerd.
SCHEMES = {"irc": 6667, "ircs": 6697}
_IRKER = SCHEMES | {"irc": 6659}
#: What a server says when it lets nobody in, and when a channel is not to be had
#: (RFC 2812, 5.2; IRCv3 SASL).
_NO_ENTRY = {"464", "465", "904", "905"}
_NO_CHANNEL = {"403", "404", "405", "437", "471", "473", "474", "475", "477"}


class Irc(BaseBroker):
    """Tells a channel of IRC of a push."""

    class Settings:
        url: str  # the network's server: irc://host or, with TLS, ircs://host
        channel: str
        # host or host:port of an irkerd, which stays in the channel; else the broker
        # comes, speaks and goes
        irker: str = ""
        nick: str = "oberonc"
        password: Secret | None = None  # of the nick, for SASL
        format: str = ""  # instead of the summary
        most: int = 3  # commits that are named
        ca: str = ""

    def verify(self) -> None:
        check_settings(self.settings)
        event.address(self.settings.url, SCHEMES)
        if self.settings.irker:
            event.address(f"irc://{self.settings.irker}", _IRKER, "irker")
        if not re.fullmatch(r"[#&+!][^\x00-\x20,:\x7f]{1,50}", self.settings.channel):
            raise ValueError("setting 'channel' must be one channel, with its #")
        if not re.fullmatch(
            r"[A-Za-z\[\]\\`_^{|}][\w\[\]\\`^{|}-]{0,29}", self.settings.nick
        ):
            raise ValueError("setting 'nick' is no name that IRC takes")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return self._lines(payload)

    def check(self) -> list[Check]:
        with self._connection() as connection:
            if self.settings.irker:
                return [Check(True, f"irker at {self.settings.irker} answers")]
            try:
                self._enter(server := _Server(connection, self))
                server.leave()
            except OSError as error:
                raise Retry(f"the connection broke: {error}") from None
            return [Check(True, f"{self.settings.url} lets {self.settings.nick} in")]

    def handle(self, payload: dict[str, Any]) -> str:
        lines = self._lines(payload)
        if not lines:
            return NOTHING
        with self._connection() as connection:
            try:
                if self.settings.irker:
                    return self._hand_over(connection, lines)
                return self._speak(_Server(connection, self), lines)
            except OSError as error:
                raise Retry(f"the connection broke: {error}") from None

    def _hand_over(self, connection: socket.socket, lines: list[str]) -> str:
        to = f"{self.settings.url.rstrip('/')}/{self.settings.channel}"
        for line in lines:
            said = json.dumps({"to": to, "privmsg": line})
            connection.sendall(said.encode() + b"\n")
        return f"handed {len(lines)} lines to irker, which does not say what becomes of them"

    def _enter(self, server: "_Server") -> None:
        """Log in; nothing is said in any channel."""
        given = self.settings
        if given.password:
            server.send("CAP REQ :sasl")
        server.send(f"NICK {given.nick}")
        server.send(f"USER {given.nick} 0 * :oberonc")
        if given.password:
            known = f"\0{given.nick}\0{given.password}".encode()
            server.send("AUTHENTICATE PLAIN")
            server.wait_for("AUTHENTICATE")
            server.send(f"AUTHENTICATE {b64encode(known).decode()}")
            server.wait_for("903")
            server.send("CAP END")
        server.wait_for("001")

    def _speak(self, server: "_Server", lines: list[str]) -> str:
        given = self.settings
        self._enter(server)
        server.send(f"JOIN {given.channel}")
        server.wait_for("366")  # the end of the names in the channel: we are in
        for number, line in enumerate(lines):
            if number >= BURST:  # servers end who speaks faster than they listen
                server.catch_up()
            server.send(f"PRIVMSG {given.channel} :{line}")
        server.catch_up()
        server.leave()
        return f"said {len(lines)} lines"

    def _lines(self, payload: dict[str, Any]) -> list[str]:
        text = message(payload, self.settings, MARKUPS["irc"], 10_000)
        cut = (
            line.encode()[:TEXT].decode("utf-8", "ignore") for line in text.split("\n")
        )
        return [line for line in cut if line.strip()]

    @contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        """To irker or the server; Retry where there is none."""
        secure, host, port = event.address(self.settings.url, SCHEMES)
        if self.settings.irker:
            secure, host, port = event.address(f"irc://{self.settings.irker}", _IRKER)
        limit = max(0.1, min(20.0, self.remaining() - 1))
        try:
            connection = socket.create_connection((host, port), limit)
            if secure:
                trusted = ssl.create_default_context(cafile=self.settings.ca or None)
                connection = trusted.wrap_socket(connection, server_hostname=host)
        except OSError as error:
            raise Retry(f"{host}:{port}: {error}") from None
        with connection:
            yield connection


class _Server:
    """What an IRC server is sent and says, a line at a time."""

    def __init__(self, connection: socket.socket, broker: Irc) -> None:
        self._connection, self._broker = connection, broker
        self._file = connection.makefile("rb")

    def send(self, line: str) -> None:
        self._connection.sendall(f"{line}\r\n".encode())

    def catch_up(self) -> None:
        """Wait for the answer to what was sent last: the lines before it have arrived."""
        self.send("PING :oberonc")
        self.wait_for("PONG")

    def leave(self) -> None:
        """Go, and wait until we are gone: the next one has the same nick."""
        with suppress(OSError):  # all was said
            self.send("QUIT :done")
            while self._broker.remaining() > 1 and self._file.readline(4096):
                pass

    def wait_for(self, wanted: str) -> None:
        """Read until the server says *wanted*; raises what it says instead."""
        while self._broker.remaining() > 1:
            line = self._file.readline(4096).decode("utf-8", "replace").strip()
            if not line:
                raise Retry("the server ended the connection")
            words = line.split(" ")
            command = words[1] if line.startswith(":") and len(words) > 1 else words[0]
            if command == wanted:
                return
            if command == "PING":
                self.send(f"PONG {line.partition(' ')[2]}")
            elif command == "433":
                raise Retry("the nick is taken", after=60)
            elif command in _NO_ENTRY:
                after = CREDENTIALS_AFTER
                raise Retry(f"CREDENTIALS refused: {line[:200]}", after=after)
            elif command in _NO_CHANNEL:
                raise Reject(f"the channel is not to be had: {line[:200]}")
            elif command == "ERROR":
                raise Retry(line[:200])
        raise Retry("the server is too slow")
