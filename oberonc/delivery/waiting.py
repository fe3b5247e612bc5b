"""What a person at a terminal sees while brokers run here: who is waited for, and that
they need not wait. It is gone when they are done.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from oberonc.text import listed, one_line

#: Seconds of silence nobody wonders about, and between two looks at the clock.
PATIENCE, TICK = 2.0, 0.5
#: Characters of a line that every terminal shows as one.
_WIDTH = 79


@contextmanager
def shown(services: Iterable[str], fd: int) -> Iterator[None]:
    """Say on the terminal *fd* for how long *services* have been at work."""
    os.set_inheritable(fd, False)  # no child of ours is to hold it open
    over = threading.Event()
    thread = threading.Thread(
        target=_show, args=(listed(list(services), 3), fd, over), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(names: str, fd: int, over: threading.Event) -> None:
    began, width = time.monotonic(), 0
    if over.wait(PATIENCE):
        return
    with suppress(OSError):
        while True:
            seconds = round(time.monotonic() - began)
            text = f"oberonc: {names} at work for {seconds} s; Ctrl-C keeps the rest for later"
            text = one_line(text, _WIDTH)
            os.write(fd, f"\r{text.ljust(width)}".encode("utf-8", "replace"))
            width = len(text)
            if over.wait(TICK):
                os.write(fd, f"\r{' ' * width}\r".encode())
                return
