"""Child processes that no test leaves behind, whatever becomes of the test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def child(command: list[str], **more: Any) -> "Iterator[subprocess.Popen[Any]]":
    """A running *command*; killed at the end if it still runs, waited for, its pipes
    closed.
    """
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    """Kill *process* if it runs, and leave nothing of it for the collector to warn
    about.
    """
    process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    process.wait(60)
