"""Add the push to a stream of Redis or Valkey."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event

SCHEMES = {"redis": 6379, "rediss": 6379}
#: Seconds for which the server remembers what it has: longer than anything is tried.
REMEMBERED = 7 * 86_400
#: One step for the server: what was added before is not added again. The keys are the
#: stream and where its entry for this delivery is remembered.
_ADD = """
local before = redis.call('GET', KEYS[2])
if before then return {before, 1} end
local entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], entry, 'EX', ARGV[2])
return {entry, 0}
"""


class Redis(BaseBroker):
    """Adds a push to a stream of Redis, once."""

    class Settings:
        url: str  # redis://host:port/database or, with TLS, rediss://
        stream: str = "oberonc"
        most: int = 10_000  # entries that are kept in the stream, about
        user: str = ""
        password: Secret | None = None
        ca: str = ""

    def verify(self) -> None:
        event.library("redis", "redis")
        event.address(self.settings.url, SCHEMES)
        event.check_place("stream", self.settings.stream)
        if not (urlsplit(self.settings.url).path.strip("/") or "0").isdecimal():
            raise ValueError("setting 'url' must end with the number of a database")
        if self.settings.most < 1:
            raise ValueError("setting 'most' must be 1 or more")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"add the push to the stream {self._stream(payload)}"]

    def check(self) -> list[Check]:
        with self._client():
            return [Check(True, f"{self.settings.url} answers, and lets us in")]

    def handle(self, payload: dict[str, Any]) -> str:
        stream = self._stream(payload)
        fields = event.attributes(payload, "ce_") | {"payload": event.body(payload)}
        pairs = [part for pair in fields.items() for part in pair]
        # The braces put both keys on one node of a cluster.
        seen = f"{{{stream}}}:seen:{payload['delivery_id']}"
        with self._client() as client:
            limits = self.settings.most, REMEMBERED
            entry, before = client.eval(_ADD, 2, stream, seen, *limits, *pairs)
        return f"{'added before' if before else 'added'}: {entry.decode()} of {stream}"

    def _stream(self, payload: dict[str, Any]) -> str:
        return event.place(self.settings.stream, payload, r"[{}]")

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """A client for one turn; what the server or the way to it says of a failure is
        raised as what it means.
        """
        given, redis = self.settings, event.library("redis", "redis")
        secure, host, port = event.address(given.url, SCHEMES)
        # Connecting, logging in and asking may each take this long.
        limit = max(0.1, min(10.0, self.remaining() / 4))
        client = redis.Redis(
            host=host,
            port=port,
            db=int(urlsplit(given.url).path.strip("/") or 0),
            username=given.user or None,
            password=given.password and str(given.password),
            ssl=secure,
            ssl_ca_certs=given.ca or None,
            socket_timeout=limit,
            socket_connect_timeout=limit,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # the queue does it
        )
        refused = (
            redis.exceptions.AuthenticationError,
            redis.exceptions.NoPermissionError,
        )
        try:
            with client:
                # Of a stranger it does not read as much as is to come, and says why not
                # only to a short question.
                client.ping()
                yield client
        except refused as error:
            event.unwelcome(str(error))
        except redis.RedisError as error:
            # Of another type is what stands there, and no try changes that.
            kind = Reject if "WRONGTYPE" in str(error) else Retry
            raise kind(f"{host}:{port}: {error}") from None
