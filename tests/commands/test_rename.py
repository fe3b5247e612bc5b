"""`oberonc rename`: what is kept for a repository follows it to its new name, with and
without a daemon.
"""

from pathlib import Path

import pytest

from oberonc.delivery import spool
from oberonc.issues.embedded import IssueFile
from oberonc.issues.ledger import Ledger, Step
from oberonc.issues.rename import rename
from tests.support.admin import Admin, sample
from tests.support.command import Command
from tests.support.daemon_site import Site, push, recorder
from tests.support.eventually import eventually
from tests.support.repo import Repo


def _done(state: Path, step: Step) -> None:
    ledger = Ledger(state)
    ledger.claim(step, "mark")
    ledger.done(step)
    ledger.close()


def test_issues_with_their_comments_time_and_numbers_move(tmp_path: Path) -> None:
    tracker = IssueFile(tmp_path)
    for repository in ("web/shop", "other"):
        tracker.new(repository, "one")
        tracker.comment(repository, 1, "Ann", "seen", None, f"{repository} comment")
        tracker.log_time(repository, 1, "Ann", 60, f"{repository} time")
        tracker.set_state(repository, 1, "closed", "", f"{repository} state")
    assert rename(tmp_path, "web/shop", "store") == 1
    assert tracker.issues("web/shop") == []
    assert len(tracker.show("store", 1)["comments"]) == 1
    assert (tracker.state("store", 1), tracker.seconds("store", 1)) == ("closed", 60)
    assert tracker.state("other", 1) == "closed"
    tracker.set_state("store", 1, "open")
    tracker.set_state("store", 1, "closed", "", "web/shop state")
    assert tracker.state("store", 1) == "open"
    assert rename(tmp_path, "web/shop", "store") == 0


def test_what_was_done_stays_done_under_the_new_name(tmp_path: Path) -> None:
    local, forge = (
        Step(tracker, "web/shop", "1", "close", "change")
        for tracker in ("local", "github https://x")
    )
    for step in (local, forge):
        _done(tmp_path, step)
    rename(tmp_path, "web/shop", "store")
    ledger = Ledger(tmp_path)
    assert ledger.is_done(local._replace(project="store"))
    assert not ledger.is_done(local)
    # A tracker elsewhere may be bound to the project under its old name still.
    assert ledger.is_done(forge)
    assert ledger.is_done(forge._replace(project="store"))
    ledger.close()


def test_two_repositories_with_issues_are_not_mixed(oberonc: Command) -> None:
    for name in ("a", "b"):
        oberonc("issues", "new", "one", "--repository", name)
    assert "a and b both have issues" in oberonc("rename", "a", "b", code=65).err
    assert len(oberonc("issues", "list", "--json", "--repository", "a").json) == 1


@pytest.mark.parametrize(
    "names", [("a", "a"), ("", "b"), ("a", "x" * 600), ("a", "b\n"), ("/a", "b")]
)
def test_what_is_no_name_is_refused(
    oberonc: Command, state: Path, names: tuple[str, str]
) -> None:
    assert oberonc("rename", *names, code=65).err.count("\n") == 1
    assert not state.exists()


def test_a_renamed_repository_goes_on_where_it_was(
    bare: Repo, oberonc: Command, tmp_path: Path, patient: None
) -> None:
    oberonc("hook", "install", bare.path)
    oberonc("issues", "new", "one", "--repository", "shop")
    bare.path.rename(tmp_path / "store.git")
    assert oberonc("rename", "shop", "store").out == "renamed shop to store: 1 issue\n"
    work = Repo(tmp_path / "store.git").clone(tmp_path / "work")
    work.commit("fixes #1")
    assert "closed #1" in work.push("main")


def test_without_a_daemon_the_spool_follows_in_its_order(
    admin: Admin, oberonc: Command, tmp_path: Path
) -> None:
    admin.configure("delivery = 'here'")
    folder = admin.state / "spool"
    repository = {**sample()["repository"], "full_name": "web/shop"}
    first, other, last = (
        sample(repository={**repository, "full_name": name})
        for name in ("web/shop", "other", "web/shop")
    )
    for payload in (first, other, last):
        spool.put(
            folder,
            {
                "payload": payload,
                "services": {"issues": {"attempts": 1, "first": 0, "error": "x"}},
            },
        )
    told = oberonc("rename", "--json", "web/shop", "web/store").json
    assert told == {"issues": 0, "deliveries": 0, "spooled": 2}
    entries = [spool.read(path) for path in spool.listing(folder)]
    assert [entry["payload"]["id"] for entry in entries] == [
        first["id"],
        other["id"],
        last["id"],
    ]
    assert [entry["payload"]["repository"]["full_name"] for entry in entries] == [
        "web/store",
        "other",
        "web/store",
    ]
    assert entries[0]["services"]["issues"]["attempts"] == 1
    assert len(spool.listing(folder, "web/store")) == 2


@pytest.mark.parametrize(
    "running", [True, False], ids=["through the daemon", "while none runs"]
)
def test_what_waits_in_the_queue_is_done_under_the_new_name(
    site: Site, oberonc: Command, running: bool
) -> None:
    here = ("--config", site.file)
    daemon = site.start()
    oberonc(*here, "issues", "new", "one", "--repository", "web/shop")
    site.call("lane.pause", service="rec", repository="web/shop")
    made = [site.submit(push()), site.submit(push(repo="other")), site.submit(push())]
    site.wait_for(made[1])
    if not running:
        assert daemon.stop() == 0
    told = oberonc(*here, "rename", "--json", "web/shop", "web/store").json
    assert (told["issues"], told["deliveries"]) == (1, 2)
    if not running:
        site.start()
    assert [row.title for row in IssueFile(site.state).issues("web/store")] == ["one"]
    site.call("lane.resume", service="rec", repository="web/store")
    site.wait_for(*made)
    rows = [(row["id"], row["repo"]) for row in site.rows() if row["what"] == "end"]
    assert rows == [(made[1], "other"), (made[0], "web/store"), (made[2], "web/store")]


def test_while_something_of_it_runs_nothing_is_moved(
    site: Site, oberonc: Command
) -> None:
    site.write("rec", recorder(f"open({str(site.folder / 'go')!r})", head=""))
    import os

    os.mkfifo(site.folder / "go")
    site.start()
    oberonc("--config", site.file, "issues", "new", "one", "--repository", "web/shop")
    made = site.submit(push())
    eventually(lambda: site.begun() == [made], 30)
    said = oberonc("--config", site.file, "rename", "web/shop", "store", code=75).err
    assert "a delivery of web/shop is running: try again" in said
    assert len(IssueFile(site.state).issues("web/shop")) == 1
    (site.folder / "go").open("w").close()
    site.wait_for(made)
    site.settled()
    assert (
        oberonc("--config", site.file, "rename", "web/shop", "store").out
        == "renamed web/shop to store: 1 issue\n"
    )


def test_a_tracker_that_cannot_be_moved_leaves_the_queue_as_it_was(
    site: Site, oberonc: Command
) -> None:
    site.start()
    site.call("lane.pause", service="rec", repository="web/shop")
    site.submit(push())
    (site.state / "tracker.sqlite").write_text("no database")
    assert oberonc("--config", site.file, "rename", "web/shop", "store", code=65).err
    assert [row["repository"] for row in site.call("delivery.list")["deliveries"]] == [
        "web/shop"
    ]
