"""The project behind real servers: gunicorn and waitress (WSGI), uvicorn (ASGI)."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.piston.servers import TOP, Server
from tests.support.ports import free_port

pytestmark = pytest.mark.xdist_group("piston servers")
WSGI = {
    "gunicorn": "-m gunicorn --threads 4 -b 127.0.0.1:{port} {wsgi}:application",
    "waitress": "-m waitress --listen 127.0.0.1:{port} {wsgi}:application",
}
ASGI = {
    # With its other parser it answers by itself where it does not know a method.
    "uvicorn": "-m uvicorn --port {port} --http h11 --lifespan off --no-access-log {asgi}:application"
}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A database with tables, and who may see it."""
    folder = tmp_path_factory.mktemp("database")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(TOP),
        "DJANGO_SETTINGS_MODULE": "tests.piston.project.settings",
        "PISTON_TEST_DATABASE": str(folder / "db.sqlite3"),
    }
    words = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v", "0"]
    subprocess.run(words, env=environment, cwd=folder, check=True)
    return environment


@pytest.fixture(scope="module", params=[*WSGI, *ASGI])
def server(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    port = free_port()
    words = (WSGI | ASGI)[request.param].format(
        port=port, wsgi="tests.piston.project.wsgi", asgi="tests.piston.project.asgi"
    )
    folder = tmp_path_factory.mktemp(request.param)
    server = Server([sys.executable, *words.split()], port, folder, environment)
    server.name = request.param
    with server:
        yield server


class Answer:
    """An answer that was read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


def ask(
    server: Server,
    method: str,
    path: str,
    body: object = None,
    headers: dict[str, str] | None = None,
    **options: bool,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body, headers or {}, **options)  # type: ignore
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_8_head_has_the_headers_of_get_and_no_body(server: Server) -> None:
    get, head = ask(server, "GET", "/orders/"), ask(server, "HEAD", "/orders/")
    assert (get.status, head.status, head.body) == (200, 200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Vary", "Link"):
        assert head.headers[name] == get.headers[name] is not None, name


def test_8_options_is_answered_without_credentials(server: Server) -> None:
    answer = ask(server, "OPTIONS", "/private/")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Allow"] == "GET, HEAD, PUT, OPTIONS"


def test_8_a_method_that_http_does_not_know_is_501(server: Server) -> None:
    assert ask(server, "BREW", "/orders/").status == 501


def test_10_rows_are_streamed_in_flat_memory(server: Server) -> None:
    ask(server, "GET", "/numbers/?count=1000")
    before = server.memory()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("GET", "/numbers/?count=250000&format=jsonl")
    response = connection.getresponse()
    lines, peak = 0, before
    while block := response.read(1 << 20):
        lines += block.count(b"\n")
        peak = max(peak, server.memory())
    connection.close()
    assert lines == 250_000
    assert peak - before < 16 << 20, f"grew by {(peak - before) >> 20} MiB"


def test_10_rows_made_in_the_event_loop_are_streamed(server: Server) -> None:
    answer = ask(server, "GET", "/async-numbers/?count=5000")
    assert answer.status == 200
    assert len(json.loads(answer.body)) == 5000


def test_10_an_error_before_the_first_row_is_a_problem(server: Server) -> None:
    answer = ask(server, "GET", "/numbers/?fail=0")
    assert answer.status == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body)["instance"].startswith("urn:uuid:")


def test_10_a_later_error_breaks_the_connection(server: Server) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(server, "GET", "/numbers/?fail=500")


def test_10_a_client_that_goes_away_harms_nobody(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as wire:
        wire.sendall(b"GET /numbers/?count=1000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.recv(1000)
    assert ask(server, "GET", "/orders/").status == 200


def test_6_files_are_uploaded_with_put(server: Server) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="page"\r\n\r\n1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="scan"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + bytes(5000) + b"\r\n--b--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = json.loads(ask(server, "PUT", "/echo/", body, kind).body)
    assert answer["data"] == {"page": "1"}
    assert answer["files"] == {"scan": {"name": "a.png", "size": 5000}}


def test_6_a_chunked_body_is_read(server: Server) -> None:
    parts = iter([b'{"a":', b" [1, 2]}"])
    answer = ask(server, "POST", "/echo/", parts, JSON, encode_chunked=True)
    assert json.loads(answer.body)["data"] == {"a": [1, 2]}


def test_6_a_chunked_form_is_read(server: Server) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for method in ("POST", "PUT"):
        parts = iter([b"a=1&", b"b=2"])
        answer = ask(server, method, "/echo/", parts, kind, encode_chunked=True)
        assert json.loads(answer.body)["data"] == {"a": "1", "b": "2"}


def test_6_a_chunked_body_that_is_too_large_is_413(server: Server) -> None:
    parts = iter([b'"' + b"x" * 1_000_000] * 3)
    answer = ask(server, "POST", "/echo/", parts, JSON, encode_chunked=True)
    assert answer.status == 413


def test_6_a_body_that_is_too_large_is_413(server: Server) -> None:
    body = b'"' + b"x" * 3_000_000 + b'"'
    answer = ask(server, "POST", "/echo/", body, JSON)
    assert answer.status == 413
    assert json.loads(answer.body)["title"] == "Content Too Large"


def test_6_a_body_that_ends_early_runs_nothing(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as wire:
        wire.sendall(
            b"POST /orders/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n"
            b'Content-Type: application/json\r\n\r\n{"sku": "x"}'
        )
        wire.shutdown(socket.SHUT_WR)
        answer = wire.makefile("rb").read()
    assert b" 201 " not in answer
    assert ask(server, "GET", "/orders/").status == 200


def test_5_every_format_comes_over_the_wire(server: Server) -> None:
    for accept in ("json", "yaml", "xml", "x-ndjson"):
        kind = f"application/{accept}"
        answer = ask(server, "GET", "/orders/", headers={"Accept": kind})
        assert answer.headers["Content-Type"].partition(";")[0] == kind
        assert answer.headers["Vary"] == "Accept"


def test_11_a_row_is_made_changed_and_deleted(server: Server) -> None:
    body = b'{"label": "A 1"}'
    basic = {"Authorization": "Basic YW5uOm9wZW4gc2VzYW1l"}
    made = ask(server, "POST", "/shelves/", body, JSON | basic)
    assert (made.status, json.loads(made.body)["owner"]) == (201, "ann")
    assert ask(server, "POST", "/shelves/", body, JSON).status == 401


def test_12_the_documentation_is_served(server: Server) -> None:
    assert json.loads(ask(server, "GET", "/openapi.json").body)["openapi"] == "3.1.0"
    assert b"A library" in ask(server, "GET", "/documentation/").body


def test_10_async_methods_run_in_the_event_loop(server: Server) -> None:
    """Each of two requests waits for the other, in one thread."""
    if server.name not in ASGI:
        pytest.skip("there is no event loop that outlives a request")
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(json.loads(ask(server, "GET", "/slow/").body))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer["second"] for answer in answers) == [False, True]


def test_10_an_async_method_runs_under_wsgi_too(server: Server) -> None:
    answer = ask(server, "GET", "/async-numbers/?count=1&format=csv")
    assert answer.body.splitlines()[0] == b"number,text"
