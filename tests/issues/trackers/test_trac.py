"""Trac 1.6 with trac-ticketrpc 0.9.3, the real ones."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.auth

from oberonc import Reject
from tests.support.trackers import servers
from tests.support.trackers.relay import Relay
from tests.support.trackers.suite import NUMBERS, Suite
from tests.support.trackers.world import World, broker, commit, payload

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("trac")]


class TracWorld(World):
    reopens = False
    keeps_time = False

    def __init__(self, relay: Relay, folder: Path) -> None:
        super().__init__(relay)
        self.folder = folder
        self.session = requests.Session()
        self.session.auth = requests.auth.HTTPDigestAuth("bot", "secret")
        self.site = f"http://127.0.0.1:{relay.target[1]}/tr1"
        self.session.get(f"{self.site}/login").raise_for_status()

    def call(self, method: str, **params: str) -> Any:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {"project": "tr1", **params},
        }
        return self.session.post(f"{self.site}/ticketrpc", json=body).json()["result"]

    @property
    def settings(self) -> dict[str, Any]:
        site = {
            "url": f"{self.relay.url}/tr1",
            "user": "bot",
            "password": "secret",
            "project": "tr1",
        }
        return {"tracker": "trac-ticketrpc", **site}

    def ask(self, code: str) -> str:
        """The answer of Python code that has Trac's environment as `env`."""
        script = f"import sys; from trac.env import Environment; env = Environment(sys.argv[1])\n{code}"
        done = servers.run(
            [servers.tool("python"), "-W", "ignore", "-c", script, str(self.folder)],
            self.folder.parent,
        )
        return done.strip()

    def new(self, *, closed: bool = False) -> str:
        number = self.call("ticket.create", summary="broken", description="it is")["id"]
        if closed:
            self.call("ticket.close", id=number, resolution="fixed")
        return f"#{number}"

    def comments(self, written: str) -> list[str]:
        return [
            text
            for text in self.call("ticket.comments", id=written[1:])["comments"]
            if text
        ]

    def is_closed(self, written: str) -> bool:
        return bool(self.call("ticket.details", id=written[1:])["status"] == "closed")


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[TracWorld]:
    admin, server = servers.tool("trac-admin"), servers.tool("tracd")
    home = folder / "tr1"
    for words in (
        ["initenv", "Demo", "sqlite:db/trac.db"],
        ["config", "set", "components", "tracticketrpc.*", "enabled"],
        ["permission", "add", "bot", "TICKET_CREATE", "TICKET_APPEND", "TICKET_MODIFY"],
    ):
        servers.run([admin, str(home), *words], folder)
    digest = hashlib.md5(b"bot:trac:secret").hexdigest()
    (folder / "htdigest").write_text(f"bot:trac:{digest}\n")
    auth = f"--auth=tr1,{folder / 'htdigest'},trac"
    command = [server, "--hostname=127.0.0.1", "-p", str(port), auth, str(home)]
    with servers.serving(
        command,
        folder,
        f"http://127.0.0.1:{port}/tr1/login",
        env=os.environ | {"HOME": str(folder)},
    ):
        yield TracWorld(relay, home)


@pytest.fixture(scope="module")
def world() -> Iterator[TracWorld]:
    with servers.relayed(start) as made:
        yield made


class TestTicketRpc(Suite):
    """All that every tracker is held to."""


def test_reopening_is_rejected_with_the_reason(
    world: TracWorld, tmp_path: Path
) -> None:
    issue = world.new(closed=True)
    with pytest.raises(
        Reject, match=f"{issue}: the ticketrpc plugin cannot reopen tickets"
    ):
        broker(world.settings, tmp_path).handle(
            payload(commit(f"reopens {issue}", next(NUMBERS)))
        )
    assert len(world.comments(issue)) == 1


def test_nothing_of_a_message_is_markup(world: TracWorld, tmp_path: Path) -> None:
    """The comment, rendered by Trac itself, has the message as text and the marker not
    at all.
    """
    issue = world.new()
    message = f"refs {issue}\n}}}}}}\n{{{{{{#!html\n<b>bold</b>\n}}}}}}\n[[Image(x)]] '''strong'''"
    hostile = commit(message, next(NUMBERS))
    broker(world.settings, tmp_path).handle(payload(hostile))
    (said,) = world.comments(issue)
    assert "oberonc:" in said
    html = world.ask(
        "from trac.test import MockRequest; from trac.web.chrome import web_context\n"
        "from trac.wiki.formatter import format_to_html\n"
        f"print(format_to_html(env, web_context(MockRequest(env)), {said!r}))"
    )
    assert hostile["node"] in html
    assert "oberonc:" not in html
    assert "<b>" not in html
    assert "<strong>" not in html
    assert "<img" not in html
