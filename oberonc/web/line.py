"""Connections to the daemon that stay for the next push: to make one is much of what a
push costs.
"""

import asyncio
import socket
from pathlib import Path
from time import monotonic
from typing import Final

from oberonc.delivery import frames, handover

#: Connections at once. With one for each sender all that was read would wait for the
#: daemon together, and the two would work in turns.
MOST: Final = 24


class Lines:
    """Connections to the socket at *path*. Owned by the event loop."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._turns = asyncio.Semaphore(MOST)
        #: Those on which nothing is under way.
        self._idle: list[_Line] = []

    async def exchange(self, frame: bytes, seconds: float) -> bytes:
        """The daemon's answer to *frame*, within *seconds* of its turn. On a connection
        that was kept and is ended just then the frame is sent again: a payload that the
        daemon had taken is a duplicate then. Raises OSError and BadFrame.
        """
        async with self._turns, asyncio.timeout(seconds):
            while self._idle:
                kept = self._idle.pop()
                if not kept.ended:
                    try:
                        return await self._converse(kept, frame)
                    except (OSError, frames.BadFrame):
                        break
            return await self._converse(await self._connected(), frame)

    async def _connected(self) -> "_Line":
        # A Unix socket is connected at once, or not at all.
        channel = socket.socket(
            fileno=handover.connected(self._path, monotonic() + 1).detach()
        )
        loop = asyncio.get_running_loop()
        _, line = await loop.create_unix_connection(_Line, sock=channel)
        return line

    async def _converse(self, line: "_Line", frame: bytes) -> bytes:
        try:
            answer = await line.converse(frame)
        except BaseException:
            line.transport.abort()
            raise
        self._idle.append(line)
        return answer


class _Line(asyncio.Protocol):
    """One connection, with at most one request under way."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.ended = False
        self._came = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    async def converse(self, frame: bytes) -> bytes:
        """The answer to *frame*."""
        self._answer = asyncio.get_running_loop().create_future()
        self._came.clear()
        self.transport.write(frame)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be written to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A part of the answer, nearly always all of it."""
        if self._answer is None or self._answer.done():
            self.ended = True  # it says why it ends the connection
            self.transport.abort()
            return
        self._came += data
        size = frames.HEADER.size
        if len(self._came) < size:
            return
        try:
            length = frames.body_length(bytes(self._came[:size]), 1 << 30)
        except frames.BadFrame as fault:
            self._answer.set_exception(fault)
            return
        if len(self._came) >= size + length:
            self._answer.set_result(bytes(self._came[size:]))

    def connection_lost(self, exc: Exception | None) -> None:
        """The daemon ended it."""
        self.ended = True
        if self._answer and not self._answer.done():
            why = exc or ConnectionResetError("the daemon closed the connection")
            self._answer.set_exception(why)
