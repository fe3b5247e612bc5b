"""A history that was rewritten asks again for what the one it replaced had asked for: that is not done again.

Rewriting changes messages, authors and dates, so commits of both histories cannot be told to be one change. What they
ask can be compared: per issue, what the old history asked is taken off what the new one asks, once for each time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oberonc.issues.policy import Task


class _Asked:
    """What the old history asked of one issue and the new one has not yet asked again."""

    def __init__(self) -> None:
        self.times = 0
        self.changes: Counter[str] = Counter()
        self.seconds = 0

    def add(self, task: Task) -> None:
        self.times += 1
        self.changes[task.action] += task.action != "reference"
        self.seconds += task.seconds

    def take_off(self, task: Task) -> Task | None:
        """What *task* asks beyond it; None for nothing."""
        known = self.times > 0
        self.times -= known
        changes = task.action != "reference" and not self.changes[task.action]
        if task.action != "reference" and not changes:
            self.changes[task.action] -= 1
        seconds = max(0, task.seconds - self.seconds)
        self.seconds -= task.seconds - seconds
        if changes or seconds or (task.action == "reference" and not known):
            return task._replace(action=task.action if changes else "reference", seconds=seconds)
        return None


def without(tasks: list[Task], old: list[Task]) -> tuple[list[Task], list[Task]]:
    """What *tasks* ask beyond what *old* asked, and the tasks of which nothing is left."""
    asked: dict[tuple[str, str], _Asked] = {}
    for task in old:
        asked.setdefault(_issue(task), _Asked()).add(task)
    looks = {look for task in old for look in _looks(task)}
    # The ones that look like an old one go first: what is left then is left to the others.
    order = sorted(range(len(tasks)), key=lambda index: looks.isdisjoint(_looks(tasks[index])))
    left: dict[int, Task | None] = {}
    for index in order:
        of_issue = asked.get(_issue(tasks[index]))
        left[index] = of_issue.take_off(tasks[index]) if of_issue else tasks[index]
    kept = [left[index] for index in range(len(tasks))]
    return [task for task in kept if task], [task for index, task in enumerate(tasks) if not left[index]]


def _issue(task: Task) -> tuple[str, str]:
    return task.issue.project, task.issue.number


def _looks(task: Task) -> tuple[tuple[str, str, str], ...]:
    """What a commit is recognised by: its change, its subject."""
    subject = task.commit["message"].strip().partition("\n")[0]
    return (*_issue(task), task.change), (*_issue(task), f"subject {subject}")
