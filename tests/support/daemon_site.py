"""A real daemon on a folder of its own: configuration, brokers as source text, and the
record of what ran.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from oberonc import config
from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import OberoncError
from oberonc.payload import schema
from oberonc.source.frame import submitter
from tests.brokers_for_tests import source
from tests.support import recorded
from tests.support.children import end
from tests.support.eventually import eventually


def recorder(work: str = "pass", mark: str = "1", head: str = "") -> str:
    """The source of a recording broker whose work is *work*."""
    text = source("recorder").replace('MARK = "1"', f"MARK = {mark!r}")
    return head + text.replace("        pass\n", f"        {work}\n")


_SAMPLE: dict[str, Any] = json.loads(
    (Path(schema.__file__).parent / "sample.json").read_text()
)


def push(
    repo: str = "web/shop", message: str = "fixes #42\n", **changes: Any
) -> dict[str, Any]:
    """A payload with an id of its own."""
    made: dict[str, Any] = json.loads(json.dumps(_SAMPLE))
    made["id"] = schema.new_id()
    made["submitter"] = submitter()
    made["repository"]["full_name"] = repo
    made["commits"][0]["message"] = message
    return made | changes


class Site:
    """A configuration in a short folder, and the daemons started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.brokers = folder / "brokers"
        self.brokers.mkdir()
        self.ledger = folder / "ledger.jsonl"
        self.state = folder / "state"
        self.socket = folder / "submit.sock"
        self.file = folder / "config.toml"
        self.daemons: list[Running] = []
        self.configure()

    def configure(
        self, services: dict[str, dict[str, Any]] | None = None, **daemon: Any
    ) -> None:
        """Write the configuration; by default one service `rec` on a broker `rec`."""
        if services is None:
            services = {"rec": {"broker": "rec", "ledger": str(self.ledger)}}
        lines = [
            'delivery = "daemon"',
            f'state = "{self.state}"',
            "[daemon]",
            f'socket = "{self.socket}"',
        ]
        lines += [f"{key} = {json.dumps(value)}" for key, value in daemon.items()]
        lines += ["[brokers]", f'directories = ["{self.brokers}"]']
        for name, table in services.items():
            lines.append(f"[services.{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        self.file.write_text("\n".join(lines) + "\n")

    def services(self, *names: str, **more: Any) -> dict[str, dict[str, Any]]:
        """One recording service for each of *names*, on the broker of the same name."""
        return {
            name: {"broker": name, "ledger": str(self.ledger), **more} for name in names
        }

    def write(self, name: str, source: str) -> None:
        """Put the broker *name* into the folder."""
        (self.brokers / f"{name}.py").write_text(source)

    @property
    def config(self) -> Config:
        """The configuration as a client reads it."""
        return config.load(str(self.file))

    def start(self, wait: bool = True, **env: str) -> "Running":
        """A daemon; ready to answer unless told not to wait."""
        running = Running(self, env)
        self.daemons.append(running)
        return running.wait_ready() if wait else running

    def rows(self) -> list[dict[str, Any]]:
        """What the recording brokers wrote, in order."""
        return recorded.rows(self.ledger)

    def ended(self, service: str | None = None) -> list[str]:
        """The ids whose `handle` ended, in order."""
        return [
            row["id"]
            for row in self.rows()
            if row["what"] == "end" and service in (None, row["service"])
        ]

    def begun(self) -> list[str]:
        """The ids whose `handle` began, in order."""
        return [row["id"] for row in self.rows() if row["what"] == "begin"]

    def wait_for(self, *ids: str, within: float = 60) -> None:
        """Until `handle` ended for each of *ids*."""
        eventually(
            lambda: set(ids) <= set(self.ended()),
            within,
            f"not all of {len(ids)} were handled",
        )

    def submit(self, made: dict[str, Any] | None = None, budget: float = 20) -> str:
        """Hand a payload over; its id. It must be taken by the daemon, not by the
        spool.
        """
        made = made or push()
        assert handover.submit(self.config, made, budget).status in (
            "accepted",
            "duplicate",
        )
        return str(made["id"])

    def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """One operation."""
        return handover.call(self.config, op, **fields)

    def stats(self) -> dict[str, Any]:
        """The numbers of `oberonc stats --json`."""
        found: dict[str, Any] = self.call("stats")["stats"]
        return found

    def settled(self, within: float = 60, **counts: int) -> dict[str, Any]:
        """The stats, once nothing waits or runs and the deliveries have *counts*."""
        wanted = {"ready": 0, "leased": 0} | counts

        def look() -> dict[str, Any]:
            found = self.stats()
            return found if wanted.items() <= found["deliveries"].items() else {}

        return eventually(look, within, f"deliveries never had {wanted}")

    def reload(self, **fields: Any) -> dict[str, Any]:
        """The report of a reload."""
        report: dict[str, Any] = self.call("reload", **fields)["report"]
        return report

    def close(self) -> None:
        """Every daemon still running ends well, and leaves nothing."""
        for running in self.daemons:
            running.finish()
        assert not self.socket.exists(), "a socket file was left"


class Running:
    """One daemon process."""

    def __init__(self, site: Site, env: dict[str, str]) -> None:
        self.site = site
        self.log_file = site.folder / f"log-{len(site.daemons)}"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "oberonc", "--config", str(site.file), "daemon"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                cwd="/",
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it logged."""
        return self.log_file.read_text(errors="replace")

    def wait_ready(self) -> "Running":
        """Until it answers."""

        def look() -> bool:
            assert self.process.poll() is None, (
                f"the daemon ended with {self.process.returncode}: {self.log}"
            )
            with suppress(OberoncError):
                return bool(handover.call(self.site.config, "ping")["ok"])
            return False

        eventually(look, 60, f"not ready: {self.log}")
        return self

    def wait_end(self, within: float = 60) -> int:
        """The exit code."""
        return self.process.wait(within)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self, within: float = 60) -> int:
        """SIGTERM, and the exit code; nothing of it is left."""
        below = descendants(self.pid)
        self.process.terminate()
        code = self.wait_end(within)
        eventually(lambda: not any(map(alive, below)), 20, "processes were left behind")
        return code

    def kill(self) -> None:
        """SIGKILL; what is below it ends by itself."""
        below = descendants(self.pid)
        self.process.kill()
        self.process.wait(60)
        eventually(lambda: not any(map(alive, below)), 20, "processes were left behind")

    def finish(self) -> None:
        """What holds of every daemon when its test is over."""
        if self.process.poll() is None:
            assert self.stop() == 0, self.log
        assert "Traceback" not in self.log, self.log


def descendants(pid: int) -> list[int]:
    """Every process below *pid*."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.fixture
def site() -> Iterator[Site]:
    """A site with a recording broker; afterwards every daemon has ended well."""
    # Which also removes what nobody may write, such as a generation's folders.
    with tempfile.TemporaryDirectory() as folder:
        made = Site(Path(folder))
        made.write("rec", recorder())
        try:
            yield made
            made.close()
        finally:
            for running in made.daemons:
                end(running.process)
