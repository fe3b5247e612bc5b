"""Loads when another of its kind is being loaded at the same time: each opens one end
of the FIFO `meeting` beside them.
"""

import os
from pathlib import Path

from oberonc import BaseBroker

here = Path(__file__)
end = os.O_WRONLY if here.stem == "one" else os.O_RDONLY
os.close(os.open(here.with_name("meeting"), end))


class Meeting(BaseBroker):
    """Says so."""

    def plan(self, payload: object) -> list[str]:
        return ["meet"]

    def handle(self, payload: object) -> None: ...
