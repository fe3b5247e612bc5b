"""Who is on the other end of a connection, as the kernel says, and whether the socket's
file lets them in.
"""

import ctypes
import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final, NamedTuple

from oberonc.accounts import group_name, person

#: The kernel's uid and gid for what a user namespace means nothing by here.
OVERFLOW: Final = 65534
#: The kernel's NGROUPS_MAX: no process has more groups.
MOST_GROUPS: Final = 65536
_SO_PEERGROUPS: Final = 59
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Peer(NamedTuple):
    """Who connected: process, user, primary group."""

    pid: int
    uid: int
    gid: int


def peer(connection: socket.socket) -> Peer:
    """Who connected."""
    return Peer._make(
        struct.unpack(
            "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
    )


def groups(connection: socket.socket, room: int = 256) -> frozenset[int]:
    """The supplementary groups of who connected. Raises OSError where the kernel does
    not tell.

    By ctypes: Python's getsockopt takes 1,024 bytes at most, which is 256 groups.
    """
    while True:
        found = (ctypes.c_uint32 * room)()
        length = ctypes.c_uint32(ctypes.sizeof(found))
        arguments = (
            connection.fileno(),
            socket.SOL_SOCKET,
            _SO_PEERGROUPS,
            found,
            ctypes.byref(length),
        )
        if _LIBC.getsockopt(*arguments) == 0:
            return frozenset(found[: length.value // ctypes.sizeof(ctypes.c_uint32)])
        error = ctypes.get_errno()
        if error != errno.ERANGE or room >= MOST_GROUPS:
            raise OSError(error, os.strerror(error))
        room = min(2 * room, MOST_GROUPS)


def barred(who: Peer, connection: socket.socket, listener: socket.socket) -> str:
    """Why the mode of the socket's file keeps *who* out; empty where it does not. What
    cannot be learnt does.

    Root and we ourselves always may.
    """
    if who.uid in (0, os.geteuid()):
        return ""
    if who.uid == OVERFLOW:
        return "the kernel knows no account of this machine for it"
    try:
        facts = Path(listener.getsockname()).stat()
    except OSError as error:
        return f"the mode of the socket's file cannot be learnt: {error.strerror}"
    if facts.st_mode & stat.S_IWOTH or (
        facts.st_uid == who.uid and facts.st_mode & stat.S_IWUSR
    ):
        return ""
    if not facts.st_mode & stat.S_IWGRP:
        return f"only {person(facts.st_uid)} may"
    if who.gid == facts.st_gid != OVERFLOW:
        return ""
    try:
        mine = groups(connection) - {OVERFLOW}
    except OSError as error:
        return f"its groups cannot be learnt: {error.strerror}"
    return (
        ""
        if facts.st_gid in mine
        else f"it is not in the group {group_name(facts.st_gid)}"
    )
