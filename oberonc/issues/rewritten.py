"""A history that was rewritten asks again for what the one it replaced had asked for:
that is not done again.

Rewriting changes messages, authors and dates, so commits of both histories cannot be
told to be one change. What they ask can be compared: per issue, what the old history
asked is taken off what the new one asks, once for each time.
"""

from collections import Counter
from collections.abc import Iterator

from oberonc.issues.tasks import Task


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


def asked_anew(
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
    old_signs = {sign for task in old for sign in _signs(task)}
    alike, unlike = list[int](), list[int]()
    for index, task in enumerate(tasks):
        (unlike if old_signs.isdisjoint(_signs(task)) else alike).append(index)
    beyond: list[Task | None] = list(tasks)
    # What looks like an old commit takes its share of what was asked first.
    for index in alike + unlike if replaced else alike:
        of_issue = asked.get(_issue(tasks[index]))
        if of_issue:
            beyond[index] = of_issue.take_off(tasks[index])
    again = [task for task, rest in zip(tasks, beyond, strict=True) if not rest]
    return [task for task in beyond if task], again


def _issue(task: Task) -> tuple[str, str]:
    return task.issue.project, task.issue.number


def _change(task: Task) -> tuple[str, str]:
    return task.action, task.target


def _signs(task: Task) -> Iterator[tuple[str, ...]]:
    """What a commit is recognised by: its change, its subject, who wrote it and when."""
    commit, issue = task.commit, _issue(task)
    subject = commit["message"].strip().partition("\n")[0]
    if subject.startswith("["):
        subject = subject.rpartition("] ")[2]
    written = commit.get("utctimestamp", task.change)
    yield *issue, "change", task.change
    yield *issue, "subject", subject
    yield *issue, "written", commit["raw_author"], written
