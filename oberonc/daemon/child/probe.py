"""Is a broker file fit to run? Found out in a child process, because finding out runs
its code.

A file may raise, exit, crash, hang, fill the memory or start threads while it is
imported. The child does that alone; the host and the generation that is in service
never notice.
"""

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from oberonc.broker import loading, registry
from oberonc.text import one_line

#: Bytes of a verdict, and of what it says in words.
LONGEST: Final = 65536
LONGEST_WHY: Final = 512


class Verdict(NamedTuple):
    """What came out for one broker. *why* is empty when it is good; *timeout* is its
    own time limit.
    """

    name: str
    why: str
    threads: bool = False
    timeout: float = 60.0
    #: What is told of the broker's own plugins, by name.
    plugins: dict[str, dict[str, Any]] = {}  # noqa: RUF012  never changed
    #: Whether it is likely to speak HTTP.
    http: bool = False


def probe(place: registry.Place, limit: float) -> Verdict:
    """Import *place* in a child that gets *limit* seconds."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(place, writing)
    os.close(writing)
    try:
        answer = _read(reading, time.monotonic() + limit)
    finally:
        os.close(reading)
        # The group first: it is killed while its number is certainly still the child's.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if answer is None:
        return Verdict(
            place.name, f"{_where(place)}: importing it took more than {limit:g} s"
        )
    if not answer:
        return Verdict(
            place.name,
            f"{_where(place)}: importing it ended the process ({_manner(status)})",
        )
    return Verdict(**json.loads(answer))


def _child(place: registry.Place, writing: int) -> None:
    try:
        os.setsid()
        verdict = examine(place)
        said = json.dumps(verdict._asdict(), default=repr).encode()
        if len(said) >= LONGEST:
            said = json.dumps(verdict._replace(plugins={})._asdict()).encode()
        with os.fdopen(writing, "wb") as stream:
            stream.write(said + b"\n")
    finally:
        os._exit(0)


def examine(place: registry.Place) -> Verdict:
    """Import *place* in this process and look at what it holds."""
    before = _threads()
    try:
        broker = loading.load(place)
    except BaseException as error:  # noqa: BLE001  code of a broker: it may raise anything
        return Verdict(place.name, one_line(str(error), LONGEST_WHY))
    threads = _threads() > before
    try:
        plugins = dict(broker.plugins())
    except BaseException:  # noqa: BLE001  code of a broker, and no reason to refuse it
        plugins = {}
    http = "requests" in sys.modules or _mentions_http(place)
    return Verdict(place.name, "", threads, float(broker.timeout), plugins, http)


def _mentions_http(place: registry.Place) -> bool:
    return place.file is not None and b"http" in Path(place.file).read_bytes()


def _where(place: registry.Place) -> str:
    return place.file or place.origin


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208  names only


def _read(fd: int, deadline: float) -> bytes | None:
    """What the child wrote until it closed the pipe or its line was whole; None at the
    deadline.
    """
    parts = b""
    while not parts.endswith(b"\n"):
        wait = deadline - time.monotonic()
        if wait <= 0 or not select.select([fd], [], [], wait)[0]:
            return None
        part = os.read(fd, LONGEST)
        if not part:
            return b""
        parts += part
    return parts


def _manner(status: int) -> str:
    code: Any = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
