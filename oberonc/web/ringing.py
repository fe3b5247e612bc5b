"""Has the mirrors fetched whose bells were rung: at once, one turn of a repository at a
time, and again, later and later, while the forge does not answer.

Bells are on disk. So a face that is killed goes on where it was, and what is here is
only what is due when.
"""

import threading
import time
from pathlib import Path
from typing import Final

from oberonc.config import Config
from oberonc.mirror import bells
from oberonc.mirror.origins import Origin
from oberonc.mirror.telling import Told, as_said
from oberonc.mirror.work import Turn, Worker
from oberonc.payload.schema import Payload
from oberonc.text import counted
from oberonc.web.journal import fault, say

#: Repositories that are fetched at once.
THREADS: Final = 2
#: Seconds until a turn that left something to do is tried again: at first, and at most.
SOON, LATEST = 5.0, 600.0
#: Seconds for which somebody else may work on the mirror; then it is tried again.
_PATIENCE: Final = 5.0


class Ringer:
    """Owns the threads that fetch."""

    def __init__(self, config: Config, state: Path, origins: dict[str, Origin]) -> None:
        self._config, self._state, self._origins = config, state, origins
        self._worker = Worker(config, state, stopped=lambda: self._stopping)
        self._changed = threading.Condition()
        #: By key: when its turn is (monotonic), and how many were in vain before.
        self._due: dict[str, tuple[float, int]] = {}
        self._busy: set[str] = set()
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin, with what was left by an earlier run."""
        bells.sweep(self._state)
        self._due = dict.fromkeys(bells.keys(self._state), (0.0, 0))
        for _ in range(THREADS if self._origins or self._due else 0):
            thread = threading.Thread(target=self._run, name="mirror", daemon=True)
            thread.start()
            self._threads.append(thread)

    def ring(self, webhook: str, payload: Payload) -> None:
        """Have told of what *payload*, made of what the webhook said, is about. It is
        durable when this returns. Raises OSError.
        """
        name = bells.ring(self._state, webhook, payload)
        with self._changed:
            self._due[name] = (0.0, 0)
            self._changed.notify()

    def stop(self) -> None:
        """End what runs; it is taken up by the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while chosen := self._next():
            name, failures = chosen
            again = self._turn(name)
            with self._changed:
                self._busy.discard(name)
                # Rung meanwhile, it is due already.
                if again and name not in self._due:
                    wait = min(SOON * 2**failures, LATEST)
                    self._due[name] = (time.monotonic() + wait, failures + 1)
                self._changed.notify_all()

    def _next(self) -> tuple[str, int] | None:
        """The key whose turn it is, and how often it was tried; None at the end."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                waiting = {
                    name: due
                    for name, due in self._due.items()
                    if name not in self._busy
                }
                name = min(waiting, key=lambda each: waiting[each][0], default="")
                if name and waiting[name][0] <= now:
                    self._busy.add(name)
                    return name, self._due.pop(name)[1]
                self._changed.wait(waiting[name][0] - now if name else None)
        return None

    def _turn(self, name: str) -> bool:
        """Whether there is something left to do."""
        try:
            first = next(iter(bells.of(self._state, name)), None)
            if first is None:
                return False
            repository = first.payload["repository"]["full_name"]
            origin = self._origins.get(first.webhook)
            if origin is None:
                turn = self._without(name)
            else:
                turn = self._worker.turn(
                    origin, repository, all_moves=False, patience=_PATIENCE
                )
        except Exception as error:  # noqa: BLE001  a bug must not end all other mirrors
            say(f"mirror: {fault(error)}; tried again")
            return True
        for told in turn.told:
            say(f"mirror {_line(told)}")
        if turn.error and not self._stopping:
            say(f"mirror {repository}: {turn.error}; tried again")
        return turn.waits

    def _without(self, name: str) -> Turn:
        """The bells of a webhook that has no mirror any more."""
        told = []
        for bell in bells.of(self._state, name):
            told.append(as_said(self._config, bell))
            bell.path.unlink()
        return Turn(told)


def _line(told: Told) -> str:
    about = f"{told.repository}: event {told.id}"
    if told.why:
        return f"{about}: not told again: {told.why}"
    return f"{about}: {counted(told.commits, 'commit')}"
