"""Roundup 2.6.0, the real one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc import Reject, Retry
from tests.support import tracker_servers as servers
from tests.support.tracker_relay import Relay, Spoil
from tests.support.tracker_world import Push, World, broker, commit, payload, work_off

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("roundup")]


class RoundupWorld(World):
    keeps_time = False

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.rest = f"{relay.url}/demo/rest/data"
        self.session = requests.Session()
        self.session.auth = ("admin", "admin")
        self.session.headers.update({"Origin": relay.url, "X-Requested-With": "test"})

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "roundup", "url": f"{self.relay.url}/demo", "user": "bot", "password": "secret"}

    def new(self, *, closed: bool = False) -> str:
        status = "resolved" if closed else "chatting"
        made = self.session.post(f"{self.rest}/issue", json={"title": "broken", "status": status})
        assert made.status_code == 201, made.text
        return f"#{made.json()['data']['id']}"

    def read(self, written: str) -> Any:
        return self.session.get(f"{self.rest}/issue/{written[1:]}").json()["data"]

    def comments(self, written: str) -> list[str]:
        ids = [message["id"] for message in self.read(written)["attributes"]["messages"]]
        found = [self.session.get(f"{self.rest}/msg/{number}?@verbose=3").json() for number in ids]
        return [message["data"]["attributes"]["content"] for message in found]

    def is_closed(self, written: str) -> bool:
        status = self.read(written)["attributes"]["status"]["id"]
        name = self.session.get(f"{self.rest}/status/{status}").json()["data"]["attributes"]["name"]
        return bool(name == "resolved")

    def set_status(self, written: str, status: str) -> None:
        tag = {"If-Match": self.read(written)["@etag"]}
        self.session.patch(f"{self.rest}/issue/{written[1:]}", json={"status": status}, headers=tag).raise_for_status()

    def reopen_by_hand(self, written: str) -> None:
        self.set_status(written, "chatting")


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[RoundupWorld]:
    admin, server = servers.tool("roundup-admin"), servers.tool("roundup-server")
    home = folder / "tracker"
    home.mkdir()
    site = f"tracker_web={relay.url}/demo/,mail_domain=example.invalid,mailhost=localhost,rdbms_backend=sqlite,password_pbkdf2_default_rounds=10000"
    servers.run([admin, "-i", str(home), "install", "classic", "sqlite", site], folder)
    servers.run([admin, "-i", str(home), "initialise", "admin"], folder)
    bot = ["username=bot", "password=secret", "roles=User", "address=bot@example.invalid"]
    servers.run([admin, "-i", str(home), "create", "user", *bot], folder)
    command = [server, "-n", "127.0.0.1", "-p", str(port), f"demo={home}"]
    if os.getuid() == 0:  # it refuses to run as root
        servers.own(folder, "nobody")
        command[1:1] = ["-u", "nobody"]
    with servers.serving(command, folder, f"http://127.0.0.1:{port}/demo/"):
        yield RoundupWorld(relay)


@pytest.fixture(scope="module")
def world() -> Iterator[RoundupWorld]:
    with servers.relayed(start) as made:
        yield made


@pytest.fixture(autouse=True)
def unspoiled(world: World) -> Iterator[None]:
    yield
    world.relay.spoil_nothing()


def test_a_push_does_all_it_asks_for_once(world: World, tmp_path: Path) -> None:
    push = Push(world, 1)
    note, retries = work_off(world.settings, tmp_path, push.payload)
    push.assert_done()
    assert not retries
    writes = world.relay.writes()
    assert "already did" in work_off(world.settings, tmp_path, push.payload)[0]
    assert world.relay.writes() == writes
    assert f"closed {push.fixed}" in note


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7])
def test_a_dropped_answer_repeats_nothing(world: World, tmp_path: Path, number: int) -> None:
    push = Push(world, 100 + number)
    world.relay.spoil_write(number, Spoil("drop"))
    work_off(world.settings, tmp_path, push.payload)
    push.assert_done()
