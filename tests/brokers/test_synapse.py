"""The Matrix broker and a real Synapse: what stands in the room, and who is told."""

import contextlib
import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from brokers.matrix import Matrix
from oberonc import testing
from oberonc.broker.request import Outcome
from oberonc.testing.relay import Relay, Spoil
from tests.support.eventually import eventually
from tests.support.trackers import servers

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("synapse")]
API = "/_matrix/client/v3"
SHARED = "w0rd-that-registers"


class Homeserver:
    """A running Synapse with a room, in which are `bot`, who posts, and `ann`."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.token = {name: self._register(name) for name in ("bot", "ann")}
        invited = {"preset": "private_chat", "invite": ["@ann:localhost"]}
        self.room = self.call("bot", "POST", "/createRoom", invited)["room_id"]
        self.call("ann", "POST", f"/join/{quote(self.room)}", {})

    def call(self, who: str, method: str, path: str, body: Any = None) -> Any:
        known = {"Authorization": f"Bearer {self.token[who]}"}
        address = self.relay.url + API + path
        answer = requests.request(
            method, address, json=body, headers=known, timeout=servers.PATIENCE
        )
        answer.raise_for_status()
        return answer.json()

    def _register(self, name: str) -> str:
        """By the shared secret, as Synapse's register_new_matrix_user does."""
        address = f"{self.relay.url}/_synapse/admin/v1/register"
        nonce = requests.get(address, timeout=servers.PATIENCE).json()["nonce"]
        words = "\0".join([nonce, name, "secret", "notadmin"])
        mac = hmac.new(SHARED.encode(), words.encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": "secret", "mac": mac}
        answer = requests.post(address, json=body, timeout=servers.PATIENCE)
        token: str = answer.json()["access_token"]
        return token

    def said(self) -> list[dict[str, Any]]:
        """The messages of the room as `ann` reads them, oldest first."""
        only = quote(json.dumps({"types": ["m.room.message"]}))
        path = f"/rooms/{quote(self.room)}/messages?dir=b&limit=100&filter={only}"
        found: list[dict[str, Any]] = self.call("ann", "GET", path)["chunk"]
        return found[::-1]

    def ann_has_read(self) -> None:
        """Synapse counts for those who have read something."""
        last = self.said()[-1]["event_id"]
        where = f"/rooms/{quote(self.room)}/receipt/m.read/{quote(last)}"
        self.call("ann", "POST", where, {})

    def counts(self) -> dict[str, int]:
        """How many of the unread messages notify and highlight `ann`."""
        rooms = self.call("ann", "GET", "/sync")["rooms"]["join"]
        unread: dict[str, int] = rooms[self.room]["unread_notifications"]
        return unread


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[Homeserver]:
    python = servers.tool("python", "brokers")
    seed = b64encode(hashlib.sha256(b"signs").digest()).decode().rstrip("=")
    (folder / "key").write_text(f"ed25519 a_test {seed}\n")
    listener = {
        "port": port,
        "type": "http",
        "tls": False,
        "bind_addresses": ["127.0.0.1"],
        "resources": [{"names": ["client"]}],
    }
    database = {"name": "sqlite3", "args": {"database": str(folder / "db")}}
    file = folder / "homeserver.yaml"
    settings = {
        "server_name": "localhost",
        "listeners": [listener],
        "database": database,
        "media_store_path": str(folder / "media"),
        "pid_file": str(folder / "pid"),
        "signing_key_path": str(folder / "key"),
        "registration_shared_secret": SHARED,
        "macaroon_secret_key": "m",
        "form_secret": "f",
        "report_stats": False,
        "trusted_key_servers": [],
        "bcrypt_rounds": 4,
        # An answer to /sync is else kept for two minutes.
        "caches": {"sync_response_cache_duration": "0s"},
        # As it is set by default, a bot may say ten things and one in five seconds.
        "rc_message": {"per_second": 100, "burst_count": 100},
    }
    file.write_text(json.dumps(settings))  # which is YAML
    command = [python, "-m", "synapse.app.homeserver", "-c", str(file)]
    with servers.serving(command, folder, f"http://127.0.0.1:{port}/health"):
        yield Homeserver(relay)


@pytest.fixture(scope="module")
def server() -> Iterator[Homeserver]:
    with servers.relayed(start) as made:
        yield made


def _settings(server: Homeserver, **more: Any) -> dict[str, Any]:
    settings = {"url": server.relay.url, "token": server.token["bot"]}
    return {**settings, "room": server.room, **more}


def _post(server: Homeserver, tmp_path: Path, kind: str, delivery: str) -> Outcome:
    settings = _settings(server)
    payload = testing.payload(kind)
    return testing.deliver(Matrix, payload, tmp_path, delivery_id=delivery, **settings)


@pytest.mark.parametrize("kind", ["push", "merge", "tag", "delete", "all", "hostile"])
def test_a_push_is_one_notice_in_the_room(
    server: Homeserver, tmp_path: Path, kind: str
) -> None:
    before = len(server.said())
    done = _post(server, tmp_path, kind, f"one-{kind}")
    assert done.kind == "done", done.note
    [event] = server.said()[before:]
    assert done.note == f"posted {event['event_id']}"
    assert event["sender"] == "@bot:localhost"
    content = event["content"]
    assert (content["msgtype"], content["m.mentions"]) == ("m.notice", {})
    broker = testing.bound(Matrix, tmp_path, **_settings(server))
    body = content["body"].replace("\u200b", "")  # what breaks addresses and names
    assert body.splitlines() == broker.plan(testing.payload(kind))


@pytest.mark.parametrize("how", ["drop", "truncate"])
def test_after_a_lost_answer_there_is_still_one(
    server: Homeserver, tmp_path: Path, how: str
) -> None:
    before = len(server.said())
    server.relay.spoil_write(0, Spoil(how))
    first = _post(server, tmp_path, "push", f"lost-{how}")
    server.relay.spoil_nothing()
    assert (first.kind, len(server.said())) == ("retry", before + 1), first.note
    again = _post(server, tmp_path, "push", f"lost-{how}")
    assert again.kind == "done", again.note
    [event] = server.said()[before:]
    assert again.note == f"posted {event['event_id']}"


def test_another_delivery_is_another_notice(server: Homeserver, tmp_path: Path) -> None:
    before = len(server.said())
    for delivery in ("first", "second"):
        _post(server, tmp_path, "push", delivery)
    assert len(server.said()) == before + 2


def test_nobody_is_notified_or_highlighted(server: Homeserver, tmp_path: Path) -> None:
    """The counts, which Synapse writes a moment later, are of what comes after it."""
    where = f"/rooms/{quote(server.room)}/send/m.room.message"
    server.call("bot", "PUT", f"{where}/begin", {"msgtype": "m.text", "body": "begin"})
    server.ann_has_read()
    eventually(lambda: not server.counts()["notification_count"])
    payload = testing.payload("hostile")
    for commit in payload["commits"]:
        commit["message"] = "ann @ann:localhost @room " + commit["message"]
    settings = _settings(server)
    done = testing.deliver(Matrix, payload, tmp_path, delivery_id="quiet", **settings)
    assert done.kind == "done", done.note
    assert server.said()[-1]["event_id"] in done.note
    loud = {"msgtype": "m.text", "body": "ann @room"}
    server.call("bot", "PUT", f"{where}/loud", loud)
    eventually(lambda: server.counts()["notification_count"])
    assert server.counts() == {"notification_count": 1, "highlight_count": 1}


def test_a_token_that_is_refused_waits_for_a_person(
    server: Homeserver, tmp_path: Path
) -> None:
    settings = _settings(server, token="wr0ng-word")
    done = testing.deliver(Matrix, testing.payload(), tmp_path, **settings)
    assert (done.kind, "CREDENTIALS" in done.note) == ("retry", True), done.note


def test_a_room_the_account_is_not_in_is_told(
    server: Homeserver, tmp_path: Path
) -> None:
    settings = _settings(server, room="!none:localhost")
    done = testing.deliver(Matrix, testing.payload(), tmp_path, **settings)
    assert "403" in done.note, done.note
    broker = testing.bound(Matrix, tmp_path, **settings)
    assert [check.ok for check in broker.check()] == [True, False]
    broker = testing.bound(Matrix, tmp_path, **_settings(server))
    assert [check.ok for check in broker.check()] == [True, True]
