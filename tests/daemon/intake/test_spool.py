"""P1, P2, P4, P6: what clients kept while no daemon answered is taken in, once, in
order, before what comes after.
"""

import os
import socket
import threading

import pytest

from oberonc.daemon.intake.intake import SLICE
from oberonc.delivery import frames, handover, spool
from oberonc.errors import NotAccepted
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.store_rounds import rounds


def _spooled(site: Site, repo: str = "web/shop") -> str:
    made = push(repo)
    assert handover.submit(site.config, made, 2).status == "spooled"
    return str(made["id"])


def _taken_in(site: Site) -> None:
    """Until nothing is in the spool: a push can be delivered before its file is gone."""
    eventually(lambda: not spool.listing(site.state / "spool"), what="a file is left")


def test_the_spool_is_taken_in_before_what_comes_after(site: Site) -> None:
    """F28: the order barrier."""
    before = [_spooled(site) for _ in range(rounds(100))]
    running = site.start(wait=False)
    after: list[str] = []

    def submit() -> None:
        while len(after) < 5:
            made = push()
            # One whose answer was not waited for would come twice: by the spool, too.
            if handover.submit(site.config, made, 60).status == "accepted":
                after.append(made["id"])
            else:
                before.append(made["id"])

    thread = threading.Thread(target=submit)
    thread.start()
    thread.join()
    running.wait_ready()
    site.settled(within=120, done=len(before) + 5)
    assert site.begun() == [*before, *after]
    assert site.stats()["spool"] == 0
    assert site.stats()["events"]["duplicates"] == 0


def test_files_that_appear_while_the_daemon_runs(site: Site) -> None:
    site.start()
    site.wait_for(site.submit())
    first = push()
    spool.put(site.state / "spool", {"payload": first, "services": None})
    second = site.submit()
    site.wait_for(first["id"], second)
    assert site.begun()[1:] == [first["id"], second]
    lone = push()
    spool.put(site.state / "spool", {"payload": lone, "services": None})
    site.wait_for(lone["id"])


def test_pushes_that_were_kept_the_wrong_way_round_are_put_right(site: Site) -> None:
    """Hooks run after git has let go of the refs: the later push may be the first to be
    written down.

    The two are the last that are taken in together, and the first of the next.
    """
    for n in range(SLICE - 1):
        _spooled(site, f"before/{n}")
    first, second = push(), push()
    (moved,) = first["updates"]
    second["updates"] = [moved | {"old": moved["new"], "new": "c" * 40}]
    for made in (second, first):
        spool.put(site.state / "spool", {"payload": made, "services": None})
    site.start()
    site.wait_for(first["id"], second["id"])
    assert [
        event for event in site.begun() if event in (first["id"], second["id"])
    ] == [first["id"], second["id"]]


def test_large_files_are_taken_in_though_few_fit_together(site: Site) -> None:
    events = []
    for n in range(6):
        made = push(f"r/{n}", "x" * 1_500_000)
        spool.put(site.state / "spool", {"payload": made, "services": None})
        events.append(made["id"])
    site.start()
    site.wait_for(*events)
    _taken_in(site)


def test_only_the_services_that_have_not_had_it(site: Site) -> None:
    site.configure(
        site.services("rec") | {"two": {"broker": "rec", "ledger": str(site.ledger)}}
    )
    made = push()
    entry = {
        "payload": made,
        "services": {"two": {"attempts": 1, "first": 0, "error": "down"}},
    }
    spool.put(site.state / "spool", entry)
    site.start()
    site.settled(done=1)
    assert [row["service"] for row in site.rows()] == ["two", "two"]
    [event] = site.call("log", key=made["id"])["events"]
    assert "before" in event["services"]["rec"]["why"]


def test_bad_files_are_put_aside_with_the_reason(site: Site) -> None:
    """S15: damaged, foreign, a link, a FIFO; the good one between them is taken."""
    folder = site.state / "spool"
    spool.make(folder)
    good = _spooled(site)
    (folder / "new" / "0-torn.ob").write_bytes(b"oberonc-spool 1 100 abc\n{")
    (folder / "new" / "1-other.ob").write_bytes(b"not ours")
    os.mkfifo(folder / "new" / "2-fifo.ob")
    (folder / "new" / "3-link.ob").symlink_to("/etc/passwd")
    spool.put(folder, {"payload": {"id": "0" * 32}, "services": None})
    spool.put(folder, {"payload": push() | {"more": float("nan")}, "services": None})
    running = site.start()
    site.wait_for(good)
    _taken_in(site)
    reasons = [path.read_text() for path in (folder / "bad").glob("*.why")]
    assert len(reasons) == 6
    eventually(lambda: running.log.count("put aside") == 6)


def test_what_cannot_be_put_aside_is_not_said_to_be(site: Site) -> None:
    """As another account's folder, which only its owner can move."""
    spool.make(site.state / "spool")
    (site.state / "spool" / "new" / "1-other.ob").write_bytes(b"not ours")
    (site.state / "spool" / "bad" / "1-other.ob").mkdir()  # in the way
    running = site.start()
    eventually(lambda: "1-other.ob" in running.log)
    event = site.submit()
    site.wait_for(event)
    assert (
        "is no good (it does not begin as a spool file does) and cannot be put aside in bad/"
        in running.log
    )
    assert "is put aside" not in running.log


def test_killed_between_commit_and_removal(site: Site) -> None:
    """F29: one event."""
    event = _spooled(site)
    running = site.start(wait=False, OBERONC_CRASH_AT="spooled")
    assert running.wait_end() == -9
    assert len(spool.listing(site.state / "spool")) == 1
    site.start()
    _taken_in(site)
    site.settled(done=1)
    assert site.ended() == [event]
    assert site.stats()["events"]["duplicates"] == 1


def test_a_lost_answer_is_one_event(site: Site) -> None:
    """F30: a proxy swallows the reply; the sender spools under the same id."""
    site.start()
    proxy = site.folder / "proxy.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(proxy))
    listener.listen()

    def swallow() -> None:
        connection, _ = listener.accept()
        with connection, socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(str(site.socket))
            header = connection.recv(frames.HEADER.size, socket.MSG_WAITALL)
            body = connection.recv(frames.body_length(header), socket.MSG_WAITALL)
            upstream.sendall(header + body)
            assert upstream.recv(65536)

    thread = threading.Thread(target=swallow)
    thread.start()
    made = push()
    config = site.config
    lossy = config._replace(daemon=config.daemon._replace(submit_socket=str(proxy)))
    assert handover.submit(lossy, made, 20).status == "spooled"
    thread.join()
    listener.close()
    eventually(lambda: site.stats()["events"]["duplicates"] == 1)
    assert site.settled(done=1)["events"]["accepted"] == 1
    assert site.ended() == [made["id"]]


def test_a_daemon_that_hangs_costs_a_second(site: Site) -> None:
    """F41: connected, never answered."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(site.socket))
    listener.listen()
    made = push()
    assert handover.submit(site.config, made, 1).status == "spooled"
    listener.close()
    site.socket.unlink()


def test_without_daemon_and_without_spool_it_says_so(site: Site) -> None:
    site.state.mkdir()
    (site.state / "spool").write_text("in the way")
    with pytest.raises(NotAccepted, match="cannot keep"):
        handover.submit(site.config, push(), 1)
