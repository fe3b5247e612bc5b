"""Dialogues with a shell, as pages show them: what is typed after `$`, and what is said,
in which `...` stands for anything.
"""

import re
from typing import NamedTuple


class Step(NamedTuple):
    """One line that is typed, and what the page says it prints."""

    line: str
    expected: str

    def check(self, said: str) -> None:
        """Fails where *said* is not what the page says; it says nothing of silence."""
        pattern = re.escape(self.expected.strip()).replace(r"\.\.\.", ".*")
        right = not self.expected or re.fullmatch(pattern, said.strip(), re.DOTALL)
        assert right, f"$ {self.line}\n{said}"


def steps(text: str) -> list[Step]:
    """The steps of a `console` block, in order."""
    typed = re.split(r"(?m)^\$ ", text)[1:]
    return [Step(line, said) for line, _, said in (s.partition("\n") for s in typed)]
