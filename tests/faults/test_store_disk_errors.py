"""F6, F10: when the disk fails nobody is told "accepted", the process ends with 74, and
a restart finds all (P14).
"""

import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.store_history import History, start
from tests.support.store_process import NOW, event_of
from tests.support.store_rounds import rounds
from tests.support.store_rules import violations


def _finish(process: "subprocess.Popen[bytes]", history: History) -> int:
    assert process.stdout
    history.read(process.stdout)
    process.stdout.close()
    return process.wait(timeout=120)


def _verdict(path: Path, history: History) -> None:
    """All that was answered is there; what was not may be, and is taken once when it is
    sent again.
    """
    queue = SqliteQueue(path)
    queue.recover(NOW)
    assert history.lost(queue) == []
    assert history.invented(queue) == []
    for id in history.tried - history.answered:
        assert queue.accept(NOW, event_of(bytes.fromhex(id))).status in (
            "accepted",
            "duplicate",
        )
    assert len(queue.recent_events(10**6)) == len(history.tried)
    assert violations(queue) == []
    queue.close()


def _strace_works() -> bool:
    if not shutil.which("strace"):
        return False
    probe = ["strace", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"]
    return (
        subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode
        == 0
    )


@pytest.mark.parametrize("first", range(2))
def test_a_failed_sync_is_never_answered(tmp_path: Path, first: int) -> None:
    if not _strace_works():
        pytest.skip("needs strace and the right to trace")
    ends = set()
    for failing in range(first + 1, 2 * rounds(4) + 1, 2):
        path, history = tmp_path / f"{failing}.sqlite", History()
        inject = [
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            f"inject=fdatasync,fsync:error=EIO:when={failing}",
        ]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", *inject]
        with start(
            path, "--submitters", "2", "--count", "12", before=command
        ) as process:
            ends.add(_finish(process, history))
        _verdict(path, history)
    assert ends <= {0, 74}
    assert 74 in ends, "no sync was made to fail"


def test_a_file_that_may_not_grow_ends_the_process_and_loses_nothing(
    tmp_path: Path,
) -> None:
    path, history = tmp_path / "queue.sqlite", History()
    SqliteQueue(path).close()
    with start(path, "--submitters", "4") as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        assert _finish(process, history) == 74
    _verdict(path, history)
