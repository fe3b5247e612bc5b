"""What strangers may try on webhooks and the API: each gets an answer that says what is
wrong, and everybody else is served meanwhile.
"""

import http.client
import json
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from oberonc.web.limits import AT_ONCE, SECONDS
from oberonc.web.server import IDLE, IDLE_OF_ONE, UNREAD
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Face, Faces, tokens, webhooks
from tests.support.webhooks import SECRET, example, signed_like_github

HEADERS = {"Authorization": "Bearer admin-token", "Content-Type": "application/json"}


@pytest.fixture
def face(site: Site, faces: Faces) -> Face:
    webhooks(site, {"github": {"forge": "github", "secret": [SECRET]}})
    tokens(site, ["admin"])
    site.start()
    return faces.start()


def get(face: Face, path: str, **more: str) -> Any:
    return face.send(path, HEADERS | more, method="GET")


def raw(face: Face, request: bytes) -> socket.socket:
    """A connection on which *request* was sent."""
    channel = socket.create_connection(("127.0.0.1", face.port), timeout=60)
    channel.sendall(request)
    return channel


def well(face: Face) -> None:
    """It serves, and said nothing of its inside."""
    assert get(face, "/api/spool").status == 200
    assert "Traceback" not in face.log


def test_what_does_not_come_is_not_waited_for(face: Face) -> None:
    began = time.monotonic()
    head = raw(face, b"GET /api/stats HTTP/1.1\r\nX-Slow: ")
    bodies = [
        raw(
            face,
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 100\r\n\r\n{".encode(),
        )
        for path in ("/in/github", "/api/events")
    ]
    well(face)
    for slow in bodies:
        with slow:
            answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"application/problem+json" in answer
    with head:
        assert head.recv(65536) == b""
    assert time.monotonic() - began < SECONDS + IDLE + 30


def is_held(face: Face, channel: socket.socket) -> bool:
    """Whether the face has its end of *channel* open."""
    port = channel.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *_, inode = line.split()[:10]
        ports = [int(one.partition(":")[2], 16) for one in (local, remote)]
        if ports == [face.port, port]:
            return inode != "0"  # what is left of it is the system's
    return False


def test_an_answer_that_nobody_takes_is_not_kept_for_ever(face: Face) -> None:
    with socket.socket() as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        channel.connect(("127.0.0.1", face.port))
        # More than what the system keeps of it.
        channel.sendall(b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        eventually(lambda: is_held(face, channel), 60, "it is not there")
        eventually(lambda: not is_held(face, channel), UNREAD + 60, "it stays")
        well(face)


def test_a_body_over_the_limit_is_refused_by_the_api_too(face: Face) -> None:
    head = (
        "POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with raw(face, head.encode()) as sock:
        part = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        answer = b""
        try:
            for _ in range(40):
                sock.sendall(part)
            answer = sock.recv(65536)
        except OSError:
            pass  # it hung up on us, as it may
    assert answer[:13] in (b"", b"HTTP/1.1 413 ")
    well(face)


BODIES = {
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "a huge number": b'{"deliveries": [' + b"9" * 100_000 + b"]}",
    "not a number": b'{"deliveries": [NaN]}',
    "a list": b"[]",
    "a text for a list": b'{"deliveries": "1"}',
    "true for a number": b'{"deliveries": [true]}',
    "what nobody knows": b'{"deliveries": [], "sudo": true}',
    "too many": json.dumps({"deliveries": [1] * 2000}).encode(),
}


def test_a_body_of_the_wrong_type_is_a_problem_document(face: Face) -> None:
    for what, body in BODIES.items():
        answer = face.send("/api/deliveries/retry", HEADERS, body)
        assert answer.status in (400, 413, 422), what
        assert answer.headers["content-type"] == "application/problem+json", what
        assert json.loads(answer.body)["status"] == answer.status, what
    well(face)


#: Formats that can name what is elsewhere, or grow.
BOMBS = {
    "application/xml": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><message>&x;</message></a>'
    ),
    "application/yaml": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        b"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nmessage: !!python/object/apply:os.system [id]\n"
    ),
    "text/html": b"<p>fixes #1",
    "application/zip": b"PK",
}


def test_a_format_is_read_as_data_or_not_at_all(face: Face) -> None:
    for kind, body in BOMBS.items():
        answer = face.send("/api/parse", HEADERS | {"Content-Type": kind}, body)
        assert answer.status in (400, 415, 422), answer
        assert b"root:" not in answer.body
    well(face)


PATHS = (
    "/in/../api/stats",
    "/in/%2e%2e/api/stats",
    "/in/..%2f..%2fetc%2fpasswd",
    "/in/",
    "/in/github/x",
    "/in/github%00",
    "/static/..%2f..%2fsettings.py",
    "/static/%2e%2e/frame.py",
    "//api//stats",
    "/api/events/..%2f..%2fstats",
    "/api/events/%00",
    "/api/deliveries/-1",
    "/api/deliveries/99999999999999999999999999",
    "/api/services/%0d%0aSet-Cookie:x",
    "/api/" + "x" * 5000,
)


def test_a_trick_with_a_path_leads_nowhere(face: Face) -> None:
    for path in PATHS:
        for method in ("GET", "POST"):
            body = b"{}" if method == "POST" else None
            answer = face.send(path, HEADERS, body, method)
            assert 400 <= answer.status < 500, (path, answer)
            assert "set-cookie" not in answer.headers, path
    well(face)


HOSTS = ("evil.example", "x, y", "[::1", "a/b", "127.0.0.1:99999", "")


def test_a_forged_host_is_in_no_answer(face: Face) -> None:
    for host in HOSTS:
        made = push()
        headers = HEADERS | {"Host": host, "X-Forwarded-Host": "evil.example"}
        answer = face.send("/api/events", headers, json.dumps(made).encode())
        assert answer.headers["location"] == f"/api/events/{made['id']}", host
        listed = face.send("/api/events?limit=1", headers, method="GET")
        assert "evil" not in repr(listed.headers), host


def test_a_query_puts_no_line_into_a_header(face: Face) -> None:
    for _ in range(2):
        face.send("/api/events", HEADERS, json.dumps(push("a/b")).encode())
    for sent in ("%0d%0aX-Evil:%201", "%22%3e%0aX-Evil:%201", "%e2%80%ae%3c"):
        answer = get(face, f"/api/events?limit=1&x={sent}")
        assert answer.status == 200
        assert answer.headers["link"].count(";") == 1
        assert "x-evil" not in answer.headers
    both = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    with raw(face, b"POST /api/parse HTTP/1.1\r\nHost: x\r\n" + both) as smuggled:
        answer_head = smuggled.recv(65536)
        assert answer_head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
    well(face)


def test_who_asks_again_and_again_keeps_the_connection(face: Face) -> None:
    until = time.monotonic() + IDLE + 5
    connection = http.client.HTTPConnection("127.0.0.1", face.port, timeout=60)
    connection.connect()
    channel = connection.sock
    while time.monotonic() < until:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        assert connection.sock is channel
        ready, _, _ = select.select([channel], [], [], 0.5)
        assert not ready, "it was closed between two requests"
    connection.close()


def test_connections_of_one_address_keep_nobody_out(face: Face) -> None:
    held = [raw(face, b"") for _ in range(3 * IDLE_OF_ONE)]
    last = time.monotonic()
    try:
        ready, _, _ = select.select(held, [], [], IDLE + 30)
        assert ready[0].recv(1) == b""
        # Not because it was idle for long: some had to make way.
        assert time.monotonic() - last < IDLE
        well(face)
    finally:
        for each in held:
            each.close()


def test_requests_of_one_address_are_so_many_at_once(face: Face) -> None:
    head = (
        b"POST /in/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"
    )
    held = []
    try:
        for _ in range(AT_ONCE):
            held.append(raw(face, head))
            assert held[-1].recv(100).startswith(b"HTTP/1.1 100 ")
        with raw(face, head) as more:
            answer = more.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"retry-after: 5" in answer.lower()
    finally:
        for each in held:
            each.close()
    eventually(lambda: get(face, "/api/spool").status == 200, 30, "it does not recover")


def test_a_daemon_that_does_not_answer_holds_up_no_push(site: Site, face: Face) -> None:
    [daemon] = site.daemons
    daemon.signal(signal.SIGSTOP)
    try:
        each = example("github/push_forced")
        taken = face.send("/in/github", each.headers, each.raw)
        assert json.loads(taken.body)["status"] == "spooled"
        began = time.monotonic()
        answer = get(face, "/api/stats")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert time.monotonic() - began < 60
        # Nobody else waits for that.
        assert face.send("/health", method="GET").status == 200
    finally:
        daemon.signal(signal.SIGCONT)
    eventually(lambda: get(face, "/api/stats").status == 200, 60, "it does not recover")
    site.wait_for(json.loads(taken.body)["event"])


def test_a_token_and_a_secret_that_ended_open_nothing(
    site: Site, face: Face, faces: Faces
) -> None:
    assert get(face, "/api/stats").status == 200
    face.stop()
    for file in (site.folder / "secrets").iterdir():
        file.write_text(f"new {file.read_text()}".replace(" ", "-"))
    again = faces.start()
    answer = get(again, "/api/stats")
    assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
    each = signed_like_github({"ref": "refs/heads/main"})
    assert again.send("/in/github", each.headers, each.raw).status == 401
    for wrong in (
        "Bearer",
        "Bearer  ",
        "Bearer a b",
        "Basic YTpi",
        "bearer " + "x" * 9000,
    ):
        assert get(again, "/api/stats", Authorization=wrong).status in (400, 401)
