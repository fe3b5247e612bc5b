"""F8: a disk that fills up: refused before it is full, what was accepted still ends,
and it resumes by itself (P12).
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import (
    Answer,
    Ending,
    Lease,
    Slot,
    Token,
)
from tests.support.store_rules import violations
from tests.support.store_values import NOW, ThreadWriter, submission

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "oberonc-test", str(mount)]
    made = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if made.returncode:
        pytest.skip(
            f"needs the right to mount a tmpfs: {made.stderr.decode(errors='replace').strip()}"
        )
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True, timeout=60)


@pytest.fixture
def writer(disk: Path) -> Iterator[ThreadWriter]:
    queue = SqliteQueue(disk / "queue.sqlite", low_space=12 * MIB, ballast=2 * MIB)
    writer = ThreadWriter(queue)
    writer.start()
    yield writer
    assert writer.call(lambda _: violations(queue), alone=True).result() == []
    writer.stop()
    queue.close()


def _accept(writer: ThreadWriter, number: int) -> Answer:
    event = submission(number, f"repo {number}")._replace(body=os.urandom(64 << 10))
    return writer.accept(NOW, event).result()


def _accept_until_refused(writer: ThreadWriter) -> int:
    number = 0
    while _accept(writer, number).status == "accepted":
        number += 1
    assert _accept(writer, number).status == "storage_low"
    return number


def _end(writer: ThreadWriter, token: Token) -> str:
    return writer.end(NOW, token, Ending("done", output="x" * 5000)).result()[0].state


def _lease(writer: ThreadWriter, free: int) -> tuple[Lease, ...]:
    return (
        writer.call(
            lambda queue: queue.lease(NOW, [Slot("tracker", free, 1)], "worker")
        )
        .result()
        .leases
    )


def _fill(path: Path) -> None:
    """Write until not one more byte fits."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_events_are_refused_before_the_disk_is_full_and_again_taken_when_it_is_not(
    disk: Path, writer: ThreadWriter
) -> None:
    filler = disk / "other data"
    filler.write_bytes(bytes(24 * MIB))
    accepted = _accept_until_refused(writer)
    assert accepted > 10
    assert os.statvfs(disk).f_bavail * 4096 > 8 * MIB, "long before it is full"
    leases = _lease(writer, accepted)
    assert len(leases) == accepted
    assert {_end(writer, lease.token) for lease in leases} == {"done"}
    filler.unlink()
    assert _accept(writer, accepted).status == "accepted"


def test_endings_fit_on_a_full_disk(disk: Path, writer: ThreadWriter) -> None:
    for number in range(20):
        assert _accept(writer, number).status == "accepted"
    leases = _lease(writer, 20)
    ballast = disk / "queue.sqlite.ballast"
    assert ballast.stat().st_size == 2 * MIB
    filler = disk / "other data"
    _fill(filler)
    assert _accept(writer, 20).status == "storage_low"
    assert {_end(writer, lease.token) for lease in leases} == {"done"}
    assert not ballast.exists(), "the ballast was what they needed"
    filler.unlink()
    assert _accept(writer, 20).status == "accepted"
    assert ballast.stat().st_size == 2 * MIB, "and it is there again"
