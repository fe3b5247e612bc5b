"""Redmine 5.0, the real one, as Debian installs it."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc import Check, Reject, Retry
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue
from oberonc.issues.trackers.redmine import Redmine
from oberonc.testing.relay import Relay, Spoil
from oberonc.testing.trackers import NUMBERS, with_word
from oberonc.testing.world import World, broker, commit, payload
from tests.support.trackers import servers
from tests.support.trackers.suite import Suite

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("redmine")]

DATABASE = Path(
    "/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default"
)
SEED = """
Setting.rest_api_enabled = '1'
# It sends mail in a thread beside the next request, which now and then was answered 500, with a wait for locks too.
# No test looks at its mail.
Setting.notified_events = []
u = User.find_by_login('admin'); u.must_change_passwd = false; u.save!(validate: false)
Token.create!(user: u, action: 'api')
p = Project.create!(name: 'Demo', identifier: 'demo', is_public: true,
                    enabled_module_names: %w[issue_tracking time_tracking], tracker_ids: Tracker.pluck(:id))
%w[bot reporter].each do |name|
  b = User.new(firstname: name, lastname: name, mail: "#{name}@example.invalid", language: 'en')
  b.login = name; b.password = b.password_confirmation = 'botbotbot1'; b.save!
  Member.create!(user: b, project: p, roles: [Role.find_by_name(name == 'bot' ? 'Manager' : 'Reporter')])
  Token.create!(user: b, action: 'api')
  puts "#{name}=#{b.reload.api_key}"
end
puts "admin=#{u.reload.api_key}"
TimeEntryActivity.find_by_name('Development').update!(is_default: true)
# an activity of the project's own in place of everybody's
q = Project.create!(name: 'Own', identifier: 'own', is_public: true,
                    enabled_module_names: %w[issue_tracking time_tracking], tracker_ids: Tracker.pluck(:id))
TimeEntryActivity.create!(name: 'Development', project: q, parent: TimeEntryActivity.find_by_name('Development'))
Member.create!(user: User.find_by_login('bot'), project: q, roles: [Role.find_by_name('Manager')])
# what docs/trackers.md asks for, and no more; and one that may not open again
{'least' => [[1, 3], [1, 5], [3, 5], [3, 1], [5, 1]], 'closer' => [[1, 5]]}.each do |name, moves|
  r = Role.create!(name: name, permissions: [:view_issues, :add_issue_notes, :edit_issues])
  Tracker.all.each do |t|
    moves.each do |from, to|
      WorkflowTransition.create!(tracker_id: t.id, role_id: r.id, old_status_id: from, new_status_id: to)
    end
  end
  b = User.new(firstname: name, lastname: name, mail: "#{name}@example.invalid", language: 'en')
  b.login = name; b.password = b.password_confirmation = 'botbotbot1'; b.save!
  Member.create!(user: b, project: p, roles: [r]); Token.create!(user: b, action: 'api')
  puts "#{name}=#{b.reload.api_key}"
end
"""


class RedmineWorld(World):
    has_history = True
    status = "Feedback"

    def __init__(self, relay: Relay, keys: dict[str, str]) -> None:
        super().__init__(relay)
        self.keys = keys
        self.site = f"http://127.0.0.1:{relay.target[1]}"
        self.session = requests.Session()
        self.session.headers["X-Redmine-API-Key"] = keys["admin"]

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "redmine", "url": self.relay.url, "token": self.keys["bot"]}

    @property
    def least(self) -> dict[str, Any]:
        return self.settings | {"token": self.keys["least"]}

    def new(self, project: str = "demo", *, closed: bool = False) -> str:
        issue = {"project_id": project, "subject": "broken", "tracker_id": 1}
        made = self.session.post(f"{self.site}/issues.json", json={"issue": issue})
        written = f"#{made.json()['issue']['id']}"
        if closed:
            self.change(written, {"status_id": 5})
        return written

    def change(self, written: str, change: dict[str, Any]) -> None:
        self.session.put(
            f"{self.site}/issues/{written[1:]}.json", json={"issue": change}
        ).raise_for_status()

    def read(self, written: str) -> Any:
        return self.session.get(
            f"{self.site}/issues/{written[1:]}.json?include=journals"
        ).json()["issue"]

    def comments(self, written: str) -> list[str]:
        return [
            journal["notes"]
            for journal in self.read(written)["journals"]
            if journal["notes"]
        ]

    def is_closed(self, written: str) -> bool:
        return bool(self.read(written)["status"]["is_closed"])

    def status_of(self, written: str) -> str:
        return str(self.read(written)["status"]["name"])

    def seconds(self, written: str) -> int:
        found = self.session.get(
            f"{self.site}/time_entries.json?issue_id={written[1:]}"
        ).json()["time_entries"]
        return round(sum(float(entry["hours"]) for entry in found) * 3600)

    def reopen_by_hand(self, written: str) -> None:
        self.change(written, {"status_id": 2})


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[RedmineWorld]:
    found = (
        os.getuid() == 0
        and DATABASE.exists()
        and shutil.which("bundle")
        and Path("/usr/share/redmine").exists()
    )
    servers.need(bool(found), "Redmine (from Debian, run as root)")
    shutil.copy(DATABASE, folder / "redmine.db")
    (folder / "seed.rb").write_text(SEED)
    servers.own(folder, "www-data")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "BUNDLER_VERSION": "2.3.15",
    }
    env |= {
        "RAILS_ENV": "production",
        "REDMINE_INSTANCE": "default",
        "RAILS_LOG_TO_STDOUT": "1",
    }
    env["DATABASE_URL"] = f"sqlite3:{folder}/redmine.db"
    who: dict[str, Any] = {
        "env": env,
        "user": "www-data",
        "group": "www-data",
        "extra_groups": [],
    }
    home = Path("/usr/share/redmine")
    printed = servers.run(
        ["bundle", "exec", "rails", "runner", str(folder / "seed.rb")], home, **who
    )
    keys = dict(
        line.split("=")
        for line in printed.splitlines()
        if re.match("[a-z]+=[0-9a-f]{40}$", line)
    )
    command = [
        "bundle",
        "exec",
        "thin",
        "start",
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "-e",
        "production",
    ]
    url = f"http://127.0.0.1:{port}/login"
    with servers.serving(
        [*command, "-P", str(folder / "pid")], folder, url, home=home, **who
    ):
        yield RedmineWorld(relay, keys)


@pytest.fixture(scope="module")
def world() -> Iterator[RedmineWorld]:
    with servers.relayed(start) as made:
        yield made


class TestRedmine(Suite):
    """All that every tracker is held to."""

    DROPS = (0, 1)  # this server is slow


def test_a_status_redmine_silently_keeps_is_noticed(
    world: RedmineWorld, tmp_path: Path
) -> None:
    """A reporter's close is answered 204 and does nothing."""
    issue = world.new()
    settings = world.settings | {"token": world.keys["reporter"]}
    with pytest.raises(
        Reject, match=f"{issue}: Redmine took the change and left the status New"
    ):
        broker(settings, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )
    assert not world.is_closed(issue)
    assert len(world.comments(issue)) == 1


@pytest.mark.parametrize(
    "number",
    [
        "1abc",
        "1;drop",
        "01",
        "0",
        "-1",
        "1/../2",
        "1.json",
        "\u0661",
        "",
        "12345678901",
    ],
)
def test_a_number_that_is_none_never_becomes_an_address(
    world: RedmineWorld, tmp_path: Path, number: str
) -> None:
    """Redmine acts on issue 1 when it is asked for `1abc`."""
    world.new()
    tracker = Redmine(broker(world.settings, tmp_path))
    before = len(world.relay.seen)
    with pytest.raises(NoSuchIssue):
        tracker.is_closed(Issue("", number, f"#{number}"))
    assert len(world.relay.seen) == before


def test_a_closed_status_can_be_named(world: RedmineWorld, tmp_path: Path) -> None:
    issue, other = world.new(), world.new()
    settings = world.settings | {
        "resolutions": {"wontfix": "Rejected"},
        "close": "Closed",
    }
    note = broker(settings, tmp_path).handle(
        payload(commit(f"wontfix {issue}\n\nfixes {other}", next(NUMBERS)))
    )
    assert (
        world.read(issue)["status"]["name"],
        world.read(other)["status"]["name"],
    ) == ("Rejected", "Closed")
    assert f"closed {issue} and {other}" in note


def test_a_move_that_a_person_took_back_before_the_retry_is_not_made_again(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue, settings = world.new(), with_word(world)
    pushed = payload(commit(f"parks {issue}", next(NUMBERS)))
    world.relay.spoil_write(0, Spoil("drop"))
    with pytest.raises(Retry):
        broker(settings, tmp_path).handle(pushed)
    assert world.status_of(issue) == "Feedback"
    world.reopen_by_hand(issue)
    world.relay.spoil_nothing()
    assert broker(settings, tmp_path).handle(pushed) == f"moved {issue}"
    assert world.status_of(issue) == "In Progress"


def test_a_status_the_workflow_does_not_allow_is_refused_with_those_it_does(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue, settings = (
        world.new(),
        world.settings | {"words": {"states": {"parks": "Parked"}}},
    )
    with pytest.raises(
        Reject,
        match=r"there is no status 'Parked' now; there is .*Feedback.*: set `words`",
    ):
        broker(settings, tmp_path).handle(
            payload(commit(f"parks {issue}", next(NUMBERS)))
        )
    assert world.status_of(issue) == "New"


def test_issues_of_projects_that_are_private_or_closed_are_named_and_the_rest_goes_on(
    world: RedmineWorld, tmp_path: Path
) -> None:
    for name in ("private", "shut"):
        project = {"name": name, "identifier": name, "is_public": name == "shut"}
        world.session.post(
            f"{world.site}/projects.json", json={"project": project}
        ).raise_for_status()
    hidden, shut, free = world.new("private"), world.new("shut"), world.new()
    world.session.put(f"{world.site}/projects/shut/close.json").raise_for_status()
    pushed = payload(commit(f"fixes {hidden}, {shut} and {free}", next(NUMBERS)))
    with pytest.raises(Reject) as caught:
        broker(world.settings, tmp_path).handle(pushed)
    assert f"{hidden} may not be seen with these credentials: " in str(caught.value)
    assert f"{shut}" in str(caught.value)
    assert f"closed {free}" in str(caught.value)
    assert world.is_closed(free)
    assert not world.comments(hidden)


def test_a_time_entry_that_is_refused_keeps_no_issue_open(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    with pytest.raises(Reject, match=rf"closed {issue}; {issue}: 1h 30m, .* refused"):
        broker(world.settings | {"token": world.keys["least"]}, tmp_path).handle(
            payload(commit(f"fixes {issue} @1h30", next(NUMBERS)))
        )
    assert world.is_closed(issue)
    (said,) = world.comments(issue)
    assert said.startswith("Closed by")
    assert "1h 30m, which was refused as a time entry" in said


def test_comment_and_status_are_one_change(world: RedmineWorld, tmp_path: Path) -> None:
    issue = world.new()
    broker(world.settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    (journal,) = world.read(issue)["journals"]
    assert journal["notes"].startswith("Closed by")
    assert "status_id" in [detail["name"] for detail in journal["details"]]


def test_a_parent_is_closed_after_its_children_of_the_same_push(
    world: RedmineWorld, tmp_path: Path
) -> None:
    parent, child = world.new(), world.new()
    world.change(child, {"parent_issue_id": int(parent[1:])})
    blocked, blocking = world.new(), world.new()
    relation = {"issue_to_id": int(blocked[1:]), "relation_type": "blocks"}
    world.session.post(
        f"{world.site}/issues/{blocking[1:]}/relations.json",
        json={"relation": relation},
    ).raise_for_status()
    issues = (parent, child, blocked, blocking)
    pushed = payload(commit(f"fixes {', '.join(issues)}", next(NUMBERS)))
    broker(world.settings, tmp_path).handle(pushed)
    for issue in issues:
        assert world.is_closed(issue)
        (said,) = world.comments(issue)
        assert said.startswith("Closed by")
    opened = world.new()
    world.change(world.new(), {"parent_issue_id": int(opened[1:])})
    with pytest.raises(Reject, match="an open subtask or a blocking issue holds it"):
        broker(world.settings, tmp_path).handle(
            payload(commit(f"fixes {opened}, fixes {world.new()}", next(NUMBERS)))
        )
    (said,) = world.comments(opened)
    assert said.startswith("Referenced by")


def test_an_author_whose_name_no_header_holds_is_named_and_the_bot_acts(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    authors = {"ann@example.org": "ann\r\nX-Redmine-API-Key: 1"}
    settings = world.settings | {"token": world.keys["admin"], "authors": authors}
    note = broker(settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert f"closed {issue}" in note
    assert "no header can hold that name" in note
    assert "\n" not in note
    assert world.is_closed(issue)


def test_a_wrong_address_is_no_missing_issue(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    wrong = world.settings | {"url": f"{world.relay.url}/tracker"}
    with pytest.raises(Retry, match=r"404.*check `url`"):
        broker(wrong, tmp_path).handle(payload(commit(f"fixes {issue}", next(NUMBERS))))


def test_a_resolution_redmine_does_not_have_is_said_in_the_comment(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    broker(world.settings, tmp_path).handle(
        payload(commit(f"invalidates {issue}", next(NUMBERS)))
    )
    assert world.is_closed(issue)
    assert "there is no resolution invalid here" in world.comments(issue)[0]


def test_an_administrators_key_acts_for_the_commits_author(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    settings = world.settings | {
        "token": world.keys["admin"],
        "authors": {"ann@example.org": "bot"},
    }
    broker(settings, tmp_path).handle(payload(commit(f"refs {issue}", next(NUMBERS))))
    (journal,) = [entry for entry in world.read(issue)["journals"] if entry["notes"]]
    assert journal["user"]["name"] == "bot bot"


def test_the_activity_can_be_named_and_has_to_be_there(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    pushed = payload(commit(f"refs {issue} @2h", next(NUMBERS)))
    with pytest.raises(
        Reject, match=r"there is no activity 'Sleep' now; there is .*Development"
    ):
        broker(world.settings | {"activity": "Sleep"}, tmp_path).handle(pushed)
    broker(world.settings | {"activity": "development"}, tmp_path).handle(pushed)
    assert world.seconds(issue) == 7200


def test_the_page_shows_the_message_as_text_and_no_marker(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue = world.new()
    text = f"refs {issue} @1h\n</pre>\n*bold* <b>tag</b> {{{{hello_world}}}}\n<pre>"
    hostile = commit(text, next(NUMBERS), author="-x- r1 *strong*")
    broker(world.settings, tmp_path).handle(payload(hostile))
    url = f"{world.site}/time_entries.json?issue_id={issue[1:]}"
    (entry,) = world.session.get(url).json()["time_entries"]
    assert entry["comments"].startswith("1h of work, told by commit ")
    assert '":' not in entry["comments"]
    page = world.session.get(f"{world.site}/issues/{issue[1:]}").text
    notes = page[
        page.index("journal-1-notes")
        if "journal-1-notes" in page
        else page.index('id="history"') :
    ]
    assert "<code>-x- r1 strong</code>" in notes
    assert "<strong>bold</strong>" not in notes
    assert "<b>tag</b>" not in notes
    assert "oberonc:" not in notes
    assert "Hello world" not in notes


def test_an_issue_of_another_project_is_left_alone_and_of_a_child_is_not(
    world: RedmineWorld, tmp_path: Path
) -> None:
    demo = world.session.get(f"{world.site}/projects/demo.json").json()["project"]
    for name, parent in (("child", demo["id"]), ("other", None)):
        made = {"name": name.title(), "identifier": name, "parent_id": parent}
        made |= {"enabled_module_names": ["issue_tracking"], "inherit_members": True}
        world.session.post(
            f"{world.site}/projects.json", json={"project": made}
        ).raise_for_status()
    ours, childs, others = world.new(), world.new("child"), world.new("other")
    settings = world.settings | {"project": "demo"}
    pushed = payload(commit(f"fixes {ours} and {childs}, refs {others}", next(NUMBERS)))
    note = broker(settings, tmp_path).handle(pushed)
    assert f"closed {ours} and {childs}" in note
    assert f"{others} is of other, which this service is not bound to" in note
    assert not world.comments(others)
    for project in (["Other"], ["**"]):
        broker(settings | {"projects": project}, tmp_path).handle(pushed)
        assert len(world.comments(others)) == 1


def checked(world: RedmineWorld, tmp_path: Path, who: str, **more: Any) -> list[Check]:
    settings = world.settings | {"token": world.keys[who]} | more
    return broker(settings, tmp_path).check()


def test_check_proves_closing_and_reopening_by_the_workflow_of_the_role(
    world: RedmineWorld, tmp_path: Path
) -> None:
    """On one issue of each type; of a type without one nothing is proven, and said."""
    world.new()
    world.new(closed=True)
    shown = {
        who: [check.what for check in checked(world, tmp_path, who) if not check.ok]
        for who in ("least", "closer", "reporter")
    }
    assert shown["least"] == []
    assert shown["closer"] == [
        "issues can be reopened: not for Bug; unproven, for want of an issue: Feature and Support"
    ]
    assert shown["reporter"][0] == "the user may comment on and change issues"


def test_check_does_not_demand_the_right_to_log_time(
    world: RedmineWorld, tmp_path: Path
) -> None:
    least = checked(world, tmp_path, "least")[-1]
    assert least.ok
    assert least.what.startswith("no time can be logged, and comments say it")
    assert checked(world, tmp_path, "bot")[-1].what == "time can be logged"


def test_check_looks_for_the_project_and_the_status(
    world: RedmineWorld, tmp_path: Path
) -> None:
    wrong = checked(world, tmp_path, "least", project="nosuch", close="Finished")
    assert [check.what for check in wrong if not check.ok][:2] == [
        wrong[1].what,
        "there is a status that closes",
    ]
    assert wrong[1].what.startswith("there is the project: ")


def test_an_open_status_can_be_the_one_that_closes(
    world: RedmineWorld, tmp_path: Path
) -> None:
    issue, settings = world.new(), world.settings | {"close": "Resolved"}
    assert all(
        check.ok for check in checked(world, tmp_path, "least", close="Resolved")
    )
    note = broker(settings, tmp_path).handle(
        payload(commit(f"fixes {issue}", next(NUMBERS)))
    )
    assert note == f"closed {issue}"
    assert world.status_of(issue) == "Resolved"
    again = payload(commit(f"fixes {issue} too", next(NUMBERS)))
    assert f"{issue} was closed already" in broker(settings, tmp_path).handle(again)
    reopened = payload(commit(f"reopens {issue}", next(NUMBERS)))
    broker(settings, tmp_path).handle(reopened)
    assert world.status_of(issue) == "New"


def test_each_verb_can_have_a_status_of_its_own(
    world: RedmineWorld, tmp_path: Path
) -> None:
    fixed, closed = world.new(), world.new()
    words = {"states": {"fixes": "Resolved", "resolves": "Resolved"}}
    broker(world.settings | {"words": words}, tmp_path).handle(
        payload(commit(f"fixes {fixed}\n\nCloses {closed}", next(NUMBERS)))
    )
    assert (world.status_of(fixed), world.status_of(closed)) == ("Resolved", "Closed")


def test_authors_are_found_by_their_mail_address_with_an_administrators_key(
    world: RedmineWorld, tmp_path: Path
) -> None:
    """Whom Redmine lets act; for others the bot does, and says so."""
    admin = world.settings | {"token": world.keys["admin"]}

    def acted(settings: dict[str, Any], mail: str) -> tuple[str, str]:
        issue = world.new()
        more = {"raw_author": f"Ann Example <{mail}>"}
        pushed = payload(commit(f"refs {issue}", next(NUMBERS), **more))
        note = broker(settings, tmp_path).handle(pushed)
        (entry,) = [entry for entry in world.read(issue)["journals"] if entry["notes"]]
        return note, entry["user"]["name"]

    by_mail = admin | {"authors_by_mail": True}
    assert acted(by_mail, "Bot@example.invalid")[1] == "bot bot"
    assert acted(by_mail, "bot@example")[1] == "Redmine Admin"
    assert acted(world.settings | {"authors_by_mail": True}, "x@y.z")[1] == "bot bot"
    users = world.session.get(f"{world.site}/users.json?name=reporter").json()["users"]
    url = f"{world.site}/users/{users[0]['id']}.json"
    world.session.put(url, json={"user": {"status": 3}}).raise_for_status()
    try:
        assert acted(by_mail, "reporter@example.invalid")[1] == "Redmine Admin"
        for user in ("reporter", "nosuch"):
            named = admin | {"authors": {"ann@example.org": user}}
            note, who = acted(named, "ann@example.org")
            assert f"not done as {user}: " in note
            assert who == "Redmine Admin"
    finally:
        world.session.put(url, json={"user": {"status": 1}}).raise_for_status()


@pytest.mark.parametrize("project", ["demo", "own"])
def test_the_default_activity_is_redmines_own_also_where_the_project_has_its_own(
    world: RedmineWorld, tmp_path: Path, project: str
) -> None:
    issue = world.new(project)
    note = broker(world.settings, tmp_path).handle(
        payload(commit(f"refs {issue} @2h", next(NUMBERS)))
    )
    assert f"logged time on {issue}" in note
    url = f"{world.site}/time_entries.json?issue_id={issue[1:]}"
    (entry,) = world.session.get(url).json()["time_entries"]
    assert entry["activity"]["name"] == "Development"
