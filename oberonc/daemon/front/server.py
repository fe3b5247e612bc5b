"""The server: connections, frames, deadlines. What a request means is `operations`'
business.

One request at a time per connection: while one is answered at most one more read is
taken in, so that no client makes us hold more than its current frame and that. A fault
in what a client sends is answered and costs that client alone.
"""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from oberonc.accounts import person
from oberonc.daemon.front import sockets
from oberonc.daemon.front.peers import Peer, barred, peer
from oberonc.daemon.front.quota import Quota
from oberonc.daemon.sparing import Sparing
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import frames
from oberonc.errors import BadInput, DiskFailed, NotAccepted, NotAllowed, OberoncError

#: Seconds: without a request; from a header's first byte to its last; for the body; to
#: fetch a last answer.
IDLE: Final = 30.0
HEADER: Final = 5.0
BODY: Final = 10.0
LINGER: Final = 2.0
#: Milliseconds after which a refused client may try again.
RETRY_MS: Final = 500

#: What `error` of an answer may be.
ERRORS: Final = (
    *(
        "invalid",
        "too_large",
        "version",
        "unsupported",
        "conflict",
        "forbidden",
        "busy",
        "storage_low",
    ),
    *("stopping", "timeout", "failed"),
)

Answer = dict[str, Any]
#: Answers a request: (request, peer, whether it came by the control socket).
Perform = Callable[[dict[str, Any], Peer, bool], Awaitable[Answer]]


def refusal(error: str, message: str, **more: Any) -> Answer:
    """An answer that says what is wrong; *error* is for programs."""
    return {"ok": False, "error": error, "message": message, **more}


def busy(message: str) -> Answer:
    """Not now."""
    return refusal("busy", message, retry_ms=RETRY_MS)


def _refused(error: OberoncError) -> Answer:
    """The answer to a request that cannot be served."""
    if isinstance(error, NotAccepted):
        return busy(str(error))
    if isinstance(error, frames.BadFrame):
        return refusal(error.kind, str(error))
    kinds = {BadInput: "invalid", NotAllowed: "forbidden"}
    return refusal(
        next(
            (kind for which, kind in kinds.items() if isinstance(error, which)),
            "failed",
        ),
        str(error),
    )


def _frame(answer: Answer) -> bytes:
    """*answer* as it is sent; ours may be as long as they must."""
    return frames.encode(answer, 1 << 30)


class Server:
    """Accepts connections on both sockets."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.connections: set[Connection] = set()
        #: How often something was refused, by the `error` of the answer. From 0 on:
        #: monitoring sees a number grow, and not one appear.
        self.refused = Counter(dict.fromkeys(ERRORS, 0))
        self._refusals = Sparing(say)
        self._servers: list[asyncio.Server] = []

    async def listen(
        self, listener: socket.socket, perform: Perform, *, control: bool
    ) -> None:
        """Answer on *listener* what *perform* says, from now on."""
        loop = asyncio.get_running_loop()
        # From Python 3.13 on, closing would remove the socket's file, which may be
        # systemd's.
        keep: dict[str, Any] = (
            {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        )
        quota = Quota()
        made = await loop.create_unix_server(
            lambda: Connection(self, listener, perform, quota, control),
            sock=listener,
            backlog=sockets.BACKLOG,
            **keep,
        )
        self._servers.append(made)

    def note(self, who: Peer, answer: Answer) -> None:
        """Count a refusal, and log it."""
        self.refused[answer["error"]] += 1
        text = f"refused {person(who.uid)} (uid {who.uid}): {answer['error']}: {answer['message']}"
        self._refusals.say((who.uid, answer["error"]), text)

    async def sweep(self) -> None:
        """End what overstayed its deadline; for ever."""
        while True:
            await asyncio.sleep(0.5)
            now = asyncio.get_running_loop().time()
            for connection in [c for c in self.connections if c.deadline < now]:
                connection.expire()

    def stop_listening(self) -> None:
        """New clients find nobody, and spool."""
        for server in self._servers:
            server.close()

    async def finish(self, patience: float) -> None:
        """Let the requests under way be answered, then close every connection."""
        deadline = asyncio.get_running_loop().time() + patience
        while (
            any(c.answering for c in self.connections)
            and asyncio.get_running_loop().time() < deadline
        ):
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport

    def __init__(
        self,
        server: Server,
        listener: socket.socket,
        perform: Perform,
        quota: Quota,
        control: bool,
    ) -> None:
        self._server = server
        self._listener = listener
        self._request = perform
        self._quota = quota
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._length: int | None = None
        self._asked = 0
        self._doomed = self._ended = False
        self.since = self.began = self._loop.time()
        self.uid = -1
        self._task: asyncio.Task[None] | None = None
        self.deadline = self._loop.time() + IDLE

    @property
    def answering(self) -> bool:
        """Whether a request of this client is under way."""
        return self._task is not None

    @property
    def waiting(self) -> bool:
        """Whether it is we who wait for this client."""
        return self._task is None and not self._doomed

    @property
    def held(self) -> int:
        """Bytes that came and are not answered: of the request under way, and of what
        follows it.
        """
        return self._asked + len(self._buffer)

    def make_way(self, why: str) -> None:
        """Give this place to another client."""
        self._doom(busy(why))
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        connection = transport.get_extra_info("socket")
        self._peer = peer(connection)
        self.uid = self._peer.uid
        self._server.connections.add(self)
        why = barred(self._peer, connection, self._listener)
        if why:
            self._doom(
                refusal("forbidden", f"uid {self.uid} may not use this socket: {why}")
            )
        elif not self._quota.enter(self):
            self._doom(busy("too many connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._quota.leave(self)

    def data_received(self, data: bytes) -> None:
        if self._doomed:
            return  # read and dropped, so that our last answer is not lost to a reset
        if not self._buffer:
            self.began = self._loop.time()
        self._buffer += data
        self._quota.weigh(self)
        if self._doomed:
            return
        if self._task:
            # Only who sends more before the answer is made to wait: it saves all others
            # two calls of the system.
            self.transport.pause_reading()
        else:
            self._advance()

    def eof_received(self) -> bool:
        # A client that shut its sending side still wants the answer that is under way.
        self._ended = True
        return self.answering

    def expire(self) -> None:
        """The deadline of this phase has passed."""
        if (
            self._doomed
            or self.transport.is_closing()
            or (not self._buffer and self._length is None)
        ):
            self.close()
        else:
            self._doom(refusal("timeout", "the frame did not come in time"))

    def close(self) -> None:
        """Send what is left to send, and go; who does not fetch it in time is cut off."""
        if self.transport.is_closing():
            self.transport.abort()
        self.transport.close()
        self.deadline = self._loop.time() + LINGER

    def _advance(self) -> None:
        """Take the next whole frame out of the buffer, if there is one and none is
        being answered.
        """
        if self._task:
            return
        try:
            if self._length is None and not self._begin_frame():
                return
        except frames.BadFrame as fault:
            # Where the next frame would begin is unknown, so this connection cannot go
            # on.
            self._doom(
                refusal(fault.kind, str(fault), v=[frames.VERSION, frames.VERSION])
            )
            return
        if self._length is None or len(self._buffer) < self._length:
            return
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length, self._asked = None, len(body)
        self.deadline = float("inf")
        self._task = self._loop.create_task(self._answer(body))

    def _begin_frame(self) -> bool:
        if len(self._buffer) < frames.HEADER.size:
            if self._buffer and self.deadline > self._loop.time() + HEADER:
                self.deadline = self._loop.time() + HEADER
            return False
        self._length = frames.body_length(bytes(self._buffer[: frames.HEADER.size]))
        del self._buffer[: frames.HEADER.size]
        self.deadline = self._loop.time() + BODY
        return True

    async def _answer(self, body: bytes) -> None:
        frame = await self._perform(body)
        self._task, self._asked = None, 0
        self._quota.weigh(self)
        if self.transport.is_closing():
            return
        self.transport.write(frame)
        self.since = self._loop.time()
        self.deadline = self.since + IDLE
        if self._ended:
            self.close()
            return
        self.transport.resume_reading()
        if self._buffer:
            self._advance()

    async def _perform(self, body: bytes) -> bytes:
        """The frame of the answer, whatever request and answer are like."""
        try:
            if len(body) <= frames.SMALL:
                answer = await self._request(
                    frames.decode_request(body), self._peer, self._control
                )
            else:  # one at a time, users in turn
                async with self._quota.turns.of(self.uid):
                    request = await in_a_thread(frames.decode_request, body)
                    answer = await self._request(request, self._peer, self._control)
        except DiskFailed:
            raise  # nobody is told anything: the process is about to end
        except OberoncError as error:
            answer = _refused(error)
        except Exception as error:  # noqa: BLE001  a bug of ours must not cost the other clients the daemon
            self._server.say(f"a request failed: {type(error).__name__}: {error}")
            answer = refusal("failed", "the daemon could not answer; its log says more")
        if not answer["ok"] and not self._control:
            self._server.note(self._peer, answer)
        return _frame(answer)

    def _doom(self, answer: Answer) -> None:
        """Say why, then drop what still comes until the client has had time to read it."""
        self._server.note(self._peer, answer)
        self._length, self._asked = None, 0
        self._buffer.clear()
        self._quota.weigh(self)
        self._write(answer)
        self._doomed = True
        self.deadline = self._loop.time() + LINGER

    def _write(self, answer: Answer) -> None:
        self.transport.write(_frame(answer))
