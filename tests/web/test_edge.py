"""What holds of every address: who asks strangely is refused, and whatever shows an
answer is told to run, guess and keep nothing.
"""

import csv
import io
import json
import re
import socket
import xml.etree.ElementTree as ET
from contextlib import ExitStack, suppress

import pytest

from oberonc.web.server import MOST
from tests.support.browser import Browser
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.web import Face, Faces, webhooks
from tests.support.webhooks import SECRET

ADMIN = {"Authorization": "Bearer admin-token"}
ADDRESSES = (
    *("/", "/login", "/live", "/nothing", "/static/nothing", "/health"),
    *("/in/github", "/in/a/b", "/api/", "/api/openapi.json", "/api/stats"),
    *("/api/events", "/api/metrics", "/api/nothing", "/health/ready"),
)
#: A text of a stranger's that means something in each format, on paper and on screens.
HOSTILE = "=HYPERLINK(1)</resource>]]>\"'<script>\u202egpj \x1b[31m\x85 - !!x"


@pytest.fixture
def site(site: Site) -> Site:
    """A site with a webhook."""
    webhooks(site, {"github": {"forge": "github", "secret": [SECRET]}})
    return site


def said(face: Face, request: bytes) -> bytes:
    """All that comes back for *request*, until the face or the answer ends."""
    got = b""
    with socket.create_connection(("127.0.0.1", face.port), timeout=60) as channel:
        with suppress(ConnectionError):
            channel.sendall(request)
        with suppress(ConnectionError):
            while part := channel.recv(65536):
                got += part
    return got


def well(face: Face) -> None:
    """It goes on, and said nothing of its inside."""
    assert face.send("/health", method="GET").status == 200
    assert "Traceback" not in face.log, face.log


def test_every_answer_tells_a_browser_to_run_guess_frame_and_keep_nothing(
    face: Face,
) -> None:
    for path in ADDRESSES:
        for headers in ({}, ADMIN):
            for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
                answer = face.send(path, headers, method=method)
                got = answer.headers
                about = (method, path, answer.status, got)
                policy = got["content-security-policy"]
                assert "default-src 'none'" in policy, about
                assert "unsafe" not in policy, about
                assert "frame-ancestors 'none'" in policy, about
                assert got["x-content-type-options"] == "nosniff", about
                assert got["x-frame-options"] == "DENY", about
                assert got["cross-origin-resource-policy"] == "same-origin", about
                assert got["referrer-policy"] == "same-origin", about
                kept = re.search("no-store|private", got["cache-control"])
                assert kept, about
                assert not {"server", "x-powered-by"} & got.keys(), about
                if method == "HEAD":
                    assert answer.body == b"", about
    well(face)


def test_a_method_that_is_for_nothing_here_is_refused_everywhere(face: Face) -> None:
    for method in ("TRACE", "CONNECT", "PROPFIND", "FOO", "get"):
        for path in ADDRESSES:
            answer = face.send(path, ADMIN | {"X-Secret": "s3cret"}, method=method)
            assert answer.status == 501, (method, path, answer)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert b"s3cret" not in answer.body
    well(face)


def test_a_method_that_an_address_does_not_know_changes_nothing(face: Face) -> None:
    for path in ADDRESSES:
        for method in ("PUT", "PATCH", "DELETE"):
            answer = face.send(path, ADMIN, method=method)
            assert answer.status in (404, 405), (method, path, answer)
            assert answer.status == 404 or answer.headers["allow"], (path, answer)
    file = re.findall(rb"/static/[^\"]+", face.send("/login", method="GET").body)[0]
    for path in ("/api/", "/api/openapi.json", file.decode()):
        answer = face.send(path, method="POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert path.startswith("/static") or json.loads(answer.body)["status"] == 405
    well(face)


def test_more_connections_than_are_served_are_told_so(face: Face) -> None:
    with ExitStack() as open_ones:
        last = None
        for n in range(MOST + 1):  # of one address are fewer
            source = (f"127.0.0.{2 + n // 100}", 0)
            address = ("127.0.0.1", face.port)
            last = socket.create_connection(address, 60, source)
            open_ones.enter_context(last)
        assert last is not None
        last.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while part := last.recv(65536):
            got += part
    assert got.startswith(b"HTTP/1.1 503 "), got
    assert b"\r\nretry-after: 5\r\n" in got
    assert b"\r\nx-content-type-options: nosniff\r\n" in got
    eventually(lambda: face.send("/health", method="GET").status == 200, 60, "full")


#: Whoever reads these otherwise than a proxy before it takes a part of one request for
#: another one.
SMUGGLED = {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths in one": b"Content-Length: 3, 5\r\n\r\nabcde",
    "a length and an encoding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an encoding and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a length with a sign": b"Content-Length: +3\r\n\r\nabc",
    "a length in hex": b"Content-Length: 0x3\r\n\r\nabc",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a length of a chunk below 0": b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    "a NUL in a header": b"X: a\x00b\r\n\r\n",
    "a carriage return in a header": b"X: a\rY: b\r\n\r\n",
    "a second host": b"Host: evil.example\r\n\r\n",
}


def test_a_request_that_could_be_read_in_two_ways_is_read_in_none(face: Face) -> None:
    head = b"POST /in/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    behind = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for shape, rest in SMUGGLED.items():
        got = said(face, head + rest + behind)
        assert got.startswith(b"HTTP/1.1 400 "), (shape, got)
        assert got.count(b"HTTP/1.1 ") == 1, (shape, got)
        top, _, body = got.partition(b"\r\n\r\n")
        assert json.loads(body)["status"] == 400, got
        for line in (
            b"content-type: application/problem+json",
            b"cache-control: no-store",
            b"x-content-type-options: nosniff",
            b"connection: close",
        ):
            assert line in top.split(b"\r\n"), got
    assert "what 127.0.0.1 sent is no request of HTTP" in face.log
    well(face)


TARGETS = {
    b"http://evil.example/health": b"404",
    b"//evil.example/health": b"404",
    b"/%2e%2e/api/stats": b"404",
    b"/in/%252e%252e/api/stats": b"40[145]",
    b"/api/..%2fhealth": b"404",
    b"/login/../api/stats": b"404",
    b"*": b"404",
    b"/login?next=http://evil.example": b"200",
    b"/pushes?%0d%0aSet-Cookie:%20a=b": b"303",
    b"/" + b"%0d%0aLocation:%20//evil.example": b"404",
}


def test_a_target_of_another_form_leads_nowhere_else(face: Face) -> None:
    for target, status in TARGETS.items():
        request = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
        got = said(face, request)
        assert re.match(rb"HTTP/1\.1 %s " % status, got), (target, got)
        head = got.partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in re.sub(rb"\nlocation:.*", b"", head), target
        assert not re.findall(rb"\nlocation: (?!/login\?next=%2f)", head), target
    well(face)


HEAD = b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
MUCH = {
    "headers": b"%s%s\r\n"
    % (HEAD, b"".join(b"X-%d: a\r\n" % n for n in range(20_000))),
    "one header": b"%sX: %s\r\n\r\n" % (HEAD, b"a" * 200_000),
    "a path": HEAD.replace(b"login", b"login" + b"/a" * 100_000) + b"\r\n",
    "fields": HEAD.replace(b"login", b"login?" + b"a=1&" * 5000) + b"\r\n",
}


def test_too_much_of_anything_before_the_body_is_refused(face: Face) -> None:
    for what, request in MUCH.items():
        got = said(face, request)
        # Where it hangs up on what is still sent, that may be lost.
        assert got == b"" or re.match(rb"HTTP/1\.1 4\d\d ", got), (what, got[:300])
    pieces = b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    head = HEAD.replace(b"GET", b"POST")
    for endless in (head, head + pieces):
        got = said(face, endless + b"X: %s" % (b"a" * 1_000_000))
        assert got == b"" or got.startswith(b"HTTP/1.1 400 "), got[:300]
    cookies = b"; ".join(b"c%d=1" % n for n in range(6000))
    got = said(face, b"%sCookie: %s\r\n\r\n" % (HEAD, cookies))
    assert got.startswith(b"HTTP/1.1 200 "), got[:300]
    assert b"set-cookie" not in got.lower()
    well(face)


def test_text_of_strangers_stays_text_in_every_format(site: Site, face: Face) -> None:
    made = push(message=HOSTILE, user=HOSTILE)
    made["commits"][0]["author"] = HOSTILE
    site.submit(made)
    for path in ("events", "deliveries"):
        bodies = {}
        for kind in ("json", "jsonl", "yaml", "xml", "csv"):
            asked = f"/api/{path}?format={kind}"
            answer = face.send(asked, ADMIN, method="GET")
            assert answer.status == 200, answer
            assert "html" not in answer.headers["content-type"]
            bodies[kind] = answer.body.decode()
            if kind != "csv":  # which has no way to write them otherwise
                odd = re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", bodies[kind])
                assert not odd, kind
        assert bodies["jsonl"].count("\n") == 1
        json.loads(bodies["jsonl"])
        assert "<script" not in bodies["xml"]
        ET.fromstring(bodies["xml"])
        for row in csv.reader(io.StringIO(bodies["csv"])):
            assert not [cell for cell in row if cell[:1] in ("=", "+", "@", "\t")]
    well(face)


def test_logging_in_gives_another_cookie_than_was_brought(face: Face) -> None:
    planted = Browser(face.port)
    planted.cookies["oberonc"] = "planted"
    planted.log_in("read-token")
    first = planted.cookies["oberonc"]
    assert first != "planted"
    csrf = dict(planted.open("/").forms[0].fields)["csrf"]
    again = Browser(face.port)
    again.cookies["oberonc"] = first
    fields = [("token", "admin-token"), ("next", "/"), ("csrf", csrf)]
    answer = again.send("POST", "/login", fields)
    assert answer.status == 303
    assert again.cookies["oberonc"] not in (first, "planted")
    assert "HttpOnly" in answer.headers["set-cookie"]


def test_a_session_ends_with_the_token_it_was_got_with(
    site: Site, face: Face, faces: Faces
) -> None:
    person = Browser(face.port)
    person.log_in("admin-token")
    assert person.send("GET", "/").status == 200
    face.stop()
    for file in (site.folder / "secrets").iterdir():
        if file.read_text() == "admin-token":
            file.write_text("another-admin-token")
    person.port = faces.start().port
    answer = person.send("GET", "/")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=%2F")
    assert person.send("POST", "/reload", [("how", "reload")]).status == 403
