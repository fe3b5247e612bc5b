"""Trac 1.6 with trac-ticketrpc 0.9.3, the real ones."""

import base64
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
from oberonc.kit.http import AnyAuth, Http
from oberonc.testing.relay import Relay
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import World, broker, commit, payload
from tests.support.ports import free_port
from tests.support.trackers import servers
from tests.support.trackers.suite import Suite

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("trac")]


#: What docs/trackers.md asks for.
_RIGHTS = ("TICKET_VIEW", "TICKET_APPEND", "TICKET_MODIFY")


class TracWorld(World):
    reopens = False
    keeps_time = False
    has_history = True

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

    @property
    def least(self) -> dict[str, Any]:
        return self.settings | {"user": "least"}

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

    def reopen_by_hand(self, written: str) -> None:
        self.ask(
            f"from trac.ticket.model import Ticket; ticket = Ticket(env, {written[1:]})\n"
            "ticket['status'] = 'reopened'; ticket.save_changes('ann', '')"
        )


@contextlib.contextmanager
def running(folder: Path, port: int, scheme: str = "digest") -> Iterator[Path]:
    """A Trac at *port*, with the folder of its environment; the user is bot."""
    admin, server = servers.tool("trac-admin"), servers.tool("tracd")
    home = folder / "tr1"
    for words in (
        ["initenv", "Demo", "sqlite:db/trac.db"],
        ["config", "set", "components", "tracticketrpc.*", "enabled"],
        ["permission", "remove", "anonymous", "TICKET_VIEW"],
        ["permission", "remove", "authenticated", "TICKET_CREATE", "TICKET_MODIFY"],
        ["permission", "add", "least", *_RIGHTS],
        ["permission", "add", "viewer", "TICKET_VIEW"],
        ["permission", "add", "bot", "TICKET_CREATE", *_RIGHTS],
    ):
        servers.run([admin, str(home), *words], folder)
    users = {
        user: hashlib.md5(f"{user}:trac:secret".encode()).hexdigest()
        for user in ("bot", "least", "viewer")
    }
    lines = [f"{user}:trac:{digest}\n" for user, digest in users.items()]
    (folder / "htdigest").write_text("".join(lines))
    auth = f"--auth=tr1,{folder / 'htdigest'},trac"
    if scheme == "basic":
        kept = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
        (folder / "htpasswd").write_text(f"bot:{{SHA}}{kept}\n")
        auth = f"--basic-auth=tr1,{folder / 'htpasswd'},trac"
    command = [server, "--hostname=127.0.0.1", "-p", str(port), auth, str(home)]
    with servers.serving(
        command,
        folder,
        f"http://127.0.0.1:{port}/tr1/login",
        env=os.environ | {"HOME": str(folder)},
    ):
        yield home


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[TracWorld]:
    with running(folder, port) as home:
        yield TracWorld(relay, home)


@pytest.fixture(scope="module")
def world() -> Iterator[TracWorld]:
    with servers.relayed(start) as made:
        yield made


class TestTicketRpc(Suite):
    """All that every tracker is held to."""


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_tracd_that_keeps_connections_is_spoken_to_directly(
    tmp_path: Path, scheme: str
) -> None:
    """It does not read the body of what it refuses, and takes that for the next
    request on the connection.
    """
    port = free_port()
    with servers.folder() as folder, running(folder, port, scheme) as home:
        site = f"http://127.0.0.1:{port}/{home.name}"
        settings = {"tracker": "trac-ticketrpc", "url": site, "project": home.name}
        settings |= {"user": "bot", "password": "secret"}
        http = Http(auth=AnyAuth("bot", "secret"))
        call = {"jsonrpc": "2.0", "id": 1, "method": "ticket.create"}
        given = {"summary": "it broke", "description": "so", "project": home.name}
        for number in ("1", "2"):
            made = http.call(
                "POST",
                f"{site}/login",
                json=call | {"params": given | {"description": "x" * 9000}},
                errors=(302, 303, 400, 403, 404, 405, 500),
            )
            assert made.status in (302, 303)
            http.call("POST", f"{site}/ticketrpc", json=call | {"params": given})
            note = broker(settings, tmp_path).handle(
                payload(commit(f"fixes #{number}", next(NUMBERS)))
            )
            assert note == f"closed #{number}"


def test_comment_and_status_are_one_change(world: TracWorld, tmp_path: Path) -> None:
    issue = world.new()
    broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    told = world.ask(
        "print(sorted(row[0] for row in env.db_query("
        f"'SELECT DISTINCT time FROM ticket_change WHERE ticket = {issue[1:]}')).__len__())"
    )
    assert told == "1"
    assert world.comments(issue)[0].startswith("Closed by")


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


def test_check_proves_each_right_and_changes_nothing(
    world: TracWorld, tmp_path: Path
) -> None:
    issue = world.new()
    checks = broker(world.settings | {"user": "viewer"}, tmp_path).check()
    assert [check.what for check in checks if not check.ok] == [
        "the user may comment on tickets: CREDENTIALS refused: ticket.add_comment: "
        "TICKET_APPEND permission required; check the token and its permissions",
        "the user may close tickets: CREDENTIALS refused: ticket.close: "
        "TICKET_MODIFY permission required; check the token and its permissions",
    ]
    broker(world.least, tmp_path).check()
    assert world.comments(issue) == []
    assert not world.is_closed(issue)
