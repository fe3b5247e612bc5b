"""How far a delivery of several steps came, remembered from try to try: what was taken
before the connection broke is not sent again.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


class Progress:
    """The steps of the delivery *delivery_id* that are done: the first `done` of them,
    but for what `later` says is left of each.

    *state* is the service's folder.
    """

    def __init__(self, state: Path, delivery_id: str) -> None:
        digest = hashlib.sha256(delivery_id.encode()).hexdigest()
        self._file = state / f"sent-{digest[:32]}"
        self.done = 0
        #: For each step of which a part has to be tried again (a recipient), that part.
        self.later: dict[int, list[str]] = {}
        if self._file.exists():
            self.done, later = json.loads(self._file.read_text())
            self.later = {int(step): parts for step, parts in later.items()}

    def step(self, later: Iterable[str] = ()) -> None:
        """One more is done, but for *later*."""
        self.done += 1
        self.again(self.done - 1, later)

    def again(self, step: int, later: Iterable[str]) -> None:
        """Of *step*, which is done otherwise, *later* is left."""
        self.later |= {step: sorted(later)}
        if not self.later[step]:
            del self.later[step]
        # Written aside: a worker may be ended at any moment.
        aside = self._file.with_suffix(".new")
        aside.write_text(json.dumps([self.done, self.later]))
        aside.replace(self._file)

    def end(self) -> None:
        """All are done."""
        self._file.unlink(missing_ok=True)
