"""Roundup 2.6.0, the real one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc import Reject
from oberonc.testing.relay import Relay
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import World, broker, commit, payload
from tests.support.trackers import servers
from tests.support.trackers.suite import Suite

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("roundup")]


class RoundupWorld(World):
    has_history = True
    keeps_time = False
    status = "in-progress"
    mails: Path

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay)
        self.rest = f"{relay.url}/demo/rest/data"
        self.session = requests.Session()
        self.session.auth = ("admin", "admin")
        self.session.headers.update({"Origin": relay.url, "X-Requested-With": "test"})

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "tracker": "roundup",
            "url": f"{self.relay.url}/demo",
            "user": "bot",
            "password": "secret",
        }

    def new(self, *, closed: bool = False) -> str:
        status = "resolved" if closed else "chatting"
        made = self.session.post(
            f"{self.rest}/issue", json={"title": "broken", "status": status}
        )
        assert made.status_code == 201, made.text
        return f"#{made.json()['data']['id']}"

    def read(self, written: str) -> Any:
        return self.session.get(f"{self.rest}/issue/{written[1:]}").json()["data"]

    def comments(self, written: str) -> list[str]:
        ids = [
            message["id"] for message in self.read(written)["attributes"]["messages"]
        ]
        found = [
            self.session.get(f"{self.rest}/msg/{number}?@verbose=3").json()
            for number in ids
        ]
        return [message["data"]["attributes"]["content"] for message in found]

    def status_of(self, written: str) -> str:
        status = self.read(written)["attributes"]["status"]["id"]
        return str(
            self.session.get(f"{self.rest}/status/{status}").json()["data"][
                "attributes"
            ]["name"]
        )

    def is_closed(self, written: str) -> bool:
        return self.status_of(written) == "resolved"

    def set_status(self, written: str, status: str) -> None:
        tag = {"If-Match": self.read(written)["@etag"]}
        self.session.patch(
            f"{self.rest}/issue/{written[1:]}", json={"status": status}, headers=tag
        ).raise_for_status()

    def reopen_by_hand(self, written: str) -> None:
        self.set_status(written, "chatting")


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[RoundupWorld]:
    admin, server = servers.tool("roundup-admin"), servers.tool("roundup-server")
    home = folder / "tracker"
    home.mkdir()
    site = f"tracker_web={relay.url}/demo/,mail_domain=example.invalid,mailhost=localhost,rdbms_backend=sqlite"
    # every request of the test proves its password
    site += ",password_pbkdf2_default_rounds=10000"
    servers.run([admin, "-i", str(home), "install", "classic", "sqlite", site], folder)
    servers.run([admin, "-i", str(home), "initialise", "admin"], folder)
    bot = [
        "username=bot",
        "password=secret",
        "roles=User",
        "address=bot@example.invalid",
    ]
    servers.run([admin, "-i", str(home), "create", "user", *bot], folder)
    command = [server, "-n", "127.0.0.1", "-p", str(port), f"demo={home}"]
    if os.getuid() == 0:  # it refuses to run as root
        servers.own(folder, "nobody")
        command[1:1] = ["-u", "nobody"]
    # mails are written to a file in place of being sent
    env = os.environ | {"SENDMAILDEBUG": str(folder / "mails")}
    url = f"http://127.0.0.1:{port}/demo/"
    with servers.serving(command, folder, url, env=env):
        world = RoundupWorld(relay)
        world.mails = folder / "mails"
        yield world


@pytest.fixture(scope="module")
def world() -> Iterator[RoundupWorld]:
    with servers.relayed(start) as made:
        yield made


class TestRoundup(Suite):
    """All that every tracker is held to."""


def test_somebody_elses_change_in_between_is_not_lost(
    world: RoundupWorld, tmp_path: Path
) -> None:
    """A stale tag is answered 412; the change is read and made again."""
    issue = world.new()
    left = [1]

    def rule(method: str, path: str) -> None:
        if method == "PATCH" and left[0]:
            left[0] = 0
            tag = {"If-Match": world.read(issue)["@etag"]}
            url = f"{world.rest}/issue/{issue[1:]}"
            world.session.patch(
                url, json={"title": "renamed"}, headers=tag
            ).raise_for_status()

    world.relay.rule = rule
    broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert world.is_closed(issue)
    assert world.read(issue)["attributes"]["title"] == "renamed"
    assert 412 in [seen.status for seen in world.relay.seen]


def test_a_retired_issue_is_said_to_be_and_left_alone(
    world: RoundupWorld, tmp_path: Path
) -> None:
    gone, there = world.new(), world.new()
    tag = {"If-Match": world.read(gone)["@etag"]}
    world.session.delete(f"{world.rest}/issue/{gone[1:]}", headers=tag)
    note = broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {gone} and {there}", next(NUMBERS)))
    )
    assert f"{gone} was retired" in note
    assert f"closed {there}" in note
    assert not world.is_closed(gone)


def test_comment_and_status_are_one_change(world: RoundupWorld, tmp_path: Path) -> None:
    issue = world.new()
    before = len(world.relay.seen)
    broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    seen = world.relay.seen[before:]
    assert [entry.method for entry in seen].count("PATCH") == 1
    assert len(world.comments(issue)) == 1
    assert world.is_closed(issue)


def test_the_author_can_be_a_user_of_the_tracker(
    world: RoundupWorld, tmp_path: Path
) -> None:
    issue = world.new()
    settings = world.settings | {"authors": {"ann@example.org": "admin"}}
    broker(settings, tmp_path).handle(payload(commit(f"refs {issue}", next(NUMBERS))))
    number = world.read(issue)["attributes"]["messages"][0]["id"]
    assert (
        world.session.get(f"{world.rest}/msg/{number}").json()["data"]["attributes"][
            "author"
        ]["id"]
        == "1"
    )


def test_a_status_that_is_not_there_is_refused_with_those_that_are(
    world: RoundupWorld, tmp_path: Path
) -> None:
    issue = world.new()
    with pytest.raises(
        Reject, match=r"there is no status 'Done' now; there is .*resolved"
    ):
        broker(world.settings | {"close": "Done"}, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )


def test_an_open_status_can_be_the_one_that_closes(
    world: RoundupWorld, tmp_path: Path
) -> None:
    issue, done = world.new(), world.new(closed=True)
    settings = world.settings | {"close": "testing"}
    pushed = payload(commit(f"fixes {issue} and {done}", next(NUMBERS)))
    note = broker(settings, tmp_path).handle(pushed)
    assert f"closed {issue}" in note
    assert f"{done} was closed already" in note
    assert (world.status_of(issue), world.status_of(done)) == ("testing", "resolved")


def test_for_an_author_roundup_does_not_know_the_bot_speaks_and_says_so(
    world: RoundupWorld, tmp_path: Path
) -> None:
    issue = world.new()
    settings = world.settings | {"authors": {"ann@example.org": "nosuch"}}
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    note = broker(settings, tmp_path).handle(pushed)
    assert "not done as nosuch: " in note
    assert len(world.comments(issue)) == 1
    assert world.is_closed(issue)


def test_authors_are_found_by_their_address_where_it_may_be_seen(
    world: RoundupWorld, tmp_path: Path
) -> None:
    """The role User sees its own address alone."""
    seen = world.settings | {"authors_by_mail": True}
    admin = seen | {"user": "admin", "password": "admin"}
    for settings, author in ((seen, "bot"), (admin, "bot"), (admin, "admin")):
        issue = world.new()
        mail = f"{author}@example.invalid"
        more = {"raw_author": f"Ann Example <{mail}>"}
        pushed = payload(commit(f"refs {issue}", next(NUMBERS), **more))
        broker(settings, tmp_path).handle(pushed)
        number = world.read(issue)["attributes"]["messages"][0]["id"]
        message = world.session.get(f"{world.rest}/msg/{number}").json()["data"]
        wrote = message["attributes"]["author"]["id"]
        named = world.session.get(f"{world.rest}/user/{wrote}").json()["data"]
        assert named["attributes"]["username"] == author


def test_one_mail_tells_what_was_said_and_what_became_of_the_issue(
    world: RoundupWorld, tmp_path: Path
) -> None:
    issue = world.new()
    tag = {"If-Match": world.read(issue)["@etag"]}
    world.session.patch(
        f"{world.rest}/issue/{issue[1:]}", json={"nosy": "admin"}, headers=tag
    ).raise_for_status()
    before = world.mails.read_text() if world.mails.exists() else ""
    hostile = commit(f"fixes {issue}\n\nwith care", next(NUMBERS))
    broker(world.settings, tmp_path).handle(payload(hostile))
    sent = world.mails.read_text().removeprefix(before)
    assert sent.count("Subject:") == 1
    assert "with care" in sent
    assert "status: chatting -> resolved" in sent
