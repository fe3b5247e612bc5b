"""The post-receive hook: what it loads, how much memory it takes, and that it costs the
push nothing else.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oberonc import parsed
from oberonc.admin.install.script import ROOT
from oberonc.delivery import frames
from tests.support.command import Command
from tests.support.pushes import Catch, Server, chain, fast_import, oids, put_hook
from tests.support.repo import Repo

#: What no hook loads that runs no broker.
HEAVY = {
    "git",
    "gitdb",
    "requests",
    "urllib3",
    "asyncio",
    "click",
    "sqlite3",
    "http",
    "email",
    "importlib.metadata",
    "inspect",
}
#: What a hook has no need of where all goes well: each costs as much as a git child, or
#: more.
DEAR = {
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "ipaddress",
    "json",
    "pathlib",
    "re",
    "socket",
    "tempfile",
    "tomllib",
    "typing",
    "urllib",
}
#: What a hook loads of oberonc whatever it does, and what each of its ways adds: every
#: module more is paid by every push.
ALWAYS = (
    "accounts config errors files hook jsontext layers parsed paths process tables text tuples"
    " payload payload.globs payload.schema source source.frame source.git source.hooks"
    " source.memory source.opening source.repository"
)
COMMITS = " source.ancestry source.collect source.commits source.entries source.newness"
WAYS = {
    "nobody": "delivery delivery.deliver delivery.log payload.filters",
    "daemon": "delivery delivery.frames delivery.handover delivery.report" + COMMITS,
    "spool": "delivery.log delivery.spool",
    "away": "broker broker.secrets delivery.sending payload.check peer redaction",
    "here": "broker broker.budget broker.declared broker.registry broker.request broker.runner"
    " broker.secrets delivery.kept delivery.lane delivery.local delivery.report"
    " delivery.spool groups policy redaction" + COMMITS,
}
NOBODY = '[services.issues]\nbroker = "issues"\nrepositories = ["nobody/*"]\n'

#: As an installed hook is started.
LOADED = """
import sys
sys.path.append(sys.argv.pop(1))
from oberonc import hook
hook.main(["post-receive"])
print(*sorted(sys.modules))
"""

#: Runs the hook and prints the peak memory of its process, without git's, in KiB. It is
#: started by a small process: what the one before took would count as its own.
PEAK = """
import subprocess, sys
subprocess.run([sys.executable, "-I", "-c", sys.argv[2]], input=sys.argv[1].encode(), check=True)
"""
SELF = """
import resource
from oberonc import hook
hook.main(["post-receive"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def configure(home: Path, text: str) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def first_push(bare: Repo) -> str:
    """The line git would give the hook for a main that is already there."""
    return f"{'0' * 40} {bare.git('rev-parse', 'main')} refs/heads/main\n"


def loaded(bare: Repo) -> set[str]:
    """The modules that the hook loads for the first push of `main`."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADED, ROOT],
        input=first_push(bare),
        cwd=bare.path,
        env={**os.environ, "GIT_DIR": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.fixture
def taker(short_dir: Path) -> Iterator[Path]:
    """The socket of something that takes one payload as the daemon does."""
    path = short_dir / "taker.sock"
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as threads:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)
        took = threads.submit(_take, listener)
        yield path
        assert took.result(30)["op"] == "submit"


def _take(listener: socket.socket) -> dict[str, Any]:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        head = stream.read(frames.HEADER.size)
        body = stream.read(frames.body_length(head))
        answer = {"ok": True, "status": "accepted", "seq": 7}
        connection.sendall(frames.encode(answer))
    return frames.decode(body)


@pytest.mark.parametrize("way", ["nobody", "daemon"])
def test_a_hook_where_all_goes_well_loads_nothing_dear(
    home: Path, bare: Repo, way: str, request: pytest.FixtureRequest
) -> None:
    configuration = NOBODY
    if way == "daemon":
        taker = request.getfixturevalue("taker")
        configuration = f'delivery = "daemon"\n[daemon]\nsocket = "{taker}"\n'
    configure(home, configuration)
    parsed.toml(configuration, keep=True)  # as an earlier push left it
    fast_import(bare, chain(2))
    modules = loaded(bare)
    assert modules & (HEAVY | DEAR) == set()
    wanted = {
        "oberonc",
        *(f"oberonc.{name}" for name in f"{ALWAYS} {WAYS[way]}".split()),
    }
    assert {name for name in modules if name.startswith("oberonc")} == wanted


@pytest.mark.parametrize(
    ("configuration", "ways"),
    [
        ("[services]\n", ["nobody"]),
        ('delivery = "daemon"\n[daemon]\nsocket = "HOME/none"\n', ["daemon", "spool"]),
        (
            'delivery = "http://127.0.0.1:1"\ndelivery_token = "file:HOME/token"\n',
            ["daemon", "spool", "away"],
        ),
        ("", ["nobody", "here"]),
    ],
    ids=[
        "no service",
        "no daemon answers",
        "another machine does not answer",
        "a broker runs here",
    ],
)
def test_the_hook_loads_no_module_that_its_way_does_not_need(
    home: Path, bare: Repo, configuration: str, ways: list[str]
) -> None:
    configure(home, configuration.replace("HOME", str(home)))
    (home / "token").touch(0o600)
    (home / "token").write_text("sesame")
    fast_import(bare, chain(2))
    modules = loaded(bare)
    wanted = " ".join([ALWAYS, *(WAYS[way] for way in ways)]).split()
    ours = {name for name in modules if name.startswith("oberonc")}
    assert ours == {"oberonc", *(f"oberonc.{name}" for name in wanted)}
    if not {"here", "away"} & {*ways}:
        assert modules & HEAVY == set()
    spooled = list((home / ".local/state/oberonc/spool/new").glob("*.ob"))
    assert len(spooled) == ("daemon" in ways)


def test_the_hook_says_what_it_did_in_one_line(home: Path, bare: Repo) -> None:
    server = Server(home, bare)
    server.work.commit("one")
    payload = server.push("main")
    lines = [
        line.strip() for line in server.said.splitlines() if line.startswith("remote:")
    ]
    assert lines == [f"remote: oberonc: spooled 1 commit ({payload['id'][:8]})"]


def test_a_push_that_no_service_wants_is_silent_and_logged(
    home: Path, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    configure(home, NOBODY)
    put_hook(bare.path / "hooks", "post-receive")
    work = bare.clone(tmp_path / "work")
    made = [work.commit(f"step {n}") for n in range(2)]
    assert "oberonc" not in work.push("main")
    assert "is not in `repositories`" in oberonc("log", made[0]).out


def test_a_log_that_cannot_be_written_is_said_and_the_push_goes_on(
    home: Path, bare: Repo, tmp_path: Path
) -> None:
    (home / "file").write_text("")
    configure(home, f'state = "{home / "file"}"\n{NOBODY}')
    put_hook(bare.path / "hooks", "post-receive")
    work = bare.clone(tmp_path / "work")
    work.commit("one")
    said = work.push("main")
    assert said.count("oberonc") == said.count("oberonc: cannot write the log in") == 1


@pytest.mark.parametrize(
    "configuration",
    [
        "nonsense",
        'delivery = "here',
        "unknown = 1",
        '[services."\x1b[31m"]'.replace("\x1b", "\\u001b"),
    ],
)
def test_a_broken_configuration_is_one_line_and_the_push_goes_on(
    home: Path, bare: Repo, tmp_path: Path, configuration: str
) -> None:
    configure(home, configuration)
    put_hook(bare.path / "hooks", "post-receive")
    work = bare.clone(tmp_path / "work")
    work.commit("one")
    said = work.push("main")
    assert said.count("remote: oberonc: ") == 1
    assert "\x1b[31m" not in said
    assert bare.git("rev-parse", "main") == work.git("rev-parse", "main")


def test_an_earlier_hook_gets_the_same_updates_and_ours_runs_after_it(
    home: Path, bare: Repo, oberonc: Command, tmp_path: Path
) -> None:
    hook = bare.path / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncat > {tmp_path / 'got'}\n")
    hook.chmod(0o755)
    oberonc("hook", "install", bare.path)
    catch, work = Catch(home), bare.clone(tmp_path / "work")
    oid = work.commit("one")
    work.push("main")
    (payload,) = catch.take()
    assert oids(payload["commits"]) == [oid]
    assert (tmp_path / "got").read_text() == f"{'0' * 40} {oid} refs/heads/main\n"


@pytest.mark.long
def test_50000_commits_take_no_more_memory_than_2048_by_half(
    home: Path, tmp_path: Path
) -> None:
    configure(
        home,
        f'delivery = "daemon"\nspool = "{home / "spool"}"\n[daemon]\nsocket = "{home / "no.sock"}"\n',
    )
    peaks = {}
    for count in (2048, 50_000):
        bare = Repo.init(tmp_path / f"{count}.git", bare=True)
        fast_import(bare, chain(count))
        done = subprocess.run(
            [sys.executable, "-I", "-c", PEAK, first_push(bare), SELF],
            cwd=bare.path,
            env={**os.environ, "GIT_DIR": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[count] = int(done.stdout)
    assert peaks[50_000] <= 1.5 * peaks[2048], peaks
    files = sorted((home / "spool" / "new").iterdir())
    payload = json.loads(files[-1].read_bytes().split(b"\n")[1])["payload"]
    assert len(payload["commits"]) == len(payload["published"]) == 2048
    assert payload["commits_total"] == 50_000
    assert payload["truncated"]
    assert payload["commits"][-1]["message"] == "change 49999\n"
