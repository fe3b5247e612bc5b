"""What the hook adds to a push, as ratios of medians measured in turns in one run.

Each hook is run as git runs it, with the line of a push that is there, by the Python
that hooks are usually installed with: the system's. Printed beside the time it takes is
the processors' time of it and of what it starts, which other work on the machine
changes less.
"""

import os
import resource
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oberonc.admin.install.script import script
from tests.support.daemon_site import Site
from tests.support.pushes import chain, fast_import
from tests.support.repo import Repo

ROUNDS = 41
#: Milliseconds that passed, and that processors worked.
Took = tuple[float, float]
NOBODY = '[services.issues]\nbroker = "issues"\nrepositories = ["nobody/*"]\n'


def _python() -> str:
    """The system's Python where it is new enough; else the one of this run, without the
    virtual environment.
    """
    found = shutil.which("python3", path="/usr/bin")
    new = [found or "false", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if found and subprocess.run(new, check=False).returncode == 0:
        return found
    return os.path.realpath(sys.executable)


#: What `git log` is asked for at least: what a payload has of each commit.
LOG = "git log -z --name-status --format=%H%x00%P%x00%an%x00%ae%x00%ad%x00%B"
#: What nothing can be done without: Python, the commits from git, and one round trip on a
#: socket. No module is loaded that is not needed.
FLOOR = """
import os
from _socket import AF_UNIX, socket
read, write = os.pipe()
child = os.posix_spawnp("git", "{log} {range}".split(), os.environ,
    file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
os.close(write)
said = b""
while part := os.read(read, 65536):
    said += part
os.waitpid(child, 0)
channel = socket(AF_UNIX)
channel.connect("{socket}")
channel.sendall(len(said).to_bytes(4, "big") + said)
channel.recv(1)
"""


class Hooked:
    """A bare repository, and the push of its newest *count* commits."""

    def __init__(self, folder: Path, count: int) -> None:
        self.bare = Repo.init(folder / f"{count}.git", bare=True)
        fast_import(self.bare, chain(count + 1))
        new = self.bare.git("rev-parse", "main")
        self.old = self.bare.git("rev-parse", f"main~{count}")
        self.range = f"{self.old}..main"
        self._line = f"{self.old} {new} refs/heads/main\n".encode()
        self._told = self.bare.path / "oberonc" / "told"

    def write(self, name: str, text: str) -> Callable[[], Took]:
        """What runs the hook *text* and tells what that took; what it told of is new
        again each time.
        """
        file = self.bare.path / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

        def run() -> Took:
            self._told.parent.mkdir(exist_ok=True)
            self._told.write_text(f"\nlooked 0\npublish {self.old} refs/heads/main\n")
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            done = subprocess.run(
                [str(file)],
                input=self._line,
                cwd=self.bare.path,
                env={**os.environ, "GIT_DIR": "."},
                check=True,
                capture_output=True,
            )
            took = time.perf_counter() - began
            since = resource.getrusage(resource.RUSAGE_CHILDREN)
            if name == "post-receive":
                self.said = done.stderr.decode()
            cpu = since.ru_utime - used.ru_utime + since.ru_stime - used.ru_stime
            return took * 1000, cpu * 1000

        return run

    def ours(self) -> Callable[[], Took]:
        """The hook as it is installed."""
        text = script("post-receive")
        return self.write(
            "post-receive", text.replace(shlex.quote(sys.executable), _python())
        )

    def bare_python(self, flags: str, program: str) -> Callable[[], Took]:
        """A hook that is nothing but Python."""
        return self.write(
            f"bare{flags.replace(' ', '')}",
            f"#!/bin/sh\nexec {_python()} {flags} -c {shlex.quote(program)}\n",
        )


def _ratio(what: str, ours: Callable[[], Took], base: Callable[[], Took]) -> float:
    """How many times as long as *base* it takes *ours*, the two in turns; prints both."""
    took: tuple[list[Took], list[Took]] = ([], [])
    for _ in range(2):  # what is kept for the next time is not there yet
        ours(), base()
    for _ in range(ROUNDS):
        took[0].append(ours())
        took[1].append(base())
    ratios = []
    for name, index in (("takes", 0), ("processors", 1)):
        one, other = (statistics.median(each[index] for each in row) for row in took)
        ratios.append(one / other)
        print(f"\n{what}: {name} {one:.1f} ms, {other:.1f} ms: {ratios[-1]:.2f} times")
    return ratios[0]


def _configure(home: Path, text: str) -> None:
    file = home / ".config" / "oberonc" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


@pytest.mark.benchmark
@pytest.mark.parametrize(
    "configuration",
    ["[services]\n", NOBODY],
    ids=["switched off", "no service matches"],
)
def test_a_hook_that_no_service_wants_takes_at_most_1_6_times_a_bare_python(
    home: Path, tmp_path: Path, configuration: str
) -> None:
    _configure(home, configuration)
    hooked = Hooked(tmp_path, 1)
    base = hooked.bare_python("-I", "pass")
    ratio = _ratio("hook that nobody wants, python3 -I -c pass", hooked.ours(), base)
    assert hooked.said == ""
    assert ratio <= 1.6


def _serve(listener: socket.socket, file: Path) -> None:
    with file.open("ab", buffering=0) as kept:
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                kept.write(stream.read(int.from_bytes(stream.read(4), "big")))
                os.fsync(kept.fileno())
                connection.sendall(b"k")


@pytest.fixture
def server(site: Site) -> Iterator[Path]:
    """The socket of a process that syncs what it is sent, and then says so."""
    path = site.folder / "floor.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        child = os.fork()
        if child == 0:
            _serve(listener, site.folder / "floor")
    yield path
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.benchmark
@pytest.mark.parametrize("count", [1, 1000])
def test_a_hand_off_takes_at_most_twice_a_bare_log_and_a_round_trip(
    home: Path, tmp_path: Path, site: Site, server: Path, count: int
) -> None:
    """The daemon runs, and commits each push to its disk before it answers."""
    site.configure(site.services("rec", repositories=["nobody/*"]))
    _configure(home, site.file.read_text())
    site.start()
    hooked = Hooked(tmp_path, count)
    base = hooked.bare_python(
        "-I -S", FLOOR.format(log=LOG, range=hooked.range, socket=server)
    )
    ratio = _ratio(f"hand-off of {count}, floor", hooked.ours(), base)
    assert hooked.said.startswith(f"oberonc: queued {count} commit")
    assert ratio <= 2


@pytest.mark.benchmark
def test_a_push_of_10000_commits_adds_at_most_twice_its_git_log(
    home: Path, tmp_path: Path
) -> None:
    _configure(
        home,
        'delivery = "daemon"\n'
        + NOBODY.replace("nobody", "*")
        + f'[daemon]\nsocket = "{home / "none.sock"}"\n',
    )
    hooked = Hooked(tmp_path, 10_000)
    log = f"#!/bin/sh\n{LOG} main\n"
    ratio = _ratio("10,000 commits, git log", hooked.ours(), hooked.write("log", log))
    assert ratio <= 2
