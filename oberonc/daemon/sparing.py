"""Records of the log that a stranger can cause: each kind at most once a minute, and then how many there were."""

import time
from collections.abc import Callable, Hashable
from typing import Final

#: Seconds between two records of one kind.
EVERY: Final = 60.0
#: Kinds that are told apart; what more there are within a minute share one record.
MOST_KINDS: Final = 256


class Sparing:
    """Says things of one kind at most once a minute."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        #: {kind: when it was said last, how often it was not since}
        self._said: dict[Hashable, tuple[float, int]] = {}

    def say(self, kind: Hashable, text: str) -> None:
        """One record, unless one of its *kind* was written within the last minute."""
        now = self._clock()
        if kind not in self._said and len(self._said) >= MOST_KINDS:
            self._said = {known: row for known, row in self._said.items() if now - row[0] < EVERY or row[1]}
            kind = kind if len(self._said) < MOST_KINDS else None
        last, held = self._said.get(kind, (now - EVERY, 0))
        if now - last < EVERY:
            self._said[kind] = last, held + 1
            return
        self._said[kind] = now, 0
        self._say(f"{text} (and {held} more since the last such line)" if held else text)
