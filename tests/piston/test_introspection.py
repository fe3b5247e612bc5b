"""The example of docs/piston.md with Authlib, and an OAuth 2 server over HTTP."""

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

from oberonc.piston import BadCredentials, Problem

PAGE = (Path(__file__).parents[2] / "docs" / "piston.md").read_text()
EXAMPLE: dict[str, Any] = {}
exec(
    re.findall(r"^```python\n(# library/introspection.*?)^```", PAGE, re.M | re.S)[0],
    EXAMPLE,
)
authentication = EXAMPLE["authentication"]

TOKENS = {
    "good": {"active": True, "sub": "ann", "scope": "profile library"},
    "narrow": {"active": True, "sub": "ann", "scope": "profile"},
    "revoked": {"active": False},
}


class Introspect(BaseHTTPRequestHandler):
    """The endpoint of RFC 7662, 2: who asks must be known, about what they may."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        (token,) = parse_qs(body)["token"]
        known = base64.b64encode(b"client:secret").decode()
        status = 200 if self.headers["Authorization"] == f"Basic {known}" else 401
        answer = json.dumps(TOKENS.get(token, {"active": False})).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Introspect) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{made.server_address[1]}/introspect"
        secret = ("client", "secret")
        with override_settings(OAUTH_INTROSPECTION_URL=url, OAUTH_CLIENT=secret):
            yield url
        made.shutdown()
        thread.join()


def sent(token: str) -> HttpRequest:
    return RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})


def test_who_has_an_active_token_for_the_scope_is_let_in(server: str) -> None:
    request = sent("good")
    assert authentication[0].is_authenticated(request)
    assert request.user.get_username() == "ann"


@pytest.mark.parametrize("token", ["revoked", "unknown"])
def test_a_token_that_is_not_active_is_invalid(server: str, token: str) -> None:
    with pytest.raises(BadCredentials) as caught:
        authentication[0].is_authenticated(sent(token))
    assert caught.value.challenge == 'Bearer realm="API", error="invalid_token"'


def test_a_token_for_another_scope_is_403(server: str) -> None:
    with pytest.raises(Problem) as caught:
        authentication[0].is_authenticated(sent("narrow"))
    assert caught.value.status == 403


def test_without_the_server_it_is_503_and_nobody_is_let_in() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and listens to nobody
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with (
            override_settings(OAUTH_INTROSPECTION_URL=url, OAUTH_CLIENT=("", "")),
            pytest.raises(Problem) as caught,
        ):
            authentication[0].is_authenticated(sent("good"))
    assert caught.value.status == 503


def test_a_server_that_does_not_know_us_lets_nobody_in(server: str) -> None:
    with (
        override_settings(OAUTH_CLIENT=("client", "wrong")),
        pytest.raises(Problem) as caught,
    ):
        authentication[0].is_authenticated(sent("good"))
    assert caught.value.status == 503
