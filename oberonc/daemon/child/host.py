"""A generation's processes: the root examines one snapshot of broker files and forks a
host for each broker, which imports it and forks workers.

`python -m oberonc.daemon.child.host FD` is the root, started by the daemon, which
speaks with it in packets on FD:

    daemon: {"op": "probe", "places": [...]}          each file is imported in a child of its own
    root:   {"verdict": {...}} for each, then {"probed": true}
    daemon: {"op": "host", "place": ..., "threaded": false, "ticket": N} with the host's channel
    root:   {"forked": N, "pid": P}, and once it is over {"ended": P, "status": S}
    daemon: {"op": "signal", "pid": P, "signal": S}   to the host

and with each host on the channel that came for it:

    host:   {"loaded": true} or {"loaded": false, "why": ...}
    daemon: {"op": "spawn", "ticket": N} with the worker's channel and output pipe
    host:   {"forked": N, "pid": P}, and once it is over {"ended": P, "status": S}
    daemon: {"op": "signal", "pid": P, "signal": S}   to the worker's whole process group

So a broker that ends its host ends what runs of that broker alone. Only who forked a
process signals it: it alone knows that a process id still means that one. Nobody here
holds settings or secrets. When the daemon is gone the channels close, and everybody
here ends.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from oberonc import groups, paths
from oberonc.broker import confine, legacy, loading, perform, registry
from oberonc.broker.contract import BaseBroker
from oberonc.broker.request import say_where_it_stands
from oberonc.daemon.child import worker
from oberonc.daemon.child.probe import probe
from oberonc.delivery import frames


class _Forker(ABC):
    """A process that does what the daemon says, and forks children for it."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        #: Their process ids.
        self.children: set[int] = set()
        self.wakeup, self.woken = os.pipe()

    def run(self) -> None:
        """Do what the daemon says until it closes the channel."""
        os.set_blocking(self.woken, False)
        os.set_blocking(self.wakeup, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        while True:
            ready = [fd for fd, _event in poll.poll()]
            if self.wakeup in ready:
                os.read(self.wakeup, 4096)
                self.reap()
            if self.control.fileno() not in ready:
                continue
            try:
                packet, fds, _flags, _address = socket.recv_fds(
                    self.control, frames.PACKET, 2
                )
            except ConnectionResetError:  # it closed without having read everything
                return
            if not packet:
                return
            request = json.loads(packet)
            self.perform(request["op"], request, fds)

    @abstractmethod
    def perform(self, op: str, request: dict[str, Any], fds: list[int]) -> None:
        """Do what the daemon's packet *request* says; *fds* came with it."""

    def say(self, **fields: Any) -> None:
        """One packet to the daemon; when it is gone, `run` will notice."""
        with suppress(OSError):
            self.control.send(json.dumps(fields).encode())

    def fork(
        self, request: dict[str, Any], fds: list[int], become: Callable[[int], None]
    ) -> None:
        """Fork a child that gets *fds* and calls *become* with our process id, and
        never returns.
        """
        parent = os.getpid()
        with suppress(Exception):  # a broker may have replaced it when it was imported
            sys.stdout.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self.say(forked=request["ticket"], pid=0, why=str(error))
        else:
            if pid == 0:
                self.leave(become, parent)
            self.children.add(pid)
            self.say(forked=request["ticket"], pid=pid)
        for fd in fds:
            os.close(fd)

    def leave(self, become: Callable[[int], None], parent: int) -> NoReturn:
        """In a child: let go of all that is the parent's, and be somebody else."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            os.close(self.wakeup)
            os.close(self.woken)
            self.children.clear()
            become(parent)
            os._exit(0)
        except BaseException:  # noqa: BLE001  it goes where all goes that this process prints
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def reap(self) -> None:
        """Collect ended children; what one left behind ends with it."""
        while (ended := _next_ended()) is not None:
            pid, status = ended
            if pid in self.children:
                # Before it is collected: until then the group's number cannot belong to
                # anybody else.
                groups.tell(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if pid in self.children:
                self.children.discard(pid)
                self.say(ended=pid, status=status)
        for stray in set(confine.children()) - self.children:
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)

    def end(self) -> None:
        """Nobody is left behind."""
        deadline = time.monotonic() + 5
        while (alive := confine.children()) and time.monotonic() < deadline:
            for pid in alive:
                groups.tell(pid, signal.SIGKILL)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(-1, 0)


class Root(_Forker):
    """Examines files and forks hosts. No broker's code is imported here."""

    def perform(self, op: str, request: dict[str, Any], fds: list[int]) -> None:
        if op == "probe":
            self.probe(request)
        elif op == "host":
            place = registry.Place(*request["place"])
            self.fork(
                request,
                fds,
                lambda parent: be_host(place, request["threaded"], fds[0], parent),
            )
        elif op == "signal" and request["pid"] in self.children:
            os.kill(request["pid"], request["signal"])

    def probe(self, request: dict[str, Any]) -> None:
        """Import each file in a child of its own, so that each fault has the name of
        its file.
        """
        http = False
        for fields in request["places"]:
            verdict = probe(registry.Place(*fields), request["limit"])
            self.say(verdict=verdict._asdict())
            http |= verdict.http
        if http:
            _load_http()
        self.say(probed=True)


def _load_http() -> None:
    """Load what brokers speak HTTP with: else each worker would, with its first
    delivery.
    """
    with suppress(Exception):  # what is broken is the broker's to say that needs it
        import oberonc.kit.http  # noqa: F401
    gc.collect()
    gc.freeze()


def be_host(place: registry.Place, threaded: bool, control: int, parent: int) -> None:
    """The life of a host, forked by *parent*."""
    confine.die_with_parent(parent)
    confine.adopt_orphans()
    host = Host(socket.socket(fileno=control), place)
    try:
        if host.load(threaded):
            host.run()
    finally:
        host.end()


class Host(_Forker):
    """Imports one broker and forks its workers."""

    def __init__(self, control: socket.socket, place: registry.Place) -> None:
        super().__init__(control)
        self.place = place
        self.loaded: type[BaseBroker] | None = None

    def load(self, threaded: bool) -> bool:
        """Import the broker; one that starts threads is left to each worker's own
        interpreter.
        """
        try:
            if not threaded:
                self.loaded = loading.load(self.place)
                # found out once, and not by each worker
                legacy.needs(perform.source(self.loaded))
        except BaseException as error:  # noqa: BLE001  code of a broker: it may raise anything
            self.say(loaded=False, why=str(error))
            return False
        # What is there now is shared with every worker for good; the collector must not
        # write on its pages.
        gc.collect()
        gc.freeze()
        self.say(loaded=True)
        return True

    def perform(self, op: str, request: dict[str, Any], fds: list[int]) -> None:
        if op == "spawn":
            self.fork(
                request, fds, lambda parent: self.be_worker(fds[0], fds[1], parent)
            )
        elif op == "signal" and request["pid"] in self.children:
            groups.tell(request["pid"], request["signal"])

    def be_worker(self, channel: int, output: int, parent: int) -> None:
        """The rest of this process belongs to one service."""
        for fd in (1, 2):
            os.dup2(output, fd)
        os.close(output)
        serve(self.place, self.loaded, channel, parent)


def serve(
    place: registry.Place, loaded: type[BaseBroker] | None, channel: int, parent: int
) -> None:
    """The worker's life: with the class the host loaded, or in a new interpreter when a
    fork would not be safe.
    """
    if loaded is None:
        os.set_inheritable(channel, True)
        argv = [
            sys.executable,
            *paths.isolation(),
            "-m",
            "oberonc.daemon.child.host",
            "worker",
            str(channel),
            str(parent),
        ]
        os.execv(sys.executable, [*argv, json.dumps(place)])  # noqa: S606  an argv list, no shell
    confine.die_with_parent(parent)
    confine.confine_worker()
    confine.adopt_orphans()
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = open(fd, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    say_where_it_stands(place)
    with socket.socket(fileno=channel) as connection:
        worker.serve(connection, lambda: loaded or loading.load(place))
    os._exit(0)


def _next_ended() -> tuple[int, int] | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
    return found.si_pid, code


def main(argv: list[str]) -> None:
    """The root, or, after `worker`, one worker in an interpreter of its own."""
    if argv[0] == "worker":
        place = registry.Place(*json.loads(argv[3]))
        loaded = loading.load(place)
        serve(place, loaded, int(argv[1]), int(argv[2]))
        return
    parent = os.getppid()
    confine.die_with_parent(parent)
    confine.adopt_orphans()
    confine.limit_memory()
    # What the compiler needs is made once, and not by each host. All that is there now is
    # shared with what is forked from here, for good: no collector of theirs must write
    # on these pages.
    compile("", "", "exec")
    gc.collect()
    gc.freeze()
    root = Root(socket.socket(fileno=int(argv[0])))
    confine.outlive_parent()
    try:
        root.run()
    finally:
        root.end()


if __name__ == "__main__":
    main(sys.argv[1:])
