"""The daemon's end of a worker: one delivery in, one outcome out, under a time limit kept from outside."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from oberonc import wire
from oberonc.queue.base import OUTPUT_LIMIT

if TYPE_CHECKING:
    from oberonc.daemon.hosts import Host

#: Seconds between the request to end (SIGTERM) and the end (SIGKILL).
GRACE: Final = 5.0


class WorkerLost(Exception):
    """The worker ended, hung or broke the protocol; the text is the note of the attempt."""


class Worker:
    """One worker process and its channel. It is lost after the first `WorkerLost`."""

    def __init__(self, host: "Host", broker: str, channel: socket.socket, output: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._host = host
        self.broker = broker
        self.pid = 0
        self.uses = 0
        self.service = ""
        #: Done with the exit status (negative: the signal) once the process was collected.
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._channel = channel
        self._output = output
        self._printed = bytearray()
        self._asking = False
        channel.setblocking(False)
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._read_output)

    async def ask(self, request: bytes, limit: float) -> dict[str, Any]:
        """The answer to the frame *request* within *limit* seconds. Raises WorkerLost; the worker is dead by then."""
        self._printed.clear()
        self.uses += 1
        self._asking = True
        try:
            async with asyncio.timeout(limit):
                await self._loop.sock_sendall(self._channel, request)
                header = await self._receive(wire.HEADER.size)
                length = wire.body_length(header, wire.LARGEST_RESULT)
                return wire.decode(await self._receive(length))
        except TimeoutError:
            await self.kill()
            raise WorkerLost(f"stopped after {limit:g} s, its time limit") from None
        except wire.BadFrame as error:
            await self.kill()
            raise WorkerLost(f"wrote to the daemon's channel: {error}") from None
        except OSError:
            raise WorkerLost(await self._manner_of_end()) from None
        finally:
            self._asking = False
            if self.ended.done():
                self.forget()

    def printed(self) -> str:
        """What the broker printed since the last request, capped."""
        self._read_output()
        return self._printed.decode(errors="replace")

    async def kill(self, grace: float = GRACE) -> None:
        """End the process and all it started: asked first, then made to."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, GRACE)):
            if not self.ended.done():
                self._host.signal_group(self.pid, number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self.ended), patience)
        if not self.ended.done():
            # The host no longer does what it is for: everything below it ends with it.
            await self._host.kill()

    def retire(self) -> None:
        """Let an idle worker end: it does when its channel closes."""
        self._channel.close()

    def has_ended(self, status: int) -> None:
        """The host collected the process."""
        if not self.ended.done():
            self.ended.set_result(status)
        self._read_output()
        if self._asking:
            # A descendant may still hold the other end; what is on its way is read, and then comes the end.
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
        else:
            self.forget()

    def forget(self) -> None:
        """Let go of channel and pipe."""
        self._channel.close()
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1

    async def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = await self._loop.sock_recv(self._channel, count - len(parts))
            if not part:
                raise ConnectionResetError
            parts += part
        return bytes(parts)

    async def _manner_of_end(self) -> str:
        with suppress(TimeoutError):
            status = await asyncio.wait_for(asyncio.shield(self.ended), GRACE)
            manner = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
            return f"the worker {manner} during the delivery"
        await self.kill()
        return "the broker closed the daemon's channel"

    def _read_output(self) -> None:
        """Take what was printed; beyond the cap it is read and dropped, so that no broker blocks on it."""
        try:
            while self._output >= 0 and (part := os.read(self._output, OUTPUT_LIMIT)):
                self._printed += part[: OUTPUT_LIMIT - len(self._printed)]
                if len(part) < OUTPUT_LIMIT:
                    return
        except BlockingIOError:
            return
        if self._output >= 0:
            self._loop.remove_reader(self._output)
