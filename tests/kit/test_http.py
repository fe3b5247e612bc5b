"""The door to HTTP: limits, redaction, redirects, what the environment may not do, and
the address guard.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.errors import Retry
from oberonc.kit.answers import NotDone, Page, Refused
from oberonc.kit.http import SIZE_LIMIT, AnyAuth, Http, connect_public, is_public
from oberonc.testing.relay import Relay, Spoil
from tests.support.trackers.contract import Answer, Contract, Request


class Echo(Contract):
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        super().__init__()

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path.startswith("/to/"):
            return Answer(
                302, None, (("Location", f"/{request.path.removeprefix('/to/')}"),)
            )
        if request.path == "/big":
            return Answer(200, "x" * (SIZE_LIMIT + 10))
        if request.path == "/private" and "authorization" not in request.headers:
            return Answer(401, {}, (("WWW-Authenticate", 'Basic realm="x"'),))
        return Answer(200, {"path": request.path, "headers": request.headers})


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.stop()


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    made = Relay()
    made.target = ("127.0.0.1", echo.port)
    yield made
    made.stop()


def test_a_secret_reaches_no_message(relay: Relay) -> None:
    told = "your key s3cr3t+/key or s3cr3t%2B%2Fkey or dTpzM2NyM3QrL2tleQ== is bad"
    relay.rule = lambda method, path: Spoil("answer", 400, (), told)
    for http in (Http(secrets=["s3cr3t+/key"]), Http(auth=("u", "s3cr3t+/key"))):
        with pytest.raises(Refused) as caught:
            http.call("GET", f"{relay.url}/x?key=s3cr3t%2B%2Fkey")
        assert "s3cr3t" not in str(caught.value)
        assert "*** is bad" in str(caught.value) or http.secrets


def test_a_secret_that_is_a_common_word_spoils_no_answer(relay: Relay) -> None:
    assert Http(secrets=["path"]).call("GET", f"{relay.url}/x").json()["path"] == "/x"


def test_nothing_comes_from_the_environment(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (home / ".netrc").write_text("machine 127.0.0.1 login ann password secret\n")
    (home / ".netrc").chmod(0o600)
    answer = Http().call("GET", f"http://127.0.0.1:{echo.port}/x").json()
    assert "authorization" not in answer["headers"]
    assert answer["headers"]["user-agent"].startswith("oberonc")


def test_a_configured_proxy_is_used(relay: Relay, echo: Echo) -> None:
    Http(proxy=relay.url).call("GET", f"http://127.0.0.1:{echo.port}/x")
    assert len(relay.seen) == 1


def test_redirects_are_followed_only_where_asked_and_only_on_one_host(
    echo: Echo, relay: Relay
) -> None:
    site = f"http://127.0.0.1:{echo.port}"
    with pytest.raises(Refused, match="302, moved to another place on the same"):
        Http().call("GET", f"{site}/to/x")
    assert Http().call("GET", f"{site}/to/x", redirects=True).json()["path"] == "/x"
    with pytest.raises(Refused, match="302"):
        Http().call("POST", f"{site}/to/x", redirects=True)
    relay.rule = lambda method, path: Spoil(
        "answer", 302, (("Location", f"{site}/elsewhere"),)
    )
    with pytest.raises(Refused, match="302"):
        Http().call("GET", f"{relay.url}/x", redirects=True)
    loops = "/to/to/to/to/to/to/x"
    with pytest.raises(Refused, match="302"):
        Http().call("GET", f"{site}{loops}", redirects=True)


def test_an_answer_that_is_too_long_is_refused(echo: Echo) -> None:
    with pytest.raises(Refused, match="longer than"):
        Http().call("GET", f"http://127.0.0.1:{echo.port}/big")


def test_an_answer_cut_short_is_no_answer(relay: Relay) -> None:
    relay.rule = lambda method, path: Spoil("truncate")
    with pytest.raises(Retry) as caught:
        Http().call("GET", f"{relay.url}/x")
    assert not isinstance(caught.value, NotDone)


def test_nobody_there_means_nothing_was_done() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(NotDone, match="refused"):
            Http().call("POST", f"http://127.0.0.1:{probe.getsockname()[1]}/x")


def test_a_server_that_drips_is_shut_down_at_the_limit() -> None:
    """Each byte comes in time; all of them do not."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stop.wait(0.05):
            try:
                connection.sendall(b"x")
            except OSError:
                break
        connection.close()

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Retry, match="no whole answer within 1 s"):
        Http(remaining=lambda: 1.0).call(
            "GET", f"http://127.0.0.1:{listener.getsockname()[1]}/"
        )
    assert time.monotonic() - began < 10
    stop.set()
    thread.join(10)
    listener.close()


def test_credentials_go_by_what_the_server_asks_for(echo: Echo) -> None:
    http = Http(auth=AnyAuth("ann", "secret"))
    http.call("GET", f"http://127.0.0.1:{echo.port}/private")
    assert [("authorization" in request.headers) for request in echo.asked] == [
        False,
        True,
    ]


def test_what_asks_for_nothing_gets_no_credentials_and_is_asked_once(
    echo: Echo,
) -> None:
    Http(auth=AnyAuth("ann", "secret")).call(
        "POST", f"http://127.0.0.1:{echo.port}/open", json={}
    )
    assert [("authorization" in request.headers) for request in echo.asked] == [False]


#: What asks for credentials, or leads elsewhere.
ASIDES = {
    "basic": '401 No\r\nWWW-Authenticate: Basic realm="x"',
    "digest": '401 No\r\nWWW-Authenticate: Digest realm="x", nonce="n", qop="auth"',
    "elsewhere": "302 There\r\nLocation: /end",
}
FLOOD = 60 << 20


def _flood(listener: socket.socket, head: str, sent: list[int]) -> None:
    """Answer with *head* and a long body, until whoever asks goes or asks with
    credentials.
    """
    while True:
        try:
            channel, _ = listener.accept()
        except OSError:
            return
        with channel, contextlib.suppress(OSError):
            while asked := channel.recv(1 << 16):
                if b"Authorization" in asked:
                    channel.sendall(
                        b"HTTP/1.1 200 Fine\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
                    )
                    return
                channel.sendall(
                    f"HTTP/1.1 {head}\r\nContent-Length: {FLOOD}\r\n\r\n".encode()
                )
                for _ in range(FLOOD >> 16):
                    channel.sendall(b"x" * (1 << 16))
                    sent[0] += 1 << 16


@pytest.mark.parametrize("kind", ASIDES)
def test_an_answer_that_is_only_passed_by_is_not_read_to_its_end(kind: str) -> None:
    """A server must not fill our memory with what asks for credentials, or leads
    elsewhere.
    """
    sent = [0]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(
            target=_flood, args=(listener, ASIDES[kind], sent), daemon=True
        )
        thread.start()
        http = Http(auth=AnyAuth("ann", "secret"))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        # The body of a redirect is read as that of any answer, and too much of it
        # refused.
        with (
            pytest.raises(Refused) if kind == "elsewhere" else contextlib.nullcontext()
        ):
            assert http.call("GET", url, redirects=True).status == 200
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert not thread.is_alive()
    # What lies in the sockets' buffers was sent and not read.
    assert sent[0] < FLOOD / 2


def test_a_password_that_is_refused_is_told_with_the_servers_words(
    relay: Relay,
) -> None:
    headers = (("WWW-Authenticate", 'Digest realm="x", nonce="n", qop="auth"'),)
    relay.rule = lambda method, path: Spoil("answer", 401, headers, "no such account")
    with pytest.raises(Retry, match="401"):
        Http(auth=AnyAuth("ann", "secret")).call("GET", f"{relay.url}/x")


def test_a_used_up_limit_is_not_even_tried(relay: Relay) -> None:
    headers = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1767261660"))
    relay.rule = lambda method, path: Spoil("answer", 200, headers, "{}")
    moment = [1_767_261_600.0]
    http = Http(now=lambda: moment[0])
    http.call("GET", f"{relay.url}/x")
    with pytest.raises(NotDone) as caught:
        http.call("GET", f"{relay.url}/x")
    assert caught.value.after == 60
    assert len(relay.seen) == 1
    moment[0] += 61
    http.call("GET", f"{relay.url}/x")
    assert len(relay.seen) == 2


PUBLIC = (
    "8.8.8.8 1.1.1.1 100.63.0.1 172.32.0.1 2606:4700::1111 ::ffff:8.8.8.8 "
    "64:ff9b::808:808 2002:808:808:: 2001:200::1"
)
NOT_PUBLIC = (
    "127.0.0.1 127.1.2.3 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 0.1.2.3 192.0.0.8"
    " 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1"
    " ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1"
    " 2002:7f00:1:: 2002:a00:1:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 fe80::1 fe80::1%lo fc00::1 fd00::1"
    " fec0::1 ff02::1 ff0e::1 100::1 192.0.0.9 192.0.0.170 2001:1::1 2001:20::1 3fff::1 5f00::1 ::8.8.8.8 4000::1"
)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_addresses_that_lead_inside_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "127.1"],
)
def test_a_guarded_request_reaches_nothing_inside_however_it_is_written(
    echo: Echo, host: str
) -> None:
    with pytest.raises(Refused, match="not a public one"):
        Http(guarded=True).call("GET", f"https://{host}:{echo.port}/x")
    with pytest.raises(Refused, match="only https"):
        Http(guarded=True).call("GET", f"http://{host}:{echo.port}/x")
    assert not echo.asked


def test_a_name_server_is_asked_once_and_every_answer_is_checked(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebinding name server: a public address first, the one inside next time; or
    both at once.
    """
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    asked: list[str] = []

    def resolve(host: str, port: int, *args: object, **kwargs: object) -> list[object]:
        asked.append(host)
        found = answers.pop(0) if answers else ["127.0.0.1"]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]

    tried: list[tuple[str, int]] = []

    def connect(
        address: tuple[str, int], *args: object, **kwargs: object
    ) -> socket.socket:
        tried.append(address)
        made = socket.socket()
        made.connect(("127.0.0.1", echo.port))  # whoever answers there speaks no TLS
        return made

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Retry):
        Http(guarded=True).call("GET", f"https://rebind.example:{echo.port}/")
    assert (asked, tried) == (["rebind.example"], [("8.8.8.8", echo.port)])
    answers[:] = [["8.8.8.8", "127.0.0.1"]]
    with pytest.raises(Refused, match=r"127\.0\.0\.1, which is not a public one"):
        connect_public("rebind.example", echo.port, 1)
    assert len(tried) == 1


def test_a_page_for_people_is_no_answer_of_an_interface(relay: Relay) -> None:
    relay.rule = lambda method, path: Spoil("answer", 200, (), "\n<html>Sign in</html>")
    with pytest.raises(Page, match=r"POST .*: 200 with a page: Sign in; check the"):
        Http().call("POST", f"{relay.url}/x", json={})
    assert Http().call("GET", f"{relay.url}/x", pages=True).status == 200
    relay.rule = lambda method, path: Spoil("answer", 200, (), "ok")
    assert Http().call("POST", f"{relay.url}/x", json={}).text == "ok"


@pytest.mark.parametrize("charset", ["nosuch", "punycode", "base64", "idna", '""'])
def test_an_odd_charset_is_read_as_utf_8(relay: Relay, charset: str) -> None:
    kind = (("Content-Type", f"application/json; charset={charset}"),)
    relay.rule = lambda method, path: Spoil("answer", 200, kind, '{"x": "\u00e9"}')
    assert Http().call("GET", f"{relay.url}/x").json() == {"x": "\u00e9"}
