"""The server: connections, frames, deadlines. What a request means is the business of
`operations`.

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
from oberonc.daemon.front.peers import barred, peer
from oberonc.daemon.front.quota import Quota
from oberonc.daemon.operations.answers import ERRORS, Answer, busy, refusal, refused
from oberonc.daemon.sparing import Sparing
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import frames
from oberonc.errors import DiskFailed, OberoncError

#: Seconds: without a request; from a header's first byte to its last; for the body; to
#: fetch a last answer.
IDLE: Final = 30.0
HEADER: Final = 5.0
BODY: Final = 10.0
LINGER: Final = 2.0
#: Bytes of an answer: ours may be as long as they must.
LONGEST_ANSWER: Final = 1 << 30

#: Answers a request: (request, uid of who asks, whether by the control socket).
Perform = Callable[[dict[str, Any], int, bool], Awaitable[Answer]]


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

    async def answer(
        self, listener: socket.socket, perform: Perform, *, control: bool
    ) -> None:
        """Have *perform* answer what comes on *listener*, from now on."""
        # From Python 3.13 on, closing would remove
        # the socket's file, which may be systemd's.
        keep: dict[str, Any] = {}
        if sys.version_info >= (3, 13):
            keep["cleanup_socket"] = False
        quota = Quota()
        made = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self, listener, quota, perform, control),
            sock=listener,
            backlog=sockets.BACKLOG,
            **keep,
        )
        self._servers.append(made)

    def note(self, uid: int, answer: Answer) -> None:
        """Count a refusal, and log it."""
        self.refused[answer["error"]] += 1
        text = (
            f"refused {person(uid)} (uid {uid}): {answer['error']}: {answer['message']}"
        )
        self._refusals.say((uid, answer["error"]), text)

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
        quota: Quota,
        perform: Perform,
        control: bool,
    ) -> None:
        self._server = server
        self._listener = listener
        self._quota = quota
        self._perform = perform
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        #: Bytes of the body that is on its way; None before its header is whole.
        self._length: int | None = None
        #: Bytes of the request that is being answered.
        self._asked = 0
        #: Whether it gets no answer any more but one last refusal; whether it has shut
        #: its sending side.
        self._doomed = self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.uid = -1
        self.since = self.began = self._loop.time()
        self.deadline = self.since + IDLE

    @property
    def answering(self) -> bool:
        """Whether a request of this client is under way."""
        return self._task is not None

    @property
    def waiting(self) -> bool:
        """Whether it is we who wait for this client."""
        return self._task is None and not self._doomed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(self)
        connection = transport.get_extra_info("socket")
        who = peer(connection)
        self.uid = who.uid
        why = barred(who, connection, self._listener)
        if why:
            self._doom(
                refusal("forbidden", f"uid {self.uid} may not use this socket: {why}")
            )
        elif not self._quota.enter(self):
            self._doom(busy("too many connections"))

    def data_received(self, data: bytes) -> None:
        if self._doomed:
            return  # read and dropped, so that our last answer is not lost to a reset
        if not self._buffer:
            self.began = self._loop.time()
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        """Count what came; begin to answer the next whole frame of it, if there is one
        and no other is being answered.
        """
        self._quota.weigh(self, self._asked + len(self._buffer))
        if self._doomed:
            return
        if self._task:
            # Only who sends more before the answer is made to wait: it saves all others
            # two calls of the system.
            self.transport.pause_reading()
            return
        if self._length is None and len(self._buffer) < frames.HEADER.size:
            if self._buffer:
                self.deadline = min(self.deadline, self._loop.time() + HEADER)
            return
        if self._length is None:
            header = bytes(self._buffer[: frames.HEADER.size])
            del self._buffer[: frames.HEADER.size]
            try:
                self._length = frames.body_length(header)
            except frames.BadFrame as fault:
                # Where the next frame would begin is unknown, so this connection cannot
                # go on.
                self._doom(
                    refusal(fault.kind, str(fault), v=[frames.VERSION, frames.VERSION])
                )
                return
            self.deadline = self._loop.time() + BODY
        if len(self._buffer) < self._length:
            return
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length, self._asked = None, len(body)
        self.deadline = float("inf")
        self._task = self._loop.create_task(self._answer(body))

    async def _answer(self, body: bytes) -> None:
        """Answer the request in *body*, whatever it
        is like, and go on with what came meanwhile.
        """
        try:
            if len(body) <= frames.SMALL:
                request = frames.decode_request(body)
                answer = await self._perform(request, self.uid, self._control)
            else:  # one at a time, users in turn
                async with self._quota.turns.of(self.uid):
                    request = await in_a_thread(frames.decode_request, body)
                    answer = await self._perform(request, self.uid, self._control)
        except DiskFailed:
            raise  # nobody is told anything: the process is about to end
        except OberoncError as error:
            answer = refused(error)
        except Exception as error:  # noqa: BLE001  a bug of ours must not cost the other clients the daemon
            self._server.say(f"a request failed: {type(error).__name__}: {error}")
            answer = refusal("failed", "the daemon could not answer; its log says more")
        if not answer["ok"] and not self._control:
            self._server.note(self.uid, answer)
        frame = frames.encode(answer, LONGEST_ANSWER)
        self._task, self._asked = None, 0
        if self.transport.is_closing():
            return
        self.transport.write(frame)
        self.since = self._loop.time()
        self.deadline = self.since + IDLE
        if self._ended:
            self.close()
            return
        self.transport.resume_reading()
        self._advance()

    def eof_received(self) -> bool:
        # A client that shut its sending side still wants the answer that is under way.
        self._ended = True
        return self.answering

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._quota.leave(self)

    def make_way(self, why: str) -> None:
        """Give this place to another client."""
        self._doom(busy(why))
        self.close()

    def expire(self) -> None:
        """The deadline of this phase has passed."""
        is_idle = not self._buffer and self._length is None
        if self._doomed or self.transport.is_closing() or is_idle:
            self.close()
        else:
            self._doom(refusal("timeout", "the frame did not come in time"))

    def close(self) -> None:
        """Send what is left to send, and go; who does not fetch it in time is cut off."""
        if self.transport.is_closing():
            self.transport.abort()
        self.transport.close()
        self.deadline = self._loop.time() + LINGER

    def _doom(self, answer: Answer) -> None:
        """Say why, then drop what still comes until the client has had time to read it."""
        self._server.note(self.uid, answer)
        self._length, self._asked = None, 0
        self._buffer.clear()
        self._quota.weigh(self, 0)
        self.transport.write(frames.encode(answer, LONGEST_ANSWER))
        self._doomed = True
        self.deadline = self._loop.time() + LINGER
