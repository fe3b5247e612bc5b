"""A tracker is a plugin: found as brokers are, loaded where they are, held to the suite
of ours. The one of docs/trackers.md is run as it stands there.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc.broker import loading, registry, runner
from oberonc.broker.request import Request
from oberonc.complete import offers
from oberonc.testing import trackers
from oberonc.testing.world import broker, commit, payload
from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.daemon_site import Site
from tests.support.trackers.contract import Answer, Contract
from tests.support.trackers.contract import Request as Asked
from tests.support.trackers.forges import ContractWorld, running
from tests.support.trackers.suite import PAGE

BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
#: The tracker of the page, and its tests.
DESK, TESTS = BLOCKS


class DeskContract(Contract):
    def refuse(self, request: Asked) -> Answer | None:
        if request.headers.get("authorization") == "Bearer s3cret":
            return None
        return Answer(401, {"message": "who are you?"})

    def routes(self) -> list[Any]:
        issue = "/issues/([0-9]+)"
        return [
            ("GET", "/me", lambda request: Answer(200, {"name": "bot"})),
            ("GET", issue, self.read),
            ("PUT", issue, self.change),
            ("GET", f"{issue}/comments", self.list),
            ("POST", f"{issue}/comments", self.say),
        ]

    def read(self, request: Asked, number: str) -> Answer:
        kept = self.issue(number)
        if not kept:
            return Answer(404, {"message": "no such issue"})
        return Answer(200, {"closed": kept.state == "closed"})

    def change(self, request: Asked, number: str) -> Answer:
        closed = request.json["closed"]
        self.issues[int(number)].state = "closed" if closed else "open"
        return Answer(200, {})

    def list(self, request: Asked, number: str) -> Answer:
        said = self.issues[int(number)].comments
        return Answer(200, [{"text": each["body"]} for each in said])

    def say(self, request: Asked, number: str) -> Answer:
        self.issues[int(number)].comments.append({"body": request.json["text"]})
        return Answer(201, {})


class DeskWorld(ContractWorld):
    contract_class = DeskContract
    keeps_time = False

    @property
    def settings(self) -> dict[str, Any]:
        return {"tracker": "desk", "url": self.relay.url, "token": "s3cret"}


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    yield
    loading.trackers.clear()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DeskWorld]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    file = folder / "tracker_desk.py"
    file.write_text(DESK)
    trackers.plug(file)
    yield from running(DeskWorld)


class TestTheTrackerOfThePage(trackers.Suite):
    """All that every tracker is held to."""


def test_its_words_are_the_grammars(world: DeskWorld, tmp_path: Path) -> None:
    issue = world.new()
    said = broker(world.settings, tmp_path).handle(
        payload(commit(f"settles D-{issue[1:]}"))
    )
    assert said == f"closed {issue}"


def test_the_tests_of_the_page_are_python_and_name_what_is_there() -> None:
    compile(TESTS, "the page", "exec")
    for name in re.findall(r"trackers\.(\w+)", TESTS):
        assert hasattr(trackers, name), name


def test_it_is_found_in_a_folder_of_brokers_and_is_no_broker(admin: Admin) -> None:
    file = admin.broker("tracker_desk", DESK)
    catalogue = registry.find(admin.load())
    assert catalogue.problems == {}
    assert "tracker_desk" not in catalogue.places
    (place,) = catalogue.places["issues"].trackers
    assert (place.name, place.file) == ("desk", str(file))
    assert not catalogue.places["mail"].trackers


def test_one_that_others_may_write_is_refused(admin: Admin) -> None:
    file = admin.broker("tracker_desk", DESK)
    file.chmod(0o666)
    catalogue = registry.find(admin.load())
    assert "others may write" in catalogue.problems[str(file)]
    assert not catalogue.places["issues"].trackers


def test_an_entry_point_is_a_tracker_too(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "desk-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: desk\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[oberonc.trackers]\ndesk = the_desk:Desk\n")
    (site / "the_desk.py").write_text(DESK)
    monkeypatch.syspath_prepend(str(site))
    found = registry.find(admin.load()).places["issues"]
    assert [place.name for place in found.trackers] == ["desk"]
    loading.load(found)
    made = {"tracker": "desk", "url": "http://desk.example", "token": "s3cret"}
    assert broker(made, tmp_path).plan(payload(commit("settles #4")))


WRONG = [
    ("raise SystemExit(3)", "tracker_desk.py:1: SystemExit: the broker called exit(3)"),
    ("x = (", "tracker_desk.py:1:"),
    ("", "has one subclass of Tracker; this one has none"),
    (DESK.replace('kind = "desk"', 'kind = "chair"'), 'needs kind = "desk"'),
    (DESK.replace("def whoami", "def who"), "Desk has no whoami"),
    ("import nothing_of_the_kind", "needs the library 'nothing_of_the_kind'"),
]


@pytest.mark.parametrize(("source", "said"), WRONG, ids=[str(n) for n in range(6)])
def test_a_broken_one_is_told_in_a_line_that_names_its_file(
    tmp_path: Path, source: str, said: str
) -> None:
    file = tmp_path / "tracker_desk.py"
    file.write_text(source)
    trackers.plug(file)
    with pytest.raises(ValueError, match=re.escape(said)) as told:
        broker({"tracker": "desk", "url": "http://x.example", "token": "t"}, tmp_path)
    assert "\n" not in str(told.value)
    assert str(file) in str(told.value)


def test_ours_cannot_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "tracker_github.py"
    file.write_text(DESK)
    trackers.plug(file)
    with pytest.raises(ValueError, match="tracker 'github' is oberonc's own: rename"):
        broker({"tracker": "github", "token": "t"}, tmp_path)


def test_it_runs_in_the_child_of_a_push_without_a_daemon(
    admin: Admin, tmp_path: Path, world: DeskWorld
) -> None:
    admin.broker("tracker_desk", DESK)
    place = registry.find(admin.load()).places["issues"]
    given = payload(commit(f"fixes {world.new()}"))
    asked = Request("desk", "issues", world.settings, str(tmp_path), 60.0, "d", given)
    settings = broker(world.settings, tmp_path).settings
    secret = {"token": settings.token}
    outcome = runner.run(place, asked._replace(settings=world.settings | secret), 60)
    assert (outcome.kind, outcome.note) == ("done", "closed #1")


def test_the_daemon_runs_it_and_a_reload_takes_a_new_one(
    site: Site, world: DeskWorld
) -> None:
    """Its copy is part of the generation's snapshot."""
    site.write("tracker_desk", DESK)
    service = world.settings | {"broker": "issues", "token": "env:DESK_TOKEN"}
    site.configure({"desk": service})
    site.start(DESK_TOKEN="s3cret")
    first, second = world.new(), world.new()
    (row,) = (
        row for row in site.call("brokers")["brokers"] if row["broker"] == "issues"
    )
    assert row["plugins"]["desk"]["words"]["prefixes"] == ["D-"]
    site.submit(payload(commit(f"fixes {first}", 1), id="1" * 32))
    site.settled(done=1)
    assert world.is_closed(first)
    site.write("tracker_desk", DESK.replace("settles", "ends"))
    assert site.reload()["accepted"]
    site.submit(payload(commit(f"ends {second}", 2), id="2" * 32))
    site.settled(done=2)
    assert world.is_closed(second)
    site.write("tracker_desk", "broken(")
    report = site.reload()
    assert not report["accepted"]
    assert "tracker_desk.py" in str(report)


def test_the_commands_know_it_as_they_know_ours(
    admin: Admin, oberonc: Command, home: Path
) -> None:
    head = "class Desk(WebTracker):\n"
    file = admin.broker("tracker_desk", DESK.replace(head, f'{head}    """One."""\n'))
    told = oberonc("brokers", "--json").json["brokers"]["issues"]["trackers"]
    assert told == {"desk": {"from": str(file), "state": "ok", "does": "One."}}
    assert "tracker desk     ok" in oberonc("brokers").out
    said = oberonc("parse", "--words", "desk", stdin="This settles D-4").out
    assert "close" in said
    ours = oberonc("parse", "--words", "rt", "--json", stdin="settles D-4")
    assert ours.json == []
    assert "needs --url" in oberonc("init", "--tracker", "desk", code=2).err
    oberonc("init", "--tracker", "desk", "--url", "https://desk.example")
    shown = oberonc("config", "--json").json
    assert shown["services.desk.tracker"]["value"] == "desk"
    assert shown["services.desk.url"]["value"] == "https://desk.example"
    for what in ("words", "tracker"):
        assert offers(what, None)["desk"] == str(file)


def test_the_commands_say_why_one_cannot_be_used(
    admin: Admin, oberonc: Command
) -> None:
    file = admin.broker("tracker_desk", "broken(")
    row = oberonc("brokers", "--json").json["brokers"]["issues"]
    assert row["state"] == "ok"
    assert row["trackers"]["desk"]["state"] == "broken"
    for words in (["parse", "--words", "desk"], ["init", "--tracker", "desk"]):
        assert f"{file}:2: " in oberonc(*words, code=78).err
        said = oberonc(*words[:-1], "dusk", code=2).err
        assert "there is no tracker 'dusk'; did you mean 'desk'?" in said
