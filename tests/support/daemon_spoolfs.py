"""`crashfs` with folders: what a spool needs. A folder's fsync makes the names in that
folder durable.
"""

import errno
import stat
from pathlib import PurePosixPath
from typing import Any

import mfusepy as fuse

from tests.support.crashfs import CrashFS, serve


class SpoolFS(CrashFS):
    """Folders themselves survive; names in them as in `CrashFS`."""

    def __init__(self, *, strict: bool) -> None:
        super().__init__(strict=strict)
        self.folders = {"/"}

    def mkdir(self, path: str, mode: int) -> int:
        self.folders.add(path)
        return 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path in self.folders:
            return super().getattr("/") | {"st_mode": stat.S_IFDIR | 0o700}
        return super().getattr(path, fh)

    def chmod(self, path: str, mode: int) -> int:
        return 0 if path in self.folders else super().chmod(path, mode)

    def readdir(self, path: str, fh: int) -> list[str]:
        inside = (
            PurePosixPath(name) for name in [*self.names, *(self.folders - {"/"})]
        )
        return [".", "..", *(name.name for name in inside if str(name.parent) == path)]

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        if path not in self.folders:
            raise fuse.FuseOSError(errno.ENOTDIR)
        elsewhere = {
            n: f
            for n, f in self.durable_names.items()
            if str(PurePosixPath(n).parent) != path
        }
        here = {
            n: f for n, f in self.names.items() if str(PurePosixPath(n).parent) == path
        }
        self.durable_names = elsewhere | here
        return 0


if __name__ == "__main__":
    serve(SpoolFS)
