"""What the daemon's processes load: each lives for months, and there are many."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_site import Site, descendants


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("oberonc.daemon.service", {"click", "html", "oberonc.cli", "requests"}),
        (
            "oberonc.daemon.child.host",
            {"asyncio", "ast", "click", "hashlib", "html", "inspect", "tempfile"},
        ),
    ],
)
def test_a_process_of_the_daemon_loads_nothing_it_seldom_needs(
    module: str, unwanted: set[str]
) -> None:
    told = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys, {module}; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert module in told.stdout.split()
    assert not unwanted & set(told.stdout.split())


def test_the_daemon_keeps_neither_its_command_line_nor_what_speaks_tls(
    site: Site,
) -> None:
    running = site.start()
    words = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")
    assert words[-4:] == [b"-m", b"oberonc.daemon", bytes(site.file), b""]
    for pid in (running.pid, *descendants(running.pid)):
        assert "/_ssl." not in Path(f"/proc/{pid}/maps").read_text()
