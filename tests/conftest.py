"""The seal around every test, and the few fixtures all tests share."""

import functools
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.accounts import open_oberonc as open_oberonc
from tests.support.admin import PATIENT, Admin
from tests.support.command import Command
from tests.support.daemon_site import site as site
from tests.support.repo import Repo

pytest.register_assert_rewrite("oberonc.testing.trackers", "oberonc.testing.world")

# The same examples in every run, on any machine: who changes something sees what they
# changed. The long loops look for new ones.
settings.register_profile(
    "ours",
    deadline=None,
    derandomize="OBERONC_TEST_ROUNDS" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")

#: Same moment in every test: commits have the same ids each time.
MOMENT = "1767261600 +0200"
#: Processes that run tests; each takes 250 MB, and what its tests start.
MOST = 16


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Three processes for each core unless `-n` says otherwise, as a process waits two
    thirds of its time for others; no more than memory has room for. Not in `addopts`,
    which would need pytest-xdist.
    """
    worker = "PYTEST_XDIST_WORKER" in os.environ
    if (
        config.pluginmanager.hasplugin("xdist")
        and config.option.numprocesses is None
        and not worker
    ):
        config.option.numprocesses = min(3 * (os.cpu_count() or 1), MOST)


@functools.cache
def group(file: Path) -> str:
    """The group of the tests of *file*: named in it, or in the `conftest.py` beside it."""
    for place in (file, file.with_name("conftest.py")):
        text = place.read_text() if place.exists() else ""
        if found := re.search(r'xdist_group\("([^"]+)"\)', text):
            return found[1]
    return ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one group, which share a server or what was built, run in one process.
    pytest-xdist's own way (`loadgroup`) is lost between its processes, and to pytest
    9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    def scope(nodeid: str) -> str:
        return group(config.rootpath / nodeid.partition("::")[0]) or nodeid

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = scope
    return scheduler


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where temporary files of the tests and of what they start go; short enough for
    sockets, and empty at the end.
    """
    # pytest keeps its own beside it, for who looks at a failed test
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)  # servers that drop their rights pass through
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = tempfile.tempdir = name
        yield folder
        tempfile.tempdir = None
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert not left, (
        f"the tests of this process left in their temporary folder: {left[:20]}"
    )


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that the
    tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home of the test's own: nothing of the machine's configuration, identity or
    state is read or written.
    """
    for name in list(os.environ):
        if (
            name.startswith(("GIT_", "OBERONC_", "XDG_", "GL_", "GITEA_"))
            and name not in _OURS
        ):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "OBERONC_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": MOMENT,
        "GIT_COMMITTER_DATE": MOMENT,
        "GIT_EDITOR": "false",
        "GIT_TERMINAL_PROMPT": "0",
        "NO_COLOR": "1",
        "TZ": "UTC",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    # What git 3.0 begins with has tests of its own.
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ann Example\n\temail = ann@example.org\n"
        "[init]\n\tdefaultBranch = main\n\tdefaultRefFormat = files\n\tdefaultObjectFormat = sha1\n"
        '[protocol "file"]\n\tallow = always\n[gc]\n\tauto = 0\n'
    )
    old = os.umask(0o022)
    monkeypatch.chdir(tmp_path)
    yield home
    os.umask(old)


#: Settings of the test run itself.
_OURS = ("OBERONC_TEST_ROUNDS", "OBERONC_TEST_SERVERS")


@pytest.fixture
def home(sealed: Path) -> Path:
    """The test's home folder."""
    return sealed


@pytest.fixture
def state(home: Path) -> Path:
    """Where oberonc keeps its state when no configuration says otherwise."""
    return home / ".local" / "state" / "oberonc"


@pytest.fixture
def oberonc() -> Command:
    """The installed command, run as a user runs it: `oberonc("issues", "list")`;
    expects exit 0 unless told.
    """
    return Command()


@pytest.fixture
def admin(home: Path) -> Admin:
    """What an administrator writes: brokers as source text, a configuration."""
    return Admin(home)


@pytest.fixture
def patient(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks that take their time on a busy machine: it is not their budget that is
    tried.
    """
    file = home / "patient.toml"
    file.write_text(PATIENT)
    monkeypatch.setenv("OBERONC_CONFIG", str(file))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with a work tree."""
    return Repo.init(tmp_path / "app")


@pytest.fixture
def bare(tmp_path: Path) -> Repo:
    """A bare repository, as on a server."""
    return Repo.init(tmp_path / "shop.git", bare=True)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a path short enough for a socket (107 bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
