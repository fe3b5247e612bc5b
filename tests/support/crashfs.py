"""A file system with a power switch: `python crashfs.py MOUNT_POINT strict|ordered`.

One flat folder in memory. What processes see is volatile; what a file's fsync saw is
durable. Whether a new file's *name* is durable without an fsync of the folder is the
mode: `strict` says no, as POSIX allows; `ordered` says yes, as ext4 does. Writing to
`.cut` cuts the power: all that is not durable is gone.
"""

import errno
import os
import stat
import sys
from typing import Any

import mfusepy as fuse


class File:
    """A file's bytes as processes see them, and as the last fsync left them."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.synced = b""
        self.mode = stat.S_IFREG | 0o600


class CrashFS(fuse.Operations):  # type: ignore[misc]
    """Served by one thread, so nothing here needs a lock."""

    use_ns = True

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.names: dict[str, File] = {}
        self.durable_names: dict[str, File] = {}
        self.handles: dict[int, File] = {}
        self.switch = File()
        self.next_handle = 1

    def _file(self, path: str) -> File:
        if path == "/.cut":
            return self.switch
        try:
            return self.names[path]
        except KeyError:
            raise fuse.FuseOSError(errno.ENOENT) from None

    def _handle(self, file: File) -> int:
        self.handles[self.next_handle] = file
        self.next_handle += 1
        return self.next_handle - 1

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2, **owner}
        file = self._file(path)
        return {"st_mode": file.mode, "st_nlink": 1, "st_size": len(file.seen), **owner}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(name[1:] for name in self.names)]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self.names[path] = File()
        return self._handle(self.names[path])

    def open(self, path: str, flags: int) -> int:
        return self._handle(self._file(path))

    def release(self, path: str, fh: int) -> int:
        self.handles.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self.handles[fh].seen[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == "/.cut":
            self._cut()
            return len(data)
        seen = self.handles[fh].seen
        seen.extend(bytes(max(0, offset - len(seen))))
        seen[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        seen = self._file(path).seen
        del seen[length:]
        seen.extend(bytes(length - len(seen)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        file = self.handles[fh]
        file.synced = bytes(file.seen)
        if not self.strict:
            self.durable_names |= {
                name: kept for name, kept in self.names.items() if kept is file
            }
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self.durable_names = dict(self.names)
        return 0

    def unlink(self, path: str) -> int:
        self._file(path)
        del self.names[path]
        return 0

    def rename(self, old: str, new: str) -> int:
        self.names[new] = self.names.pop(old)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._file(path).mode = mode
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": 1 << 20,
            "f_bavail": 1 << 20,
            "f_bfree": 1 << 20,
        }

    def _cut(self) -> None:
        """Everybody with an open file keeps the old one; who opens anew finds what was
        durable.
        """
        kept = {}
        for name, file in self.durable_names.items():
            kept[name] = File()
            kept[name].seen, kept[name].synced = bytearray(file.synced), file.synced
        self.names, self.durable_names = kept, dict(kept)


def serve(kind: type[CrashFS]) -> None:
    """Mount *kind* at the folder that the command line names, until it is unmounted."""
    # No caches in the kernel: after a cut it must not remember what is gone.
    options = {
        "direct_io": True,
        "attr_timeout": 0,
        "entry_timeout": 0,
        "negative_timeout": 0,
    }
    fuse.FUSE(
        kind(strict=sys.argv[2] == "strict"),
        sys.argv[1],
        foreground=True,
        nothreads=True,
        **options,
    )


if __name__ == "__main__":
    serve(CrashFS)
