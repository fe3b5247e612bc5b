"""S1, S2: who may use a socket is decided by what the kernel says of the caller, and a
refusal is seen.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oberonc.daemon.front import peers
from oberonc.daemon.sparing import EVERY, MOST_KINDS, Sparing
from tests.support.daemon_site import Site
from tests.support.eventually import eventually

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to become other people"
)

#: A group and an account that no machine has.
GROUP = 47110
ACCOUNT = 54321


def _ask(path: Path, *groups: int, gid: int = ACCOUNT, uid: int = ACCOUNT) -> bytes:
    """What the daemon answers to a ping of somebody with these groups."""
    code = (
        "import os, socket, sys\n"
        "path, uid, gid, *groups = sys.argv[1:]\n"
        "os.setgroups(list(map(int, groups)))\n"
        "os.setgid(int(gid))\n"
        "os.setuid(int(uid))\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(path)\n"
        "s.sendall(b'OB\\x01\\x00\\x00\\x00\\x00\\x0d' + b'{\"op\":\"ping\"}')\n"
        "print(s.recv(4096))\n"
    )
    words = [str(path), str(uid), str(gid), *map(str, groups)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def shared(site: Site) -> Site:
    """A daemon whose submit socket is for the members of a group, as shipped."""
    site.start()
    site.folder.chmod(0o755)
    os.chown(site.socket, -1, GROUP)
    return site


@needs_root
@pytest.mark.parametrize("others", [0, 1, 255, 256, 257, 1000])
def test_a_member_of_the_sockets_group_may_whatever_other_groups_they_have(
    shared: Site, others: int
) -> None:
    assert b'"ok":true' in _ask(shared.socket, *range(100_000, 100_000 + others), GROUP)


@needs_root
def test_the_primary_group_counts_too(shared: Site) -> None:
    assert b'"ok":true' in _ask(shared.socket, gid=GROUP)


@needs_root
def test_who_is_not_in_the_group_does_not_come_in(shared: Site) -> None:
    assert b"PermissionError" in _ask(shared.socket, *range(100_000, 100_400))


@needs_root
def test_a_refusal_names_the_group_is_counted_and_logged_once_a_minute(
    shared: Site,
) -> None:
    code = (
        "import os, socket, sys\n"
        "found = [socket.socket(socket.AF_UNIX) for _ in range(3)]\n"
        "os.setegid(int(sys.argv[3]))\n"
        "os.seteuid(int(sys.argv[2]))\n"
        "for s in found:\n"
        "    s.connect(sys.argv[1])\n"
        "    print(s.recv(4096))\n"
    )
    # One name for the kernel, another mode for the daemon's look: a bind mount or a
    # moved file does the same.
    moved = shared.folder / "moved"
    shared.socket.rename(moved)
    moved.chmod(0o666)
    with socket.socket(socket.AF_UNIX) as stand_in:
        stand_in.bind(str(shared.socket))
        os.chown(shared.socket, -1, GROUP)
        shared.socket.chmod(0o660)
        words = [str(moved), str(ACCOUNT), str(ACCOUNT)]
        said = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert said.count("forbidden") == 3
        assert (
            f"uid {ACCOUNT} may not use this socket: it is not in the group {GROUP}"
            in said
        )
    shared.socket.unlink()
    moved.rename(shared.socket)
    eventually(lambda: shared.stats()["refused"].get("forbidden") == 3)
    [running] = shared.daemons
    [line] = [line for line in running.log.splitlines() if "refused" in line]
    assert f"uid {ACCOUNT}" in line
    assert f"not in the group {GROUP}" in line


def test_groups_that_cannot_be_learnt_let_nobody_in(
    tmp_path: Path, short_dir: Path
) -> None:
    """No decision rests on a swallowed error: here the kernel does not know the groups
    of the connection.
    """
    with socket.socket(socket.AF_UNIX) as listener, socket.socket() as connection:
        listener.bind(str(short_dir / "s"))
        os.chmod(short_dir / "s", 0o660)
        mine = os.stat(short_dir / "s").st_gid
        who = peers.Peer(1, ACCOUNT, mine + 1)
        with pytest.raises(OSError):
            peers.groups(connection)
        assert "its groups cannot be learnt" in peers.barred(who, connection, listener)
        os.unlink(short_dir / "s")
        assert "cannot be learnt" in peers.barred(who, connection, listener)


@pytest.mark.parametrize("room", [1, 2, 256])
def test_the_list_of_groups_is_whole_however_small_the_first_buffer(room: int) -> None:
    one, two = socket.socketpair()
    with one, two:
        assert peers.groups(one, room) == frozenset(os.getgroups())


def test_a_mode_without_the_groups_bit_lets_no_group_in(short_dir: Path) -> None:
    one, two = socket.socketpair()
    with one, two, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_dir / "s"))
        os.chmod(short_dir / "s", 0o600)
        stranger = peers.Peer(1, ACCOUNT, os.stat(short_dir / "s").st_gid)
        assert peers.barred(stranger, one, listener)
        assert peers.barred(peers.Peer(1, peers.OVERFLOW, 0), one, listener)
        assert not peers.barred(peers.Peer(1, os.geteuid(), 0), one, listener)


def test_what_a_stranger_can_cause_is_logged_once_a_minute_with_the_count() -> None:
    now = [0.0]
    said: list[str] = []
    sparing = Sparing(said.append, clock=lambda: now[0])
    for _ in range(5):
        sparing.say("one", "one")
    sparing.say("two", "two")
    assert said == ["one", "two"]
    now[0] = EVERY
    sparing.say("one", "one")
    assert said[2:] == ["one (and 4 more like it before)"]


def test_many_kinds_cost_neither_memory_nor_many_records() -> None:
    said: list[str] = []
    sparing = Sparing(said.append, clock=lambda: 0.0)
    for kind in range(20 * MOST_KINDS):
        sparing.say(kind, "x")
    assert len(said) <= MOST_KINDS + 1
