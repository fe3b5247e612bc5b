"""The MQTT broker, with a real mosquitto."""

import getpass
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from brokers.mqtt import Mqtt
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
from tests.support.trackers.servers import run

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("mqtt")]
PASSWORD = "s3cret-word"


def _configured(place: Path, *lines: str) -> list[str]:
    """The arguments of a server whose configuration has *lines*."""
    users = place / "users"
    users.touch(mode=0o600)
    run(["mosquitto_passwd", "-b", str(users), "ann", PASSWORD], place)
    run(["mosquitto_passwd", "-b", str(users), "reader", PASSWORD], place)
    rights = place / "rights"
    rights.write_text("user ann\ntopic readwrite #\nuser reader\ntopic read #\n")
    rights.chmod(0o600)
    file = place / "mosquitto.conf"
    own = (f"user {getpass.getuser()}", f"password_file {users}", f"acl_file {rights}")
    file.write_text("\n".join([*lines, *own, "allow_anonymous false", ""]))
    return ["-c", str(file)]


def _command(program: str, place: Path, port: int) -> list[str]:
    listener = f"listener {port} 127.0.0.1"
    return [program, *_configured(place, listener, "max_packet_size 200000")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("mosquitto", _command) as made:
        yield made


class Subscriber:
    """Somebody who hears everything."""

    def __init__(self, port: int) -> None:
        self.heard: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set("ann", PASSWORD)
        self._client.on_message = lambda _c, _u, message: self.heard.put(message)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=60)

    def next(self) -> mqtt.MQTTMessage:
        return self.heard.get(timeout=60)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscriber(server: Server) -> Iterator[Subscriber]:
    made = Subscriber(server.port)
    yield made
    made.close()


def _settings(port: int, **more: Any) -> dict[str, Any]:
    url = f"mqtt://127.0.0.1:{port}"
    return {"url": url, "user": "ann", "password": PASSWORD, **more}


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_message_with_the_payload_s_bytes(
    server: Server, subscriber: Subscriber, tmp_path: Path, kind: str
) -> None:
    push = told(kind)
    done = testing.deliver(Mqtt, push.payload, tmp_path, **_settings(server.port))
    assert (done.kind, "nobody" in done.note) == ("done", False), done.note
    message = subscriber.next()
    assert message.payload == push.raw
    assert message.qos == 1
    properties: Any = message.properties
    named = dict(properties.UserProperty)
    assert named["id"] == f"{push.payload['id']}-mqtt"
    assert (named["specversion"], named["type"]) == ("1.0", "dev.oberonc.push.v1")
    assert properties.ContentType == "application/json"
    if kind != "hostile":
        assert message.topic == "oberonc/web/shop"
    assert subscriber.heard.empty()


def test_who_publishes_to_nobody_is_told(server: Server, tmp_path: Path) -> None:
    payload = told("push").payload
    done = testing.deliver(Mqtt, payload, tmp_path, **_settings(server.port))
    assert done.kind == "done"
    assert done.note == "published to oberonc/web/shop, to which nobody subscribes"


def test_what_the_server_has_no_room_for_is_cut_and_says_so(
    server: Server, subscriber: Subscriber, tmp_path: Path
) -> None:
    done = testing.deliver(Mqtt, large(), tmp_path, **_settings(server.port))
    assert done.kind == "done", done.note
    message = subscriber.next()
    assert 100_000 < len(message.payload) < 200_000
    assert b'"truncated":true' in message.payload


def test_after_an_answer_that_was_lost_it_comes_again_with_the_same_id(
    server: Server, subscriber: Subscriber, tmp_path: Path
) -> None:
    push = told("all")
    lose_an_answer(Mqtt, push, server.port, _settings, tmp_path)
    properties: list[Any] = [subscriber.next().properties for _ in range(2)]
    assert properties[0].UserProperty == properties[1].UserProperty


def test_a_server_that_is_gone_gets_the_push_when_it_is_back(
    server: Server, tmp_path: Path
) -> None:
    payload = told("push").payload
    server.stop()
    away = testing.deliver(Mqtt, payload, tmp_path, **_settings(server.port))
    server.start()
    back = testing.deliver(Mqtt, payload, tmp_path, **_settings(server.port))
    assert (away.kind, back.kind) == ("retry", "done"), (away.note, back.note)
    assert "refused" in away.note


@pytest.mark.parametrize(
    "wrong",
    [{"password": "other-word"}, {"user": "nobody"}, {"user": "reader"}],
    ids=["password", "user", "rights"],
)
def test_refused_credentials_wait_for_somebody(
    server: Server, tmp_path: Path, wrong: Any
) -> None:
    settings = _settings(server.port) | wrong
    done = testing.deliver(Mqtt, told("push").payload, tmp_path, **settings)
    assert_refused(done)


def test_the_check_proves_address_and_credentials(
    server: Server, subscriber: Subscriber, tmp_path: Path
) -> None:
    [found] = testing.bound(Mqtt, tmp_path, **_settings(server.port)).check()
    assert found.ok
    wrong = testing.bound(Mqtt, tmp_path, **_settings(server.port, password="x" * 9))
    with pytest.raises(Exception, match="CREDENTIALS refused"):
        wrong.check()
    assert subscriber.heard.empty()


def test_tls_is_checked_against_the_named_authority(tmp_path: Path) -> None:
    def command(program: str, place: Path, port: int) -> list[str]:
        key, made = certificate(place)
        lines = f"listener {port} 127.0.0.1", f"certfile {made}", f"keyfile {key}"
        return [program, *_configured(place, *lines)]

    with serving("mosquitto", command) as secure:
        settings = _settings(secure.port, url=f"mqtts://127.0.0.1:{secure.port}")
        payload = told("push").payload
        strange = testing.deliver(Mqtt, payload, tmp_path, **settings)
        settings["ca"] = str(secure.folder / "cert.pem")
        known = testing.deliver(Mqtt, payload, tmp_path, **settings)
    assert (strange.kind, "certificate" in strange.note) == ("retry", True)
    assert known.kind == "done", known.note


def test_a_daemon_delivers_within_its_limits(
    server: Server, subscriber: Subscriber, site: Site
) -> None:
    secret = site.folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    settings = _settings(server.port, password=f"file:{secret}")
    one = through_a_daemon(site, "mqtt", **settings)
    assert one.encode() in subscriber.next().payload


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://x"},
        {"url": "mqtt://u:p@x"},
        {"topic": "a/#"},
        {"topic": "${commit.node}"},
        {"topic": ""},
    ],
    ids=["scheme", "user", "wildcard", "commit", "empty"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="setting"):
        testing.bound(Mqtt, tmp_path, **{"url": "mqtt://x"} | wrong)


def test_the_plan_names_the_topic(tmp_path: Path) -> None:
    broker = testing.bound(Mqtt, tmp_path, url="mqtt://x")
    said = broker.plan(told("push").payload)
    assert said == ["publish the push to oberonc/web/shop"]
