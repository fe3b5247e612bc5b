"""The AMQP broker, with a real RabbitMQ."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest

from brokers.amqp import Amqp
from oberonc import testing
from tests.support.buses import (
    KINDS,
    PROGRAMS,
    Server,
    assert_refused,
    certificate,
    lose_an_answer,
    serving,
    through_a_daemon,
    told,
)
from tests.support.children import child
from tests.support.daemon_site import Site
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.trackers.servers import need

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("amqp")]
PASSWORD = "s3cret-word"


def _configure(place: Path, port: int, secure: int) -> None:
    """Users with and without rights, and nothing in any folder but *place*."""
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    rights = [
        {"user": "ann", "vhost": "git/1", **everything},
        {"user": "reader", "vhost": "git/1", **everything, "write": ""},
    ]
    made = {
        "vhosts": [{"name": "git/1"}],
        "users": [
            {"name": row["user"], "password": PASSWORD, "tags": ""} for row in rights
        ],
        "permissions": rights,
    }
    (place / "definitions.json").write_text(json.dumps(made))
    key, chain = certificate(place)
    (place / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{secure}\n"
        f"ssl_options.certfile = {chain}\nssl_options.keyfile = {key}\n"
        f"load_definitions = {place}/definitions.json\nlog.file = false\n"
    )
    (place / "plugins").write_text("[].\n")


def _environment(place: Path, names: int) -> dict[str, str]:
    """A node of its own name, cookie, folders and register of names, on loopback."""
    own = {
        "RABBITMQ_NODENAME": "bus@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{place}/none.config",
        "RABBITMQ_MNESIA_BASE": f"{place}/mnesia",
        "RABBITMQ_LOG_BASE": f"{place}/log",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/plugins",
        "RABBITMQ_PID_FILE": f"{place}/pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -start_epmd false "
        "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    names_of = {"ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    base = {"PATH": os.environ["PATH"], "HOME": str(place), "LANG": "C.UTF-8"}
    return base | own | names_of


class Rabbit:
    """A node, and a port at which it takes TLS."""

    def __init__(self, server: Server, secure: int) -> None:
        self.server, self.secure = server, secure
        self.port = server.port

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel in the virtual host of the tests."""
        known = pika.PlainCredentials("ann", PASSWORD)
        where = pika.ConnectionParameters("127.0.0.1", self.port, "git/1", known)
        with pika.BlockingConnection(where) as connection:
            yield connection.channel()

    def ready(self) -> bool:
        try:
            with self.channel():
                return True
        except (pika.exceptions.AMQPError, OSError):
            return False


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    register = shutil.which("epmd", path=PROGRAMS) or ""
    need(bool(register), "epmd")
    names, secure = free_port(), free_port()
    environment: dict[str, str] = {}

    def command(program: str, place: Path, port: int) -> list[str]:
        _configure(place, port, secure)
        environment.update(_environment(place, names))
        return [program]

    words = [register, "-port", str(names), "-address", "127.0.0.1"]
    with child(words), serving("rabbitmq-server", command, env=environment) as server:
        made = Rabbit(server, secure)
        eventually(made.ready, 60, "RabbitMQ lets nobody in")
        yield made


@pytest.fixture
def channel(rabbit: Rabbit) -> Iterator[Any]:
    """With an empty queue `all` that gets what is published below `oberonc`."""
    with rabbit.channel() as made:
        _prepare(made)
        yield made


def _prepare(channel: Any) -> None:
    channel.queue_declare("all", durable=True)
    channel.queue_bind("all", "amq.topic", "oberonc.#")
    channel.queue_purge("all")


def _messages(channel: Any) -> list[tuple[Any, Any, bytes]]:
    """What the queue has: how it came, its properties, and its bytes."""
    found = []
    while (message := channel.basic_get("all", auto_ack=True))[0]:
        found.append(message)
    return found


def _settings(port: int, **more: Any) -> dict[str, Any]:
    url = f"amqp://127.0.0.1:{port}/git%2F1"
    return {"url": url, "user": "ann", "password": PASSWORD, **more}


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_message_with_the_payload_s_bytes(
    channel: Any, rabbit: Rabbit, tmp_path: Path, kind: str
) -> None:
    push = told(kind)
    done = testing.deliver(Amqp, push.payload, tmp_path, **_settings(rabbit.port))
    assert done.kind == "done", done.note
    [(way, properties, raw)] = _messages(channel)
    assert raw == push.raw
    assert properties.message_id == f"{push.payload['id']}-amqp"
    assert (properties.delivery_mode, properties.content_type) == (
        2,
        "application/json",
    )
    assert properties.headers["cloudEvents_id"] == properties.message_id
    assert properties.headers["cloudEvents_type"] == "dev.oberonc.push.v1"
    if kind != "hostile":
        assert way.routing_key == "oberonc.web/shop"


def test_after_an_answer_that_was_lost_it_comes_again_with_the_same_id(
    channel: Any, rabbit: Rabbit, tmp_path: Path
) -> None:
    push = told("all")
    lose_an_answer(Amqp, push, rabbit.port, _settings, tmp_path)
    ids = [properties.message_id for _, properties, _ in _messages(channel)]
    assert ids == [f"{push.payload['id']}-amqp"] * 2


def test_a_message_is_there_after_the_server_was_gone(
    rabbit: Rabbit, tmp_path: Path
) -> None:
    with rabbit.channel() as before:
        _prepare(before)
    first, second = told("push", id="1" * 32), told("push", id="2" * 32)
    settings = _settings(rabbit.port)
    assert testing.deliver(Amqp, first.payload, tmp_path, **settings).kind == "done"
    rabbit.server.stop()
    away = testing.deliver(Amqp, second.payload, tmp_path, **settings)
    rabbit.server.start()
    eventually(rabbit.ready, 60)
    back = testing.deliver(Amqp, second.payload, tmp_path, **settings)
    assert (away.kind, back.kind) == ("retry", "done"), (away.note, back.note)
    assert "refused" in away.note
    with rabbit.channel() as again:
        assert [raw for _, _, raw in _messages(again)] == [first.raw, second.raw]


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "other-word"},
        {"user": "nobody"},
        {"user": "reader"},
        {"url": "/other"},
    ],
    ids=["password", "user", "rights", "host"],
)
def test_refused_credentials_wait_for_somebody(
    channel: Any, rabbit: Rabbit, tmp_path: Path, wrong: Any
) -> None:
    if "url" in wrong:
        wrong = {"url": f"amqp://127.0.0.1:{rabbit.port}{wrong['url']}"}
    settings = _settings(rabbit.port) | wrong
    done = testing.deliver(Amqp, told("push").payload, tmp_path, **settings)
    assert_refused(done)
    assert not _messages(channel)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"key": "elsewhere"}, "no queue of amq.topic takes the push"),
        ({"exchange": "", "key": "none"}, "no queue of the default exchange"),
        ({"exchange": "none"}, "no exchange 'none'"),
    ],
    ids=["key", "queue", "exchange"],
)
def test_what_nobody_takes_waits_for_who_does(
    channel: Any, rabbit: Rabbit, tmp_path: Path, where: Any, said: str
) -> None:
    settings = _settings(rabbit.port, **where)
    done = testing.deliver(Amqp, told("push").payload, tmp_path, **settings)
    assert (done.kind, done.after, said in done.note) == ("retry", 600, True), done.note


def test_a_queue_can_be_named_itself(
    channel: Any, rabbit: Rabbit, tmp_path: Path
) -> None:
    push, settings = told("push"), _settings(rabbit.port, exchange="", key="all")
    done = testing.deliver(Amqp, push.payload, tmp_path, **settings)
    assert done.note == "published to the default exchange as all"
    assert [raw for _, _, raw in _messages(channel)] == [push.raw]


def test_a_queue_that_is_full_is_tried_again(
    channel: Any, rabbit: Rabbit, tmp_path: Path
) -> None:
    limits = {"x-max-length": 0, "x-overflow": "reject-publish"}
    channel.queue_declare("full", arguments=limits, exclusive=True)
    settings = _settings(rabbit.port, exchange="", key="full")
    # The queue says no by a negative confirmation, where no other queue takes it.
    done = testing.deliver(Amqp, told("push").payload, tmp_path, **settings)
    assert done.kind == "retry", done.note


def test_the_check_proves_address_credentials_and_exchange(
    channel: Any, rabbit: Rabbit, tmp_path: Path
) -> None:
    [found] = testing.bound(Amqp, tmp_path, **_settings(rabbit.port)).check()
    assert (found.ok, "amq.topic" in found.what) == (True, True)
    wrong = testing.bound(Amqp, tmp_path, **_settings(rabbit.port, password="x" * 9))
    with pytest.raises(Exception, match="CREDENTIALS refused"):
        wrong.check()
    wrong = testing.bound(Amqp, tmp_path, **_settings(rabbit.port, exchange="none"))
    with pytest.raises(Exception, match="no exchange 'none'"):
        wrong.check()
    assert not _messages(channel)


def test_tls_is_checked_against_the_named_authority(
    channel: Any, rabbit: Rabbit, tmp_path: Path
) -> None:
    url = f"amqps://127.0.0.1:{rabbit.secure}/git%2F1"
    settings, payload = _settings(0, url=url), told("push").payload
    strange = testing.deliver(Amqp, payload, tmp_path, **settings)
    settings["ca"] = str(rabbit.server.folder / "cert.pem")
    known = testing.deliver(Amqp, payload, tmp_path, **settings)
    assert (strange.kind, "certificate" in strange.note) == ("retry", True)
    assert known.kind == "done", known.note


def test_a_daemon_delivers_within_its_limits(
    channel: Any, rabbit: Rabbit, site: Site
) -> None:
    secret = site.folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    settings = _settings(rabbit.port, password=f"file:{secret}")
    one = through_a_daemon(site, "amqp", **settings)
    [(_, properties, _)] = _messages(channel)
    assert properties.message_id == f"{one}-bus"


@pytest.mark.parametrize(
    "wrong",
    [{"url": "http://x"}, {"url": "amqp://u:p@x"}, {"key": "${commit.node}"}],
    ids=["scheme", "user", "commit"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="setting"):
        testing.bound(Amqp, tmp_path, **{"url": "amqp://x"} | wrong)


def test_the_plan_names_exchange_and_key(tmp_path: Path) -> None:
    broker = testing.bound(Amqp, tmp_path, url="amqp://x")
    said = broker.plan(told("push").payload)
    assert said == ["publish the push to amq.topic as oberonc.web/shop"]
