"""F6 through a whole daemon: a sync that fails is answered by nobody, ends it with 74, and costs no push (P14)."""

import shutil
import subprocess

import pytest

from oberonc import client
from tests.support.daemon_site import Running, Site, push
from tests.support.store_rounds import rounds


def _break_syncs(running: Running, first: int) -> "subprocess.Popen[bytes]":
    """From the *first* sync on all of *running* fail; returns the tracer once it has hold of every thread."""
    inject = ["-e", "trace=fdatasync,fsync", "-e", f"inject=fdatasync,fsync:error=EIO:when={first}+"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", "/dev/null", *inject, "-p", str(running.pid)], stderr=subprocess.PIPE
    )
    assert tracer.stderr
    for line in tracer.stderr:
        if b"attached" in line:
            return tracer
    pytest.skip("needs the right to trace")


@pytest.mark.parametrize("first", range(1, 1 + rounds(3)))
def test_a_failed_sync_ends_the_daemon_and_the_push_is_delivered_once_by_the_next(site: Site, first: int) -> None:
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    running = site.start()
    tracer = _break_syncs(running, first)
    said: list[tuple[str, str]] = []
    while running.process.poll() is None and len(said) < 20:
        made = push()
        said.append((made["id"], client.submit(site.config, made, 5)))
    assert running.wait_end() == 74
    tracer.communicate(timeout=60)
    assert "the disk failed" in running.log
    assert "Traceback" not in running.log
    assert "spooled" in {answer for _, answer in said}
    site.start()
    site.wait_for(*(event for event, _ in said))
    ends = site.ended()
    for event, answer in said:
        # One that was answered may have been run when the daemon ended, and so run twice; its delivery is one.
        assert ends.count(event) == 1 or answer == "accepted"
    assert len(site.call("delivery.list", limit=1000)["deliveries"]) == len(said)
    assert site.settled()["deliveries"]["done"] == len(said)
