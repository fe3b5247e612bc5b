"""Publish the push by MQTT 5."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event

SCHEMES = {"mqtt": 1883, "mqtts": 8883}
#: Bytes of a packet beside topic and payload: its head and our properties.
OVERHEAD = 8192
#: Reason codes (MQTT 5.0, 2.4): nobody to let in, nothing that another try changes, and
#: that nobody listens.
_CREDENTIALS = {0x86, 0x87, 0x8A, 0x8C}
_NEVER = {0x90, 0x95, 0x99, 0x9B}
_NO_SUBSCRIBER = 0x10


class Mqtt(BaseBroker):
    """Publishes a push by MQTT, at least once."""

    class Settings:
        url: str  # mqtt://host:port or, with TLS, mqtts://
        topic: str = "oberonc/${repository.full_name}"
        user: str = ""
        password: Secret | None = None
        ca: str = ""

    def verify(self) -> None:
        event.library("paho.mqtt.client", "mqtt")
        event.address(self.settings.url, SCHEMES)
        event.check_place("topic", self.settings.topic)
        if any(sign in self.settings.topic for sign in "#+"):
            raise ValueError("setting 'topic' must be one topic, without # and +")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"publish the push to {self._topic(payload)}"]

    def check(self) -> list[Check]:
        with self._session():
            return [Check(True, f"{self.settings.url} answers, and lets us in")]

    def handle(self, payload: dict[str, Any]) -> str:
        topic = self._topic(payload)
        with self._session() as session:
            body = event.body(payload, session.most - len(topic.encode()) - OVERHEAD)
            code = session.publish(topic, body, event.attributes(payload, ""))
        told = ", to which nobody subscribes" if code == _NO_SUBSCRIBER else ""
        return f"published to {topic}{told}"

    def _topic(self, payload: dict[str, Any]) -> str:
        return event.place(self.settings.topic, payload, r"[#+]")

    @contextmanager
    def _session(self) -> Iterator["_Session"]:
        """A session with the server for one turn, which let us in."""
        given, mqtt = self.settings, event.library("paho.mqtt.client", "mqtt")
        secure, host, port = event.address(given.url, SCHEMES)
        limit = int(max(1.0, min(10.0, self.remaining() / 3)))
        version = mqtt.CallbackAPIVersion.VERSION2
        client = mqtt.Client(version, protocol=mqtt.MQTTv5)
        client.connect_timeout = limit
        if given.user or given.password:
            client.username_pw_set(given.user, given.password and str(given.password))
        session = _Session(client, self.remaining)
        try:
            if secure:
                client.tls_set(ca_certs=given.ca or None)
            client.connect(host, port, keepalive=limit, clean_start=True)
            session.enter()
            yield session
        except OSError as error:
            raise Retry(f"{host}:{port}: {error}") from None
        finally:
            client.disconnect()


class _Session:
    """What is said between a client and its server; nothing runs beside it."""

    def __init__(self, client: Any, remaining: Callable[[], float]) -> None:
        self._client, self._remaining = client, remaining
        self._entered: Any = None
        self._taken: Any = None
        self._ended: Any = None
        #: Bytes of a packet that the server takes.
        self.most: float = inf
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    def enter(self) -> None:
        """Wait for the server's word on who we are."""
        _check(self._until(lambda: self._entered), "the server lets nobody in")

    def publish(self, topic: str, body: bytes, named: dict[str, str]) -> int:
        """Send a message; the code with which the server took it."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        # CloudEvents 1.0.2, MQTT binding, 3.1: attributes are user properties.
        properties.UserProperty = list(named.items())
        properties.ContentType = "application/json"
        properties.PayloadFormatIndicator = 1  # text in UTF-8
        self._client.publish(topic, body, qos=1, properties=properties)
        return _check(self._until(lambda: self._taken), f"{topic} is not taken")

    def _until(self, said: Callable[[], Any]) -> Any:
        """What *said* gives, once that is something; all sending and reading is here."""
        while (left := self._remaining() - 1) > 0:
            ended = self._client.loop(min(left, 1.0))
            if (found := said()) is not None:
                return found
            if self._ended is not None and self._ended.is_failure:
                _check(self._ended, "the server ended the connection")
            if ended:
                raise Retry("the connection broke")
        raise Retry("the server is too slow")

    def _on_connect(self, _c: Any, _u: Any, _f: Any, code: Any, given: Any) -> None:
        self._entered = code
        self.most = getattr(given, "MaximumPacketSize", inf)

    def _on_publish(self, _c: Any, _u: Any, _mid: int, code: Any, _p: Any) -> None:
        self._taken = code

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, code: Any, _p: Any) -> None:
        self._ended = code


def _check(code: Any, what: str) -> int:
    """The number of *code*, where it is no failure; else raises what it means."""
    number: int = code.value
    if number in _CREDENTIALS:
        event.unwelcome(f"{what}: {code}")
    if number in _NEVER:
        raise Reject(f"{what}: {code}")
    if code.is_failure:
        raise Retry(f"{what}: {code}")
    return number
