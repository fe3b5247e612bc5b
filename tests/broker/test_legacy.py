"""Files in the style of 2009 run unmodified against a real server; what they are lent
is gone afterwards.
"""

import base64
import json
import sys
import threading
import urllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from oberonc.broker import legacy, loading
from oberonc.broker.registry import BrokenBroker
from tests.brokers_for_tests import source
from tests.support.admin import Admin


class _Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str, dict[str, str], str]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path == "/private" and "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="the stream"')
            self.end_headers()
            return
        self.seen.append((self.command, self.path, dict(self.headers), body))
        self.send_response(410 if self.path == "/gone" else 200)
        self.end_headers()
        self.wfile.write(b"fine")

    do_POST = do_GET

    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    class Handler(_Handler):
        seen: list[tuple[str, str, dict[str, str], str]] = []  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def _run(
    admin: Admin, server: ThreadingHTTPServer, name: str, **settings: Any
) -> tuple[str, list[tuple[str, str, dict[str, str], str]]]:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    text = source(f"legacy/{name}").replace("http://localhost", url)
    admin.broker("old", text, head="")
    outcome = admin.run("old", **settings)
    assert outcome.kind == "done", outcome
    return outcome.note, server.RequestHandlerClass.seen  # type: ignore[attr-defined]


def test_cards_get_the_payload_without_its_secrets(
    admin: Admin, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    _, [(method, path, headers, body)] = _run(
        admin, server, "cards", board="b1", token="env:TOKEN"
    )
    sent = parse_qs(body)
    payload = json.loads(sent["payload"][0])
    assert (method, path, headers["User-Agent"], sent["token"]) == (
        "POST",
        "/cards/b1",
        "bitbucket.org",
        ["t0ken"],
    )
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "service" not in payload
    assert {c["url"] for c in payload["commits"]} == {"x"}


def test_a_stream_is_told_with_basic_authentication(
    admin: Admin, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "p:ä")
    _, [(_, path, headers, body)] = _run(
        admin, server, "stream", username="ann", password="env:PW"
    )
    assert path == "/private"
    assert (
        base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        == "ann:p:ä"
    )
    assert "pushed" in parse_qs(body)["message[body]"][0]


def test_a_deployment_reads_its_optional_settings(
    admin: Admin, server: ThreadingHTTPServer
) -> None:
    _, [(_, path, _, body)] = _run(admin, server, "deploy", email="a@example.org")
    assert path == "/deploy"
    assert json.loads(parse_qs(body)["payload"][0])["email"] == "a@example.org"


def test_a_build_is_started_by_a_get(admin: Admin, server: ThreadingHTTPServer) -> None:
    _, [(method, path, _, _)] = _run(admin, server, "build", build="KEY-1")
    assert (method, path) == (
        "GET",
        "/build?buildKey=KEY-1&os_authType=basic&q=a%20bc+d",
    )


def test_notes_are_posted_by_the_library_that_lay_beside_the_brokers(
    admin: Admin, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "pw")
    url = f"http://127.0.0.1:{server.server_address[1]}/notes"
    given = {"url": url, "username": "ann", "password": "env:PW"}
    _, [(_, path, headers, body)] = _run(admin, server, "notes", **given)
    known = base64.b64decode(headers["Authorization"].removeprefix("Basic "))
    assert (path, known) == ("/notes", b"ann:pw")
    assert "service" not in json.loads(parse_qs(body)["payload"][0])


def test_an_error_page_is_an_answer_as_it_was_then(
    admin: Admin, server: ThreadingHTTPServer
) -> None:
    note, [(_, _, headers, body)] = _run(admin, server, "stories", token="t")
    assert (note, headers["X-Trackertoken"], body) == ("410", "t", "<xml/>")


def test_the_lent_names_are_gone_afterwards(admin: Admin) -> None:
    before, lent = set(vars(urllib)), _lent()
    admin.broker("old", source("legacy/cards"), head="")
    loading.load(admin.place("old"))
    assert _lent() == lent
    assert not hasattr(urllib, "urlencode")
    assert set(vars(urllib)) - before <= {"parse", "request", "error", "response"}
    with legacy.names_of_2009(False):
        assert _lent() == lent


def test_a_library_is_the_same_after_it_was_lent(admin: Admin) -> None:
    import requests

    before, finders = dict(vars(requests)), list(sys.meta_path)
    admin.broker("old", source("legacy/notes"), head="")
    loading.load(admin.place("old"))
    assert vars(requests) == before
    assert {*sys.meta_path} - {*finders} <= {loading._Finder}


def test_what_was_there_before_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    real = types.ModuleType("django")
    monkeypatch.setitem(sys.modules, "django", real)
    with legacy.names_of_2009():
        assert sys.modules["django"] is not real
    assert sys.modules["django"] is real


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("from brokers import BaseBroker", True),
        ("import brokers", True),
        ("from django.utils import simplejson", True),
        ("import urllib\nurllib.urlencode({})", True),
        ("from urllib import urlencode", True),
        ("from django.conf import settings", False),
        ("import django_x", False),
        ("from .brokers import x", False),
        ("from packages import requests", True),
        ("import packages.requests", True),
        ("from packages.requests.auth import HTTPBasicAuth", True),
        ("from .packages import requests", False),
        ("import packages_x", False),
        ("import os; import packages", True),
        ("import os, \\\n    packages", True),
        ("from django.utils import (\n    simplejson,\n)", True),
        ("from urllib import (\n    quote,\n)", True),
        ("import urllib.parse, urllib\nurllib.urlencode({})", True),
        ("# from brokers import BaseBroker", False),
        ("import urllib.parse\nurllib.parse.urlencode({})", False),
        ("x = (", False),
    ],
)
def test_only_files_of_that_time_are_lent_its_names(
    admin: Admin, line: str, needed: bool
) -> None:
    assert legacy.needs(str(admin.broker("b", line, head=""))) is needed


def test_only_http_is_opened(admin: Admin) -> None:
    with pytest.raises(OSError, match="only http and https"):
        legacy.FancyURLopener().open("file:///etc/passwd")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('print "x"', "Python 2 syntax"),
        ("try:\n    pass\nexcept E, e:\n    pass", "Python 2 syntax"),
        ("try:\n    pass\nexcept (E, OSError), e:\n    pass", "Python 2 syntax"),
        ("x = 1 <> 2", "Python 2 syntax"),
        ("x = `1`", "Python 2 syntax"),
        ('raise E, "x"', "Python 2 syntax"),
        ("x = 0777", "Python 2 syntax"),
        ('exec "x"', "Python 2 syntax"),
        (
            "import urllib2",
            "'urllib2', which is not installed (it was part of Python 2; urllib.request replaces it)",
        ),
        ("import simplejson_x.y", "'simplejson_x', which is not installed"),
        ("from httplib import HTTP", "http.client replaces it"),
        ("from packages import oauth2", "'oauth2', which is not installed"),
        ("from packages import httplib", "http.client replaces it"),
        ("import packages.oauth2.x", "'oauth2', which is not installed"),
    ],
)
def test_what_python_no_longer_has_is_named(admin: Admin, line: str, said: str) -> None:
    file = admin.broker("old", line + "\n", head="from brokers import BaseBroker\n")
    with pytest.raises(BrokenBroker) as caught:
        loading.load(admin.place("old"))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{file}:")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="a syntax error before")
@pytest.mark.parametrize(
    "caught", ["OSError, ValueError", "OSError, Own", "OSError, late", "json.J, other"]
)
def test_two_exceptions_without_parentheses_are_what_python_takes_them_for(
    admin: Admin, caught: str
) -> None:
    head = "import json\nfrom oberonc import BaseBroker, Retry as other\nclass Own(Exception): pass\n"
    line = f"def first():\n    try:\n        pass\n    except {caught}:\n        pass\nlate = Own\n"
    line += "class New(BaseBroker):\n    def handle(self, payload): first()\n"
    admin.broker("new", line, head=head)
    loading.load(admin.place("new"))


def test_python_2s_except_is_named_in_the_files_beside_the_broker_too(
    admin: Admin,
) -> None:
    file = admin.broker("old", "", head="from ._helper import x\n").with_name(
        "_helper.py"
    )
    file.write_text("try:\n    x = 1\nexcept (OSError), e:\n    x = 2\n")
    with pytest.raises(BrokenBroker, match=r"_helper.py:3: .*Python 2 syntax"):
        loading.load(admin.place("old"))


def _lent() -> set[str]:
    return {name for name in sys.modules if name.split(".")[0] in _LENT}


_LENT = ("brokers", "django", "packages")
