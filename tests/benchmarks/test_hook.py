"""What the hook adds to a push, as ratios of medians measured in turns in one run."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon_site import Site
from tests.support.pushes import chain, fast_import, put_hook
from tests.support.repo import Repo

ROUNDS = 15
NOBODY = '[services.issues]\nbroker = "issues"\nrepositories = ["nobody/*"]\n'


def _timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def _medians(rounds: int, works: dict[str, Callable[[], object]]) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            took[name].append(_timed(work))
    return {name: statistics.median(times) for name, times in took.items()}


def _configure(home: Path, text: str) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


class Push:
    """Pushes one more commit each time it is called."""

    def __init__(self, tmp_path: Path, name: str, hook: str | None) -> None:
        bare = Repo.init(tmp_path / f"{name}.git", bare=True)
        if hook == "":
            put_hook(bare.path / "hooks", "post-receive")
        elif hook is not None:
            (bare.path / "hooks").mkdir(exist_ok=True)
            (bare.path / "hooks" / "post-receive").write_text(hook)
            (bare.path / "hooks" / "post-receive").chmod(0o755)
        self._work = bare.clone(tmp_path / name)
        fast_import(self._work, chain(200))
        self._left = 200

    def __call__(self) -> None:
        self._left -= 1
        push = ["git", "push", "-q", "origin", f"main~{self._left}:refs/heads/main"]
        subprocess.run(
            push,
            cwd=self._work.path,
            env=dict(os.environ),
            check=True,
            capture_output=True,
        )


@pytest.mark.benchmark
@pytest.mark.parametrize(
    "configuration", ["", NOBODY], ids=["switched off", "no service matches"]
)
def test_a_hook_with_nothing_to_do_adds_at_most_3_bare_pythons(
    home: Path, tmp_path: Path, configuration: str
) -> None:
    _configure(home, configuration or "[services]\n")
    bare = f"#!/bin/sh\n{sys.executable} -I -c pass\n"
    works = {
        "none": Push(tmp_path, "none", None),
        "bare": Push(tmp_path, "bare", bare),
        "ours": Push(tmp_path, "ours", ""),
    }
    median = _medians(ROUNDS, dict(works))
    ours, base = median["ours"] - median["none"], median["bare"] - median["none"]
    print(
        f"\nhook: {ours * 1000:.1f} ms, bare python: {base * 1000:.1f} ms, ratio {ours / base:.2f}"
    )
    assert ours <= 3 * base


#: What a hand-off cannot do without: the commit from git, and one round trip on a
#: socket. From standard input and argv as little is loaded as can be.
BARE = """#!/bin/sh
exec {python} -I -c '
import os, socket
read, write = os.pipe()
child = os.posix_spawnp("git", ["git", "log", "-z", "-1", "--format=%H%x00%B", "main"], os.environ,
    file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
os.close(write)
said = b""
while part := os.read(read, 65536):
    said += part
os.waitpid(child, 0)
with socket.socket(socket.AF_UNIX) as channel:
    channel.connect("{socket}")
    channel.sendall(said)
    channel.recv(65536)
'
"""


def _echo(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(65536))


@pytest.fixture
def echo(site: Site) -> Iterator[Path]:
    """The socket of a process that answers what it is sent."""
    path = site.folder / "echo.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        child = os.fork()
        if child == 0:
            _echo(listener)
    yield path
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.benchmark
def test_a_hand_off_adds_at_most_3_times_a_bare_log_and_round_trip(
    home: Path, tmp_path: Path, site: Site, echo: Path
) -> None:
    """The daemon runs, and commits each push to its disk before it answers."""
    _configure(home, site.file.read_text())
    site.start()
    site.wait_for(site.submit())
    bare = BARE.format(python=sys.executable, socket=echo)
    works = {
        "none": Push(tmp_path, "none", None),
        "bare": Push(tmp_path, "bare", bare),
        "ours": Push(tmp_path, "ours", ""),
    }
    median = _medians(ROUNDS, dict(works))
    site.settled(done=ROUNDS + 2)
    ours, base = median["ours"] - median["none"], median["bare"] - median["none"]
    print(
        f"\nhand-off: {ours * 1000:.1f} ms, bare: {base * 1000:.1f} ms, ratio {ours / base:.2f}"
    )
    assert ours <= 3 * base


@pytest.mark.benchmark
def test_a_push_of_10000_commits_adds_at_most_twice_its_git_log(
    home: Path, tmp_path: Path
) -> None:
    _configure(
        home,
        NOBODY.replace("nobody", "*") + f'[daemon]\nsocket = "{home / "none.sock"}"\n',
    )
    _configure_daemon(home)
    bare = Repo.init(tmp_path / "big.git", bare=True)
    put_hook(bare.path / "hooks", "post-receive")
    fast_import(bare, chain(10_000))
    new = bare.git("rev-parse", "main")
    line = f"{'0' * 40} {new} refs/heads/main\n".encode()
    log = [
        "git",
        "log",
        "-z",
        "--name-status",
        "--format=%H%x00%an%x00%ae%x00%ad%x00%B",
        "main",
    ]
    hook = [str(bare.path / "hooks" / "post-receive")]
    env = {**os.environ, "GIT_DIR": "."}

    def run(argv: list[str], stdin: bytes = b"") -> None:
        subprocess.run(
            argv, input=stdin, cwd=bare.path, env=env, check=True, capture_output=True
        )

    median = _medians(5, {"log": lambda: run(log), "hook": lambda: run(hook, line)})
    ratio = median["hook"] / median["log"]
    print(
        f"\nhook: {median['hook'] * 1000:.0f} ms, git log: {median['log'] * 1000:.0f} ms, ratio {ratio:.2f}"
    )
    assert ratio <= 2


def _configure_daemon(home: Path) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.write_text('delivery = "daemon"\n' + file.read_text())
