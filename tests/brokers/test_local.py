"""Brokers whose work is on this machine: exec, jsonl and feed."""

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import feedparser
import pytest

from brokers.exec import Exec
from brokers.feed import Feed
from brokers.jsonl import Jsonl
from oberonc import testing
from tests.support.atom import breaches
from tests.support.eventually import eventually

KINDS = ["push", "commits", "merge", "tag", "delete", "all", "hostile", "dead"]


def _program(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "program.py"
    file.write_text(text)
    return [sys.executable, str(file)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_reads_the_push_on_its_stdin(tmp_path: Path, kind: str) -> None:
    command = _program(
        tmp_path,
        "import json, os, sys\n"
        "given = json.load(sys.stdin)\n"
        "given['env'] = os.environ['OBERONC_DELIVERY_ID']\n"
        f"json.dump(given, open({str(tmp_path / 'out')!r}, 'w'))\n",
    )
    payload = testing.payload(kind)
    done = testing.deliver(Exec, payload, tmp_path, command=command)
    assert (done.kind, done.note) == ("done", "exited with 0")
    read = json.loads((tmp_path / "out").read_text())
    assert read["env"] == read["delivery_id"] == f"{payload['id']}-exec"
    assert "service" not in read
    assert {key: read[key] for key in payload} == payload


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("raise SystemExit(75)", "retry", "again"),
        ("raise SystemExit(1)", "retry", "exited with 1"),
        ("raise SystemExit(127)", "dead", "cannot be run"),
        ("import os; os.kill(os.getpid(), 9)", "retry", "SIGKILL"),
    ],
    ids=["again", "failed", "no program", "killed"],
)
def test_exit_codes_say_what_becomes_of_the_delivery(
    tmp_path: Path, text: str, kind: str, said: str
) -> None:
    command = _program(tmp_path, text)
    done = testing.deliver(Exec, testing.payload(), tmp_path, command=command)
    assert done.kind == kind
    assert said in done.note


def test_a_program_that_is_not_there_is_never_run_again(tmp_path: Path) -> None:
    command = [str(tmp_path / "none")]
    done = testing.deliver(Exec, testing.payload(), tmp_path, command=command)
    assert (done.kind, done.note.endswith("No such file or directory")) == (
        "dead",
        True,
    )
    assert not testing.bound(Exec, tmp_path, command=command).check()[0].ok


def test_a_program_that_reads_nothing_of_a_large_push_is_fine(tmp_path: Path) -> None:
    payload = testing.payload("hostile", more="x" * 1_000_000)
    done = testing.deliver(Exec, payload, tmp_path, command=["/bin/true"])
    assert done.kind == "done"


def test_a_program_is_ended_in_time_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = _program(
        tmp_path,
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(99)\n",
    )
    broker = testing.bound(Exec, tmp_path, command=command)
    broker._deadline = time.monotonic() + 4
    given = testing.payload() | {"delivery_id": "d", "attempt": 1}
    with pytest.raises(Exception, match="took too long"):
        broker.handle(given)
    for pid in map(int, pids.read_text().split()):
        eventually(lambda pid=pid: not _runs(pid))  # type: ignore[misc]


def _runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = ["/bin/echo", f"$(touch {mark}); `touch {mark}` && touch {mark}"]
    done = testing.deliver(Exec, testing.payload(), tmp_path, command=command)
    assert done.kind == "done"
    assert not mark.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_json_is_the_push(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "pushes"
    payload = testing.payload(kind)
    done = testing.deliver(Jsonl, payload, tmp_path, path=str(file))
    assert done.kind == "done"
    [line] = file.read_text().splitlines()
    assert json.loads(line) == payload | {"delivery_id": f"{payload['id']}-jsonl"}


def test_another_try_appends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pushes"
    for attempt in (1, 2):
        testing.deliver(
            Jsonl, testing.payload(), tmp_path, path=str(file), attempt=attempt
        )
    assert len(file.read_text().splitlines()) == 1


def test_a_line_that_was_cut_off_stays_alone(tmp_path: Path) -> None:
    file = tmp_path / "pushes"
    file.write_text('{"delivery_id": "hal')
    testing.deliver(Jsonl, testing.payload(), tmp_path, path=str(file))
    cut, whole = file.read_text().splitlines()
    assert cut == '{"delivery_id": "hal'
    assert json.loads(whole)["schema"] == 1


def test_full_files_are_put_aside_and_only_so_many_kept(tmp_path: Path) -> None:
    settings: Any = {"path": str(tmp_path / "pushes"), "size": 1, "keep": 2}
    for number in range(5):
        testing.deliver(
            Jsonl, testing.payload(), tmp_path, delivery_id=f"d{number}", **settings
        )
    kept = {
        file.name: json.loads(file.read_text())["delivery_id"]
        for file in tmp_path.glob("pushes.[0-9]")
    }
    assert kept == {"pushes.1": "d4", "pushes.2": "d3"}


def test_many_at_once_lose_no_line(tmp_path: Path) -> None:
    settings: Any = {"path": str(tmp_path / "pushes"), "size": 20_000, "keep": 99}

    def one(number: int) -> str:
        name = f"d{number}"
        payload = testing.payload()
        return testing.deliver(
            Jsonl, payload, tmp_path, delivery_id=name, **settings
        ).kind

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(60))) == {"done"}
    lines = [
        json.loads(line)["delivery_id"]
        for file in tmp_path.glob("pushes*")
        for line in file.read_text().splitlines()
    ]
    assert sorted(lines) == sorted(f"d{number}" for number in range(60))


@pytest.mark.parametrize("kind", KINDS)
def test_a_feed_reader_shows_the_push(tmp_path: Path, kind: str) -> None:
    payload = testing.payload(kind)
    done = testing.deliver(Feed, payload, tmp_path, folder=str(tmp_path))
    assert done.kind == "done", done.note
    [file] = tmp_path.glob("*.atom")
    read = feedparser.parse(file.read_bytes())
    assert not read.bozo, read.get("bozo_exception")
    assert breaches(file.read_bytes()) == []
    [entry] = read.entries
    assert entry.id == f"urn:oberonc:push:{payload['id']}"
    assert entry.title
    assert not re.search(r"<script|javascript:|<img", entry.content[0].value)
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_feed_keeps_the_newest_and_each_push_once(tmp_path: Path) -> None:
    settings: Any = {"folder": str(tmp_path), "entries": 3}
    settings["url"] = "https://git.example.org/feeds"
    for number in (0, 1, 2, 3, 3):
        # the last of them was pushed first
        when = f"2026-01-01T10:00:0{9 - number}Z"
        payload = testing.payload(id=f"{number:032x}", time=when)
        testing.deliver(Feed, payload, tmp_path, **settings)
    raw = (tmp_path / "web%2Fshop.atom").read_bytes()
    assert breaches(raw) == []
    read = feedparser.parse(raw)
    assert [entry.id[-1] for entry in read.entries] == ["3", "2", "1"]
    assert read.feed.title == "web/shop"


@pytest.mark.parametrize(
    "name",
    ["../../etc/x", "/etc/x", "..", ".", "a\0b", "x" * 5000, "ä/ö"],
    ids=["up", "root", "parent", "dot", "nul", "long", "letters"],
)
def test_no_name_of_a_repository_leaves_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "outer" / "feeds"
    folder.mkdir(parents=True)
    payload = testing.payload()
    payload["repository"]["full_name"] = name
    done = testing.deliver(Feed, payload, tmp_path, folder=str(folder))
    assert done.kind == "done", done.note
    assert len([file for file in folder.iterdir() if file.suffix == ".atom"]) == 1
    assert list(folder.parent.iterdir()) == [folder]


def test_a_broken_feed_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "web%2Fshop.atom").write_text("<feed><entry>")
    done = testing.deliver(Feed, testing.payload(), tmp_path, folder=str(tmp_path))
    assert done.kind == "done"


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    for broker, settings in (
        (Exec, {"command": []}),
        (Exec, {"command": ["x\0"]}),
        (Exec, {"command": ["x"], "environment": {"A": 1}}),
        (Exec, {"command": ["x"], "environment": {"A=B": "1"}}),
        (Exec, {"command": ["x"], "environment": {"A": "\0"}}),
        (Jsonl, {"path": "relative"}),
        (Jsonl, {"path": "/x", "size": 0}),
        (Feed, {"folder": "relative"}),
        (Feed, {"folder": "/x", "entries": 0}),
    ):
        with pytest.raises(ValueError, match="'"):
            testing.bound(broker, tmp_path, **settings)
