"""Two people push over SSH: what git accepted is delivered in order per repository, and
what they are told is true.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.eventually import eventually
from tests.system.server import PUSHERS, Said, Server

#: The ways in: accounts of their own, and one account for everybody.
HOSTS = (*PUSHERS, "git-ann", "git-bob")
REFS = tuple(f"refs/heads/{host}" for host in HOSTS)


@contextmanager
def load(server: Server, least: int = 4) -> Iterator[list[Said]]:
    """Everybody pushes without a pause, each to a branch of their own, until this ends;
    *least* pushes each.
    """
    said: list[Said] = []
    faults: list[BaseException] = []
    over = threading.Event()

    def work(host: str) -> None:
        count = 0
        try:
            while count < least or not over.is_set():
                said.append(server.push(host, "app", host))
                count += 1
        except BaseException as error:  # noqa: BLE001  told by the test, not by a thread
            faults.append(error)

    threads = [threading.Thread(target=work, args=(host,)) for host in HOSTS]
    for thread in threads:
        thread.start()
    try:
        yield said
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not faults, faults[0]


def after(said: list[Said], count: int) -> None:
    """Until *count* more pushes came back."""
    goal = len(said) + count
    eventually(lambda: len(said) >= goal, 120, "nobody pushes any more")


def true(server: Server, said: list[Said]) -> None:
    """Every line was true: what it says is queued or spooled is delivered, and in the
    order of the refs.
    """
    for each in said:
        assert each.accepted
        assert each.line.startswith(("queued 1 commit (", "spooled 1 commit (")), (
            each.text
        )
        server.row(each)
    server.all_told("app", *REFS)
    # What a daemon took that answered too late is spooled as well: delivered already, and
    # in the spool until it is looked at.
    eventually(
        lambda: not server.sh("find /var/spool/oberonc/new -type f").out,
        what="the spool was not taken in",
    )
    assert (
        server.sh("find /var/spool/oberonc/bad /var/spool/oberonc/dead -type f").out
        == ""
    )


def test_with_the_daemon_up(server: Server) -> None:
    said = [server.push(host, "app", host) for host in HOSTS * 2]
    assert all(each.line.startswith("queued") for each in said), said
    true(server, said)


def test_with_the_daemon_down_all_is_spooled_and_taken_in_when_it_is_up(
    server: Server,
) -> None:
    server.down()
    said = [server.push(host, "app", host) for host in HOSTS * 2]
    assert all(each.line.startswith("spooled") for each in said), said
    assert server.rows() == []
    server.up()
    true(server, said)


def test_a_push_wakes_a_daemon_whose_sockets_alone_listen(server: Server) -> None:
    server.sh("systemctl stop oberonc.service")
    assert server.facts()["ActiveState"] == "inactive"
    said = server.push("ann", "app", "ann")
    server.row(said)
    assert server.facts()["ActiveState"] == "active"


def test_killed_again_and_again_under_load(server: Server) -> None:
    with load(server) as said:
        for _ in range(3):
            after(said, 2)
            server.run("kill", "-KILL", server.facts()["MainPID"])
            after(said, 2)
            eventually(
                lambda: server.facts()["ActiveState"] == "active",
                60,
                "not started again",
            )
    assert server.facts()["NRestarts"] == "3"
    true(server, said)


def test_stopped_and_started_under_load(server: Server) -> None:
    with load(server) as said:
        for turn in (server.down, server.up, server.down, server.up):
            after(said, 3)
            turn()
    assert {each.line.split()[0] for each in said} == {"queued", "spooled"}
    true(server, said)


def test_reloaded_under_load(server: Server) -> None:
    with load(server) as said:
        for _ in range(3):
            after(said, 2)
            server.sh("systemctl reload oberonc")
    assert all(each.line.startswith("queued") for each in said)
    true(server, said)


def test_a_daemon_that_hangs_is_ended_by_its_watchdog_and_nothing_is_lost(
    server: Server,
) -> None:
    """Clients wait a second for an answer; the watchdog of the drop-in is shorter than
    the shipped one, not other.
    """
    drop_in = "[Service]\nWatchdogSec=2\nTimeoutStopSec=2\n"
    server.machine.write("/etc/systemd/system/oberonc.service.d/short.conf", drop_in)
    server.sh("systemctl daemon-reload && systemctl restart oberonc")
    server.run("kill", "-STOP", server.facts()["MainPID"])
    said = [server.push(host, "app", host) for host in HOSTS]
    eventually(
        lambda: (
            server.facts()["NRestarts"] == "1"
            and server.facts()["ActiveState"] == "active"
        ),
        60,
    )
    true(server, said)


@pytest.mark.parametrize("way", ["up", "down"])
def test_the_plug_is_pulled(server: Server, way: str) -> None:
    if way == "down":
        server.down()
    said = [server.push(host, "app", host) for host in HOSTS]
    server.machine.off()
    server.machine.boot()
    server.start()
    true(server, said)


def _umask(server: Server, word: str) -> None:
    for who in PUSHERS:
        server.authorize(
            who, who, f'command="umask {word}; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""'
        )


@pytest.mark.parametrize("word", ["002", "022", "077"])
def test_a_pusher_with_any_umask(server: Server, word: str) -> None:
    _umask(server, word)
    server.down()
    said = [server.push(who, "app", who) for who in PUSHERS]
    files = server.sh("stat -c '%a %U %G' /var/spool/oberonc/new/*").out.split("\n")[
        :-1
    ]
    assert sorted(files) == ["640 ann oberonc", "640 bob oberonc"]
    server.up()
    for each in said:
        server.row(each)


HOMES = {
    "unset": 'command="unset HOME; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""',
    "of another": 'command="export HOME=/home/desk; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""',
    "missing": 'command="export HOME=/nowhere; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""',
}


@pytest.mark.parametrize("kind", [*HOMES, "unwritable", "closed"])
def test_a_pusher_with_any_home(server: Server, kind: str) -> None:
    if kind in HOMES:
        server.authorize("ann", "ann", HOMES[kind])
    server.sh("chmod 0700 /home/desk /home/ann")
    if kind == "unwritable":
        server.sh("chown root: /home/ann && chmod 0755 /home/ann")
    first = server.push("ann", "app", "ann")
    server.down()
    second = server.push("ann", "app", "ann")
    server.up()
    assert (first.line.split()[0], second.line.split()[0]) == ("queued", "spooled"), (
        first.text,
        second.text,
    )
    for said in (first, second):
        server.row(said)
