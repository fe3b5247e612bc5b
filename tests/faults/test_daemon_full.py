"""P12: a disk that fills up under the daemon: pushes go to the spool, what was accepted
ends, and it resumes.
"""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from oberonc.delivery import handover
from tests.support.daemon_site import Site, push, recorder
from tests.support.eventually import eventually

MIB = 1 << 20


@pytest.fixture
def small(site: Site) -> Iterator[Site]:
    """The state folder on a file system of 256 MiB, the spool on another disk."""
    site.state.mkdir()
    command = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=256m,mode=0700",
        "oberonc-test",
        str(site.state),
    ]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    text = site.file.read_text()
    site.file.write_text(f'spool = "{site.folder}/spool"\n{text}')
    yield site
    site.close()
    subprocess.run(["umount", "-l", str(site.state)], check=True)


def test_a_full_disk(small: Site) -> None:
    """F8."""
    gate = small.folder / "gate"
    small.write(
        "rec", recorder(f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    )
    small.start()
    accepted = small.submit()
    eventually(small.begun)
    ballast = small.state / "ballast-of-somebody-else"
    with ballast.open("wb") as stream:
        room = os.statvfs(small.state)
        stream.write(b"\0" * (room.f_bavail * room.f_frsize - 20 * MIB))
    refused = [push() for _ in range(3)]
    for made in refused:
        assert handover.submit(small.config, made, 5).status == "spooled"
    assert small.stats()["storage_low"]
    gate.touch()
    small.wait_for(accepted)
    small.settled(done=1)
    ballast.unlink()
    began = time.monotonic()
    small.wait_for(*(made["id"] for made in refused))
    assert time.monotonic() - began < 15
    small.settled(done=4)
    assert small.begun() == [accepted, *(made["id"] for made in refused)]
