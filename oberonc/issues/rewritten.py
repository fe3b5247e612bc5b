"""A history that was rewritten asks again for what the one it replaced had asked for:
that is not done again.

Rewriting changes messages, authors and dates, so commits of both histories cannot be
told to be one change. What they ask can be compared: per issue, what the old history
asked is taken off what the new one asks, once for each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oberonc.issues.policy import Task


class _Asked:
    """What the old history asked of one issue and the new one has not yet asked again."""

    def __init__(self) -> None:
        self.times = 0
        self.changes: Counter[tuple[str, str]] = Counter()
        self.seconds = 0
        self.assigned: set[str] = set()

    def add(self, task: Task) -> None:
        self.times += 1
        self.changes[_change(task)] += task.action != "reference"
        self.seconds += task.seconds
        self.assigned.add(task.assign)

    def take_off(self, task: Task) -> Task | None:
        """What *task* asks beyond it; None for nothing."""
        known = self.times > 0
        self.times -= known
        changes = task.action != "reference" and not self.changes[_change(task)]
        if task.action != "reference" and not changes:
            self.changes[_change(task)] -= 1
        seconds = max(0, task.seconds - self.seconds)
        self.seconds -= task.seconds - seconds
        assign = "" if task.assign in self.assigned else task.assign
        if changes or seconds or assign or (task.action == "reference" and not known):
            task = task._replace(seconds=seconds, assign=assign)
            return task if changes else task._replace(action="reference", target="")
        return None


def without(
    tasks: list[Task], old: list[Task], *, replaced: bool
) -> tuple[list[Task], list[Task]]:
    """What *tasks* ask beyond what *old* asked, and the tasks of which nothing is left.

    Unless the new history *replaced* the old one in the same push, only commits that
    look like old ones are taken for them: after a branch was set back, somebody may
    well fix anew what had been fixed badly.
    """
    asked: dict[tuple[str, str], _Asked] = {}
    for task in old:
        asked.setdefault(_issue(task), _Asked()).add(task)
    looks = {look for task in old for look in _looks(task)}
    alike = [not looks.isdisjoint(_looks(task)) for task in tasks]
    left: list[Task | None] = list(tasks)
    # The ones that look like an old one go first: what is left then is left to the
    # others.
    for index in sorted(range(len(tasks)), key=lambda index: not alike[index]):
        of_issue = asked.get(_issue(tasks[index]))
        if of_issue and (replaced or alike[index]):
            left[index] = of_issue.take_off(tasks[index])
    return [task for task in left if task], [
        task for task, kept in zip(tasks, left, strict=True) if not kept
    ]


def _issue(task: Task) -> tuple[str, str]:
    return task.issue.project, task.issue.number


def _change(task: Task) -> tuple[str, str]:
    return task.action, task.target


def _looks(task: Task) -> Iterator[tuple[str, ...]]:
    """What a commit is recognised by: its change, its subject, who wrote it and when."""
    commit = task.commit
    subject = commit["message"].strip().partition("\n")[0]
    yield (*_issue(task), "change", task.change)
    yield (
        *_issue(task),
        "subject",
        subject.rpartition("] ")[2] if subject.startswith("[") else subject,
    )
    yield (
        *_issue(task),
        "written",
        commit["raw_author"],
        commit.get("utctimestamp", task.change),
    )
