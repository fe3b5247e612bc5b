"""A generation's host: a fresh interpreter that imports one snapshot of broker files and forks workers.

`python -m oberonc.daemon.host FD` is started by the daemon, which speaks with it in packets on FD:

    daemon: {"op": "probe", "places": [...]}          each file is imported in a child of its own
    host:   {"verdict": {...}} for each, then {"probed": true}
    daemon: {"op": "load", "places": [...]}           the good ones are imported here, once
    host:   {"loaded": true} or {"loaded": false, "broker": NAME, "why": ...}
    daemon: {"op": "spawn", "broker": NAME, "ticket": N} with the worker's channel and output pipe
    host:   {"spawned": N, "pid": P}, and once it is over {"ended": P, "status": S}
    daemon: {"op": "signal", "pid": P, "signal": S}   to the worker's whole process group

Only this process signals workers: it alone knows that a process id still means the worker it forked. It
holds no settings and no secrets. When the daemon is gone the channel closes, and everybody here ends.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any, Final

from oberonc import confine, legacy, paths, registry, runner
from oberonc.broker import BaseBroker
from oberonc.daemon import worker
from oberonc.daemon.probe import probe

#: Bytes of one packet on the control channel.
PACKET: Final = 128 * 1024


class Host:
    """The state of the host: the classes it loaded and the workers it forked."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.places: dict[str, registry.Place] = {}
        self.classes: dict[str, type[BaseBroker]] = {}
        self.workers: set[int] = set()

    def run(self) -> None:
        """Do what the daemon says until it closes the channel."""
        wakeup, woken = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wakeup, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        while True:
            ready = [fd for fd, _event in poll.poll()]
            if wakeup in ready:
                os.read(wakeup, 4096)
                self.reap()
            if self.control.fileno() in ready and not self.obey():
                return

    def obey(self) -> bool:
        """One packet of the daemon; False when it closed the channel."""
        try:
            packet, fds, _flags, _address = socket.recv_fds(self.control, PACKET, 2)
        except ConnectionResetError:  # it closed without having read all we said
            packet = b""
        if not packet:
            return False
        request = json.loads(packet)
        obey = {"probe": self.probe, "load": self.load, "spawn": self.spawn, "signal": self.signal}
        obey[request["op"]](request, fds)
        return True

    def say(self, **fields: Any) -> None:
        """One packet to the daemon; when it is gone, `run` will notice."""
        with suppress(OSError):
            self.control.send(json.dumps(fields).encode())

    def probe(self, request: dict[str, Any], _fds: list[int]) -> None:
        """Import each file in a child of its own, so that each fault has the name of its file."""
        for fields in request["places"]:
            self.say(verdict=probe(registry.Place(*fields), request["limit"])._asdict())
        self.say(probed=True)

    def load(self, request: dict[str, Any], _fds: list[int]) -> None:
        """Import the good files; those that start threads are left to each worker's own interpreter."""
        for place in (registry.Place(*fields) for fields in request["places"]):
            self.places[place.name] = place
            if place.name in request["threaded"]:
                continue
            try:
                loaded = self.classes[place.name] = registry.load(place)
                legacy.needs(runner.source(loaded))  # found out once, and not by each worker
            except BaseException as error:  # noqa: BLE001  code of a broker: it may raise anything
                return self.say(loaded=False, broker=place.name, why=str(error))
        # What is there now is shared with every worker for good; the collector must not write on its pages.
        gc.collect()
        gc.freeze()
        return self.say(loaded=True)

    def spawn(self, request: dict[str, Any], fds: list[int]) -> None:
        """Fork a worker on the two descriptors that came with the packet."""
        with suppress(Exception):  # a broker may have replaced it when it was imported
            sys.stdout.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self.say(spawned=request["ticket"], pid=0, why=str(error))
        else:
            if pid == 0:
                self.become_worker(request["broker"], *fds)
            self.workers.add(pid)
            self.say(spawned=request["ticket"], pid=pid)
        for fd in fds:
            os.close(fd)

    def become_worker(self, name: str, channel: int, output: int) -> None:
        """Never returns: the rest of this process belongs to one broker."""
        parent = os.getppid()
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            for fd in (1, 2):
                os.dup2(output, fd)
            os.close(output)
            self.workers.clear()
            serve(name, self.places[name], self.classes.get(name), channel, parent)
        except BaseException:  # noqa: BLE001  it goes where all goes that this process prints
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def signal(self, request: dict[str, Any], _fds: list[int]) -> None:
        """Signal the process group of a worker that was not reaped yet."""
        if request["pid"] in self.workers:
            _signal_group(request["pid"], request["signal"])

    def reap(self) -> None:
        """Collect ended children; what a worker left behind ends with it."""
        while (ended := _next_ended()) is not None:
            pid, status = ended
            if pid in self.workers:
                # Before it is collected: until then the group's number cannot belong to anybody else.
                _signal_group(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            if pid in self.workers:
                self.workers.discard(pid)
                self.say(ended=pid, status=status)
        for stray in set(confine.children()) - self.workers:
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)

    def end(self) -> None:
        """Nobody is left behind."""
        deadline = time.monotonic() + 5
        while (left := confine.children()) and time.monotonic() < deadline:
            for pid in left:
                _signal_group(pid, signal.SIGKILL)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(-1, 0)


def serve(name: str, place: registry.Place, loaded: type[BaseBroker] | None, channel: int, parent: int) -> None:
    """The worker's life: with the class the host loaded, or in a new interpreter when a fork would not be safe."""
    if loaded is None:
        os.set_inheritable(channel, True)
        argv = [sys.executable, *paths.isolation(), "-m", "oberonc.daemon.host", "worker", str(channel), str(parent)]
        os.execv(sys.executable, [*argv, json.dumps(place)])  # noqa: S606  an argv list, no shell
    confine.die_with_parent(parent)
    confine.confine_worker()
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = open(fd, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    with socket.socket(fileno=channel) as connection:
        worker.serve(connection, lambda: loaded or registry.load(place))
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


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def main(argv: list[str]) -> None:
    """The host, or, after `worker`, one worker in an interpreter of its own."""
    if argv[0] == "worker":
        place = registry.Place(*json.loads(argv[3]))
        loaded = registry.load(place)
        serve(place.name, place, loaded, int(argv[1]), int(argv[2]))
        return
    parent = os.getppid()
    confine.die_with_parent(parent)
    confine.adopt_orphans()
    confine.limit_memory()
    host = Host(socket.socket(fileno=int(argv[0])))
    confine.outlive_parent()
    try:
        host.run()
    finally:
        host.end()


if __name__ == "__main__":
    main(sys.argv[1:])
