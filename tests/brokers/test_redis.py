"""The Redis broker, with a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from brokers.redis import Redis
from oberonc import testing
from tests.support.buses import (
    KINDS,
    Server,
    assert_refused,
    certificate,
    lose_an_answer,
    serving,
    through_a_daemon,
    told,
)
from tests.support.daemon_site import Site
from tests.support.eventually import eventually

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("redis")]
PASSWORD = "s3cret-word"


def _command(program: str, place: Path, port: int) -> list[str]:
    (place / "users").write_text(
        f"user default on >{PASSWORD} ~* &* +@all\nuser reader on >{PASSWORD} ~* +@read\n"
        f"user writer on >{PASSWORD} ~oberonc ~{{oberonc}}:seen:* "
        "+ping +eval +get +set +xadd +select\n"
    )
    words = f"--port {port} --bind 127.0.0.1 --dir {place} --aclfile {place}/users"
    return [program, *words.split(), "--appendonly", "yes"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("redis-server", _command) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator["redis.Redis"]:
    with redis.Redis(port=server.port, password=PASSWORD) as made:
        made.flushall()
        yield made


def _has_loaded(client: "redis.Redis") -> bool:
    """Whether it is done with reading its file: until then it refuses everything."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _settings(port: int, **more: Any) -> dict[str, Any]:
    return {"url": f"redis://127.0.0.1:{port}", "password": PASSWORD, **more}


def _entries(
    client: "redis.Redis", stream: str = "oberonc"
) -> list[dict[bytes, bytes]]:
    rows: Any = client.xrange(stream)
    return [fields for _, fields in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_entry_with_the_payload_s_bytes(
    client: "redis.Redis", server: Server, tmp_path: Path, kind: str
) -> None:
    push = told(kind)
    settings = _settings(server.port)
    for said in ("added: ", "added before: "):
        done = testing.deliver(Redis, push.payload, tmp_path, **settings)
        assert (done.kind, done.note.startswith(said)) == ("done", True), done.note
    [entry] = _entries(client)
    assert entry[b"payload"] == push.raw
    assert entry[b"ce_id"].decode() == f"{push.payload['id']}-redis"
    assert entry[b"ce_type"] == b"dev.oberonc.push.v1"
    assert sorted(entry) == [
        *(b"ce_id", b"ce_source", b"ce_specversion", b"ce_time", b"ce_type"),
        b"payload",
    ]


def test_an_answer_that_was_lost_adds_nothing_twice(
    client: "redis.Redis", server: Server, tmp_path: Path
) -> None:
    push = told("all")
    lose_an_answer(Redis, push, server.port, _settings, tmp_path)
    assert len(_entries(client)) == 1


def test_a_server_that_is_gone_gets_the_push_when_it_is_back(
    client: "redis.Redis", server: Server, tmp_path: Path
) -> None:
    push = told("push")
    server.stop()
    away = testing.deliver(Redis, push.payload, tmp_path, **_settings(server.port))
    server.start()
    eventually(lambda: _has_loaded(client))
    back = testing.deliver(Redis, push.payload, tmp_path, **_settings(server.port))
    assert (away.kind, back.kind) == ("retry", "done"), (away.note, back.note)
    assert "refused" in away.note
    assert len(_entries(client)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"password": "other-word"}, {"user": "reader"}, {"password": None}],
    ids=["password", "rights", "nothing"],
)
def test_refused_credentials_wait_for_somebody(
    client: "redis.Redis", server: Server, tmp_path: Path, wrong: Any
) -> None:
    settings = _settings(server.port) | wrong
    if wrong == {"password": None}:
        del settings["password"]
    done = testing.deliver(Redis, told("push").payload, tmp_path, **settings)
    assert_refused(done)
    assert not _entries(client)


def test_a_user_with_the_documented_rights_can_add(
    client: "redis.Redis", server: Server, tmp_path: Path
) -> None:
    settings = _settings(server.port, user="writer")
    settings["url"] += "/0"
    done = testing.deliver(Redis, told("push").payload, tmp_path, **settings)
    assert done.kind == "done", done.note
    assert testing.bound(Redis, tmp_path, **settings).check()[0].ok


def test_what_is_no_stream_is_never_tried_again(
    client: "redis.Redis", server: Server, tmp_path: Path
) -> None:
    client.set("oberonc", "something else")
    done = testing.deliver(
        Redis, told("push").payload, tmp_path, **_settings(server.port)
    )
    assert (done.kind, "WRONGTYPE" in done.note) == ("dead", True), done.note


def test_a_repository_can_have_a_stream_of_its_own_which_is_kept_short(
    client: "redis.Redis", server: Server, tmp_path: Path
) -> None:
    settings = _settings(server.port, stream="git.${repository.full_name}", most=1)
    for number in range(250):
        payload = testing.payload(id=f"{number:032x}")
        testing.deliver(Redis, payload, tmp_path, **settings)
    kept = _entries(client, "git.web/shop")
    # "About": whole blocks of a hundred are dropped.
    assert 1 <= len(kept) <= 200
    assert json.loads(kept[-1][b"payload"])["id"] == f"{249:032x}"


def test_the_check_proves_address_and_credentials(
    client: "redis.Redis", server: Server, tmp_path: Path
) -> None:
    [found] = testing.bound(Redis, tmp_path, **_settings(server.port)).check()
    assert found.ok
    assert client.dbsize() == 0
    wrong = testing.bound(Redis, tmp_path, **_settings(server.port, password="x" * 9))
    with pytest.raises(Exception, match="CREDENTIALS refused"):
        wrong.check()


def test_tls_is_checked_against_the_named_authority(tmp_path: Path) -> None:
    def command(program: str, place: Path, port: int) -> list[str]:
        key, made = certificate(place)
        words = (
            f"--port 0 --tls-port {port} --bind 127.0.0.1 --dir {place} --save '' "
            f"--tls-cert-file {made} --tls-key-file {key} --tls-auth-clients no"
        )
        return [program, *words.split()]

    with serving("redis-server", command) as secure:
        settings: Any = {"url": f"rediss://127.0.0.1:{secure.port}"}
        payload = told("push").payload
        strange = testing.deliver(Redis, payload, tmp_path, **settings)
        settings["ca"] = str(secure.folder / "cert.pem")
        known = testing.deliver(Redis, payload, tmp_path, **settings)
    assert (strange.kind, "certificate" in strange.note.lower()) == ("retry", True)
    assert known.kind == "done", known.note


def test_a_daemon_delivers_within_its_limits(
    client: "redis.Redis", server: Server, site: Site
) -> None:
    secret = site.folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    settings = _settings(server.port, password=f"file:{secret}")
    one = through_a_daemon(site, "redis", **settings)
    [entry] = _entries(client)
    assert entry[b"ce_id"].decode() == f"{one}-bus"
    assert json.loads(entry[b"payload"])["id"] == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://x"},
        {"url": "redis://u:p@x"},
        {"url": "redis://x/name"},
        {"most": 0},
        {"stream": "${commit.node}"},
        {"stream": ""},
    ],
    ids=["scheme", "user", "database", "most", "commit", "empty"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="setting"):
        testing.bound(Redis, tmp_path, **{"url": "redis://x"} | wrong)


def test_the_plan_names_the_stream(tmp_path: Path) -> None:
    settings = {"url": "redis://x", "stream": "git.${repository.name}"}
    broker = testing.bound(Redis, tmp_path, **settings)
    assert broker.plan(told("push").payload) == ["add the push to the stream git.shop"]
