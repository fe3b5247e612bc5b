"""The file system under the queue: is it one to trust, is there room, and the ballast
for endings.
"""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from oberonc.config import LOW_SPACE
from oberonc.errors import ConfigError
from oberonc.queue.values import Room

#: Stop accepting below this much free space, and start again 2 % above it.
RESERVE_BYTES: Final = LOW_SPACE
#: Size of the file that is given back to the file system when a commit did not fit.
BALLAST_BYTES: Final = 8 << 20
_RESUME: Final = 1.02

#: Where locks, mmap or fsync are not what SQLite needs. From statfs(2).
_UNSAFE: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x65735546: "FUSE",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x01021997: "9P",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x786F4256: "VirtualBox shared folders",
}


def unsafe_filesystem(folder: Path) -> str | None:
    """The name of the file system of *folder* where a database must not live there,
    else None.
    """
    if not sys.platform.startswith("linux"):
        return None
    # struct statfs has some 120 bytes; f_type comes first
    answer = ctypes.create_string_buffer(512)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(folder), answer):
        raise ConfigError(f"{folder}: {os.strerror(ctypes.get_errno())}")
    magic = ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF
    return _UNSAFE.get(magic)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Space:
    """Free space beside the database, and the ballast.

    At a full disk endings fail like new events do: the ballast is what they then get.
    """

    def __init__(
        self, database: Path, reserve: int = RESERVE_BYTES, ballast: int = BALLAST_BYTES
    ) -> None:
        self._folder = database.parent
        self._path = database.with_name(database.name + ".ballast")
        self.reserve = reserve
        self._size = ballast
        self._held = False
        self.room = Room(0, reserve, False)
        self.look()

    def look(self) -> None:
        """Measure; keep the ballast while there is room for it."""
        status = os.statvfs(self._folder)
        free = status.f_bavail * status.f_frsize
        # Two thresholds, so that a disk at the edge does not flap.
        self.room = Room(
            free,
            self.reserve,
            free < (self.reserve * _RESUME if self.room.low else self.reserve),
        )
        if not self._held and free >= self.reserve + self._size:
            self._take()

    def release(self) -> None:
        """Give the ballast back. New events are refused until there is room again."""
        self._path.unlink(missing_ok=True)
        self._held = False
        self.room = self.room._replace(low=True)

    def _take(self) -> None:
        try:
            descriptor = os.open(
                self._path,
                os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
            )
            try:
                os.posix_fallocate(descriptor, 0, self._size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._held = True
        except OSError:
            # No room after all, or a file system without fallocate: go without it.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
