"""Files in folders that others may write: made, replaced and read so that nobody else's
file is touched.

A folder is opened once, component by component and through no link, and everything is
done relative to it: what is put in its place meanwhile is not followed. New files have
random names, and modes that no umask changes.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DOWN = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Enough to pass through a folder that may not be listed.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | _DOWN


@contextmanager
def folder(path: Path, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder *path*, which is absolute and holds no link; *make*:
    with what is missing, 0755.

    Raises OSError, where there is a link on the way too.
    """
    handle = os.open("/", _PASS)
    try:
        for name in path.parts[1:]:
            below = _down(handle, name, make)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _down(handle: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _PASS, dir_fd=handle)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, 0o755, dir_fd=handle)
    made = os.open(name, os.O_RDONLY | _DOWN, dir_fd=handle)
    os.fchmod(made, 0o755)
    return made


def put(handle: int, name: str, data: bytes, mode: int) -> None:
    """Make or replace the file *name* of the open folder *handle*, whole or not at all.

    What root makes in the folder of another account is that account's.
    """
    temporary = f".oberonc-{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    made = os.open(temporary, flags, 0o600, dir_fd=handle)
    try:
        with os.fdopen(made, "wb") as stream:
            if os.geteuid() == 0:
                owner = os.fstat(handle)
                os.fchown(made, owner.st_uid, owner.st_gid)
            os.fchmod(made, mode)
            stream.write(data)
            stream.flush()
            os.fsync(made)
        move(handle, temporary, name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=handle)
        raise


def move(handle: int, old: str, new: str) -> None:
    """Rename within the open folder *handle*."""
    os.rename(old, new, src_dir_fd=handle, dst_dir_fd=handle)


def is_there(handle: int, name: str) -> bool:
    """Whether the open folder *handle* has anything called *name*, a dangling link
    included.
    """
    try:
        os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def read(path: Path, most: int = 1 << 16) -> bytes | None:
    """The first *most* bytes of *path*; None where it is a link, no plain file, or may
    not be read.
    """
    try:
        handle = os.open(
            path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError:
        return None
    try:
        return os.read(handle, most) if stat.S_ISREG(os.fstat(handle).st_mode) else None
    finally:
        os.close(handle)
