"""Deliveries that run here: kept until they ended, in order, by one process at a time,
and never lost.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from oberonc import policy
from oberonc.broker.budget import Budget
from oberonc.delivery import deliver, local, runs, spool
from oberonc.delivery.report import Report
from oberonc.errors import NotAccepted
from tests.support.admin import Admin, sample
from tests.support.command import Command
from tests.support.eventually import eventually

RECORD = "open(DONE, 'a').write(f\"{payload['service'].get('tag', '')}{payload['user']}\\n\")\nreturn 'done'\n"


def _send(admin: Admin, user: str = "ann", **changes: Any) -> Report:
    return deliver.here(admin.load(), sample(user=user, **changes), Budget())


def _kept(admin: Admin) -> list[spool.Entry]:
    return [spool.read(path) for path in spool.listing(admin.state / "spool")]


def _recorder(admin: Admin, before: str = "", name: str = "rec") -> None:
    admin.handle(name, before + RECORD)


def test_a_delivery_that_ended_leaves_nothing_behind(admin: Admin) -> None:
    _recorder(admin)
    admin.configure(
        "[services.one]\nbroker = 'rec'\n[services.two]\nbroker = 'rec'\ntag = 'x'"
    )
    report = _send(admin)
    assert sorted(admin.lines()) == ["ann", "xann"]
    assert {row.outcome for row in report.services.values()} == {"done"}
    assert not report.failed
    assert _kept(admin) == []


def test_what_did_not_end_stays_with_its_error_and_is_tried_by_the_next_push(
    admin: Admin,
) -> None:
    _recorder(
        admin,
        f"if not __import__('os').path.exists({str(admin.home / 'up')!r}):\n    raise Retry('tracker down')\n",
    )
    admin.configure("[services.one]\nbroker = 'rec'")
    report = _send(admin, "ann")
    assert report.failed
    assert (
        "one: not done yet: tracker down; what is not done is kept, and the next push with work for it or"
        in report.line
    )
    [entry] = _kept(admin)
    state = entry["services"]["one"]
    assert (state["attempts"], state["error"], state["running"]) == (
        1,
        "tracker down",
        False,
    )
    assert "waits behind an earlier delivery: tracker down" in _send(admin, "bob").line
    (admin.home / "up").touch()
    _send(admin, "cid")
    assert admin.lines() == ["ann", "bob", "cid"]
    assert _kept(admin) == []
    outcomes = [
        row["services"]["one"]["outcome"]
        for row in runs.find(admin.load(), entry["payload"]["id"])
    ]
    assert outcomes == ["retry", "retry", "done"]


def test_send_spooled_tries_again_and_its_dry_run_changes_nothing(
    admin: Admin, oberonc: Command
) -> None:
    _recorder(
        admin,
        f"if not __import__('os').path.exists({str(admin.home / 'up')!r}):\n    raise Retry('down')\n",
    )
    admin.configure("[services.one]\nbroker = 'rec'")
    _send(admin)
    before = [path.read_bytes() for path in spool.listing(admin.state / "spool")]
    said = oberonc("send", "--spooled", "--dry-run")
    assert "one: would be tried, tried 1 times: down" in said.out
    assert [
        path.read_bytes() for path in spool.listing(admin.state / "spool")
    ] == before
    assert oberonc("send", "--spooled", "--dry-run", "--json").json[0]["attempts"] == 1
    assert "one: retry: down" in oberonc("send", "--spooled", code=1).out
    (admin.home / "up").touch()
    assert "one: done" in oberonc("send", "--spooled").out
    assert "the spool is empty" in oberonc("send", "--spooled").err
    assert oberonc("send", "--spooled", "--json").json == []


def test_a_failing_service_holds_no_other(admin: Admin) -> None:
    _recorder(admin)
    admin.handle("bad", "import os; os._exit(1)")
    admin.configure(
        "[services.a]\nbroker = 'bad'\n[services.b]\nbroker = 'rec'\n[services.c]\nbroker = 'none'"
    )
    report = _send(admin)
    assert {name: row.outcome for name, row in report.services.items()} == {
        "a": "crash",
        "b": "done",
        "c": "retry",
    }
    assert "names broker 'none', which is not there" in report.services["c"].note
    assert set(_kept(admin)[0]["services"]) == {"a", "c"}


def test_one_repository_does_not_wait_for_another(admin: Admin) -> None:
    admin.handle("bad", "raise Retry('down')")
    admin.configure("[services.one]\nbroker = 'bad'")
    _send(admin)
    other = sample()
    other["repository"]["full_name"] = "else/where"
    assert "down" in deliver.here(admin.load(), other, Budget()).line
    assert [entry["services"]["one"]["attempts"] for entry in _kept(admin)] == [1, 1]


def test_services_run_side_by_side_and_the_slow_cost_their_limit_once(
    admin: Admin,
) -> None:
    admin.handle("slow", "import time; time.sleep(60)", "timeout = 2")
    admin.configure(
        "[services.a]\nbroker = 'slow'\n[services.b]\nbroker = 'slow'\n[services.c]\nbroker = 'slow'"
    )
    began = time.monotonic()
    assert {row.outcome for row in _send(admin).services.values()} == {"crash"}
    _send(admin)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("manner", ["class", "computed", "service"])
def test_the_limit_comes_from_the_service_or_the_class(
    admin: Admin, manner: str
) -> None:
    timeout = {
        "class": "timeout = 1.5",
        "computed": "timeout = 3 * 0.5",
        "service": "pass",
    }[manner]
    admin.handle("slow", "import time; time.sleep(60)", timeout)
    admin.configure(
        "[services.a]\nbroker = 'slow'\n"
        + ("timeout = 1.5" if manner == "service" else "")
    )
    assert "limit of 1.5 s" in _send(admin).services["a"].note


def test_dead_deliveries_are_kept_as_payload_files(
    admin: Admin, oberonc: Command
) -> None:
    admin.handle("no", "raise Reject('never')")
    admin.configure("[services.one]\nbroker = 'no'")
    report = _send(admin)
    assert "failed for good: never" in report.line
    assert _kept(admin) == []
    letter = Path(report.services["one"].kept)
    assert letter.parent == admin.state / "spool" / "dead"
    assert "failed for good: never" in oberonc("send", "--payload", letter, code=1).out


def test_a_delivery_that_crashes_too_often_is_dead(admin: Admin) -> None:
    admin.handle("bad", "import os; os._exit(1)")
    admin.configure("[services.one]\nbroker = 'bad'")
    _send(admin)
    outcomes = [
        next(iter(local.retry_all(admin.load(), Budget()).values())).outcome
        for _ in range(policy.CRASHES - 1)
    ]
    assert outcomes == ["crash"] * (policy.CRASHES - 2) + ["dead"]
    assert _kept(admin) == []


def test_a_delivery_that_fails_for_three_days_is_dead(admin: Admin) -> None:
    admin.handle("bad", "raise Retry('down')")
    admin.configure("[services.one]\nbroker = 'bad'")
    _send(admin)
    [path] = spool.listing(admin.state / "spool")
    entry = spool.read(path)
    entry["services"]["one"]["first"] -= policy.GIVE_UP_MS / 1000
    spool.put(admin.state / "spool", entry, path.name)
    assert [
        row.outcome for row in local.retry_all(admin.load(), Budget()).values()
    ] == ["dead"]


def test_a_delivery_that_takes_its_push_down_each_time_is_dead(admin: Admin) -> None:
    admin.handle("kill", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    admin.configure("[services.one]\nbroker = 'kill'")
    script = (
        "from oberonc import config; from oberonc.broker import budget;"
        "from oberonc.delivery import local;"
        "local.retry_all(config.load(), budget.Budget())"
    )
    spool.put(admin.state / "spool", {"payload": sample(), "services": None})
    codes = []
    for _ in range(2):
        codes.append(
            subprocess.run([sys.executable, "-c", script], check=False).returncode
        )
    assert codes == [-signal.SIGKILL] * 2
    [path] = spool.listing(admin.state / "spool")
    entry = spool.read(path)
    assert entry["services"]["one"]["attempts"] == 2
    entry["services"]["one"]["orphans"] = policy.ORPHANS - 1
    spool.put(admin.state / "spool", entry, path.name)
    [result] = local.retry_all(admin.load(), Budget()).values()
    assert result.outcome == "dead"


def test_a_push_that_is_killed_in_the_middle_loses_nothing(admin: Admin) -> None:
    here, up = str(admin.home / "here"), str(admin.home / "up")
    wait = f"while not os.path.exists({up!r}):\n    time.sleep(0.05)\n"
    _recorder(admin, f"import os, time\nopen({here!r}, 'w')\n{wait}")
    admin.configure("[services.one]\nbroker = 'rec'")
    script = (
        "import sys, json; from oberonc import config; from oberonc.broker import budget;"
        "from oberonc.delivery import deliver;"
        "deliver.here(config.load(), json.load(sys.stdin), budget.Budget())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        child.stdin.write(json.dumps(sample(user="ann")).encode())
        child.stdin.close()
        eventually(lambda: (admin.home / "here").exists())
        child.kill()
    assert admin.lines() == []
    (admin.home / "up").touch()
    _send(admin, "bob")
    assert admin.lines() == ["ann", "bob"]
    assert _kept(admin) == []


def test_pushes_at_once_to_one_repository_are_each_done_once_and_in_order(
    admin: Admin,
) -> None:
    _recorder(admin, "import time\ntime.sleep(0.2)\n")
    admin.configure("[services.one]\nbroker = 'rec'")
    reports: list[Report] = []
    threads = [
        threading.Thread(target=lambda n=n: reports.append(_send(admin, f"user{n}")))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(admin.lines()) == [f"user{n}" for n in range(4)]
    assert not any(report.failed for report in reports), reports
    assert _kept(admin) == []


@pytest.mark.parametrize(
    ("order", "done"), [("none", ["bob"]), ("bounded", []), ("strict", [])]
)
def test_whether_a_stuck_delivery_holds_the_later_ones_is_the_services_order(
    admin: Admin, order: str, done: list[str]
) -> None:
    _recorder(admin, "if payload['user'] == 'ann':\n    raise Retry('down')\n")
    admin.configure(f"[services.one]\nbroker = 'rec'\norder = '{order}'")
    _send(admin, "ann")
    _send(admin, "bob")
    assert admin.lines() == done


def test_a_bounded_lane_is_held_no_longer_than_said_and_the_later_one_learns_of_the_gap(
    admin: Admin,
) -> None:
    admin.handle(
        "rec",
        "if payload['user'] == 'ann':\n    raise Retry('down')\nreturn str(payload['order'])",
    )
    admin.configure("[services.one]\nbroker = 'rec'\nhold = 0.01")
    _send(admin, "ann")
    assert _send(admin, "bob").services["one"].note == "{'gap': True}"


def test_damaged_and_foreign_files_go_to_bad_and_the_rest_goes_on(admin: Admin) -> None:
    _recorder(admin)
    admin.configure("[services.one]\nbroker = 'rec'")
    folder = admin.state / "spool"
    spool.put(folder, {"payload": sample(user="ann"), "services": None})
    spool.put(
        folder, {"payload": {"id": "x", "repository": []}, "services": None}, "1.ob"
    )
    spool.put(folder, {"payload": sample(), "services": ["one"]}, "2.ob")
    spool.put(
        folder, {"payload": sample(), "services": {"one": {"attempts": "many"}}}, "3.ob"
    )
    (folder / "new" / "4.ob").write_text("garbage")
    os.mkfifo(folder / "new" / "5.ob")
    (folder / "new" / "6.ob").symlink_to("/etc/passwd")
    (folder / "new" / "notes.txt").write_text("left alone")
    _send(admin, "bob")
    assert admin.lines() == ["ann", "bob"]
    assert sorted(path.name for path in (folder / "bad").glob("*.why")) == [
        f"{n}.why" for n in range(1, 7)
    ]
    assert (folder / "new" / "notes.txt").exists()


def test_what_was_kept_for_the_daemon_goes_to_all_that_match(admin: Admin) -> None:
    _recorder(admin)
    admin.configure(
        "[services.one]\nbroker = 'rec'\n[services.two]\nbroker = 'rec'\nrepositories = ['other/*']"
    )
    payload = sample()
    spool.put(admin.state / "spool", {"payload": payload, "services": None})
    results = local.retry_all(admin.load(), Budget())
    assert results[payload["id"], "one"].outcome == "done"
    assert not results[payload["id"], "two"].outcome
    assert "is not in `repositories`" in results[payload["id"], "two"].why
    assert _kept(admin) == []


def test_a_service_that_is_gone_ends_as_a_dead_letter(admin: Admin) -> None:
    admin.handle("bad", "raise Retry('down')")
    admin.configure("[services.one]\nbroker = 'bad'")
    _send(admin)
    admin.configure("[services]")
    assert (
        "no longer configured"
        in next(iter(local.retry_all(admin.load(), Budget()).values())).note
    )
    assert len(list((admin.state / "spool" / "dead").glob("*.json"))) == 1


def test_a_secret_that_is_missing_keeps_the_delivery_until_it_is_there(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    _recorder(admin)
    admin.configure("[services.one]\nbroker = 'rec'\ntag = 'env:TAG'")
    assert "the environment has no TAG" in _send(admin).line
    monkeypatch.setenv("TAG", "t-")
    local.retry_all(admin.load(), Budget())
    assert admin.lines() == ["t-ann"]


def test_no_secret_is_in_any_file_of_the_state_folder_or_in_what_is_said(
    admin: Admin, oberonc: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-7f3a91")
    bodies = {
        "dies": "import os; os._exit(1)",
        "fails": "raise ValueError(t)",
        "never": "raise Reject(t)",
        "tells": "return t",
    }
    text = ""
    for name, body in bodies.items():
        admin.handle(
            name, f"t = payload['service']['token']\nprint(t, flush=True)\n{body}"
        )
        text += f"[services.{name}]\nbroker = '{name}'\ntoken = 'env:CANARY'\n"
    admin.configure(text)
    said = [str(_send(admin))]
    said += [
        oberonc(*line).out
        for line in (
            ["config"],
            ["brokers"],
            ["log"],
            ["log", "--json"],
            ["send", "--spooled", "--dry-run"],
        )
    ]
    said += [
        path.read_text(errors="replace")
        for path in admin.state.rglob("*")
        if path.is_file()
    ]
    assert not [text for text in said if "canary-7f3a91" in text]
    assert any("***" in text for text in said)


def test_a_state_folder_that_cannot_be_written_is_one_line(
    admin: Admin, tmp_path: Path
) -> None:
    admin.configure("state = '/proc/oberonc'")
    with pytest.raises(
        NotAccepted, match="cannot keep the push in /proc/oberonc/spool"
    ):
        _send(admin)


def test_a_spool_that_cannot_take_the_dead_letter_keeps_the_delivery(
    admin: Admin,
) -> None:
    admin.handle("no", "raise Reject('never')")
    admin.configure("[services.one]\nbroker = 'no'")
    spool.make(admin.state / "spool")
    (admin.state / "spool" / "dead").rmdir()
    (admin.state / "spool" / "dead").symlink_to("/proc/nothing")
    assert "never (not put aside: No such file or directory)" in _send(admin).line
    assert len(_kept(admin)) == 1
    (admin.state / "spool" / "dead").unlink()
    assert [
        row.outcome for row in local.retry_all(admin.load(), Budget()).values()
    ] == ["dead"]


NEWS = """
import os
if os.path.exists({gone!r}):
    raise Reject("the room is closed")
if not os.path.exists({up!r}):
    raise Retry("the room is full")
"""


def test_what_is_given_up_is_told_to_those_who_ask_as_durably_as_a_push(
    admin: Admin, oberonc: Command
) -> None:
    up, gone = admin.home / "up", admin.home / "gone"
    admin.handle("never", "raise Reject('no such project')")
    keep = "import json\nopen(DONE, 'a').write(json.dumps(payload['dead']) + '\\n')\n"
    admin.handle("news", NEWS.format(up=str(up), gone=str(gone)) + keep)
    admin.configure(
        "[services.never]\nbroker = 'never'\n"
        "[services.news]\nbroker = 'news'\nevents = ['dead']"
    )
    first = _send(admin).id
    [entry] = _kept(admin)
    assert (entry["payload"]["event"], list(entry["services"])) == ("dead", ["news"])
    assert "news" in oberonc("queue", "list").out
    up.touch()
    second = _send(admin).id
    told = [json.loads(line) for line in admin.lines()]
    assert [[row["push"] for row in rows] for rows in told] == [[first], [second]]
    [row] = told[0]
    assert (
        row.items()
        >= {
            "delivery": f"{first[:8]}-never",
            "service": "never",
            "repository": "web/shop",
            "error": "no such project",
        }.items()
    )
    assert _kept(admin) == []
    gone.touch()
    _send(admin)
    assert _kept(admin) == [], "a notice that is given up is told of by nobody"
    assert len(list((admin.state / "spool" / "dead").glob("*-news.json"))) == 1
    assert "the room is closed" in oberonc("queue", "list", "--state", "dead").out


def test_where_nobody_asks_for_dead_letters_nothing_is_kept_of_them(
    admin: Admin,
) -> None:
    admin.handle("never", "raise Reject('no such project')")
    admin.configure("[services.never]\nbroker = 'never'")
    _send(admin)
    assert _kept(admin) == []
