"""The demonstration of the daemon: killed in the middle of its work, it delivers
everything all the same.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from oberonc import paths
from oberonc.admin.demo import Demo
from oberonc.errors import Failed

CONFIG = """\
delivery = "daemon"
state = "{folder}/state"

[daemon]
socket = "{folder}/run/submit.sock"

[brokers]
directories = ["{folder}/brokers"]

[services.issues]
broker = "issues"

[services.notes]
broker = "notes"
"""
BROKER = """\
import time
from pathlib import Path

from oberonc import BaseBroker


class Notes(BaseBroker):
    \"\"\"Write a line for each push, slowly enough to be interrupted.\"\"\"

    def handle(self, payload):
        time.sleep({seconds})
        with open("{file}", "a") as notes:
            notes.write("{words}: " + payload["commits"][-1]["message"])
"""
#: Seconds anything may take; the demonstration stops with an error after that.
PATIENCE = 60.0


def job(demo: Demo) -> None:
    """Start, push, kill the daemon mid-way,
    push, start, reload a broker: all delivered.
    """
    daemon = Daemon(demo)
    daemon.prepare()
    demo.repositories()
    demo.run("oberonc issues new 'crash on start' --repository shop")
    try:
        _act(demo, daemon)
    finally:
        daemon.stop()


def _act(demo: Demo, daemon: "Daemon") -> None:
    demo.step("The daemon, with the issue broker and one of our own, brokers/notes.py")
    daemon.start()
    demo.push("start.txt", "great, all done, fixes #1")
    demo.step("The daemon is killed while the broker is at work, and somebody pushes")
    daemon.kill()
    demo.push("more.txt", "while the daemon is down, refs #1")
    demo.step(
        "It is started again, and takes up where it was killed; the spool is taken in"
    )
    daemon.start()
    daemon.wait(
        lambda: daemon.notes().count("first:") >= 2, "both pushes to be delivered"
    )
    demo.step("New code for the broker, without disrupting service")
    daemon.write_broker("second", 0)
    demo.run("oberonc reload")
    demo.push("last.txt", "after the reload")
    daemon.wait(lambda: "second:" in daemon.notes(), "the new code to run")
    demo.step("All delivered")
    demo.run("cat notes.txt")
    daemon.wait(
        lambda: "closed" in demo.quietly("oberonc issues list --repository shop"),
        "the issue to be closed",
    )
    demo.run("oberonc issues show 1 --repository shop")
    demo.run("oberonc stats")


class Daemon:
    """The demonstration's daemon process."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._folder = demo.folder
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, more: str = "") -> None:
        """Configuration, with *more* at its end, and the broker."""
        config = self._demo.home / ".config" / "oberonc" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text((CONFIG + more).format(folder=self._folder))
        (self._folder / "brokers").mkdir(mode=0o755)
        self.write_broker("first", 2)

    def write_broker(self, words: str, seconds: float) -> None:
        """The code of the broker: what it writes, and how long it takes."""
        text = BROKER.format(
            seconds=seconds, words=words, file=self._folder / "notes.txt"
        )
        (self._folder / "brokers" / "notes.py").write_text(text)

    def notes(self) -> str:
        """What the broker wrote."""
        file = self._folder / "notes.txt"
        return file.read_text() if file.exists() else ""

    def start(self) -> None:
        """Start it; it answers."""
        self._process = self.spawn("oberonc daemon", self._folder / "daemon.log")
        self.wait(
            lambda: "generation" in self._demo.quietly("oberonc stats"),
            "the daemon to answer",
        )

    def spawn(self, line: str, log: Path) -> "subprocess.Popen[bytes]":
        """Show *line*, a command of oberonc, and start it."""
        self._demo.say(f"$ {line} &")
        words = line.split()[1:]
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, *paths.isolation(), "-m", "oberonc", *words],
                cwd=self._folder,
                env=self._demo.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def kill(self) -> None:
        """End it in the middle of its work."""
        self._demo.say("$ kill -9 %1")
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it well."""
        if self._process is not None:
            self.end(self._process)

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """End *process* well, where it still runs."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until *holds*; raises Failed when it takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                log = Path(self._folder / "daemon.log").read_text(errors="replace")
                raise Failed(
                    f"the demonstration waited too long for {what}; the daemon said: {log[-500:]}"
                )
            time.sleep(0.1)
