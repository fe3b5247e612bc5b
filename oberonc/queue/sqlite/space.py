"""The free space beside the database, and what is kept back of it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from oberonc.files import sync
from oberonc.queue.values import Room

#: Size of the file that is given back to the file system when a commit did not fit.
BALLAST_BYTES: Final = 8 << 20
#: New events are taken again at this many times the space below which they are not.
_RESUME: Final = 1.02


class Space:
    """Free space beside the database, and the ballast.

    At a full disk endings fail like new events do: the ballast is what they then get.
    """

    def __init__(self, database: Path, threshold: int, ballast: int) -> None:
        self._folder = database.parent
        self._path = database.with_name(database.name + ".ballast")
        self._threshold = threshold
        self._size = ballast
        self._held = False
        self.room = Room(0, threshold, low=False)
        self.look()

    def look(self) -> None:
        """Measure; keep the ballast while there is room for it."""
        status = os.statvfs(self._folder)
        free = status.f_bavail * status.f_frsize
        # Two thresholds, so that a disk at the edge does not flap.
        enough = self._threshold * _RESUME if self.room.low else self._threshold
        self.room = Room(free, self._threshold, free < enough)
        if not self._held and free >= self._threshold + self._size:
            self._take()

    def keep_free(self, threshold: int) -> None:
        """Space is low from now on below *threshold* bytes."""
        self._threshold = threshold
        self.look()

    def release(self) -> None:
        """Give the ballast back. New events are refused until there is room again."""
        self._path.unlink(missing_ok=True)
        self._held = False
        self.room = self.room._replace(low=True)

    def _take(self) -> None:
        flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
            sync(self._path)
            self._held = True
        except OSError:
            # No room after all, or a file system without fallocate: go without it.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
