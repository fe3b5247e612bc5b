"""The daemon's end of a host: start it, have it probe and load, fork workers, and know when each one ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from oberonc import paths
from oberonc.daemon.host import PACKET
from oberonc.daemon.worker_link import Worker
from oberonc.errors import OberoncError
from oberonc.registry import Place
from oberonc.runner import child_environment

#: Seconds one file may take to be imported while it is examined.
PROBE_LIMIT: Final = 10.0
#: Seconds for starting a host, importing its brokers, or forking one worker.
PATIENCE: Final = 30.0


class HostFailed(OberoncError):
    """The host ended or fell silent; what was asked of it did not happen."""

    exit_code = 75


class Host:
    """One host process. Owned by the event loop; every method returns quickly or awaits."""

    def __init__(self, label: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._label = label
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs:
            self._process = _start(theirs.fileno())
        #: Done once the process has been collected.
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._forking: dict[int, asyncio.Future[int]] = {}
        self._tickets = 0
        self.workers: dict[int, Worker] = {}
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._collect)
        self._loop.add_reader(self._control, self._hear)

    @property
    def pid(self) -> int:
        """The process id, for `stats`."""
        return self._process.pid

    async def probe(self, places: list[Place]) -> AsyncIterator[dict[str, Any]]:
        """The verdict on each place, as it is found. Raises HostFailed."""
        self._say({"op": "probe", "places": places, "limit": PROBE_LIMIT})
        while "verdict" in (reply := await self._reply()):
            yield reply["verdict"]

    async def load(self, places: list[Place], threaded: set[str]) -> None:
        """Import *places* in the host. Those in *threaded* are left to each worker's own interpreter."""
        self._say({"op": "load", "places": places, "threaded": sorted(threaded)})
        reply = await asyncio.wait_for(self._reply(), PATIENCE)
        if not reply["loaded"]:
            raise HostFailed(f"{reply['broker']}: {reply['why']}")

    async def spawn(self, broker: str) -> Worker:
        """A new worker for *broker*. Raises HostFailed."""
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        reading, writing = os.pipe()
        self._tickets += 1
        forked = self._forking[self._tickets] = self._loop.create_future()
        worker = Worker(self, broker, ours, reading)
        try:
            packet = {"op": "spawn", "broker": broker, "ticket": self._tickets}
            self._say(packet, [channel.fileno(), writing])
            worker.pid = await asyncio.wait_for(forked, PATIENCE)
        except BaseException:
            worker.forget()
            raise
        finally:
            channel.close()
            os.close(writing)
        self.workers[worker.pid] = worker
        return worker

    def signal_group(self, pid: int, number: int) -> None:
        """Signal a worker and all it started; nothing happens when it has ended."""
        with suppress(HostFailed):
            self._say({"op": "signal", "pid": pid, "signal": number})

    async def stop(self, patience: float = 5.0) -> None:
        """End the host and everything below it."""
        self._close_control()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.ended), patience)
        await self.kill()

    def abandon(self) -> None:
        """End the host without waiting, when we end ourselves."""
        if not self.ended.done():
            self._process.kill()

    def _close_control(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()

    async def kill(self) -> None:
        """End the host at once; its workers die with it."""
        if not self.ended.done():
            self._process.kill()
            await asyncio.shield(self.ended)

    def _say(self, packet: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(packet).encode()], fds or [])
        except OSError as error:
            raise HostFailed(f"the host of {self._label} cannot be reached: {error}") from None

    async def _reply(self) -> dict[str, Any]:
        reply = await self._replies.get()
        if "gone" in reply:
            self._replies.put_nowait(reply)
            raise HostFailed(f"the host of {self._label} ended")
        return reply

    def _hear(self) -> None:
        """Packets of the host, as they come."""
        try:
            packet = self._control.recv(PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._loop.remove_reader(self._control)
            return
        reply = json.loads(packet)
        if "spawned" in reply:
            self._forked(reply)
        elif "ended" in reply:
            self._worker_ended(reply["ended"], reply["status"])
        else:
            self._replies.put_nowait(reply)

    def _forked(self, reply: dict[str, Any]) -> None:
        waiting = self._forking.pop(reply["spawned"], None)
        if waiting is None or waiting.done():
            return  # it waited too long for this worker, whose channel is closed by now
        if reply["pid"]:
            waiting.set_result(reply["pid"])
        else:
            waiting.set_exception(HostFailed(f"no worker could be started: {reply['why']}"))

    def _worker_ended(self, pid: int, status: int) -> None:
        worker = self.workers.pop(pid, None)
        if worker is not None:
            worker.has_ended(status)

    def _collect(self) -> None:
        """The host process ended: so did, by the kernel's hand, all of its workers."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        status = self._process.wait()
        self._drain_control()
        self._close_control()
        for pid in list(self.workers):
            self._worker_ended(pid, -signal.SIGKILL)
        for waiting in self._forking.values():
            if not waiting.done():
                waiting.set_exception(HostFailed(f"the host of {self._label} ended"))
        self._replies.put_nowait({"gone": True})
        self.ended.set_result(status)

    def _drain_control(self) -> None:
        """What the host said before it ended still counts."""
        with suppress(OSError, ValueError):
            while packet := self._control.recv(PACKET):
                reply = json.loads(packet)
                if "ended" in reply:
                    self._worker_ended(reply["ended"], reply["status"])


def _start(control: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, *paths.isolation(), "-m", "oberonc.daemon.host", str(control)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=child_environment(),
        cwd="/",
        pass_fds=[control],
    )
