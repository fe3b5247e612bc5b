"""Payloads kept on disk: what no daemon took, and what did not end when brokers ran
here.

An entry is {"payload": {...}, "services": null | {NAME: {"attempts", "first",
"error"}}}: null means every service that matches, a table means only those. A file is
written in tmp/, synced, renamed into new/, and the folders are synced: without the
file's sync a power cut leaves an empty file, without the folder's none.

A file is called TIME-MARK-ID.ob (nanoseconds, the mark of its repository's name, the
event's id), so that who works for one repository opens only its files. The older form
TIME-ID.ob does not tell: such a file is opened by all.

A spool is private (0700), shared by a group (2770), or a drop box (tmp/ and new/ 3733,
in a folder that only those who may hand in can pass): who passes puts files in and can
list, read or remove nobody else's.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from oberonc import files, jsontext
from oberonc.errors import NotAccepted

Entry = dict[str, Any]

_MAGIC = b"oberonc-spool 1"
_END = b"\nEND\n"
#: Bytes of one file: the largest payload and room for what stands around it.
LARGEST = 16 * 1024 * 1024
#: Bytes of a reason that are read.
LONGEST_REASON = 16 * 1024
FOLDERS = ("tmp", "new", "bad", "dead", "lock")
#: Hex digits of a repository's mark.
_MARK = 16
#: Files in bad/, the reasons among them, and bytes of them.
_REJECTED = 2000
_REJECTED_BYTES = 256 << 20
#: What one sweep looks at: a drop box may hold any number of files.
_SWEPT = 10_000


class Damaged(Exception):
    """A spool file that is not what was written; the text says how."""


class Found(NamedTuple):
    """A kept file: what is in it, the account that owns it, and whether nobody else can
    have written it.
    """

    entry: Entry
    uid: int
    proven: bool


class Written(NamedTuple):
    """A file that was written; whoever works on it replaces it by another one."""

    path: Path
    inode: int
    mtime_ns: int

    def is_untouched(self) -> bool:
        """Whether nobody replaced or removed it since."""
        try:
            facts = self.path.lstat()
        except OSError:
            return False
        return (facts.st_ino, facts.st_mtime_ns) == (self.inode, self.mtime_ns)


def make(folder: Path) -> None:
    """Create the spool, or what is missing of ours; what another account's lacks is for
    that account to make.
    """
    if folder.is_dir():
        facts = folder.stat()
        if facts.st_uid != os.geteuid() and not files.is_shared(facts):
            return
    for path in (folder, *(folder / name for name in FOLDERS)):
        if not path.is_dir():
            files.make_private(path)


def mark(repository: str) -> str:
    """What stands for *repository* in the names of its files."""
    return _digest(repository.encode("utf-8", "replace")).decode()[:_MARK]


def mark_in(name: str) -> str:
    """The mark in a file's name; empty for the older form, which has none."""
    parts = name.split("-")
    return parts[1] if len(parts) == 3 and len(parts[1]) == _MARK else ""


def put(folder: Path, entry: Entry, name: str | None = None) -> Path:
    """Keep *entry* durably: once this returns it survives a power cut. *name* replaces
    an older file.

    Raises NotAccepted when the disk does not take it.
    """
    return write(folder, entry, name or new_name(entry["payload"])).path


def write(folder: Path, entry: Entry, name: str) -> Written:
    """As `put`, and returns what can tell the file from one that replaces it."""
    path, raw = folder / "new" / name, _encode(entry)
    temporary = _temporary(path)
    try:
        make(folder)
        facts = files.put_private(path, raw, temporary)
    except OSError as error:
        raise NotAccepted(
            f"cannot keep the push in {folder}: {error.strerror or error}"
        ) from None
    return Written(path, facts.st_ino, facts.st_mtime_ns)


def _temporary(path: Path) -> Path:
    """A new name to write *path* under, in tmp/ of its spool."""
    name = f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}"
    return path.parent.parent / "tmp" / name


def new_name(payload: dict[str, Any]) -> str:
    """A name for a new file of *payload*: later ones sort behind it."""
    return f"{time.time_ns():020d}-{mark(_repository(payload))}-{payload['id']}.ob"


def _repository(payload: dict[str, Any]) -> str:
    about = payload.get("repository")
    name = about.get("full_name") if isinstance(about, dict) else None
    return name if isinstance(name, str) else ""


def _digest(raw: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(raw).hexdigest().encode()


def _encode(entry: Entry) -> bytes:
    body = json.dumps(entry, separators=(",", ":")).encode()
    digest = _digest(body)
    return b"%s %d %s\n%s%s" % (_MAGIC, len(body), digest, body, _END)


def listing(folder: Path, repository: str | None = None) -> list[Path]:
    """The kept files, oldest first; empty where there is no spool or it cannot be
    listed.

    With *repository* only those that can be of it.
    """
    try:
        found = sorted(
            path for path in (folder / "new").iterdir() if path.suffix == ".ob"
        )
    except OSError:
        return []
    if repository is None or not found:
        return found
    wanted = ("", mark(repository))
    return [path for path in found if mark_in(path.name) in wanted]


def read(path: Path) -> Entry:
    """The entry in *path*; raises as `look` does."""
    return look(path).entry


def look(path: Path) -> Found:
    """What *path* holds and whose it is. Raises Damaged with the reason,
    FileNotFoundError when it is gone.

    Any other OSError (somebody else's file, a disk in trouble) says nothing about the
    file: it may be good.
    """
    # A FIFO or link planted here must neither block us nor lead us elsewhere.
    try:
        handle = os.open(
            path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Damaged("it is not a plain file of its own") from None
        raise
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            raise Damaged("it is not a plain file of its own")
        if facts.st_size > LARGEST:
            raise Damaged(f"it is larger than {LARGEST} bytes")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            # its owner may be writing to it still
            entry = _decode(stream.read(LARGEST + 1))
        if mark_in(path.name) not in ("", mark(_repository(entry["payload"]))):
            raise Damaged("its name is that of another repository")
        return Found(entry, facts.st_uid, _is_proven(facts, path.parent.stat()))
    finally:
        os.close(handle)


def _is_proven(facts: os.stat_result, folder: os.stat_result) -> bool:
    """Whether only its owner can have written a file with *facts* in *folder*.

    Where strangers may put files one could have been moved there from a folder of
    theirs, in which somebody else wrote it; then it does not have the group that a drop
    box gives to what is made in it.
    """
    if facts.st_mode & 0o022:
        return False
    return (
        facts.st_gid == folder.st_gid
        if files.is_drop_box(folder)
        else not folder.st_mode & 0o022
    )


def _decode(raw: bytes) -> Entry:
    head, _, tail = raw.partition(b"\n")
    fields = head.split(b" ")
    if (
        b" ".join(fields[:2]) != _MAGIC
        or len(fields) != 4
        or not fields[2].isdigit()
        or len(fields[2]) > 9
    ):
        raise Damaged("it does not begin as a spool file does")
    size = int(fields[2])
    body = tail[:size]
    if tail[size:] != _END or _digest(body) != fields[3]:
        raise Damaged("it was not written to its end")
    try:
        entry: Entry = jsontext.strict(body)
    except ValueError as error:
        raise Damaged(f"it does not hold JSON: {str(error)[:200]}") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("payload"), dict):
        raise Damaged("it holds no payload")
    return entry


def remove(path: Path) -> None:
    """Forget a kept file; it was taken over. No sync: a copy that comes back is
    recognised by its id.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def reject(path: Path, why: str) -> Path:
    """Put a file that cannot be used into bad/, with the reason beside it."""
    kept = path.parent.parent / "bad" / path.name
    path.rename(kept)
    _put_reason(kept, why)
    return kept


def rejected(folder: Path) -> list[Path]:
    """The files that were put into bad/; empty where they cannot be listed."""
    try:
        return [path for path in (folder / "bad").iterdir() if path.suffix == ".ob"]
    except OSError:
        return []


def forget_rejected(folder: Path, keep: float) -> int:
    """Remove from bad/ what has been there for *keep* seconds, and the oldest of what
    is too much; returns how many.
    """
    try:
        with os.scandir(folder / "bad") as found:
            kept = [(item.stat(follow_symlinks=False), item.path) for item in found]
    except OSError:
        return 0
    kept.sort(key=lambda one: one[0].st_ctime, reverse=True)
    gone = size = 0
    for place, (facts, path) in enumerate(kept):
        size += facts.st_size
        # When it was put there, by the file system: what is in it and beside it is a
        # stranger's.
        if (
            place >= _REJECTED
            or size > _REJECTED_BYTES
            or facts.st_ctime < time.time() - keep
        ):
            with contextlib.suppress(OSError):
                (os.rmdir if stat.S_ISDIR(facts.st_mode) else os.unlink)(path)
                gone += 1
    return gone


def bury(folder: Path, payload: dict[str, Any], service: str, why: str = "") -> Path:
    """Keep the payload of a dead delivery as a file that `oberonc send --payload`
    takes, and the reason beside it.
    """
    make(folder)
    letter = folder / "dead" / f"{payload['id']}-{service}.json"
    files.put_private(
        letter, json.dumps(payload, indent=1).encode(), _temporary(letter)
    )
    _put_reason(letter, why)
    return letter


def _put_reason(file: Path, why: str) -> None:
    # a full disk, or a name with no room for more: the reason is in the log
    with contextlib.suppress(OSError):
        reason, raw = file.with_suffix(".why"), f"{why}\n".encode("utf-8", "replace")
        files.put_private(reason, raw, _temporary(reason), durable=False)


def why_dead(letter: Path) -> str:
    """Why the delivery of a dead letter was given up; empty where nobody can tell."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(letter.with_suffix(".why"), flags), "rb") as stream:
            return stream.read(LONGEST_REASON).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left half written a day ago."""
    with contextlib.suppress(OSError), os.scandir(folder / "tmp") as found:
        for item in islice(found, _SWEPT):
            # somebody else's folder in a drop box must not stop the rest
            with contextlib.suppress(OSError):
                if item.stat(follow_symlinks=False).st_mtime < time.time() - 86_400:
                    Path(item.path).unlink()


@contextlib.contextmanager
def lane(
    folder: Path,
    repository: str,
    deadline: float,
    give_up: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Exclusive work on one repository's entries; yields False when another process
    held it until *deadline*.
    """
    make(folder)
    path = folder / "lock" / mark(repository)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with contextlib.suppress(PermissionError):  # another user's, who did this
            os.fchmod(handle, files.file_mode(folder / "lock"))
        yield _lock(handle, deadline, give_up)
    finally:
        os.close(handle)


def _lock(handle: int, deadline: float, give_up: Callable[[], bool]) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline or give_up():
                return False
            time.sleep(0.05)
