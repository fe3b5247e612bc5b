"""`oberonc log` where a daemon runs: it is asked, for everything or for one's own, and
followed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import config
from oberonc.commands import submitter
from oberonc.delivery import handover
from oberonc.errors import BadInput
from oberonc.source import frame
from tests.support.children import end
from tests.support.command import Command
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually
from tests.support.repo import Repo

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to become other people"
)
ANN, BOB = 54321, 54322


def rows(done: Any) -> list[str]:
    return [line.split(" ", 1)[1] for line in done.out.splitlines() if line[0] != " "]


def test_without_an_id_the_daemon_tells_of_the_latest_pushes(
    site: Site, oberonc: Command
) -> None:
    site.write(
        "noted",
        "from oberonc import BaseBroker\nclass B(BaseBroker):\n    def handle(self, p): return 'x\\ny'\n",
    )
    site.configure(
        {"noted": {"broker": "noted"}, "off": {"broker": "noted", "refs": ["none"]}}
    )
    site.start()
    first, second = (
        site.submit(),
        site.submit(push(commits_total=9, truncated=True, user="ann")),
    )
    site.settled(done=2)
    said = oberonc("--config", site.file, "log")
    whose = submitter({"submitter": frame.submitter()})
    assert [row.replace(" by ann", "") for row in rows(said)] == [
        f"{first[:8]} push web/shop refs/heads/main (2 commits, daemon{whose})",
        f"{second[:8]} push web/shop refs/heads/main (2 commits, cut to the limits from 9, daemon{whose})",
    ]
    assert said.out.count("\n  noted: done, attempt 1, ") == 2
    assert (
        "ms: x y\n  off: nothing: #42 is named, and nothing is done: no ref of the push is in `refs`\n"
        in said.out
    )
    assert [
        entry["id"] for entry in oberonc("--config", site.file, "log", "--json").json
    ] == [first, second]
    [entry] = oberonc("--config", site.file, "log", second, "--json").json
    assert entry["services"]["noted"]["outcome"] == "done"
    assert entry["commits"] == [
        commit["raw_node"] for commit in [*push()["merged"], *push()["commits"]]
    ]


def test_a_daemon_that_does_not_answer_is_the_error_only_where_nothing_else_is_known(
    site: Site, oberonc: Command
) -> None:
    assert "no daemon answers" in oberonc("--config", site.file, "log", code=69).err
    assert (
        "no daemon answers"
        in oberonc("--config", site.file, "log", "abcd", code=69).err
    )
    site.write(
        "noted",
        "from oberonc import BaseBroker\nclass B(BaseBroker):\n    def handle(self, p): return 'x'\n",
    )
    site.configure({"noted": {"broker": "noted"}})
    (site.folder / "push.json").write_text(json.dumps(push()))
    oberonc(
        "--config", site.file, "send", "--here", "--payload", site.folder / "push.json"
    )
    said = oberonc("--config", site.file, "log")
    assert len(rows(said)) == 1
    assert "the daemon's part is missing" in said.err


class Followed:
    """`oberonc log -f --json`, and the documents it has printed."""

    def __init__(self, file: Path) -> None:
        self.out, self.err = file.with_suffix(".out"), file.with_suffix(".err")
        words = [
            sys.executable,
            "-m",
            "oberonc",
            "--config",
            str(file),
            "log",
            "-f",
            "--json",
        ]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().split("\n")[:-1]]

    def wait_for(self, event: str, outcome: str) -> None:
        def look() -> bool:
            assert self.process.poll() is None, self.err.read_text()
            found = [row for row in self.told() if row["id"] == event]
            return bool(found) and all(
                row.get("outcome") == outcome for row in found[-1]["services"].values()
            )

        eventually(look, 60, f"{event} was not told as {outcome}")


@pytest.fixture
def followed(site: Site) -> Iterator[Followed]:
    """A reader that follows the log of a running daemon."""
    site.start()
    found = Followed(site.file)
    try:
        yield found
        found.process.send_signal(signal.SIGINT)
        assert found.process.wait(60) == 130
        assert "Traceback" not in found.err.read_text()
    finally:
        end(found.process)


def test_following_tells_each_push_to_its_end_and_survives_a_restart(
    site: Site, followed: Followed
) -> None:
    first = site.submit()
    followed.wait_for(first, "done")
    site.daemons[-1].kill()
    eventually(
        lambda: "waiting for it" in followed.err.read_text(),
        30,
        "that it waits was not said",
    )
    site.start()
    second = site.submit()
    followed.wait_for(second, "done")
    assert followed.err.read_text().count("waiting for it") == 1
    ids = [row["id"] for row in followed.told()]
    assert ids.index(second) > ids.index(first)
    assert len(ids) <= 4  # when it was accepted, and when it had ended


def test_following_files_where_no_daemon_runs(
    admin: Any, home: Path, oberonc: Command
) -> None:
    file = admin.configure(f"state = '{home}/state'\n")
    oberonc("send", "--message", "before", cwd=home, code=65)
    found = Followed(file)
    log = home / "state" / "log"
    log.mkdir(parents=True)
    record: dict[str, Any] = {
        "time": "t",
        "id": "a" * 32,
        "via": "here",
        "event": "push",
        "repository": "r",
    }
    record |= {"updates": [], "commits": [], "services": {"s": {"outcome": "done"}}}
    line = json.dumps(record) + "\n"
    with (log / "2026-01-01.jsonl").open("w") as stream:
        stream.write(line + line[:10])
        stream.flush()
        eventually(lambda: len(found.told()) == 1, 30, "the first record was not told")
        stream.write(line[10:].replace("a" * 32, "b" * 32))
    found.wait_for("b" * 32, "done")
    assert len(found.told()) == 2
    found.process.send_signal(signal.SIGINT)
    assert found.process.wait(60) == 130


def as_account(who: int, site: Site, op: str = "log", **fields: Any) -> dict[str, Any]:
    """What the submit socket answers to somebody."""
    code = (
        "import os, sys, json\n"
        "from pathlib import Path\n"
        "from oberonc import config\n"
        "from oberonc.delivery import handover\n"
        "file, uid, op, fields = sys.argv[1:]\n"
        "loaded = config.load(file)\n"
        "os.setgroups([]); os.setgid(int(uid)); os.setuid(int(uid))\n"
        "print(json.dumps(handover.call(loaded, op, at=loaded.daemon.socket, **json.loads(fields))))\n"
    )
    words = [
        sys.executable,
        "-c",
        code,
        str(site.file),
        str(who),
        op,
        json.dumps(fields),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_root
def test_the_submit_socket_tells_everybody_of_their_own_pushes_only(site: Site) -> None:
    site.write(
        "noted",
        "from oberonc import BaseBroker\nclass B(BaseBroker):\n    def handle(self, p): print('out')\n",
    )
    site.configure({"noted": {"broker": "noted"}})
    site.start()
    site.folder.chmod(0o755)
    site.socket.chmod(0o666)
    of = {uid: push() for uid in (0, ANN, BOB)}
    for uid, made in of.items():
        as_account(uid, site, "submit", payload=made)
    site.settled(done=3)
    for uid in (ANN, BOB):
        [entry] = as_account(uid, site)["events"]
        assert entry["id"] == of[uid]["id"]
        assert entry["services"]["noted"]["outcome"] == "done"
        assert "output" not in entry["services"]["noted"]
        assert "attempts" not in entry["services"]["noted"]
    every = [made["id"] for made in of.values()]
    assert [entry["id"] for entry in as_account(0, site)["events"]] == every
    hidden = of[BOB]["id"]
    commit = of[BOB]["commits"][0]["raw_node"]
    for fields in ({"key": hidden}, {"ids": [hidden]}, {"cut": True}):
        assert as_account(ANN, site, **fields)["events"] == []
    for fields in (
        {"key": commit},
        {"after": 0},
        {"after": 0, "ids": [hidden]},
        {"limit": 200},
        {"uid": BOB},
    ):
        assert [entry["id"] for entry in as_account(ANN, site, **fields)["events"]] == [
            of[ANN]["id"]
        ]


def test_what_is_asked_is_checked(site: Site) -> None:
    site.start()
    for fields in (
        {"key": "ab"},
        {"key": "a" * 65},
        {"key": "%"},
        {"ids": "x"},
        {"ids": ["z" * 32]},
        {"after": -1},
    ):
        with pytest.raises(BadInput):
            handover.call(config.load(str(site.file)), "log", **fields)


@needs_root
def test_who_hands_in_reads_of_their_own_pushes_where_everything_else_is_closed_to_them(
    site: Site,
) -> None:
    """As shipped: the state folder is the daemon's alone, the control socket its
    administrators'.
    """
    site.start()
    site.folder.chmod(0o755)
    site.socket.chmod(0o666)
    made = push()
    as_account(ANN, site, "submit", payload=made)
    site.submit()
    site.settled(done=2)
    # Loaded first: the account may not be able to read the interpreter's folder.
    code = "import grp, os, pwd, sys, tomllib, traceback, oberonc.cli, oberonc.commands.log\n"
    code += f"os.setgroups([])\nos.setgid({ANN})\nos.setuid({ANN})\noberonc.cli.main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "--config", str(site.file), "log"]
    for key in ([], [made["id"][:8]]):
        done = subprocess.run(
            [*words, *key], capture_output=True, text=True, cwd="/", check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [
            line.split()[1] for line in done.stdout.splitlines() if line[0] != " "
        ] == [made["id"][:8]]


def test_a_commit_that_was_cut_away_is_found_by_the_repository_one_stands_in(
    site: Site, oberonc: Command, repo: Repo
) -> None:
    site.start()
    before = repo.commit("before")
    away, tip = repo.commit("cut away, fixes #7"), repo.commit("the last")
    other = repo.commit("another push")
    made = push(truncated=True, commits_total=3)
    made["updates"][0] |= {"old": before, "new": tip}
    made["commits"][0]["raw_node"] = tip
    event = site.submit(made)
    site.submit()
    site.settled(done=2)
    said = oberonc("--config", site.file, "log", away, cwd=repo.path)
    assert [row.split()[0] for row in rows(said)] == [event[:8]]
    assert f"commit {away[:12]}, which names #7 was cut away" in said.out
    for key, cwd in ((away, site.folder), (other, repo.path), (before, repo.path)):
        oberonc("--config", site.file, "log", key, cwd=cwd, code=65)


def test_why_nothing_was_done_stands_in_the_attempt_and_in_the_log(
    site: Site, oberonc: Command
) -> None:
    site.configure(
        {
            "issues": {"broker": "issues"},
            "docs": {"broker": "issues", "paths": ["nowhere/**"]},
        }
    )
    site.start()
    plain = push(message="tidy up\n")
    plain["commits"] = plain["commits"][:1]
    events = [site.submit(push(published=[])), site.submit(plain)]
    site.settled(done=2)
    notes = [
        "#42 is named, and nothing is done: not on a publish ref",
        "nothing: no issue is named",
    ]
    for event, note in zip(events, notes, strict=True):
        assert f"ms: {note}" in oberonc("--config", site.file, "log", event).out
        [row] = [
            row
            for row in oberonc(
                "--config", site.file, "queue", "list", "--state", "done", "--json"
            ).json
            if row["event"] == event
        ]
        assert row["note"].startswith(note)
    said = oberonc("--config", site.file, "log", events[0]).out
    assert (
        "  docs: nothing: #42 is named, and nothing is done: its commit touches no file in `paths`\n"
        in said
    )
