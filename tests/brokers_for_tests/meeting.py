"""Loads when another of its kind is being loaded at the same time."""

import time
from pathlib import Path

from oberonc import BaseBroker

here = Path(__file__)
here.with_suffix(".here").touch()
deadline = time.monotonic() + 60
while len(list(here.parent.glob("*.here"))) < 2:
    assert time.monotonic() < deadline
    time.sleep(0.01)


class Meeting(BaseBroker):
    """Says so."""

    def plan(self, payload: object) -> list[str]:
        return ["meet"]

    def handle(self, payload: object) -> None: ...
