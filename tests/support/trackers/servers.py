"""The real servers: found where `.ci/servers` put them, started on ephemeral ports,
stopped with all they started.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oberonc.testing.relay import Relay
from tests.support.children import end
from tests.support.eventually import eventually
from tests.support.ports import free_port

#: Read before the tests seal the environment.
SERVERS = Path(os.environ.get("OBERONC_TEST_SERVERS") or "/tmp/oberonc-test-servers")
IN_CI = bool(os.environ.get("CI"))
#: Seconds a server may take to answer, on a machine that does much else.
PATIENCE = 300


def need(found: bool, what: str) -> None:
    """Skip, and say so, where a server is missing; in CI it was promised."""
    if found:
        return
    if IN_CI and os.geteuid() == 0:
        pytest.fail(f"{what} is missing, and CI installs it: see .ci/servers")
    pytest.skip(f"{what} is not installed here: run .ci/servers")


def tool(name: str, environment: str = "venv") -> str:
    """A command of one of the servers' virtual environments."""
    path = SERVERS / environment / "bin" / name
    need(
        path.exists() and (SERVERS / environment / "complete").exists(),
        f"{name} below {SERVERS}",
    )
    return str(path)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that the servers' own users may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def own(path: Path, user: str | None) -> None:
    """Give *path* and all below it to *user*."""
    if user:
        for entry in [path, *path.rglob("*")]:
            shutil.chown(entry, user, user if user != "nobody" else "nogroup")


def run(command: list[str], folder: Path, **more: Any) -> str:
    """Run a set-up command to its end; its output."""
    how: dict[str, Any] = {
        "capture_output": True,
        "text": True,
        "timeout": PATIENCE,
        "check": False,
    }
    done = subprocess.run(command, cwd=folder, **how, **more)
    assert done.returncode == 0, (
        f"{command}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )
    return str(done.stdout)


@contextlib.contextmanager
def serving(
    command: list[str], folder: Path, url: str, home: Path | None = None, **more: Any
) -> Iterator[None]:
    """A server that answers at *url*; stopped at the end with every process it started."""
    log = folder / "server.log"
    with log.open("ab") as output:
        more |= {
            "stdin": subprocess.DEVNULL,
            "stdout": output,
            "stderr": output,
            "start_new_session": True,
        }
        child = subprocess.Popen(command, cwd=home or folder, **more)
    try:
        eventually(lambda: _answers(url, child, log), within=PATIENCE)
        yield
    finally:
        _stop(child)


def _answers(url: str, child: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert child.poll() is None, (
        f"the server ended: {log.read_text(errors='replace')[-3000:]}"
    )
    try:
        return requests.get(url, timeout=60, allow_redirects=False).status_code < 500
    except requests.RequestException:
        return False


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """End the session of the server: TERM, and KILL for what is left of it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    end(child)


@contextlib.contextmanager
def relayed(
    start: Callable[[Relay, Path, int], contextlib.AbstractContextManager[Any]],
) -> Iterator[Any]:
    """The world that *start* makes behind a relay; a port another took in between costs
    one more try.
    """
    for attempt in range(3):
        relay, port = Relay(), free_port()
        relay.target = ("127.0.0.1", port)
        with folder() as path, contextlib.ExitStack() as stack:
            stack.callback(relay.stop)
            try:
                world = stack.enter_context(start(relay, path, port))
            except AssertionError:
                if attempt == 2:
                    raise
                continue
            yield world
            return
