"""Request Tracker 5.0, the real one, as Debian installs it."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc import Check, Reject
from oberonc.testing.relay import Relay, Spoil
from oberonc.testing.trackers import NUMBERS
from oberonc.testing.world import World, broker, commit, payload, work_off
from tests.support.trackers import servers
from tests.support.trackers.suite import Suite

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("rt")]

DATABASE = Path("/var/lib/dbconfig-common/sqlite3/request-tracker5/rtdb")
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
# Each request proves its token, and with the cost that RT has for that it takes a third of a second.
CONFIG = """Set($rtname,'test'); Set($Organization,'test'); Set($WebDomain,'127.0.0.1'); Set($WebPort,PORT);
Set($WebPath,''); Set($WebBaseURL,'http://127.0.0.1:PORT'); Set($DatabaseType,'SQLite');
Set($DatabaseName,'DIR/rtdb'); Set($MailCommand,'testfile'); Set($LogToSyslog,undef); Set($BcryptCost, 4);
Set(%Lifecycles, deploy => { initial => ['proposed'], active => ['building'], inactive => ['shipped', 'dropped'],
  defaults => { on_create => 'proposed' }, transitions => { '' => ['proposed'],
  proposed => ['building', 'shipped', 'dropped'],
  building => ['shipped', 'dropped'], shipped => ['building'], dropped => ['building'] },
  actions => [ 'proposed -> shipped' => { label => 'Ship' }, 'building -> shipped' => { label => 'Ship' },
  'shipped -> building' => { label => 'Again' } ] });
Set($MasonDataDir,'DIR/var/mason'); Set($MasonSessionDir,'DIR/var/session'); Set($MasonObjectDir,'DIR/var/obj');
1;
"""
SEED = """use lib '/usr/share/request-tracker5/lib'; use RT -init; my $u = RT::User->new(RT->SystemUser);
$u->Load('root'); $u->SetEmailAddress('root@example.invalid');
my ($ok, $msg, $tok) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $u->Id, Description => 't');
print "TOKEN=$tok\\n";
my $queue = RT::Queue->new(RT->SystemUser);
$queue->Create(Name => 'Ships', Lifecycle => 'deploy');
# what docs/trackers.md asks for, and no more; and one that may only look
my %rights = (least => [qw(SeeQueue ShowTicket ShowTicketComments CommentOnTicket ModifyTicket)],
              reader => [qw(SeeQueue ShowTicket)]);
for my $name (sort keys %rights) {
  my $user = RT::User->new(RT->SystemUser);
  $user->Create(Name => $name, Privileged => 1, EmailAddress => "$name\\@example.invalid");
  for my $in ('General', 'Ships') {
    $queue->Load($in);
    $user->PrincipalObj->GrantRight(Right => $_, Object => $queue) for @{$rights{$name}};
  }
  my ($made, $why, $key) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $user->Id, Description => 't');
  print "$name=$key\\n";
}
"""


class RtWorld(World):
    has_history = True
    status = "stalled"

    def __init__(self, relay: Relay, keys: dict[str, str]) -> None:
        super().__init__(relay)
        self.keys, token = keys, keys["TOKEN"]
        self.rest = f"http://127.0.0.1:{relay.target[1]}/REST/2.0"
        self.session = requests.Session()
        # One of the server's two workers would wait for more on a connection that is
        # kept.
        self.session.headers.update(
            {"Authorization": f"token {token}", "Connection": "close"}
        )

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "rt", "url": self.relay.url, "token": self.keys["TOKEN"]}

    @property
    def least(self) -> dict[str, Any]:
        return self.settings | {"token": self.keys["least"]}

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
    keys = dict(re.findall(r"^(\w+)=(\S+)$", printed, re.MULTILINE))
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
        yield RtWorld(relay, keys)


@pytest.fixture(scope="module")
def world() -> Iterator[RtWorld]:
    with servers.relayed(start) as made:
        yield made


class TestRequestTracker(Suite):
    """All that every tracker is held to."""


def test_a_refusal_that_is_answered_200_is_noticed(
    world: RtWorld, tmp_path: Path
) -> None:
    issue = world.new()
    with pytest.raises(Reject, match=f"{issue}: RT left the status new: .*nosuch"):
        broker(world.settings | {"close": "nosuch"}, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )
    assert len(world.comments(issue)) == 1


def test_a_deleted_ticket_is_not_revived(world: RtWorld, tmp_path: Path) -> None:
    gone, there = world.new(), world.new()
    world.set_status(gone, "deleted")
    told = len(world.comments(gone))
    for verb in ("fixes", "reopens", "refs"):
        note = broker(world.settings, tmp_path).handle(
            payload(commit(f"{verb} {gone}, refs {there}", next(NUMBERS)))
        )
        assert f"{gone} was deleted" in note
        assert f"commented on {there}" in note
    assert world.status_of(gone) == "deleted"
    assert len(world.comments(gone)) == told


def test_a_ticket_of_a_queue_that_may_not_be_seen_is_named_and_the_rest_goes_on(
    world: RtWorld, tmp_path: Path
) -> None:
    world.session.post(f"{world.rest}/queue", json={"Name": "Secret"})
    hidden, seen = world.new("Secret"), world.new()
    settings = world.settings | {"token": world.keys["least"]}
    note = broker(settings, tmp_path).handle(
        payload(commit(f"fixes {hidden} and {seen}", next(NUMBERS)))
    )
    assert f"{hidden} may not be seen with these credentials: " in note
    assert f"closed {seen}" in note
    assert world.is_closed(seen)
    assert not world.is_closed(hidden)


def test_a_ticket_is_closed_after_those_it_depends_on_of_the_same_push(
    world: RtWorld, tmp_path: Path
) -> None:
    first, second = world.new(), world.new()
    world.session.put(
        f"{world.rest}/ticket/{first[1:]}", json={"DependsOn": [int(second[1:])]}
    ).raise_for_status()
    note = broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {first} and {second}", next(NUMBERS)))
    )
    assert note == f"closed {second} and {first}"
    for issue in (first, second):
        assert world.is_closed(issue)
        (said,) = world.comments(issue)
        assert said.startswith("Closed by")


def test_a_time_entry_is_not_taken_for_the_comment_that_failed(
    world: RtWorld, tmp_path: Path
) -> None:
    issue = world.new()
    world.relay.spoil_write(1, Spoil("answer", 500))  # of the comment
    pushed = payload(commit(f"refs {issue} @1h", next(NUMBERS)))
    work_off(world.settings, tmp_path, pushed)
    assert [text.partition(" by")[0] for text in world.comments(issue)] == [
        "1h of work, told",
        "Referenced",
    ]


def test_a_ticket_that_may_only_be_looked_at_is_named(
    world: RtWorld, tmp_path: Path
) -> None:
    issue, settings = world.new(), world.settings | {"token": world.keys["reader"]}
    with pytest.raises(Reject, match=f"{issue} may not be changed with these cred"):
        broker(settings, tmp_path).handle(
            payload(commit(f"refs {issue}", next(NUMBERS)))
        )


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


def test_each_lifecycle_has_its_own_ends_and_its_own_close(
    world: RtWorld, tmp_path: Path
) -> None:
    first, second, dropped = world.new(), world.new("Ships"), world.new("Ships")
    world.set_status(dropped, "dropped")
    settings = world.settings | {
        "close": {"deploy": "shipped"},
        "reopen": {"deploy": "building"},
    }
    pushed = payload(commit(f"fixes {first}, {second} and {dropped}", next(NUMBERS)))
    note = broker(settings, tmp_path).handle(pushed)
    assert f"closed {first} and {second}" in note
    assert f"{dropped} was closed already" in note
    states = [world.status_of(issue) for issue in (first, second, dropped)]
    assert states == ["resolved", "shipped", "dropped"]
    again = payload(commit(f"reopens {first} and {second}", next(NUMBERS)))
    broker(settings, tmp_path).handle(again)
    assert (world.status_of(first), world.status_of(second)) == ("open", "building")


def test_an_open_status_can_be_the_one_that_closes(
    world: RtWorld, tmp_path: Path
) -> None:
    issue, settings = world.new(), world.settings | {"close": "stalled"}
    pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
    assert broker(settings, tmp_path).handle(pushed) == f"closed {issue}"
    again = payload(commit(f"fixes {issue} too", next(NUMBERS)))
    assert f"{issue} was closed already" in broker(settings, tmp_path).handle(again)


def checked(world: RtWorld, tmp_path: Path, who: str, **more: Any) -> list[Check]:
    settings = world.settings | {"token": world.keys[who]} | more
    return broker(settings, tmp_path).check()


def test_check_proves_commenting_closing_and_reopening_queue_by_queue(
    world: RtWorld, tmp_path: Path
) -> None:
    world.new()
    world.new(closed=True)
    world.new("Ships")
    least = checked(world, tmp_path, "least")
    assert [check.what for check in least if not check.ok] == []
    general = checked(world, tmp_path, "least", project="General")
    assert [check.what for check in general if "tickets" in check.what] == [
        "tickets can be commented on: General",
        "tickets can be closed: General",
        "tickets can be reopened: General",
    ]
    reader = checked(world, tmp_path, "reader", project="general")
    assert [check.what for check in reader if not check.ok] == [
        "tickets can be commented on: not for General",
        "tickets can be closed: not for General",
        "tickets can be reopened: not for General",
    ]
    wrong = checked(world, tmp_path, "least", project="Nosuch")
    assert not all(check.ok for check in wrong)
