"""Records of the log that a stranger can cause: of each kind so many a minute, and then
how many more there were.
"""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

#: Seconds for which the records of one kind are counted together.
EVERY: Final = 60.0
#: Kinds that are told apart; what more there are within a minute share one.
MOST_KINDS: Final = 256


class Sparing:
    """Says at most *burst* things of one kind in a minute."""

    def __init__(
        self,
        say: Callable[[str], None],
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()  # the spool is read beside the loop
        #: {kind: when its minute began, how often it came since}
        self._came: dict[Hashable, tuple[float, int]] = {}

    def say(self, kind: Hashable, text: str) -> None:
        """One record, unless there were enough of its *kind* within the minute."""
        with self._lock:
            self._count(kind, text)

    def _count(self, kind: Hashable, text: str) -> None:
        now = self._clock()
        if kind not in self._came and len(self._came) >= MOST_KINDS:
            self._came = {
                known: row for known, row in self._came.items() if now - row[0] < EVERY
            }
            kind = kind if len(self._came) < MOST_KINDS else None
        began, count = self._came.get(kind, (now, 0))
        held = 0
        if now - began >= EVERY:
            began, count, held = now, 0, max(0, count - self._burst)
        self._came[kind] = began, count + 1
        if count < self._burst:
            self._say(f"{text} (and {held} more like it before)" if held else text)
