"""The Bluesky broker and Bluesky's own server: what an account's followers would read."""

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from brokers.bluesky import Bluesky
from oberonc import testing
from oberonc.broker.request import Outcome
from oberonc.testing.relay import Relay, Spoil
from tests.support.ports import free_port
from tests.support.trackers import servers

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("bluesky")]
PROGRAM = Path(__file__).parents[1] / "support" / "bluesky.js"
PASSWORD = "s3cret-word"
NUMBERS = itertools.count()


class Account:
    """An account of a running server."""

    def __init__(self, relay: Relay, name: str) -> None:
        self.relay, self.handle = relay, f"{name}.test"
        about = {"email": f"{name}@example.org", "password": PASSWORD}
        made = self._xrpc(
            "POST", "server.createAccount", about | {"handle": self.handle}
        )
        self.did: str = made["did"]

    def _xrpc(self, method: str, name: str, body: Any = None, **query: str) -> Any:
        address = f"{self.relay.url}/xrpc/com.atproto.{name}"
        answer = requests.request(
            method, address, json=body, params=query, timeout=servers.PATIENCE
        )
        assert answer.ok, answer.text
        return answer.json()

    def log_in(self) -> None:
        known = {"identifier": self.handle, "password": PASSWORD}
        self._xrpc("POST", "server.createSession", known)

    def posts(self) -> dict[str, dict[str, Any]]:
        """The records of all posts by their address, newest first."""
        query = {"repo": self.did, "collection": "app.bsky.feed.post", "limit": "100"}
        found = self._xrpc("GET", "repo.listRecords", **query)["records"]
        return {record["uri"]: record["value"] for record in found}

    def settings(self, **more: Any) -> dict[str, Any]:
        settings = {"url": self.relay.url, "user": self.handle, "password": PASSWORD}
        return settings | more


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[Relay]:
    node, modules = shutil.which("node"), servers.SERVERS / "bluesky" / "node_modules"
    servers.need(bool(node) and (modules / "complete").exists(), "Bluesky's server")
    command = [
        str(node),
        str(PROGRAM),
        str(folder),
        str(port),
        str(free_port()),
    ]
    environment = {**os.environ, "NODE_PATH": str(modules)}
    address = f"http://127.0.0.1:{port}/xrpc/_health"
    with servers.serving(command, folder, address, env=environment):
        yield relay


@pytest.fixture(scope="module")
def server() -> Iterator[Relay]:
    with servers.relayed(start) as made:
        yield made


@pytest.fixture
def account(server: Relay) -> Account:
    """A new account; each may log in thirty times in five minutes."""
    return Account(server, f"shop{next(NUMBERS)}")


def _post(
    account: Account, state: Path, payload: dict[str, Any], **more: Any
) -> Outcome:
    return testing.deliver(Bluesky, payload, state, **account.settings(), **more)


@pytest.mark.parametrize("kind", ["push", "merge", "tag", "delete", "all", "hostile"])
def test_a_push_is_one_post_with_its_links(
    account: Account, tmp_path: Path, kind: str
) -> None:
    payload = testing.payload(kind, user="änn \U0001f469\u200d\U0001f467")
    done = _post(account, tmp_path, payload)
    assert done.kind == "done", done.note
    [(address, post)] = account.posts().items()
    assert done.note == f"posted {address}"
    broker = testing.bound(Bluesky, tmp_path, **account.settings())
    assert post["text"].splitlines() == broker.plan(payload)
    raw = post["text"].encode()
    for facet in post["facets"]:
        [feature] = facet["features"]
        shown = raw[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode()
        assert feature["$type"] == "app.bsky.richtext.facet#link"
        assert feature["uri"].startswith("https://git.example.org/web/shop")
        if "/commit/" in feature["uri"]:
            assert feature["uri"].rpartition("/")[2].startswith(shown)
        else:
            assert shown and not shown.startswith(" ")


@pytest.mark.parametrize("how", ["drop", "truncate"])
def test_after_a_lost_answer_there_is_still_one(
    account: Account, tmp_path: Path, how: str
) -> None:
    payload = testing.payload("push")
    account.relay.spoil_write(1, Spoil(how))  # the first one is the login
    first = _post(account, tmp_path, payload)
    account.relay.spoil_nothing()
    assert (first.kind, len(account.posts())) == ("retry", 1), first.note
    again = _post(account, tmp_path, payload)
    assert again.kind == "done", again.note
    [address] = account.posts()
    assert again.note == f"posted {address}"


def test_a_session_that_ended_costs_a_login_and_no_post(
    account: Account, tmp_path: Path
) -> None:
    first = _post(account, tmp_path, testing.payload("push"), delivery_id="first")
    assert first.kind == "done", first.note
    [session] = tmp_path.rglob("session")
    kept = json.loads(session.read_text())
    before = kept["accessJwt"]
    for broken in (_ended(before), "x.y.z"):
        kept["accessJwt"] = broken
        session.write_text(json.dumps(kept))
        done = _post(account, tmp_path, testing.payload("tag"), delivery_id="second")
        assert done.kind == "done", done.note
    assert len(account.posts()) == 2


def _ended(token: str) -> str:
    """*token* as it is hours later, signed as the server does."""
    head, body, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims |= {"iat": claims["iat"] - 9999, "exp": claims["iat"] - 999}
    signed = f"{head}.{_encoded(json.dumps(claims).encode())}"
    mac = hmac.new(b"signs sessions", signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encoded(mac)}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_wrong_password_waits_for_a_person(account: Account, tmp_path: Path) -> None:
    settings = account.settings(password="wr0ng-word")
    done = testing.deliver(Bluesky, testing.payload(), tmp_path, **settings)
    assert (done.kind, "CREDENTIALS" in done.note) == ("retry", True), done.note
    assert (done.after, "wr0ng" in done.note) == (600, False)


def test_too_many_logins_wait_as_long_as_the_server_asks(
    account: Account, tmp_path: Path
) -> None:
    # It takes a third of a second for each, by intention; the relay has few places.
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: account.log_in(), range(30)))
    done = _post(account, tmp_path, testing.payload())
    assert (done.kind, "rate limit" in done.note) == ("retry", True), done.note
    assert 100 < (done.after or 0) <= 300
