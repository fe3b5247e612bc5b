"""One payload through one broker in a child with a time limit.

The child (`oberonc.broker.child`) gets its request on stdin and answers on its stdout,
which it hides from the broker; what the broker prints is captured and capped. Nothing a
broker does (hang, crash, exit, fork) costs its neighbours anything, or the caller more
than the limit.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, Any

from oberonc import groups, paths, redaction
from oberonc.broker import registry
from oberonc.broker.budget import UNBOUNDED, Budget
from oberonc.broker.registry import Place
from oberonc.broker.request import Outcome, Request, environment, stood
from oberonc.text import visible

#: Bytes of what a broker printed that are kept.
OUTPUT = 64 * 1024
#: Bytes of an answer; a worker that sends more has lost its way.
_ANSWER = 1 << 20
#: Seconds between SIGTERM to a broker's processes and SIGKILL.
GRACE = 1.0
KINDS = ("done", "retry", "dead", "crash")
#: Brokers that are asked at the same time.
AT_ONCE = 8


def run(
    place: Place, request: Request, limit: float, budget: Budget = UNBOUNDED
) -> Outcome:
    """Run the broker at *place* once in a child of its own that gets *limit* seconds,
    and none after an interrupt.
    """
    child = _spawn()
    # The clock is the machine's: the child's start counts too, and it may end its turn
    # before it is ended.
    request = request._replace(until=time.monotonic() + limit - budget.grace(0))
    ask = {
        "place": place._asdict(),
        "request": request.wire(),
        "payload": request.payload,
    }
    answer, output, in_time = _converse(child, json.dumps(ask).encode(), limit, budget)
    hidden = redaction.secrets_in(request.settings)
    outcome = _judge(
        child, answer, in_time, f"{limit:g} s and was ended{stood(output)}"
    )
    printed = output.decode("utf-8", "replace").rstrip("\ufffd")
    text = redaction.redact(
        printed, hidden, cut=len(output) >= OUTPUT or outcome.kind == "crash"
    )
    return outcome._replace(
        output=visible(text), note=redaction.redact(outcome.note, hidden)
    )


def ask(place: Place, question: dict[str, Any], limit: float) -> dict[str, Any]:
    """What the broker at *place* says to `describe` or `call` (see `broker/child`);
    {"error": why} when it fails.
    """
    said = _asked({"place": place._asdict(), **question}, limit)
    if "ended" in said:
        return {"error": f"{place.file or place.origin}: {said['ended']}"}
    return said


def describe(places: list[Place], limit: float) -> dict[str, dict[str, Any]]:
    """What each broker of *places* says to `describe`, by its name. Those that are
    shipped share a process; each other has its own, as it may end it.
    """
    from concurrent.futures import ThreadPoolExecutor  # no hook asks for all

    def alone(place: Place) -> dict[str, Any]:
        return ask(place, {"describe": True}, limit)

    ours = [place for place in places if registry.is_shipped(place)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        shared = pool.submit(
            _asked, {"describe": [place._asdict() for place in ours]}, limit
        )
        said = {
            place.name: pool.submit(alone, place)
            for place in places
            if place not in ours
        }
        found = shared.result()
        if "ended" in found:  # of a library that one of them needs, most likely
            said |= {place.name: pool.submit(alone, place) for place in ours}
        return found | {name: each.result() for name, each in said.items()}


def _asked(question: dict[str, Any], limit: float) -> dict[str, Any]:
    """The answer to *question*; {"ended": how} where its process gave none."""
    child = _spawn()
    answer, output, in_time = _converse(child, json.dumps(question).encode(), limit)
    if not in_time:
        where = stood(output)
        return {"ended": f"loading it or asking it took more than {limit:g} s{where}"}
    try:
        result: dict[str, Any] = dict(json.loads(answer))
    except (ValueError, TypeError, RecursionError):
        return {"ended": f"its process {_manner(child)} when it was loaded or asked"}
    return result


def debug(place: Place, request: Request) -> Outcome:
    """Run the broker at *place* once on our terminal, with the debugger where it raises
    (see `broker/debug`), until it ends.
    """
    ask = {
        "place": place._asdict(),
        "request": request.wire(),
        "payload": request.payload,
    }
    given, answered = os.pipe(), os.pipe()
    argv = [sys.executable, *paths.isolation(), "-m", "oberonc.broker.debug"]
    child = subprocess.Popen(
        [*argv, str(given[0]), str(answered[1])],
        pass_fds=(given[0], answered[1]),
        env=environment() | {"TERM": os.environ.get("TERM", "dumb")},
    )
    os.close(given[0])
    os.close(answered[1])
    # Ctrl-C on the terminal is for the debugger. (Of one that comes just while SIG_IGN
    # is set Python would print a traceback.)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with suppress(OSError), os.fdopen(given[1], "w") as stream:
            json.dump(ask, stream)
        with os.fdopen(answered[0], "rb") as stream:
            answer = stream.read()
        child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    outcome = _judge(child, answer, in_time=True, over="")
    hidden = redaction.secrets_in(request.settings)
    return outcome._replace(note=redaction.redact(outcome.note, hidden))


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            *paths.isolation(),
            "-m",
            "oberonc.broker.child",
            str(os.getpid()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )


def _converse(
    child: subprocess.Popen[bytes], ask: bytes, limit: float, budget: Budget = UNBOUNDED
) -> tuple[bytes, bytes, bool]:
    """Send *ask*, gather answer and output until the child ends or the limit is
    reached, then end its group.
    """
    assert (
        child.stdin is not None
        and child.stdout is not None
        and child.stderr is not None
    )
    threading.Thread(target=_feed, args=(child.stdin, ask), daemon=True).start()
    answer, output = bytearray(), bytearray()
    deadline = time.monotonic() + limit
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ, (answer, _ANSWER))
        selector.register(child.stderr, selectors.EVENT_READ, (output, OUTPUT))
        while (
            not (ended := groups.has_ended(child))
            and time.monotonic() < deadline
            and not budget.interrupted
        ):
            _gather(selector, min(0.05, deadline - time.monotonic()))
            if answer and child.stdout not in {
                key.fileobj for key in selector.get_map().values()
            }:
                # as good as: a grandchild that keeps stderr open is not waited for
                ended = True
                break
        _gather(selector, 0)
        groups.end(child, GRACE if ended else 0, budget.grace(GRACE))
        _gather(selector, 0)  # what it said of its end
    for stream in (child.stdout, child.stderr):
        stream.close()
    return bytes(answer), bytes(output), ended


def _feed(stdin: IO[bytes], ask: bytes) -> None:
    with suppress(OSError), stdin:
        stdin.write(ask)


def _gather(selector: selectors.BaseSelector, wait: float) -> None:
    for key, _ in selector.select(max(wait, 0)):
        kept, cap = key.data
        part = os.read(key.fd, 1 << 16)
        if not part:
            selector.unregister(key.fileobj)
        kept.extend(part[: max(cap - len(kept), 0)])


def _judge(
    child: subprocess.Popen[bytes], answer: bytes, in_time: bool, over: str
) -> Outcome:
    if not in_time:
        return Outcome("crash", f"took more than its limit of {over}")
    outcome = _parsed(answer)
    if outcome is not None:
        return outcome
    how = _manner(child)
    return Outcome("crash", f"the broker's process {how} without an outcome")


def _manner(child: subprocess.Popen[bytes]) -> str:
    """How the child ended."""
    code = child.returncode
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"


def _parsed(answer: bytes) -> Outcome | None:
    try:
        outcome = Outcome(**json.loads(answer))
    except (ValueError, TypeError, RecursionError):
        return None
    good = (
        outcome.kind in KINDS
        and isinstance(outcome.note, str)
        and isinstance(outcome.after, (int, float, type(None)))
    )
    return outcome if good else None
