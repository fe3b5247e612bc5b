"""The NATS broker, with a real server and its streams."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.nats import Nats
from oberonc import testing
from tests.support.buses import (
    KINDS,
    Server,
    assert_refused,
    certificate,
    large,
    lose_an_answer,
    serving,
    through_a_daemon,
    told,
)
from tests.support.daemon_site import Site

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("nats")]
PASSWORD = "s3cret-word"


def _command(program: str, place: Path, port: int) -> list[str]:
    (place / "nats.conf").write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{place}/js" }}\n'
        "max_payload: 200000\nauthorization { users = [\n"
        f'  {{ user: ann, password: "{PASSWORD}" }}\n'
        f'  {{ user: reader, password: "{PASSWORD}", permissions: {{ publish: "x" }} }}\n'
        "] }\n"
    )
    return [program, "-c", str(place / "nats.conf")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("nats-server", _command) as made:
        yield made


class Client:
    """The wire, as its documentation describes it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        said = {"user": "ann", "pass": PASSWORD, "headers": True, "verbose": False}
        self._socket.sendall(f"CONNECT {json.dumps(said)}\r\nSUB in 1\r\n".encode())

    def ask(self, operation: str, body: Any = "") -> Any:
        """What JetStream's API answers."""
        raw = json.dumps(body).encode() if body else b""
        head = f"PUB $JS.API.{operation} in {len(raw)}\r\n"
        self._socket.sendall(head.encode() + raw + b"\r\n")
        line = self._file.readline()
        while not line.startswith(b"MSG"):
            line = self._file.readline()
        return json.loads(self._file.read(int(line.split()[-1]) + 2))

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """With an empty stream that takes all below `oberonc`."""
    made = Client(server.port)
    made.ask("STREAM.DELETE.GIT")
    about = {"name": "GIT", "subjects": ["oberonc.>"], "max_msg_size": 150_000}
    assert "error" not in made.ask("STREAM.CREATE.GIT", about)
    yield made
    made.close()


def _messages(client: Client) -> list[dict[str, Any]]:
    count = client.ask("STREAM.INFO.GIT")["state"]["messages"]
    found = [client.ask("STREAM.MSG.GET.GIT", {"seq": n + 1}) for n in range(count)]
    return [each["message"] for each in found]


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def _settings(port: int, **more: Any) -> dict[str, Any]:
    url = f"nats://127.0.0.1:{port}"
    return {"url": url, "user": "ann", "password": PASSWORD, **more}


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_message_with_the_payload_s_bytes(
    client: Client, server: Server, tmp_path: Path, kind: str
) -> None:
    push = told(kind)
    for said in ("taken: 1 of GIT", "taken before: 1 of GIT"):
        done = testing.deliver(Nats, push.payload, tmp_path, **_settings(server.port))
        assert (done.kind, done.note) == ("done", said)
    [message] = _messages(client)
    assert _decoded(message["data"]) == push.raw
    lines = _decoded(message["hdrs"]).decode().splitlines()
    assert lines[0] == "NATS/1.0"
    named = dict(line.split(": ", 1) for line in lines[1:] if line)
    assert named["Nats-Msg-Id"] == named["ce-id"] == f"{push.payload['id']}-nats"
    assert named["ce-type"] == "dev.oberonc.push.v1"
    if kind != "hostile":
        assert message["subject"] == "oberonc.web/shop"


def test_an_answer_that_was_lost_publishes_nothing_twice(
    client: Client, server: Server, tmp_path: Path
) -> None:
    push = told("all")
    lose_an_answer(Nats, push, server.port, _settings, tmp_path)
    assert len(_messages(client)) == 1


def test_a_server_that_is_gone_gets_the_push_when_it_is_back(
    client: Client, server: Server, tmp_path: Path
) -> None:
    push = told("push")
    server.stop()
    away = testing.deliver(Nats, push.payload, tmp_path, **_settings(server.port))
    server.start()
    back = testing.deliver(Nats, push.payload, tmp_path, **_settings(server.port))
    assert (away.kind, back.kind) == ("retry", "done"), (away.note, back.note)
    assert "refused" in away.note


@pytest.mark.parametrize(
    "wrong",
    [{"password": "other-word"}, {"user": "nobody"}, {"user": "reader"}],
    ids=["password", "user", "rights"],
)
def test_refused_credentials_wait_for_somebody(
    client: Client, server: Server, tmp_path: Path, wrong: Any
) -> None:
    settings = _settings(server.port) | wrong
    done = testing.deliver(Nats, told("push").payload, tmp_path, **settings)
    assert_refused(done)
    assert not _messages(client)


def test_a_subject_that_no_stream_takes_waits_for_one(
    client: Client, server: Server, tmp_path: Path
) -> None:
    settings = _settings(server.port, subject="nowhere.${repository.name}")
    done = testing.deliver(Nats, told("push").payload, tmp_path, **settings)
    assert (done.kind, done.after) == ("retry", 600), done.note
    assert "no stream takes 'nowhere.shop'" in done.note
    [_, stream] = testing.bound(Nats, tmp_path, **settings).check()
    assert (stream.ok, "'nowhere.*'" in stream.mend) == (False, True)


def test_what_the_server_has_no_room_for_is_cut_and_says_so(
    client: Client, server: Server, tmp_path: Path
) -> None:
    client.ask("STREAM.UPDATE.GIT", {"name": "GIT", "subjects": ["oberonc.>"]})
    done = testing.deliver(Nats, large(), tmp_path, **_settings(server.port))
    assert done.kind == "done", done.note
    [message] = _messages(client)
    raw = _decoded(message["data"])
    assert 100_000 < len(raw) < 200_000
    assert json.loads(raw)["truncated"]


def test_what_the_stream_never_takes_is_never_tried_again(
    client: Client, server: Server, tmp_path: Path
) -> None:
    done = testing.deliver(Nats, large(), tmp_path, **_settings(server.port))
    assert (done.kind, "size" in done.note) == ("dead", True), done.note


def test_the_check_proves_address_credentials_and_the_stream(
    client: Client, server: Server, tmp_path: Path
) -> None:
    found = testing.bound(Nats, tmp_path, **_settings(server.port)).check()
    assert [each.ok for each in found] == [True, True]
    assert not _messages(client)
    wrong = testing.bound(Nats, tmp_path, **_settings(server.port, password="x" * 9))
    with pytest.raises(Exception, match="CREDENTIALS refused"):
        wrong.check()


def test_tls_is_checked_against_the_named_authority(tmp_path: Path) -> None:
    def command(program: str, place: Path, port: int) -> list[str]:
        key, made = certificate(place)
        words = f"-a 127.0.0.1 -p {port} --user ann --pass {PASSWORD} --tls"
        files = f"--tlscert {made} --tlskey {key} -js -sd {place}/js"
        return [program, *words.split(), *files.split()]

    with serving("nats-server", command) as secure:
        settings = _settings(secure.port, url=f"tls://127.0.0.1:{secure.port}")
        strange = testing.deliver(Nats, told("push").payload, tmp_path, **settings)
        settings["ca"] = str(secure.folder / "cert.pem")
        answers, _ = testing.bound(Nats, tmp_path, **settings).check()
    assert (strange.kind, "certificate" in strange.note) == ("retry", True)
    assert answers.ok


def test_no_credentials_go_to_a_server_without_tls_when_it_was_asked_for(
    client: Client, server: Server, tmp_path: Path
) -> None:
    settings = _settings(server.port, url=f"tls://127.0.0.1:{server.port}")
    done = testing.deliver(Nats, told("push").payload, tmp_path, **settings)
    assert (done.kind, "SSL" in done.note) == ("retry", True), done.note
    assert not _messages(client)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "retry"),
        (b"INFO {\r\n", "retry"),
        (b"INFO {}\r\nPONG\r\nMSG a 1 99999999999\r\n", "retry"),
        (b"INFO {}\r\nPONG\r\nMSG a 1 5\r\n[1,2]\r\n", "retry"),
        (b"INFO {}\r\nPONG\r\nMSG a 1 2\r\n{}\r\n", "retry"),
        (b'INFO {"max_payload": "x"}\r\nPONG\r\n', "retry"),
        (b"x" * 200_000, "retry"),
    ],
    ids=["http", "cut", "huge", "list", "empty", "number", "endless"],
)
def test_a_server_that_is_none_is_told_later(
    tmp_path: Path, said: bytes, kind: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def serve() -> None:
            with odd.accept()[0] as one:
                one.sendall(said)
                one.shutdown(socket.SHUT_WR)
                while one.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        settings = _settings(odd.getsockname()[1])
        done = testing.deliver(Nats, told("push").payload, tmp_path, **settings)
        thread.join(60)
    assert (done.kind, "Error:" in done.note) == (kind, False), done.note


def test_a_daemon_delivers_within_its_limits(
    client: Client, server: Server, site: Site
) -> None:
    secret = site.folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    settings = _settings(server.port, password=f"file:{secret}")
    one = through_a_daemon(site, "nats", **settings)
    [message] = _messages(client)
    assert json.loads(_decoded(message["data"]))["id"] == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://x"},
        {"url": "nats://u:p@x"},
        {"subject": "a.>"},
        {"subject": "a..b"},
        {"subject": "a b"},
        {"subject": "${commit.node}"},
        {"subject": ""},
    ],
    ids=["scheme", "user", "wildcard", "dots", "blank", "commit", "empty"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="setting"):
        testing.bound(Nats, tmp_path, **{"url": "nats://x"} | wrong)


def test_the_plan_names_the_subject(tmp_path: Path) -> None:
    broker = testing.bound(Nats, tmp_path, url="nats://x")
    said = broker.plan(told("push").payload)
    assert said == ["publish the push to oberonc.web/shop"]
