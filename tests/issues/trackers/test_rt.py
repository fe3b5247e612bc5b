"""Request Tracker 5.0, the real one, as Debian installs it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc import Reject
from tests.support.trackers import servers
from tests.support.trackers.relay import Relay
from tests.support.trackers.suite import NUMBERS, Suite
from tests.support.trackers.world import World, broker, commit, payload

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("rt")]

DATABASE = Path("/var/lib/dbconfig-common/sqlite3/request-tracker5/rtdb")
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
CONFIG = """Set($rtname,'test'); Set($Organization,'test'); Set($WebDomain,'127.0.0.1'); Set($WebPort,PORT);
Set($WebPath,''); Set($WebBaseURL,'http://127.0.0.1:PORT'); Set($DatabaseType,'SQLite');
Set($DatabaseName,'DIR/rtdb'); Set($MailCommand,'testfile'); Set($LogToSyslog,undef);
Set($MasonDataDir,'DIR/var/mason'); Set($MasonSessionDir,'DIR/var/session'); Set($MasonObjectDir,'DIR/var/obj');
1;
"""
SEED = """use lib '/usr/share/request-tracker5/lib'; use RT -init; my $u = RT::User->new(RT->SystemUser);
$u->Load('root'); $u->SetEmailAddress('root@example.invalid');
my ($ok, $msg, $tok) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $u->Id, Description => 't');
print "TOKEN=$tok\\n";
"""


class RtWorld(World):
    status = "stalled"

    def __init__(self, relay: Relay, token: str) -> None:
        super().__init__(relay)
        self.token = token
        self.rest = f"http://127.0.0.1:{relay.target[1]}/REST/2.0"
        self.session = requests.Session()
        # One of the server's two workers would wait for more on a connection that is
        # kept.
        self.session.headers.update(
            {"Authorization": f"token {token}", "Connection": "close"}
        )

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "rt", "url": self.relay.url, "token": self.token}

    def new(self, queue: str = "General", *, closed: bool = False) -> str:
        ticket = {
            "Queue": queue,
            "Subject": "broken",
            "Content": "it is",
            "ContentType": "text/plain",
        }
        written = (
            f"#{self.session.post(f'{self.rest}/ticket', json=ticket).json()['id']}"
        )
        if closed:
            self.set_status(written, "resolved")
        return written

    def set_status(self, written: str, status: str) -> None:
        self.session.put(
            f"{self.rest}/ticket/{written[1:]}", json={"Status": status}
        ).raise_for_status()

    def read(self, written: str) -> Any:
        return self.session.get(f"{self.rest}/ticket/{written[1:]}").json()

    def comments(self, written: str) -> list[str]:
        url = (
            f"{self.rest}/ticket/{written[1:]}/attachments?fields=Content&per_page=100"
        )
        texts = [
            entry.get("Content") or ""
            for entry in self.session.get(url).json()["items"]
        ]
        return [text for text in texts if text.strip() and text.strip() != "it is"]

    def status_of(self, written: str) -> str:
        return str(self.read(written)["Status"])

    def is_closed(self, written: str) -> bool:
        return self.status_of(written) == "resolved"

    def seconds(self, written: str) -> int:
        return int(self.read(written)["TimeWorked"]) * 60

    def reopen_by_hand(self, written: str) -> None:
        self.set_status(written, "open")


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[RtWorld]:
    servers.need(
        os.getuid() == 0 and DATABASE.exists() and SERVER.exists(),
        "Request Tracker (from Debian, run as root)",
    )
    for name in ("etc", "var/session", "var/mason", "var/obj", "empty"):
        (folder / name).mkdir(parents=True)
    shutil.copy(DATABASE, folder / "rtdb")
    site = CONFIG.replace("PORT", str(port)).replace("DIR", str(folder))
    (folder / "etc" / "RT_SiteConfig.pm").write_text(site)
    (folder / "seed.pl").write_text(SEED)
    servers.own(folder, "www-data")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    env |= {
        "RT_SITE_CONFIG": f"{folder}/etc/RT_SiteConfig.pm",
        "RT_SITE_CONFIG_DIR": f"{folder}/empty",
    }
    who: dict[str, Any] = {
        "env": env,
        "user": "www-data",
        "group": "www-data",
        "extra_groups": [],
    }
    printed = servers.run(["perl", str(folder / "seed.pl")], folder, **who)
    token = printed.partition("TOKEN=")[2].strip()
    command = [
        str(SERVER),
        "--server",
        "Starlet",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--max-workers=2",
    ]
    with servers.serving(
        command, folder, f"http://127.0.0.1:{port}/REST/2.0/rt", **who
    ):
        yield RtWorld(relay, token)


@pytest.fixture(scope="module")
def world() -> Iterator[RtWorld]:
    with servers.relayed(start) as made:
        yield made


class TestRequestTracker(Suite):
    """All that every tracker is held to."""

    DROPS = (0,)  # this server is slow


def test_a_refusal_that_is_answered_200_is_noticed(
    world: RtWorld, tmp_path: Path
) -> None:
    issue = world.new()
    with pytest.raises(Reject, match=f"{issue}: RT left the status new: .*nosuch"):
        broker(world.settings | {"close": "nosuch"}, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )
    assert len(world.comments(issue)) == 1


def test_another_closing_status_can_be_named(world: RtWorld, tmp_path: Path) -> None:
    issue = world.new()
    settings = world.settings | {"resolutions": {"wontfix": "rejected"}}
    broker(settings, tmp_path).handle(
        payload(commit(f"wontfix {issue}", next(NUMBERS)))
    )
    assert world.read(issue)["Status"] == "rejected"


def test_a_change_in_between_is_seen_by_its_tag(world: RtWorld, tmp_path: Path) -> None:
    issue = world.new()
    left = [1]

    def rule(method: str, path: str) -> None:
        if method == "PUT" and left[0]:
            left[0] = 0
            world.session.put(
                f"{world.rest}/ticket/{issue[1:]}", json={"Subject": "renamed"}
            ).raise_for_status()

    world.relay.rule = rule
    broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert world.is_closed(issue)
    assert world.read(issue)["Subject"] == "renamed"


def test_a_ticket_of_another_queue_is_left_alone(
    world: RtWorld, tmp_path: Path
) -> None:
    made = world.session.post(f"{world.rest}/queue", json={"Name": "Web Site"})
    assert made.status_code == 201, made.text
    ours, other = world.new(), world.new("Web Site")
    settings = world.settings | {"project": "general"}
    pushed = payload(commit(f"fixes {ours} and {other}", next(NUMBERS)))
    note = broker(settings, tmp_path).handle(pushed)
    assert f"closed {ours}" in note
    assert f"{other} is of Web Site, which this service is not bound to" in note
    assert not world.comments(other)
    opened = settings | {"projects": ["web *"]}
    assert f"closed {other}" in broker(opened, tmp_path).handle(pushed)
