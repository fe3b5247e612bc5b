"""The Kafka broker, with the cluster that librdkafka has inside it for tests: its
servers take connections and keep records.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from brokers.kafka import Kafka
from oberonc import testing
from tests.support.buses import KINDS, through_a_daemon, told
from tests.support.daemon_site import Site
from tests.support.ports import free_port

pytestmark = pytest.mark.xdist_group("kafka")
PASSWORD = "s3cret-word"


class Cluster:
    """A cluster of one server, and what its topics keep."""

    def __init__(self, **settings: Any) -> None:
        made = {"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0}
        self._producer = Producer(made | settings)
        [server] = self._producer.list_topics(timeout=60).brokers.values()
        self.port = int(server.port)

    def records(self, topic: str, count: int) -> list[Message]:
        """The first *count* of all partitions."""
        about = {
            "bootstrap.servers": f"127.0.0.1:{self.port}",
            "group.id": "tests",
            "fetch.wait.max.ms": 20,
        }
        consumer = Consumer(about)
        found = consumer.list_topics(topic, timeout=60).topics[topic]
        consumer.assign([TopicPartition(topic, each, 0) for each in found.partitions])
        got = [consumer.poll(30) for _ in range(count)]
        assert consumer.poll(0.1) is None
        consumer.close()
        return [each for each in got if each is not None]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield Cluster()


def _settings(port: int, **more: Any) -> dict[str, Any]:
    return {"servers": [f"127.0.0.1:{port}"], **more}


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_one_record_with_the_payload_s_bytes(
    cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    push, topic = told(kind), f"of-{kind}"
    settings = _settings(cluster.port, topic=topic)
    done = testing.deliver(Kafka, push.payload, tmp_path, **settings)
    assert done.kind == "done", done.note
    [record] = cluster.records(topic, 1)
    name = push.payload["repository"]["full_name"]
    assert (record.value(), record.key()) == (push.raw, name.encode())
    head: Any = dict(record.headers() or [])
    assert head["ce_id"].decode() == f"{push.payload['id']}-kafka"
    assert (head["ce_type"], head["content-type"]) == (
        b"dev.oberonc.push.v1",
        b"application/json",
    )


def test_a_repository_can_have_a_topic_of_its_own(
    cluster: Cluster, tmp_path: Path
) -> None:
    settings = _settings(cluster.port, topic="git.${repository.full_name}")
    testing.deliver(Kafka, told("push").payload, tmp_path, **settings)
    assert len(cluster.records("git.web_shop", 1)) == 1
    hostile = testing.bound(Kafka, tmp_path, **settings).plan(told("hostile").payload)
    assert len(hostile[0].rpartition(" ")[2]) == 249


def test_what_a_cluster_has_no_room_for_is_cut_and_says_so(
    cluster: Cluster, tmp_path: Path
) -> None:
    large = testing.payload("many")
    for each in large["commits"]:
        each["message"] = "x" * 60_000
    settings = _settings(cluster.port, topic="large")
    done = testing.deliver(Kafka, large, tmp_path, **settings)
    assert done.kind == "done", done.note
    [record] = cluster.records("large", 1)
    raw = record.value() or b""
    assert 900_000 < len(raw) < 1_000_000
    assert json.loads(raw)["truncated"]


def test_an_answer_that_comes_too_late_is_no_success(tmp_path: Path) -> None:
    slow = Cluster(**{"test.mock.broker.rtt": 600})
    broker = testing.bound(Kafka, tmp_path, **_settings(slow.port))
    broker._limit = lambda: 1.0  # type: ignore[method-assign]
    payload = told("push").payload | {"delivery_id": "one"}
    with pytest.raises(Exception, match="oberonc: ") as found:
        broker.handle(payload)
    assert type(found.value).__name__ == "Retry"


def test_a_cluster_that_is_gone_gets_the_push_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    payload = told("push").payload
    away = testing.deliver(Kafka, payload, tmp_path, **_settings(port))
    cluster = Cluster()
    back = testing.deliver(Kafka, payload, tmp_path, **_settings(cluster.port))
    assert (away.kind, back.kind) == ("retry", "done"), (away.note, back.note)
    assert "refused" in away.note


def test_refused_credentials_wait_for_somebody(
    cluster: Cluster, tmp_path: Path
) -> None:
    # This cluster knows no users at all.
    known = {"user": "ann", "password": PASSWORD}
    settings = _settings(cluster.port, **known)
    done = testing.deliver(Kafka, told("push").payload, tmp_path, **settings)
    assert (done.kind, done.after) == ("retry", 600), done.note
    assert done.note.startswith("CREDENTIALS refused")
    assert PASSWORD not in done.note
    with pytest.raises(Exception, match="CREDENTIALS refused"):
        testing.bound(Kafka, tmp_path, **settings).check()


def test_tls_is_spoken_where_it_is_asked_for(cluster: Cluster, tmp_path: Path) -> None:
    settings = _settings(cluster.port, tls=True)
    done = testing.deliver(Kafka, told("push").payload, tmp_path, **settings)
    assert (done.kind, "SSL" in done.note) == ("retry", True), done.note


def test_the_check_proves_the_address_and_the_topic(
    cluster: Cluster, tmp_path: Path
) -> None:
    settings = _settings(cluster.port, topic="checked")
    broker = testing.bound(Kafka, tmp_path, **settings)
    assert [each.ok for each in broker.check()] == [True, False]
    testing.deliver(Kafka, told("push").payload, tmp_path, **settings)
    assert [each.ok for each in broker.check()] == [True, True]


def test_a_daemon_delivers_within_its_limits(cluster: Cluster, site: Site) -> None:
    settings = _settings(cluster.port, topic="daemon")
    one = through_a_daemon(site, "kafka", **settings)
    [record] = cluster.records("daemon", 1)
    assert json.loads(record.value() or b"")["id"] == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"servers": ["a:1,b:2"]},
        {"mechanism": "GSSAPI"},
        {"mechanism": "PLAIN"},
        {"topic": "${commit.node}"},
        {"topic": ""},
    ],
    ids=["none", "list", "mechanism", "clear", "commit", "empty"],
)
def test_settings_that_cannot_work_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="setting"):
        testing.bound(Kafka, tmp_path, **{"servers": ["x:1"]} | wrong)
