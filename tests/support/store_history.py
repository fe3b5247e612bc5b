"""What processes promised before they died, and the verdict of the reopened queue."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from oberonc.queue.contract import Queue
from tests.support.children import child
from tests.support.store_process import event_of

ROOT = Path(__file__).parents[2]


@dataclass
class History:
    """Every id tried and answered, every delivery reported done, over all rounds."""

    tried: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    done: set[int] = field(default_factory=set)

    def read(self, lines: IO[bytes], answers: int = -1) -> int:
        """Take in lines, until *answers* of them were answers or the stream ends;
        returns how many were.
        """
        seen = 0
        while seen != answers and (line := lines.readline()):
            word, _, value = line.decode().strip().partition(" ")
            if word == "try":
                self.tried.add(value)
            elif word == "ok":
                self.answered.add(value)
                seen += 1
            elif word == "done":
                self.done.add(int(value))
            else:
                raise AssertionError(f"the process says {line!r}")
        return seen

    @property
    def unanswered(self) -> str:
        """Ids whose fate the sender does not know, as the process takes them to send
        again.
        """
        return ",".join(sorted(self.tried - self.answered))

    def lost(self, queue: Queue) -> list[str]:
        """Promises the queue does not keep."""
        broken = []
        for id in self.answered:
            event = queue.event(bytes.fromhex(id))
            if event is None:
                broken.append(f"event {id} is gone")
            elif event.body != event_of(event.id).body or len(event.deliveries) != 2:
                broken.append(f"event {id} is not what was sent")
        for number in self.done:
            delivery = queue.delivery(number)
            if delivery is None or delivery.state != "done":
                broken.append(f"delivery {number} was done and is not")
        return broken

    def invented(self, queue: Queue) -> list[str]:
        """Events nobody sent, or sent twice and kept twice."""
        kept = [event.id.hex() for event in queue.recent_events(10**6)]
        assert len(kept) == len(set(kept))
        return sorted(set(kept) - self.tried)


def start(
    path: Path, *arguments: str, before: Sequence[str] = ()
) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    """A running `store_process` on the queue at *path*, perhaps under another command."""
    command = [
        *before,
        sys.executable,
        "-m",
        "tests.support.store_process",
        str(path),
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return child(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


def kill(process: "subprocess.Popen[bytes]", history: History) -> None:
    """SIGKILL, and take in what it still managed to say."""
    process.send_signal(signal.SIGKILL)
    assert process.stdout
    history.read(process.stdout)
    process.wait()
