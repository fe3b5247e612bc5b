"""Produce the push to a topic of Kafka."""

import time
from typing import Any, NoReturn

from oberonc import BaseBroker, Check, Reject, Retry, Secret
from oberonc.kit import event

#: Bytes of a record that servers take unless told otherwise, without its head, and
#: characters of a topic's name.
LONGEST, LONGEST_NAME = 980_000, 249
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
#: What a server says of a record that it will never take (KafkaError's names).
_NEVER = {
    "MSG_SIZE_TOO_LARGE",
    "INVALID_MSG",
    "INVALID_RECORD",
    "POLICY_VIOLATION",
    "TOPIC_EXCEPTION",
}


class Kafka(BaseBroker):
    """Produces a push to a topic of Kafka, at least once."""

    class Settings:
        servers: list[str]  # host:port of some of the cluster
        topic: str = "oberonc"
        tls: bool = False
        ca: str = ""
        user: str = ""
        password: Secret | None = None
        mechanism: str = "SCRAM-SHA-512"  # how SASL proves the user

    def verify(self) -> None:
        event.library("confluent_kafka", "kafka")
        event.check_place("topic", self.settings.topic)
        servers = self.settings.servers
        if not servers or not all(
            isinstance(one, str) and one and not set(one) & set(", \n")
            for one in servers
        ):
            raise ValueError("setting 'servers' must be a list of host:port")
        if self.settings.mechanism not in MECHANISMS:
            named = ", ".join(MECHANISMS)
            raise ValueError(f"setting 'mechanism' must be one of {named}")
        if self.settings.mechanism == "PLAIN" and not self.settings.tls:
            raise ValueError("setting 'mechanism': PLAIN needs tls = true")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"produce the push to {self._topic(payload)}"]

    def check(self) -> list[Check]:
        errors: list[Any] = []
        kafka = event.library("confluent_kafka", "kafka")
        producer = kafka.Producer(self._configuration(errors))
        deadline, found = time.monotonic() + self._limit(), None
        while found is None:
            try:
                found = producer.list_topics(timeout=1)
            except kafka.KafkaException as error:
                producer.poll(0)  # which gives us the errors
                if _is_hopeless(errors) or time.monotonic() > deadline:
                    _failed(_telling(errors, error.args[0]), "the cluster")
        topic, count = self.settings.topic, len(found.brokers)
        checks = [Check(True, f"a cluster of {count} lets us in")]
        if "$" not in topic:
            mend = "make it, unless the cluster makes topics by itself"
            checks.append(Check(topic in found.topics, f"has the topic {topic}", mend))
        return checks

    def handle(self, payload: dict[str, Any]) -> str:
        kafka = event.library("confluent_kafka", "kafka")
        topic = self._topic(payload)
        errors: list[Any] = []
        ended: list[tuple[Any, Any]] = []
        producer = kafka.Producer(self._configuration(errors))
        head = event.attributes(payload, "ce_") | {"content-type": "application/json"}
        try:
            producer.produce(
                topic,
                event.body(payload, LONGEST),
                # The pushes of a repository stay in order: one key is one partition.
                payload["repository"]["full_name"].encode("utf-8", "replace"),
                headers={name: value.encode() for name, value in head.items()},
                on_delivery=lambda error, record: ended.append((error, record)),
            )
        except kafka.KafkaException as error:
            _failed(error.args[0], topic)
        deadline = time.monotonic() + self._limit()
        while not ended and time.monotonic() < deadline and not _is_hopeless(errors):
            producer.poll(0.1)
        why, record = ended[0] if ended else (None, None)
        if why or record is None:
            producer.purge()
            _failed(_telling(errors, why), topic)
        return f"produced {record.offset()} of {topic}, partition {record.partition()}"

    def _topic(self, payload: dict[str, Any]) -> str:
        topic = event.place(self.settings.topic, payload, "[^A-Za-z0-9._-]")
        return topic[:LONGEST_NAME]

    def _limit(self) -> float:
        """Seconds for all of it."""
        return max(1.0, min(20.0, self.remaining() - 5))

    def _configuration(self, errors: list[Any]) -> dict[str, Any]:
        given = self.settings
        made = {
            "bootstrap.servers": ",".join(given.servers),
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",  # that of other clients
            "message.timeout.ms": int(self._limit() * 1000),
            "error_cb": errors.append,
            "log_level": 0,
        }
        protocol = "ssl" if given.tls else "plaintext"
        if given.user:
            protocol = f"sasl_{protocol}"
            made["sasl.mechanism"] = given.mechanism
            made["sasl.username"] = given.user
            made["sasl.password"] = str(given.password or "")
        if given.ca:
            made["ssl.ca.location"] = given.ca
        return made | {"security.protocol": protocol}


def _is_hopeless(errors: list[Any]) -> bool:
    """Whether there is no use in waiting: the library would go on for ever."""
    names = {error.name() for error in errors}
    return not names.isdisjoint({"_AUTHENTICATION", "_ALL_BROKERS_DOWN"})


def _telling(errors: list[Any], last: Any) -> Any:
    """Of *errors*, and what was said *last*, the one that says most."""
    named = {error.name(): error for error in reversed(errors)}
    if found := named.get("_AUTHENTICATION"):
        return found
    told = last is not None and last.name() not in ("_MSG_TIMED_OUT", "_TRANSPORT")
    return last if told else errors[0] if errors else last


def _failed(error: Any, topic: str) -> NoReturn:
    """Raise what *error* of the library means."""
    if error is None:
        raise Retry(f"{topic}: no answer in time")
    why = f"{topic}: {error.str()}"
    if error.name() == "_AUTHENTICATION" or error.name().endswith(
        "AUTHORIZATION_FAILED"
    ):
        event.unwelcome(why)
    raise (Reject if error.name() in _NEVER else Retry)(why)
