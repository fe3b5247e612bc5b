"""The daemon's end of a generation's processes: the root, which examines files, and one
host for each broker.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar

from oberonc import paths
from oberonc.broker.registry import Place
from oberonc.broker.request import environment
from oberonc.daemon.generation.worker_link import WorkerLink
from oberonc.delivery import frames
from oberonc.errors import OberoncError

#: Seconds one file may take to be imported while it is examined.
PROBE_LIMIT: Final = 10.0
#: Seconds for starting a host, importing its broker, or forking one worker.
PATIENCE: Final = 30.0
#: Seconds the root gets to end by itself.
GRACE: Final = 5.0


C = TypeVar("C", bound="Child")


class HostFailed(OberoncError):
    """The root or a host ended or fell silent; what was requested of it did not
    happen.
    """

    exit_code = 75


class Child(Protocol):
    """A process that a root or a host forks: a host or a worker."""

    pid: int

    def has_ended(self, status: int) -> None:
        """It was collected, with its exit status (negative: the signal)."""


class _Link(Generic[C]):
    """The channel to a root or a host. Owned by the event loop; every method returns
    quickly or awaits.
    """

    def __init__(self, label: str, control: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._label = label
        self._control = control
        control.setblocking(False)
        #: Done with the exit status once the process was collected.
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        #: What is being forked, by ticket; what was, by process id.
        self._forking: dict[int, tuple[C, asyncio.Future[None]]] = {}
        #: How often something was forked, which is what tickets are numbered by.
        self.forks = 0
        self.children: dict[int, C] = {}
        self._loop.add_reader(control, self._hear)

    @property
    def in_use(self) -> bool:
        """Whether it has children, or is about to."""
        return bool(self.children or self._forking)

    def _say(self, packet: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(packet).encode()], fds or [])
        except OSError as error:
            raise HostFailed(f"{self._label} cannot be reached: {error}") from None

    async def _reply(self) -> dict[str, Any]:
        reply = await self._replies.get()
        if "gone" in reply:
            self._replies.put_nowait(reply)
            raise HostFailed(f"{self._label} ended")
        return reply

    async def _fork(self, child: C, packet: dict[str, Any], fds: list[int]) -> None:
        """Have *child* forked on *fds*."""
        self.forks += 1
        forked = self._loop.create_future()
        self._forking[self.forks] = child, forked
        self._say(packet | {"ticket": self.forks}, fds)
        await asyncio.wait_for(forked, PATIENCE)

    def end(self, pid: int) -> None:
        """End a child at once, if it is one still; its end is told as any is."""
        with suppress(HostFailed):
            self._say({"op": "signal", "pid": pid, "signal": signal.SIGKILL})

    def _hear(self) -> None:
        """Packets, as they come."""
        try:
            packet = self._control.recv(frames.PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self._take(json.loads(packet))
        else:
            self._loop.remove_reader(self._control)

    def _take(self, reply: dict[str, Any]) -> None:
        if "forked" in reply:
            child, forked = self._forking.pop(reply["forked"])
            if forked.done():
                # Who wanted this child waited too long, and has gone.
                self.end(reply["pid"])
                return
            if not reply["pid"]:
                why = f"no process could be started: {reply['why']}"
                forked.set_exception(HostFailed(f"{self._label}: {why}"))
                return
            # Here and not where it is waited for: its end may be the next thing heard.
            child.pid = reply["pid"]
            self.children[child.pid] = child
            forked.set_result(None)
        elif "ended" in reply:
            child_ended = self.children.pop(reply["ended"], None)
            if child_ended is not None:
                child_ended.has_ended(reply["status"])
        else:
            self._replies.put_nowait(reply)

    def _finish(self, status: int) -> None:
        """The process was collected, and by the kernel's hand all below it ended. What
        it said before still counts.
        """
        with suppress(OSError, ValueError):
            while packet := self._control.recv(frames.PACKET):
                self._take(json.loads(packet))
        self.close()
        for _child, forked in self._forking.values():
            if not forked.done():
                forked.set_exception(HostFailed(f"{self._label} ended"))
        self._replies.put_nowait({"gone": True})
        while self.children:
            _pid, child = self.children.popitem()
            child.has_ended(-signal.SIGKILL)
        self.ended.set_result(status)

    def close(self) -> None:
        """Close the channel: the process ends, and everything below it."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()


class HostLink(_Link[WorkerLink]):
    """The process that imported one broker and forks its workers."""

    def __init__(
        self, label: str, root: "RootLink", broker: str, control: socket.socket
    ) -> None:
        super().__init__(label, control)
        self._root = root
        self.broker = broker
        self.pid = 0

    async def loaded(self) -> None:
        """Returns when the broker is imported. Raises HostFailed."""
        reply = await asyncio.wait_for(self._reply(), PATIENCE)
        if not reply["loaded"]:
            raise HostFailed(f"{self.broker}: {reply['why']}")

    async def spawn(self, service: str) -> WorkerLink:
        """A new worker for *service*. Raises HostFailed or TimeoutError."""
        ours, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        reading, writing = os.pipe()
        worker = WorkerLink(service, ours, reading, self._signal_group, self.kill)
        try:
            await self._fork(worker, {"op": "spawn"}, [channel.fileno(), writing])
        except BaseException:
            worker.forget()
            raise
        finally:
            channel.close()
            os.close(writing)
        return worker

    def _signal_group(self, pid: int, number: int) -> None:
        """Signal a worker and all it started; nothing happens when it has ended."""
        with suppress(HostFailed):
            self._say({"op": "signal", "pid": pid, "signal": number})

    async def kill(self) -> None:
        """End the host at once; its workers die with it."""
        if not self.ended.done():
            self._root.end(self.pid)
            await asyncio.shield(self.ended)

    def has_ended(self, status: int) -> None:
        """The root collected the process."""
        at_work = [worker for worker in self.children.values() if worker.awaited]
        if len(at_work) > 1:
            # Which of them ended the host cannot be known: none is charged.
            for worker in at_work:
                worker.innocent = True
        self._finish(status)


class RootLink(_Link[HostLink]):
    """The process that examines files and forks the hosts. No broker's code lives in
    it.
    """

    def __init__(self, label: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        module = "oberonc.daemon.child.host"
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *paths.isolation(),
                    "-m",
                    module,
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment(),
                cwd="/",
                pass_fds=[theirs.fileno()],
                # A group of its own: what signals its group does not reach the daemon.
                start_new_session=True,
            )
        super().__init__(f"the root of {label}", ours)
        self._generation = label
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._collect)

    async def probe(self, places: list[Place]) -> AsyncIterator[dict[str, Any]]:
        """The verdict on each place, as it is found. Raises HostFailed."""
        self._say({"op": "probe", "places": places, "limit": PROBE_LIMIT})
        while "verdict" in (reply := await self._reply()):
            yield reply["verdict"]

    async def host(self, place: Place, threaded: bool) -> HostLink:
        """A host that has imported *place*, or leaves that to each worker where
        *threaded*. Raises HostFailed.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        host = HostLink(
            f"the host of {place.name} in {self._generation}", self, place.name, ours
        )
        try:
            with theirs:
                packet = {"op": "host", "place": place, "threaded": threaded}
                await self._fork(host, packet, [theirs.fileno()])
            await host.loaded()
        except BaseException:
            host.close()
            # A broker whose import hangs does not see that.
            self.end(host.pid)
            raise
        return host

    async def stop(self) -> None:
        """End the root and everything below it."""
        self.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.ended), GRACE)
        if not self.ended.done():
            self._process.kill()
            await asyncio.shield(self.ended)

    def _collect(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._finish(self._process.wait())
