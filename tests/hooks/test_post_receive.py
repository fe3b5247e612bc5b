"""The post-receive hook: what it loads, how much memory it takes, and that it costs the
push nothing else.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.pushes import Catch, Server, chain, fast_import, oids, put_hook
from tests.support.repo import Repo

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
#: What a hook loads of oberonc whatever it does, and what each of its ways adds: every
#: module more is paid by every push.
ALWAYS = (
    "accounts config errors files hook layers paths process text delivery payload"
    " payload.globs payload.schema source source.ancestry source.entries source.git"
    " source.hooks source.memory source.newness source.repository"
)
WAYS = {
    "nobody": "delivery.deliver delivery.log payload.filters",
    "daemon": "delivery.frames delivery.handover delivery.report jsontext",
    "spool": "delivery.log delivery.spool",
    "away": "broker broker.secrets delivery.sending peer redaction",
    "here": "broker broker.budget broker.registry broker.request broker.runner"
    " broker.secrets delivery.kept delivery.lane delivery.local delivery.report"
    " delivery.spool jsontext policy redaction",
}
NOBODY = '[services.issues]\nbroker = "issues"\nrepositories = ["nobody/*"]\n'

LOADED = """
import sys
from oberonc import hook
hook.main(["post-receive"])
import json
print(json.dumps(sorted(sys.modules)))
"""

#: Runs the hook in a child of its own and prints the child's peak memory in KiB.
PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-I", "-m", "oberonc.hook", "post-receive"], input=sys.argv[1].encode(), check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def configure(home: Path, text: str) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def first_push(bare: Repo) -> str:
    """The line git would give the hook for a main that is already there."""
    return f"{'0' * 40} {bare.git('rev-parse', 'main')} refs/heads/main\n"


@pytest.mark.parametrize(
    "configuration",
    [
        NOBODY,
        'delivery = "daemon"\n[daemon]\nsocket = "HOME/none.sock"\n' + NOBODY,
        "[services]\n",
    ],
    ids=["no service matches", "no daemon answers", "no service"],
)
def test_the_hooks_way_loads_nothing_heavy(
    home: Path, bare: Repo, configuration: str
) -> None:
    configure(home, configuration.replace("HOME", str(home)))
    (home / "token").touch(0o600)
    (home / "token").write_text("sesame")
    fast_import(bare, chain(2))
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED],
        input=first_push(bare),
        cwd=bare.path,
        env={**os.environ, "GIT_DIR": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert loaded & HEAVY == set()
    assert "oberonc.hook" in loaded
    spooled = list((home / ".local/state/oberonc/spool/new").glob("*.ob"))
    assert len(spooled) == ("daemon" in configuration)


@pytest.mark.parametrize(
    ("configuration", "ways"),
    [
        (NOBODY, ["nobody"]),
        ('delivery = "daemon"\n[daemon]\nsocket = "HOME/none"\n', ["daemon", "spool"]),
        (
            'delivery = "http://127.0.0.1:1"\ndelivery_token = "file:HOME/token"\n',
            ["daemon", "spool", "away"],
        ),
        ("", ["nobody", "here"]),
    ],
    ids=[
        "no service matches",
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
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED],
        input=first_push(bare),
        cwd=bare.path,
        env={**os.environ, "GIT_DIR": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name for name in json.loads(done.stdout) if name.startswith("oberonc")}
    wanted = " ".join([ALWAYS, *(WAYS[way] for way in ways)]).split()
    assert loaded == {"oberonc", *(f"oberonc.{name}" for name in wanted)}


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
            [sys.executable, "-I", "-c", PEAK, first_push(bare)],
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
