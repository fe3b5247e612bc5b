"""Files: made, replaced, read and synced so that nobody else's is touched, and with
modes that no umask changes.

Where others may write on the way to a folder, it is opened once, component by component
and through no link (`folder`), and everything is done relative to it: what is put in
its place meanwhile is not followed. Folders of our own (`make_private` and what
follows) are named by their paths.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_DOWN = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Enough to pass through a folder that may not be listed.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | _DOWN


class folder:
    """As a context: a descriptor of the folder *path*, which is absolute and holds no
    link; *make*: with what is missing, 0755.

    Raises OSError, where there is a link on the way too.
    """

    def __init__(self, path: Path, make: bool = False) -> None:
        self._path, self._make = path, make

    def __enter__(self) -> int:
        self._handle = os.open("/", _PASS)
        try:
            for name in self._path.parts[1:]:
                below = _down(self._handle, name, self._make)
                os.close(self._handle)
                self._handle = below
        except BaseException:
            os.close(self._handle)
            raise
        return self._handle

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _down(handle: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _PASS, dir_fd=handle)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o755, dir_fd=handle)
    except FileExistsError:  # by somebody else, meanwhile
        return os.open(name, _PASS, dir_fd=handle)
    made = os.open(name, os.O_RDONLY | _DOWN, dir_fd=handle)
    if os.geteuid() == 0:
        owner = os.fstat(handle)
        os.fchown(made, owner.st_uid, owner.st_gid)
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
        try:
            os.unlink(temporary, dir_fd=handle)
        except OSError:
            pass
        raise


def move(handle: int, old: str, new: str) -> None:
    """Rename within the open folder *handle*."""
    os.rename(old, new, src_dir_fd=handle, dst_dir_fd=handle)


def names(handle: int) -> list[str]:
    """What is in the open folder *handle*."""
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    try:
        return os.listdir(listed)
    finally:
        os.close(listed)


def is_there(handle: int, name: str) -> bool:
    """Whether the open folder *handle* has anything called *name*,
    a dangling link included.
    """
    try:
        os.stat(name, dir_fd=handle, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read(path: Path, most: int = 1 << 16) -> bytes | None:
    """The first *most* bytes of *path*;
    None where it is a link, no plain file, or may not be read.
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


def make_private(path: str | Path) -> None:
    """Create the folder *path*, and what is missing above it, for its owner alone.

    Where the folder above is shared with a group, it is for that group.
    """
    parent = os.path.dirname(path) or "."
    if not os.path.isdir(parent):
        make_private(parent)
    try:
        os.mkdir(path, mode=0o700)
    except FileExistsError:
        return
    above = os.stat(parent)
    if is_shared(above):
        try:
            os.chown(path, -1, above.st_gid)
            os.chmod(path, 0o2770)  # noqa: S103  as the folder above is
        except PermissionError:
            pass


def file_mode(path: str | Path) -> int:
    """The mode of a file in the folder *path*: as private as the folder is. In a drop
    box its group, the daemon's, reads it.
    """
    facts = os.stat(path)
    if is_drop_box(facts):
        return 0o640
    return 0o660 if is_shared(facts) else 0o600


def is_shared(facts: os.stat_result) -> bool:
    """Whether the group, and not everybody as in /tmp, may write a folder with *facts*
    and what is in it.
    """
    return facts.st_mode & 0o1022 == 0o020


def is_drop_box(facts: os.stat_result) -> bool:
    """Whether a folder with *facts* is one that
    several accounts put files into, each its own.
    """
    return facts.st_mode & 0o3000 == 0o3000


def put_private(
    path: str | Path, data: bytes, by: str | Path, durable: bool = True
) -> os.stat_result:
    """Make or replace *path* by way of *by*, a new name on the same disk; whole or not
    at all, and as private as its folder is.

    Once this returns it survives a power cut, where *durable*: without the file's sync
    one leaves an empty file, without the folder's none. Returns what the file is, as
    long as nobody replaces it. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(by, flags, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as stream:
            os.fchmod(handle, file_mode(os.path.dirname(path)))
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(handle)
        facts = os.fstat(handle)
        os.rename(by, path)
        # From here on it is kept, whatever is said of the folder: to report a failure
        # would be false.
        try:
            if durable:
                _sync_names(os.path.dirname(path), handle)
        except OSError:
            pass
        return facts
    except OSError:
        try:
            os.unlink(by)
        except OSError:
            pass
        raise
    finally:
        os.close(handle)


def _sync_names(path: str, inside: int) -> None:
    """Make the names in the folder *path* durable. *inside* is an open file there, for
    a folder that we may not read: its whole disk is synced then.
    """
    try:
        sync(path)
    except PermissionError:
        try:
            import ctypes  # Python has no syncfs

            ctypes.CDLL(None).syncfs(inside)
        # Debian's python3-minimal comes without ctypes
        except (ImportError, AttributeError):
            os.sync()


def sync(path: str | Path) -> None:
    """Make what is in the file, or the names in the folder,
    *path* durable. Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_within(handle: int, seconds: float) -> bool:
    """Whether the lock on the open file *handle* could be had alone within *seconds*.
    Raises OSError where the file system has no locks.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
