"""Publish the push to an exchange of RabbitMQ, by AMQP 0-9-1."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event
from oberonc.kit.answers import CREDENTIALS_AFTER
from oberonc.text import one_line

SCHEMES = {"amqp": 5672, "amqps": 5671}
#: Bytes of a routing key (AMQP 0-9-1, a short string).
LONGEST_KEY = 255
#: Reply codes (AMQP 0-9-1, 1.2): no rights, nothing there, and what does not fit.
_REFUSED, _MISSING, _UNFIT = 403, 404, 406


class Amqp(BaseBroker):
    """Publishes a push to an exchange of RabbitMQ, at least once."""

    class Settings:
        url: str  # amqp://host:port/virtual-host or, with TLS, amqps://
        exchange: str = "amq.topic"  # "" is the default one: `key` is a queue then
        key: str = "oberonc.${repository.full_name}"
        user: str = "guest"
        password: Secret | None = None
        ca: str = ""

    def verify(self) -> None:
        event.library("pika", "amqp")
        event.address(self.settings.url, SCHEMES)
        event.check_place("key", self.settings.key)

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"publish the push to {self._where(payload)}"]

    def check(self) -> list[Check]:
        exchange = self.settings.exchange
        with self._channel() as channel:
            if exchange:
                channel.exchange_declare(exchange, passive=True)
        there = f", and has the exchange {exchange}" if exchange else ""
        return [Check(True, f"{self.settings.url} lets us in{there}")]

    def handle(self, payload: dict[str, Any]) -> str:
        pika = event.library("pika", "amqp")
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,  # kept on the disk, in a queue that is
            message_id=payload["delivery_id"],
            # CloudEvents 1.0.2, AMQP binding, 3.1
            headers=event.attributes(payload, "cloudEvents_"),
        )
        body = event.body(payload)
        with self._channel() as channel:
            channel.confirm_delivery()
            # Returns when the server has the message, in a queue at least.
            channel.basic_publish(
                self.settings.exchange,
                self._key(payload),
                body,
                properties,
                mandatory=True,
            )
        return f"published to {self._where(payload)}"

    def _key(self, payload: dict[str, Any]) -> str:
        key = event.place(self.settings.key, payload, r"[.*#]")
        return key.encode()[:LONGEST_KEY].decode("utf-8", "ignore")

    def _where(self, payload: dict[str, Any]) -> str:
        exchange = self.settings.exchange or "the default exchange"
        return f"{exchange} as {self._key(payload)}"

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        """A channel for one turn; what the server or the way to it says of a failure is
        raised as what it means.
        """
        given, pika = self.settings, event.library("pika", "amqp")
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # it raises what it logs
        secure, host, port = event.address(given.url, SCHEMES)
        limit = max(1.0, min(10.0, self.remaining() / 3))
        trusted = ssl.create_default_context(cafile=given.ca or None)
        parameters = pika.ConnectionParameters(
            host,
            port,
            unquote(urlsplit(given.url).path[1:]) or "/",
            pika.PlainCredentials(given.user, str(given.password or "")),
            ssl_options=pika.SSLOptions(trusted, host) if secure else None,
            socket_timeout=limit,
            stack_timeout=limit,
            blocked_connection_timeout=limit,
            heartbeat=int(limit),
        )
        connection, broken = None, (pika.exceptions.AMQPError, OSError)
        try:
            connection = pika.BlockingConnection(parameters)
            yield connection.channel()
        except broken as error:
            _failed(error, pika.exceptions, f"{host}:{port}", self.settings.exchange)
        finally:
            with suppress(*broken):  # what was confirmed is done, however it ends
                if connection:
                    connection.close()


def _failed(error: Exception, kinds: Any, where: str, exchange: str) -> NoReturn:
    """Raise what *error* of the library means."""
    code = getattr(error, "reply_code", 0)
    why = one_line(f"{where}: {getattr(error, 'reply_text', '') or repr(error)}")
    refused = kinds.ProbableAuthenticationError, kinds.ProbableAccessDeniedError
    if isinstance(error, refused) or code == _REFUSED:
        event.unwelcome(why)
    if isinstance(error, kinds.UnroutableError):
        why = (
            f"no queue of {exchange or 'the default exchange'} takes the push: bind one"
        )
        raise Retry(why, after=CREDENTIALS_AFTER) from None
    if code == _MISSING:
        raise Retry(why, after=CREDENTIALS_AFTER) from None
    raise (Reject if code == _UNFIT else Retry)(why) from None
