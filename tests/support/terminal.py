"""A command on a terminal of its own."""

import os
import pty
import select
import subprocess
import time
from pathlib import Path
from typing import NamedTuple


class Shown(NamedTuple):
    """How it ended, and all that stood on the terminal."""

    code: int
    text: str


def on_terminal(argv: list[str], *answers: tuple[str, str], cwd: Path) -> Shown:
    """Run *argv* on a terminal; each of *answers* is (what is waited for, what is typed
    then). Raises TimeoutError after a minute.
    """
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(theirs)
        text, seen, until, waiting = "", 0, time.monotonic() + 60, list(answers)
        while True:
            left = max(0.0, until - time.monotonic())
            if not select.select([ours], [], [], left)[0]:
                child.kill()
                raise TimeoutError(text)
            try:
                part = os.read(ours, 4096)
            except OSError:  # nobody has the terminal open any more
                break
            text += part.decode("utf-8", "replace")
            if waiting and waiting[0][0] in text[seen:]:
                seen = len(text)
                os.write(ours, f"{waiting.pop(0)[1]}\n".encode())
        return Shown(child.wait(60), text.replace("\r\n", "\n"))
    finally:
        os.close(ours)
