"""The daemon's end of a worker: one delivery in, one outcome out, under a time limit
kept from outside.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from oberonc.broker.request import stood
from oberonc.delivery import frames
from oberonc.queue.values import OUTPUT_LIMIT

#: A worker ends after this many deliveries, so that what broker code leaks stays small.
#: Its life costs 5 ms of the processor, so of fewer each would notice.
MAX_USE: Final = 300
#: Bytes read at once.
CHUNK: Final = 1 << 16
#: Seconds between the request to end (SIGTERM) and the end (SIGKILL), and for that.
GRACE: Final = 5.0


class WorkerLost(Exception):
    """The worker ended, hung or broke the protocol; the text is the note of the
    attempt.
    """


class Printed(NamedTuple):
    """What a broker printed, and whether some of it was too much to keep."""

    text: str
    cut: bool


class WorkerLink:
    """One worker process and its channel. It is lost after the first `WorkerLost`.

    *channel* speaks with the worker, *output* is the reading end of the pipe it prints
    to, and both are closed here. Only its host may signal the worker:
    *signal_group(pid, number)* has it signal the worker and all it started, and
    *kill_host()* ends the host, and the worker with it.
    """

    def __init__(
        self,
        service: str,
        channel: socket.socket,
        output: int,
        signal_group: Callable[[int, int], None],
        kill_host: Callable[[], Awaitable[None]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.service = service
        self._channel = channel
        self._output = output
        self._signal_group = signal_group
        self._kill_host = kill_host
        self.pid = 0
        #: Done with the exit status (negative: the signal) once the process was
        #: collected.
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._uses = 0
        #: Whether it must not be given another delivery.
        self.spent = False
        #: Whether an answer is waited for.
        self.awaited = False
        #: Ended with its host while others of that host ran too: nothing is known
        #: against its delivery.
        self.innocent = False
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        #: When the answer is too late. The timer may be older, and then it is set anew:
        #: one for each delivery would cost more.
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._output_kept = bytearray()
        self._output_cut = False
        #: What the broker printed until the last answer came, or did not.
        self.printed = Printed("", False)
        channel.setblocking(False)
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._read_output)
        self._loop.add_reader(channel, self._receive)

    async def ask(self, request: bytes, limit: float) -> dict[str, Any]:
        """The answer to the frame *request* within *limit* seconds. Raises WorkerLost;
        the worker is dead by then.
        """
        self._output_kept.clear()
        self._output_cut = False
        self._received.clear()
        self._uses += 1
        self.awaited = True
        self._answer = self._loop.create_future()
        self._deadline = self._loop.time() + limit
        if not self._timer or self._timer.when() > self._deadline:
            self._wake_at_the_deadline()
        try:
            await self._send(request)
            answer = frames.decode(await self._answer)
            used_up = self._uses >= MAX_USE or answer.get("spent") is True
            self.spent = self.spent or used_up
            return answer
        except TimeoutError:
            await self.kill()
            self._read_output()
            where = stood(bytes(self._output_kept))
            raise WorkerLost(
                f"stopped after {limit:g} s, its time limit{where}"
            ) from None
        except frames.BadFrame as error:
            await self.kill()
            raise WorkerLost(f"wrote to the daemon's channel: {error}") from None
        except OSError:
            raise WorkerLost(await self._manner_of_end()) from None
        finally:
            self.awaited, self._answer = False, None
            self._read_output()
            text = self._output_kept.decode(errors="replace")
            self.printed = Printed(text, self._output_cut)
            self._output_kept.clear()
            if self.ended.done():
                self.forget()

    async def _send(self, request: bytes) -> None:
        try:
            sent = self._channel.send(request)
        except BlockingIOError:
            sent = 0
        if sent < len(request):
            await self._loop.sock_sendall(self._channel, request[sent:])

    def _receive(self) -> None:
        """Bytes of the channel, as they come; a whole frame is the answer."""
        try:
            part = self._channel.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self._loop.remove_reader(self._channel)
            self.spent = True
            self._fail(ConnectionResetError())
            return
        self._received += part
        header = frames.HEADER.size
        if len(self._received) < header:
            return
        try:
            length = frames.body_length(
                bytes(self._received[:header]), frames.LARGEST_RESULT
            )
        except frames.BadFrame as error:
            self._fail(error)
            return
        whole = len(self._received) >= header + length
        if whole and self._answer and not self._answer.done():
            self._answer.set_result(bytes(self._received[header : header + length]))

    def _wake_at_the_deadline(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._answer and self._loop.time() >= self._deadline:
            self._fail(TimeoutError())
        elif self._answer:
            self._wake_at_the_deadline()

    def _fail(self, error: Exception) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)

    async def _manner_of_end(self) -> str:
        with suppress(TimeoutError):
            status = await asyncio.wait_for(asyncio.shield(self.ended), GRACE)
            if status < 0:
                return f"the worker was killed by signal {-status} during the delivery"
            return f"the worker ended with exit status {status} during the delivery"
        await self.kill()
        return "the broker closed the daemon's channel"

    def _read_output(self) -> None:
        """Take what was printed; beyond the cap it is read and dropped, so that no
        broker blocks on it.
        """
        try:
            while self._output >= 0 and (part := os.read(self._output, OUTPUT_LIMIT)):
                room = OUTPUT_LIMIT - len(self._output_kept)
                self._output_kept += part[:room]
                self._output_cut |= len(part) > room
                if len(part) < OUTPUT_LIMIT:
                    return
        except BlockingIOError:
            return
        if self._output >= 0:
            self._loop.remove_reader(self._output)

    async def kill(self) -> None:
        """End the process and all it started: asked first, then made to."""
        self.spent = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.ended.done():
                self._signal_group(self.pid, number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self.ended), GRACE)
        if not self.ended.done():
            # The host no longer does what it is for: everything below it ends with it.
            await self._kill_host()

    def retire(self) -> None:
        """Let an idle worker end: it does when its channel closes."""
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel)
            self._channel.close()

    def has_ended(self, status: int) -> None:
        """The host collected the process."""
        self.spent = True
        if not self.ended.done():
            self.ended.set_result(status)
        self._read_output()
        if self._answer:
            # A descendant may still hold the other end; what is on its way is read, and
            # then comes the end.
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
        else:
            self.forget()

    def forget(self) -> None:
        """Let go of channel and pipe."""
        self.retire()
        if self._timer:
            self._timer.cancel()
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1
