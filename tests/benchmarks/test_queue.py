"""What the queue costs, as ratios to a yardstick measured in the same run.

`pytest tests/benchmarks/test_queue.py -m benchmark -n 0 -s`
"""

import asyncio
import hashlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oberonc.daemon.queue_link import QueueLink
from oberonc.payload.schema import new_id
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import (
    Decision,
    Ending,
    Route,
    Slot,
    Submission,
)

pytestmark = pytest.mark.benchmark
NOW = 1_700_000_000_000
BODY = os.urandom(2048)
CLIENTS = 64
EACH = 100


def _event(number: int, lanes: int = 50) -> Submission:
    said = (Decision("tracker", True, "matches"),)
    commit = hashlib.sha1(b"%d" % number).hexdigest()
    repo = f"repo {number % lanes}"
    return Submission(
        bytes.fromhex(new_id()),
        BODY,
        repo,
        routes=(Route("tracker"),),
        decisions=said,
        commits=(commit,),
    )


def _with_threads(call: Callable[[int], object]) -> float:
    """Calls per second of 64 threads."""

    def client(first: int) -> None:
        for number in range(first, first + EACH):
            call(number)

    threads = [
        threading.Thread(target=client, args=(n * EACH,)) for n in range(CLIENTS)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * EACH / (time.perf_counter() - began)


def _durable_accepts(path: Path) -> float:
    """64 clients of the event loop, as the daemon's connections are."""
    queue = SqliteQueue(path)
    speed = asyncio.run(_accepted(queue))
    queue.close()
    return speed


async def _accepted(queue: SqliteQueue) -> float:
    link = QueueLink(queue, queue.database.path.parent, lambda error: None)
    events = [_event(number) for number in range(CLIENTS * EACH)]

    async def client(first: int) -> None:
        for number in range(first, first + EACH):
            assert (await link.accept(events[number])).status == "accepted"

    began = time.perf_counter()
    await asyncio.gather(*(client(n * EACH) for n in range(CLIENTS)))
    speed = len(events) / (time.perf_counter() - began)
    link.stop()
    return speed


def bare_loop(path: Path) -> float:
    """Accepts a second: the same rows in the same tables, by one thread that has them
    all at hand, 64 to a commit.
    """
    queue = SqliteQueue(path)
    con = queue.database.con
    lanes = [
        con.execute(
            "INSERT INTO lane(service, repo) VALUES('tracker', ?)", (f"repo {n}",)
        ).lastrowid
        for n in range(50)
    ]
    events = [_event(number) for number in range(CLIENTS * EACH)]
    began = time.perf_counter()
    for first in range(0, len(events), CLIENTS):
        con.execute("BEGIN IMMEDIATE")
        for seq, event in enumerate(events[first : first + CLIENTS], first + 1):
            digest = hashlib.sha256(event.body).digest()
            con.execute(
                "INSERT INTO event(seq, id, digest, repo, kind, origin, peer_uid, accepted_ms, decisions, live) "
                "VALUES(?, ?, ?, ?, 'push', 'socket', 0, ?, '[[\"tracker\", true, \"matches\"]]', 1)",
                (seq, event.id, digest, event.repo, NOW),
            )
            con.execute("INSERT INTO body VALUES(?, ?)", (seq, event.body))
            con.execute(
                "INSERT INTO event_commit VALUES(?, ?)", (seq, f" {event.commits[0]}")
            )
            con.execute(
                "INSERT INTO delivery(seq, lane, due_ms) VALUES(?, ?, ?)",
                (seq, lanes[seq % 50], NOW),
            )
        con.execute("COMMIT")
        queue.database.written += CLIENTS * len(BODY)
        queue.maintain()
    speed = len(events) / (time.perf_counter() - began)
    con.close()
    return speed


def _huey(path: Path) -> float:
    from huey import SqliteHuey

    huey = SqliteHuey(filename=str(path), fsync=True)
    speed = _with_threads(lambda number: huey.storage.enqueue(BODY))
    huey.storage.close()
    return speed


def _ratio(
    ours: Callable[[Path], float], theirs: Callable[[Path], float], folder: Path
) -> float:
    """The best of five runs of each, taken in turns, so that both see the same weather."""
    speeds: dict[Callable[[Path], float], list[float]] = {ours: [], theirs: []}
    for number in range(5):
        for measure, found in speeds.items():
            found.append(measure(folder / f"{measure.__name__}-{number}.sqlite"))
    best = {measure: max(found) for measure, found in speeds.items()}
    print(
        f"\n{ours.__name__} {best[ours]:.0f}/s, {theirs.__name__} {best[theirs]:.0f}/s"
    )
    return best[ours] / best[theirs]


def test_durable_accept_reaches_half_of_abare_loop(tmp_path: Path) -> None:
    assert _ratio(_durable_accepts, bare_loop, tmp_path) >= 0.5


def test_durable_accept_is_five_times_huey(tmp_path: Path) -> None:
    """huey syncs for every entry, we for every batch: where a sync costs next to
    nothing little is gained.
    """
    assert _ratio(_durable_accepts, _huey, tmp_path) >= 5


def fill(path: Path, depth: int) -> SqliteQueue:
    """A queue of *depth* ready deliveries in 1,000 lanes; synced once, at the end."""
    queue = SqliteQueue(path, synchronous="OFF")
    for first in range(0, depth, 1000):
        with queue.batch():
            numbers = range(first, min(first + 1000, depth))
            queue.accept_all(
                NOW,
                [_event(number, lanes=1000)._replace(body=b"{}") for number in numbers],
            )
        queue.maintain()
    queue.close()
    return SqliteQueue(path)


def _round(queue: Queue, first: int) -> tuple[float, float]:
    """Seconds of one commit that accepts 64 events, and of one that leases and ends 64
    deliveries.
    """
    events = [_event(first + number, lanes=1000) for number in range(CLIENTS)]
    began = time.perf_counter()
    queue.accept_all(NOW, events)
    accepted = time.perf_counter()
    with queue.batch():
        granted = queue.lease(NOW, [Slot("tracker", CLIENTS, 1)], "worker").leases
        for lease in granted:
            queue.end(NOW, lease.token, Ending("done"))
    ended = time.perf_counter()
    assert len(granted) == CLIENTS
    queue.maintain()
    return accepted - began, ended - accepted


def _memory(path: Path) -> float:
    """Megabytes that a process of its own needs at most which works on the queue in
    *path*.

    The kernel's own peak of that program: `ru_maxrss` begins with the peak of the
    process that started it.
    """
    work = """
import sys
from pathlib import Path
from oberonc.queue.sqlite.engine import SqliteQueue
from tests.benchmarks.test_queue import CLIENTS, _round
queue = SqliteQueue(Path(sys.argv[1]))
for number in range(100):
    _round(queue, 2_000_000 + number * CLIENTS)
queue.close()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
    command = [sys.executable, "-c", work, str(path)]
    return (
        int(
            subprocess.run(
                command, check=True, capture_output=True, cwd=Path(__file__).parents[2]
            ).stdout
        )
        / 1024
    )


@pytest.mark.timeout(1800)
def test_a_million_ready_deliveries_cost_what_a_thousand_do(tmp_path: Path) -> None:
    queues = {
        depth: fill(tmp_path / f"{depth}.sqlite", depth) for depth in (1_000, 1_000_000)
    }
    os.sync()  # what filling left to be written must not be paid for by the measurement
    taken: dict[int, list[tuple[float, float]]] = {depth: [] for depth in queues}
    for number in range(100):  # in turns, so that both see the same weather
        for depth, queue in queues.items():
            taken[depth].append(_round(queue, depth + number * CLIENTS))
    for queue in queues.values():
        queue.close()
    few, many = (
        [statistics.median(part) for part in zip(*found, strict=True)]
        for found in taken.values()
    )
    ratios = [after / before for before, after in zip(few, many, strict=True)]
    memory = _memory(tmp_path / "1000000.sqlite")
    for what, before, after in zip(("accept", "lease and end"), few, many, strict=True):
        print(
            f"\n{what} 64: {before * 1e3:.2f} ms at 1,000, {after * 1e3:.2f} ms at 1,000,000"
        )
    print(f"ratios {ratios[0]:.2f} and {ratios[1]:.2f}; at most {memory:.0f} MB")
    assert ratios[0] <= 1.3
    assert ratios[1] <= 1.5
    assert memory < 150
