"""The writer thread: shared commits, faults that stay with their request, limits, and a
failing disk.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.errors import BadInput, DiskFailed, NotAccepted
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import Answer, Ending, Slot, Stats
from oberonc.queue.writer import BATCH_REQUESTS
from tests.support.store_values import NOW, ThreadWriter, submission


@pytest.fixture
def queue(tmp_path: Path) -> SqliteQueue:
    return SqliteQueue(tmp_path / "queue.sqlite")


@pytest.fixture
def writer(queue: SqliteQueue) -> Iterator[ThreadWriter]:
    writer = ThreadWriter(queue)
    yield writer
    writer.stop(60)
    queue.close()


def _stats(queue: Queue) -> Stats:
    return queue.stats(NOW)


def test_what_waits_together_is_committed_together(writer: ThreadWriter) -> None:
    answers = [
        writer.accept(NOW, submission(number)) for number in range(BATCH_REQUESTS)
    ]
    writer.start()
    assert [answer.result(60).seq for answer in answers] == list(
        range(1, BATCH_REQUESTS + 1)
    )
    writer.stop(60)
    assert writer.batches == 1


def test_many_threads_get_their_own_answers(writer: ThreadWriter) -> None:
    writer.start()
    answers: dict[int, Answer] = {}

    def submit(first: int) -> None:
        for number in range(first, first + 10):
            answers[number] = writer.accept(NOW, submission(number)).result(60)

    threads = [
        threading.Thread(target=submit, args=(first,)) for first in range(0, 100, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers.values()} == {"accepted"}
    assert sorted(answer.seq or 0 for answer in answers.values()) == list(range(1, 101))


def test_a_bad_request_does_not_spoil_its_neighbours(writer: ThreadWriter) -> None:
    good = writer.accept(NOW, submission(1))
    bad = writer.call(lambda queue: queue.retry(NOW, 99, "ann"))
    broken = writer.call(lambda queue: 1 / 0)
    last = writer.accept(NOW, submission(3))
    writer.start()
    assert (good.result(60).status, last.result(60).status) == ("accepted", "accepted")
    with pytest.raises(BadInput):
        bad.result(60)
    with pytest.raises(ZeroDivisionError):
        broken.result(60)
    assert writer.call(_stats).result(60).counters["accepted"] == 2


def test_a_request_cannot_be_taken_back(writer: ThreadWriter) -> None:
    assert writer.accept(NOW, submission(1)).cancel()
    writer.start()
    assert writer.call(_stats).result(60).counters["accepted"] == 1


def test_what_ends_in_a_batch_makes_room_for_the_leases_in_it(
    queue: SqliteQueue, writer: ThreadWriter
) -> None:
    for number in (1, 2):
        queue.accept(NOW, submission(number))
    (lease,) = queue.lease(NOW, [Slot("tracker", 1, 1)], "worker").leases
    granted = writer.call(
        lambda queue: queue.lease(NOW, [Slot("tracker", 1, 1)], "worker")
    )
    ended = writer.end(NOW, lease.token, Ending("done"))
    writer.start()
    assert [end.state for end in ended.result(60)] == ["done"]
    assert [lease.seq for lease in granted.result(60).leases] == [2]
    writer.stop(60)
    assert writer.batches == 1


def test_a_full_database_refuses_events_and_serves_endings(
    queue: SqliteQueue, writer: ThreadWriter
) -> None:
    queue.accept(NOW, submission(1))
    (lease,) = queue.lease(NOW, [Slot("tracker", 1, 1)], "worker").leases
    (pages,) = queue.database.con.execute("PRAGMA page_count").fetchone()
    queue.database.con.execute(f"PRAGMA max_page_count = {pages}")
    huge = writer.accept(NOW, submission(2)._replace(body=bytes(1 << 20)))
    ended = writer.call(lambda queue: queue.end(NOW, lease.token, Ending("done")))
    writer.start()
    assert huge.result(60).status == "storage_low"
    assert ended.result(60).state == "done"


def test_a_failing_disk_answers_nobody(queue: SqliteQueue) -> None:
    """A page of the database turns to noise under the running queue."""
    failures: list[DiskFailed] = []
    for number in range(200):
        queue.accept(NOW, submission(number, f"repo {number}"))
    queue.maintain(idle=True)
    size = queue.database.path.stat().st_size
    with queue.database.path.open("r+b") as file:
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    queue.database.con.execute("PRAGMA shrink_memory").fetchall()
    writer = ThreadWriter(queue, on_failure=failures.append)
    waiting = [
        writer.accept(NOW, submission(number, f"repo {number}"))
        for number in range(300, 500)
    ]
    writer.start()
    for answer in waiting:
        with pytest.raises(DiskFailed):
            answer.result(60)
    writer.stop(60)
    assert len(failures) == 1
    with pytest.raises(DiskFailed):
        writer.accept(NOW, submission(1)).result(0)
    with pytest.raises(DiskFailed):
        queue.accept(NOW, submission(1))


def test_a_stopped_writer_takes_nothing_more(writer: ThreadWriter) -> None:
    before = writer.accept(NOW, submission(1))
    writer.start()
    writer.stop(60)
    assert before.result(0).status == "accepted"
    with pytest.raises(NotAccepted):
        writer.accept(NOW, submission(2)).result(0)


def test_a_backup_runs_outside_any_batch(writer: ThreadWriter, tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    first = writer.accept(NOW, submission(1))
    copy = writer.call(lambda queue: queue.backup(target), alone=True)
    writer.start()
    first.result(60)
    copy.result(60)
    found = SqliteQueue(target)
    assert len(found.deliveries()) == 1
    found.close()
