"""F6 through a whole daemon: a sync that fails is answered by nobody, ends it with 74,
and costs no push (P14).
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oberonc.delivery import handover
from tests.support.children import child
from tests.support.daemon_site import Running, Site, push
from tests.support.store_rounds import rounds


@contextmanager
def _broken_syncs(running: Running, first: int) -> Iterator[None]:
    """From the *first* sync on all of *running* fail; begins once the tracer has hold
    of every thread.
    """
    inject = [
        "-e",
        "trace=fdatasync,fsync",
        "-e",
        f"inject=fdatasync,fsync:error=EIO:when={first}+",
    ]
    command = ["strace", "-f", "-o", "/dev/null", *inject, "-p", str(running.pid)]
    with child(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr
        if not any(b"attached" in line for line in tracer.stderr):
            pytest.skip("needs the right to trace")
        yield


@pytest.mark.parametrize("first", range(1, 1 + rounds(3)))
def test_a_failed_sync_ends_the_daemon_and_the_push_is_delivered_once_by_the_next(
    site: Site, first: int
) -> None:
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    running = site.start()
    said: list[tuple[str, str]] = []

    def submit() -> None:
        made = push()
        said.append((made["id"], handover.submit(site.config, made, 5).status))

    with _broken_syncs(running, first):
        while running.process.poll() is None and len(said) < 20:
            submit()
        assert running.wait_end() == 74
    assert "the disk failed" in running.log
    assert "Traceback" not in running.log
    submit()  # the sync that failed may have been no push's, but of a delivery's end
    assert said[-1][1] == "spooled"
    assert {answer for _, answer in said} <= {"accepted", "spooled"}
    site.start()
    site.wait_for(*(event for event, _ in said))
    ends = site.ended()
    for event, answer in said:
        # One that was answered may have been run when the daemon ended, and so run
        # twice; its delivery is one.
        assert ends.count(event) == 1 or answer == "accepted"
    assert len(site.call("delivery.list", limit=1000)["deliveries"]) == len(said)
    assert site.settled()["deliveries"]["done"] == len(said)
