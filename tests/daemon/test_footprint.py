"""What the daemon's processes load: each lives for months, and there are many."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon_site import Site, descendants, recorder


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "oberonc.daemon.service",
            {"click", "html", "oberonc.cli", "requests"},
        ),
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
    if sys.version_info >= (3, 14):  # `typing` loads it for any class with annotations
        unwanted = unwanted - {"ast"}
    assert not unwanted & set(told.stdout.split())


def test_the_daemon_keeps_neither_its_command_line_nor_what_speaks_tls(
    site: Site,
) -> None:
    running = site.start()
    words = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")
    assert words[-4:] == [b"-m", b"oberonc.daemon", bytes(site.file), b""]
    for pid in (running.pid, *descendants(running.pid)):
        assert "/_ssl." not in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize(
    ("head", "is_there"),
    [("", False), ("# posts to https://chat\n", True), ("import requests\n", True)],
)
def test_what_speaks_http_is_loaded_once_where_a_broker_has_a_use_for_it(
    site: Site, head: str, is_there: bool
) -> None:
    # in two pieces: the file must not say it
    work = "self.note(str('oberonc.kit.ht' + 'tp' in sys.modules), payload)"
    site.write("rec", recorder(work=work, head=head))
    site.configure(site.services("rec"))
    site.start()
    site.wait_for(site.submit())
    said = [row["what"] for row in site.rows()]
    assert said == ["begin", str(is_there), "end"]
