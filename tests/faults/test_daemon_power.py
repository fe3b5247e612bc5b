"""F4: the power goes while a client spools. What it was told is kept is kept (P1);
nothing is ever half taken.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oberonc.delivery import spool
from tests.support.children import child
from tests.support.daemon_site import push
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
Sync = Callable[[int], None]


class PowerCut(Exception):
    """Raised where the power goes."""


@pytest.fixture(params=["strict", "ordered"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system with a power switch."""
    tools = importlib.util.find_spec("mfusepy") and shutil.which("fusermount3")
    if not Path("/dev/fuse").exists() or os.geteuid() != 0 or not tools:
        if os.environ.get("CI") and os.geteuid() == 0 and Path("/dev/fuse").exists():
            pytest.fail(
                "in CI the power-cut tests need mfusepy (PyPI) and fuse3 (Debian)"
            )
        pytest.skip("needs root, /dev/fuse, mfusepy (PyPI) and fuse3 (Debian)")
    mount = tmp_path / "disk"
    mount.mkdir()
    log = tmp_path / "fuse.log"
    with log.open("wb") as said:
        command = [
            sys.executable,
            "-m",
            "tests.support.daemon_spoolfs",
            str(mount),
            request.param,
        ]
        with child(command, cwd=ROOT, stderr=said) as server:
            eventually(lambda: os.path.ismount(mount) or server.poll() is not None, 60)
            if not os.path.ismount(mount):
                pytest.skip(
                    f"cannot mount a FUSE file system: {log.read_text()[-300:]}"
                )
            yield mount
            subprocess.run(["fusermount3", "-u", "-z", str(mount)], check=True)


def _put(disk: Path) -> tuple[Path, dict[str, object]]:
    entry: dict[str, object] = {"payload": push(), "services": None}
    spool.make(disk)
    return spool.put(disk, entry), entry


def _cut(disk: Path) -> None:
    (disk / ".cut").write_bytes(b"x")


def _whole(path: Path) -> dict[str, object] | None:
    try:
        return spool.read(path)
    except (spool.Damaged, FileNotFoundError):
        return None


def test_what_the_client_was_told_is_kept_is_kept(disk: Path) -> None:
    kept = [_put(disk) for _ in range(3)]
    _cut(disk)
    assert spool.listing(disk) == [path for path, _ in kept]
    assert [_whole(path) for path, _ in kept] == [entry for _, entry in kept]


@pytest.mark.parametrize("step", [1, 2])
def test_cut_within_a_step_leaves_the_whole_or_nothing(
    disk: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the file's sync, and before the folder's: what is found then is whole, or
    is recognised as torn.
    """
    real, calls = os.fsync, [0]

    def fsync(fd: int) -> None:
        calls[0] += 1
        if calls[0] == step:
            raise PowerCut
        real(fd)

    _put(disk)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(PowerCut):
            _put(disk)
    _cut(disk)
    assert len([path for path in spool.listing(disk) if _whole(path)]) >= 1
    assert _whole(_put(disk)[0])


@pytest.mark.parametrize("skipped", [stat.S_ISREG, stat.S_ISDIR])
def test_without_either_sync_the_same_cut_loses_it(
    disk: Path, skipped: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutants: each sync is needed."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if not skipped(os.fstat(fd).st_mode):
            real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    path, _entry = _put(disk)
    _cut(disk)
    assert _whole(path) is None
