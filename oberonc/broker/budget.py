"""The time that everything in one run may take together. Ctrl-C uses it up: what runs
ends, what is left stays kept.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds a hook may take where the configuration does not say: whoever commits waits,
#: a server's push may.
WITH_WORK_TREE, BARE = 5.0, 20.0
#: The part of it, and the seconds at most, in which brokers that are ended may end and
#: all is put away.
_LAST_PART, _LAST = 0.25, 1.3


class Budget:
    """*seconds* from *began* (of the monotonic clock) on; without them it ends with an
    interrupt only.
    """

    def __init__(
        self, seconds: float | None = None, began: float | None = None
    ) -> None:
        self.seconds = seconds
        self.interrupted = False
        start = time.monotonic() if began is None else began
        self._end = float("inf") if seconds is None else start + seconds
        self._last = 0.0 if seconds is None else min(_LAST, seconds * _LAST_PART)

    def left(self) -> float:
        """Seconds for work: enough remains to end what runs by then."""
        return 0.0 if self.interrupted else self._end - self._last - time.monotonic()

    def grace(self, usual: float) -> float:
        """Seconds that what is ended may take for that, *usual* where nobody waits."""
        return usual if self.seconds is None else min(usual, self._last / 2)

    @property
    def why(self) -> str:
        """Why nothing more is begun once nothing is left."""
        return (
            "interrupted" if self.interrupted else f"not done within {self.seconds:g} s"
        )

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C, and a polite request to end, end the budget instead of the process."""
        import signal
        import sys
        import threading

        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is told of signals
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._interrupt) for number in numbers]
        try:
            yield
        finally:
            # Where one comes at the very moment in which Python's way of it is taken
            # back, Python prints a traceback of that ("ignored due to race condition").
            shown, sys.unraisablehook = sys.unraisablehook, lambda _: None
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
            sys.unraisablehook = shown

    def _interrupt(self, *_: object) -> None:
        # No lock is taken: the handler runs between any two steps of the main thread.
        self.interrupted = True


#: For what nobody waits for.
UNBOUNDED = Budget()
