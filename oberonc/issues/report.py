"""What became of the tasks of a turn, in the words of its note."""

from dataclasses import dataclass, field

from oberonc.text import listed

#: Issues one kind of outcome names in the note.
NAMED = 20
#: What the note calls each step that was done, in the order of the note.
_OUTCOMES = {
    "close": "closed",
    "reopen": "reopened",
    "move": "moved",
    "assign": "assigned",
    "comment": "commented on",
    "time": "logged time on",
    "": "already done for the same change:",
}


@dataclass
class Report:
    """What became of the tasks: for each name of a step (empty: all of them were done
    before), the issues as people write them.
    """

    done: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused: bool = False

    def add(self, step: str, shown: str) -> None:
        """*step* was done for the issue *shown*."""
        names = self.done.setdefault(step, [])
        if shown not in names:
            names.append(shown)

    def sentences(self) -> list[str]:
        """`closed #42, commented on #37`, `#99 does not exist`"""
        # that an issue was closed says that there is a comment
        changed = {
            shown
            for step in ("close", "reopen", "move", "assign")
            for shown in self.done.get(step, ())
        }
        parts = []
        for step, outcome in _OUTCOMES.items():
            names = self.done.get(step, [])
            if step == "comment":
                names = [shown for shown in names if shown not in changed]
            if names:
                parts.append(f"{outcome} {listed(names, NAMED)}")
        return [", ".join(parts), *self.notes]
