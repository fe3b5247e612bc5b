"""What strangers send: each fault is answered by name and costs that client alone."""

import contextlib
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oberonc import jsontext
from oberonc.delivery import frames, spool
from tests.support.command import Command
from tests.support.daemon_site import Site, push
from tests.support.daemon_wire import Raw
from tests.support.eventually import eventually
from tests.support.store_rounds import rounds

#: Well framed, and wrong: (body, error, part of the message). The connection stays
#: usable.
BODIES = [
    (b"", "invalid", "JSON"),
    (b"\x80\x04\x95pickle", "invalid", "JSON"),
    (b'{"op": NaN}', "invalid", "NaN"),
    (b'{"op":"ping","op":"ping"}', "invalid", "twice"),
    (b'{"op":"ping","x":1e999}', "invalid", "beyond any number"),
    (b"[" * 5000 + b"]" * 5000, "invalid", "deep"),
    (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "invalid", "deep"),
    (b'{"a":' + b"1" * 5000 + b"}", "invalid", "digits"),
    (b"\xff\xfe{}", "invalid", "utf-8"),
    (b"[1]", "invalid", "object"),
    (b'{"op":"no.such"}', "unsupported", "no.such"),
    (b'{"op":["ping"]}', "unsupported", "ping"),
    (b"{}", "unsupported", "None"),
    (b'{"op":"ping","need":["teleport"]}', "unsupported", "teleport"),
    (b'{"op":"ping","need":5}', "invalid", "need"),
    (b'{"op":"ping","need":[["ping"]]}', "unsupported", "ping"),
    (b'{"op":"submit"}', "invalid", "payload"),
    (b'{"op":"submit","payload":{"schema":2}}', "invalid", "schema"),
]


def test_wrong_bodies_are_answered_and_the_connection_lives(site: Site) -> None:
    site.start()
    with Raw(site.socket) as raw:
        for body, error, message in BODIES:
            raw.body(body)
            answer = raw.answer()
            assert (answer["ok"], answer["error"]) == (False, error), (
                body[:40],
                answer,
            )
            assert message in answer["message"], (body[:40], answer)
        assert raw.ask(op="ping")["ok"]


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (b"GET / HTTP/1.1\r\n", "invalid"),
        (struct.pack(">2sBBI", b"OB", 2, 0, 10), "version"),
        (struct.pack(">2sBBI", b"OB", 1, 0, frames.LARGEST + 1), "too_large"),
        (struct.pack(">2sBBI", b"OB", 1, 0, 0xFFFFFFFF), "too_large"),
    ],
)
def test_wrong_headers_are_answered_and_end_the_connection(
    site: Site, header: bytes, error: str
) -> None:
    site.start()
    with Raw(site.socket) as raw:
        raw.send(header)
        assert raw.answer()["error"] == error
        assert raw.closed()
    site.wait_for(site.submit())


def test_hostile_names_are_refused_and_hostile_text_is_not(site: Site) -> None:
    """S3, S10: a repository's name is a key; a commit message is data."""
    site.start()
    for name in ("", "a\0b", "a\nb", "\ud800", "x" * 600, "\x1b[2J"):
        with Raw(site.socket) as raw:
            assert raw.ask(op="submit", payload=push(name))["error"] == "invalid", name
    site.wait_for(
        site.submit(push("../../etc/passwd", message="\0\x1b[2J\u202e fixes #1"))
    )


def test_what_is_no_payload_is_refused_at_the_socket_in_a_file_and_from_the_spool(
    site: Site, oberonc: Command
) -> None:
    """One judge for all ways in: ids that are no ids, and half a surrogate pair."""
    site.start()
    for wrong in (
        {"node": "abc\n\n/close\n@all"},
        {"raw_node": "x" * 40},
        {"message": "\ud800"},
        {"branch": "a\0b"},
    ):
        made = push()
        made["commits"][0] |= wrong
        with Raw(site.socket) as raw:
            assert raw.ask(op="submit", payload=made)["error"] == "invalid", wrong
        # As our own client writes it, byte for byte.
        with Raw(site.socket) as raw:
            raw.body(b'{"op":"submit","payload":' + jsontext.canonical(made) + b"}")
            assert raw.answer()["error"] == "invalid", wrong
        file = site.folder / "push.json"
        file.write_bytes(jsontext.canonical(made))
        for name, stdin in ((str(file), b""), ("-", jsontext.canonical(made))):
            said = oberonc(
                "--config", site.file, "send", "--payload", name, code=65, stdin=stdin
            ).err
            assert "is not a payload of schema 1" in said
        spool.put(site.config.spool, {"payload": made, "services": None})
    site.submit()
    eventually(
        lambda: len(list((site.config.spool / "bad").glob("*.ob"))) == 4,
        30,
        "the spool's files were not put aside",
    )


def test_the_submit_socket_has_no_admin_operations(site: Site) -> None:
    """S1: there they do not exist."""
    site.start()
    for op in (
        "stats",
        "brokers",
        "reload",
        "lane.pause",
        "dead.drop",
        "event.show",
        "dead.retry",
        "backup",
    ):
        with Raw(site.socket) as raw:
            assert raw.ask(op=op)["error"] == "unsupported"
    control = site.folder / "control.sock"
    assert control.stat().st_mode & 0o777 == 0o600
    assert site.socket.stat().st_mode & 0o777 == 0o660


def test_other_users_are_refused(site: Site) -> None:
    """S1, S2: by the socket's mode, checked again by us from what the kernel says."""
    site.start()
    site.folder.chmod(0o755)
    code = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\nprint(s.recv(4096))"
    refused = _as_nobody(code, site.socket)
    assert b"PermissionError" in refused
    # Even where somebody opened the file's mode, an overflow uid is nobody's.
    site.socket.chmod(0o666)
    assert b"forbidden" in _as_nobody(code, site.socket)


def _as_nobody(code: str, path: Path) -> bytes:
    done = subprocess.run(
        [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            sys.executable,
            "-c",
            code,
            str(path),
        ],
        capture_output=True,
        check=False,
    )
    if done.returncode in (126, 127) or b"setresuid" in done.stderr:
        pytest.skip("only root can become another user")
    return done.stdout + done.stderr


def test_slow_clients_cost_nobody_else_anything(site: Site) -> None:
    """F32, S14: 256 clients that send half a header; a good one is served at once."""
    site.start()
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(256):
            raw = stack.enter_context(Raw(site.socket))
            with contextlib.suppress(OSError):
                raw.send(b"OB\x01")
            slow.append(raw)
        began = time.monotonic()
        site.submit()
        assert time.monotonic() - began < 5
        assert slow[-1].answer()["error"] in ("timeout", "busy")
        assert slow[-1].closed()
    eventually(lambda: site.stats()["connections"] == 1)


def test_headers_and_slow_bodies_lock_nobody_out(site: Site) -> None:
    """S14: what counts is what came, not what a header announces; administration has a
    budget of its own.
    """
    site.start()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Raw(site.socket)) for _ in range(60)]
        for raw in crowd:
            raw.send(frames.HEADER.pack(b"OB", 1, 0, frames.LARGEST))
        site.submit()
        assert not any(site.stats()["refused"].values())
        slow, *quick = crowd
        slow.send(b" " * (100 << 10))
        for raw in quick[:5]:
            with contextlib.suppress(OSError):  # who makes way is not listened to
                raw.send(b" " * (5 << 20))
        assert slow.answer()["error"] == "busy"
        site.submit()
        assert {error for error, count in site.stats()["refused"].items() if count} == {
            "busy"
        }


def test_large_hostile_frames_hold_no_small_push_up(site: Site) -> None:
    """S14: nested lists, as many as a frame may hold, and a payload of a hundred
    thousand files.
    """
    site.start()
    lists = (
        b'{"op":"submit","payload":['
        + b"[[[[[]]]]]," * (jsontext.MOST_VALUES // 6 - 10)
        + b"[]]}"
    )
    files = [{"file": f"src/{n}.py", "type": "added"} for n in range(100_000)]
    many = push()
    many["commits"][0]["files"] = files
    bodies = [lists, jsontext.canonical({"op": "submit", "payload": many})]
    over = threading.Event()

    def flood(body: bytes) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), Raw(site.socket) as raw:
                raw.body(body)
                raw.answer()

    threads = [threading.Thread(target=flood, args=(body,)) for body in bodies * 3]
    for thread in threads:
        thread.start()
    try:
        took = []
        for _ in range(10):
            began = time.monotonic()
            site.submit(push("another/one"))
            took.append(time.monotonic() - began)
        assert sorted(took)[5] < 1, took
        assert site.stats()["generation"] == 1
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_half_a_body_is_dropped_in_time(site: Site) -> None:
    site.start()
    with Raw(site.socket) as raw:
        raw.send(frames.encode({"op": "ping"})[:-3])
        began = time.monotonic()
        assert raw.answer()["error"] == "timeout"
        assert 5 < time.monotonic() - began < 25


def test_a_client_that_shuts_its_sending_side_gets_its_answer(site: Site) -> None:
    site.start()
    with Raw(site.socket) as raw:
        raw.send(frames.encode({"op": "submit", "payload": push()}))
        raw.channel.shutdown(socket.SHUT_WR)
        assert raw.answer()["status"] == "accepted"


def test_frames_in_any_pieces_and_several_at_once(site: Site) -> None:
    site.start()
    with Raw(site.socket) as raw:
        frame = frames.encode({"op": "submit", "payload": push()})
        for start in range(0, len(frame), 7):
            raw.send(frame[start : start + 7])
        assert raw.answer()["status"] == "accepted"
        raw.send(b"".join(frames.encode({"op": "ping"}) for _ in range(50)))
        assert all(raw.answer()["ok"] for _ in range(50))


def test_fuzz(site: Site) -> None:
    """F31: mutated frames; nothing in the log, and a valid client is served throughout."""
    running = site.start()
    seed = random.Random(42)
    good = frames.encode({"op": "submit", "payload": push()})
    for n in range(rounds(300)):
        raw = bytearray(good)
        for _ in range(seed.randint(1, 6)):
            raw[seed.randrange(len(raw))] = seed.randrange(256)
        cut = seed.choice((len(raw), seed.randrange(len(raw))))
        with Raw(site.socket) as client:
            client.send(bytes(raw[:cut]))
            client.channel.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError, frames.BadFrame):
                client.answer()
        if n % 50 == 0:
            site.submit()
    site.submit()
    assert "a request failed" not in running.log
    eventually(lambda: site.stats()["connections"] == 1)


def test_many_clients_at_once_are_all_answered(site: Site) -> None:
    site.start()
    answers: list[str] = []

    def work() -> None:
        for _ in range(5):
            answers.append(site.submit(push("r/1")))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.settled(done=100, within=120)
    assert len(set(answers)) == 100
