"""F2, F3: the power goes; what was answered is there, and with a weaker sync this very
test would notice (P1).
"""

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.errors import OberoncError
from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.children import child
from tests.support.eventually import eventually
from tests.support.store_history import ROOT, History, kill, start
from tests.support.store_process import NOW
from tests.support.store_rounds import rounds
from tests.support.store_rules import violations


def _missing() -> str:
    """What keeps a FUSE file system from being mounted here."""
    if not Path("/dev/fuse").exists() or os.geteuid() != 0:
        return "needs root and /dev/fuse"
    if not importlib.util.find_spec("mfusepy") or not shutil.which("fusermount3"):
        if os.environ.get("CI"):
            pytest.fail(
                "in CI the power-cut tests need mfusepy (PyPI) and fuse3 (Debian)"
            )
        return "needs mfusepy (PyPI) and fuse3 (Debian)"
    return ""


@pytest.fixture(params=["strict", "ordered"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A mounted file system with a power switch."""
    if missing := _missing():
        pytest.skip(missing)
    mount = tmp_path / "disk"
    mount.mkdir()
    command = [sys.executable, "-m", "tests.support.crashfs", str(mount), request.param]
    with child(command, cwd=ROOT, stderr=subprocess.PIPE) as server:
        eventually(lambda: os.path.ismount(mount) or server.poll() is not None, 60)
        if not os.path.ismount(mount):
            said = server.communicate()[1].decode(errors="replace")
            if os.environ.get("CI") and "not permitted" not in said:
                pytest.fail(f"cannot mount a FUSE file system: {said}")
            pytest.skip(f"cannot mount a FUSE file system: {said[-300:]}")
        yield mount
        subprocess.run(["fusermount3", "-u", "-z", str(mount)], check=True)


def _cut_power(
    disk: Path, process: "subprocess.Popen[bytes]", history: History
) -> None:
    """Freeze every thread first: nothing may be answered after the cut."""
    process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{process.pid}/task")
    deadline = time.monotonic() + 30
    while any(_state(task) != "T" for task in tasks.iterdir()):
        assert time.monotonic() < deadline, "the process does not stop"
        os.sched_yield()
    (disk / ".cut").write_bytes(b"x")
    kill(process, history)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def _run_and_cut(disk: Path, history: History, *arguments: str) -> None:
    with start(disk / "queue.sqlite", "--submitters", "4", *arguments) as process:
        assert process.stdout
        history.read(process.stdout, answers=random.randint(20, 200))
        _cut_power(disk, process, history)


def test_a_power_cut_loses_nothing_answered(disk: Path) -> None:
    history = History()
    for _ in range(rounds(2)):
        _run_and_cut(disk, history)
        queue = SqliteQueue(disk / "queue.sqlite", force=True)
        assert history.lost(queue) == []
        assert history.invented(queue) == []
        queue.recover(NOW)
        assert violations(queue) == []
        queue.close()


def test_without_a_sync_at_each_commit_the_same_cut_loses_events(disk: Path) -> None:
    history = History()
    _run_and_cut(disk, history, "--synchronous", "NORMAL")
    assert history.answered
    try:
        queue = SqliteQueue(disk / "queue.sqlite", force=True)
    except OberoncError:
        return  # not even a queue is left
    assert history.lost(queue)
    queue.close()
