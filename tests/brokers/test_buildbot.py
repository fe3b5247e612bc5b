"""The broker that starts builds and a real Buildbot: one change and one build request
for each ref, as its own API tells them.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from brokers.ci import Ci
from oberonc import testing
from oberonc.broker.request import Outcome
from oberonc.testing.relay import Relay, Spoil
from tests.support.eventually import eventually
from tests.support.trackers import servers

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("buildbot")]
#: A master that builds every branch of project `shop`; no worker ever comes, so what it
#: was asked for stays to be looked at.
MASTER = """
from buildbot.plugins import schedulers, util, worker
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

known = InMemoryUsernamePasswordDatabaseDontUse(bot=b"s3cret-word")
BuildmasterConfig = {{
    "buildbotURL": "{url}/",
    "buildbotNetUsageData": None,
    "protocols": {{"null": {{}}}},
    "workers": [worker.Worker("nobody", "x")],
    "schedulers": [schedulers.AnyBranchScheduler(
        name="pushed", builderNames=["shop"], treeStableTimer=None,
        change_filter=util.ChangeFilter(project="shop"))],
    "builders": [util.BuilderConfig(
        name="shop", workernames=["nobody"], factory=util.BuildFactory())],
    "www": {{
        "port": "tcp:{port}:interface=127.0.0.1",
        "change_hook_dialects": {{"base": True}},
        "change_hook_auth": [known],
    }},
}}
"""


class Master(NamedTuple):
    """A running Buildbot."""

    relay: Relay

    def get(self, what: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.relay.url}/api/v2/{what}", timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()[what.partition("?")[0]]
        return found

    def changes(self, delivery: str) -> list[dict[str, Any]]:
        """What the master took of *delivery*, oldest first."""
        found = [
            change
            for change in self.get("changes")
            if change["properties"]["OBERONC_DELIVERY_ID"] == [delivery, "Change"]
        ]
        return sorted(found, key=lambda change: int(change["changeid"]))

    def requests(self, delivery: str) -> tuple[int, int]:
        """How many builds were asked for, of *delivery*, and wait to be made."""
        found = [
            request["complete"]
            for request in self.get("buildrequests?property=*")
            if request["properties"]["OBERONC_DELIVERY_ID"][0] == delivery
        ]
        return len(found), found.count(False)


@contextlib.contextmanager
def start(relay: Relay, folder: Path, port: int) -> Iterator[Master]:
    buildbot = servers.tool("buildbot", "brokers")
    home = folder / "master"
    servers.run([buildbot, "create-master", "-r", str(home)], folder)
    (home / "master.cfg").write_text(MASTER.format(url=relay.url, port=port))
    command = [buildbot, "start", "--nodaemon", str(home)]
    with servers.serving(command, folder, f"http://127.0.0.1:{port}/api/v2/"):
        yield Master(relay)


@pytest.fixture(scope="module")
def master() -> Iterator[Master]:
    with servers.relayed(start) as made:
        yield made


def _push(
    master: Master, tmp_path: Path, payload: dict[str, Any], delivery: str, **more: Any
) -> Outcome:
    settings = {
        "system": "buildbot",
        "url": master.relay.url,
        "user": "bot",
        "token": "s3cret-word",
        "job": "shop",
        "parameters": {"STAGE": "test"},
        **more,
    }
    return testing.deliver(Ci, payload, tmp_path, delivery_id=delivery, **settings)


@pytest.mark.parametrize("kind", ["push", "merge", "branch", "forced", "tag", "all"])
def test_each_ref_that_moved_is_one_build(
    master: Master, tmp_path: Path, kind: str
) -> None:
    payload = testing.payload(kind)
    done = _push(master, tmp_path, payload, kind)
    assert done.kind == "done", done.note
    moved = [each for each in payload["updates"] if not each["deleted"]]
    changes = master.changes(kind)
    assert [(each["branch"], each["revision"]) for each in changes] == [
        (update["name"], update["new"]) for update in moved
    ]
    eventually(lambda: master.requests(kind)[0] == len(moved))


def test_a_tag_is_not_told_of_with_the_commits_of_a_branch(
    master: Master, tmp_path: Path
) -> None:
    _push(master, tmp_path, testing.payload("all"), "apart")
    main, tag = master.changes("apart")
    assert (main["comments"], tag["comments"]) == (
        testing.payload("all")["commits"][-1]["message"],
        "refs/tags/v1.0 moved",
    )
    assert main["files"]
    assert tag["files"] == []


def test_a_build_is_told_of_the_newest_commit_and_of_all_files(
    master: Master, tmp_path: Path
) -> None:
    payload = testing.payload("push")
    _push(master, tmp_path, payload, "whole")
    [change] = master.changes("whole")
    newest = payload["commits"][-1]
    files = [file["file"] for commit in payload["commits"] for file in commit["files"]]
    assert change["comments"] == newest["message"]
    assert change["author"] == newest["raw_author"]
    assert change["revlink"] == newest["url"]
    assert change["files"] == sorted(set(files))
    assert change["repository"] == payload["repository"]["website"]
    assert {name: value for name, (value, _) in change["properties"].items()} == {
        "branch": "main",
        "commit": payload["updates"][0]["new"],
        "ref": "refs/heads/main",
        "repository": "web/shop",
        "OBERONC_DELIVERY_ID": "whole",
        "STAGE": "test",
    }


def test_hostile_text_is_one_build(master: Master, tmp_path: Path) -> None:
    done = _push(master, tmp_path, testing.payload("hostile"), "hostile")
    assert done.kind == "done", done.note
    assert len(master.changes("hostile")) == 1


def test_deletes_and_what_asks_not_to_be_built_start_nothing(
    master: Master, tmp_path: Path
) -> None:
    skipped = testing.payload("push")
    skipped["commits"][-1]["message"] += "\n[skip ci]\n"
    for payload in (
        skipped,
        testing.payload("delete"),
        testing.payload("push", push_options=["ci.skip"]),
    ):
        done = _push(master, tmp_path, payload, "none")
        assert done.note.startswith("nothing:"), done.note
    assert master.changes("none") == []


def test_a_wrong_password_waits_for_a_person(master: Master, tmp_path: Path) -> None:
    payload = testing.payload("push")
    done = _push(master, tmp_path, payload, "wrong", token="wr0ng-word")
    assert (done.kind, "CREDENTIALS" in done.note) == ("retry", True), done.note
    assert master.changes("wrong") == []


def test_after_a_lost_answer_there_are_two_changes_and_one_build_if_none_has_begun(
    master: Master, tmp_path: Path
) -> None:
    master.relay.spoil_write(0, Spoil("drop"))
    payload = testing.payload("push")
    kinds = [_push(master, tmp_path, payload, "lost").kind for _ in range(2)]
    master.relay.spoil_nothing()
    assert kinds == ["retry", "done"]
    first, second = master.changes("lost")
    assert first["revision"] == second["revision"] == payload["updates"][0]["new"]
    eventually(lambda: master.requests("lost") == (2, 1))
