"""How far a delivery of several steps came, remembered from try to try: what was taken
before the connection broke is not sent again.
"""

import hashlib
from pathlib import Path


class Progress:
    """The steps of the delivery *delivery_id* that are done: the first `done` of them.

    *state* is the service's folder.
    """

    def __init__(self, state: Path, delivery_id: str) -> None:
        digest = hashlib.sha256(delivery_id.encode()).hexdigest()
        self._file = state / f"sent-{digest[:32]}"
        self.done = int(self._file.read_text()) if self._file.exists() else 0

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        # Written aside: a worker may be ended at any moment.
        aside = self._file.with_suffix(".new")
        aside.write_text(str(self.done))
        aside.replace(self._file)

    def end(self) -> None:
        """All are done."""
        self._file.unlink(missing_ok=True)
