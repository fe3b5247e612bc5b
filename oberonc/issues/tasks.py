"""What a push can want of issues: values, and how several wishes become one."""

from collections.abc import Iterable
from typing import Any, NamedTuple

Payload = dict[str, Any]
Commit = dict[str, Any]

#: The resolution with which some actions close an issue.
RESOLUTIONS = {
    "close": "fixed",
    "wontfix": "wontfix",
    "invalid": "invalid",
    "duplicate": "duplicate",
}


class Issue(NamedTuple):
    """An issue of a project the service is bound to, and how people write it."""

    project: str
    number: str
    shown: str


class Task(NamedTuple):
    """What one change asks of one issue.

    `action` is `close`, `wontfix`, `invalid`, `duplicate`, `reopen`, `move` (to
    `target`) or `reference`; `seconds` is work to log; `assign` is the tracker's user
    who gets the issue; `why` says what kept a stronger action back, and is empty
    otherwise.
    """

    issue: Issue
    commit: Commit
    action: str
    seconds: int
    why: str
    #: The status, or the transition to it, as the configuration writes it.
    target: str = ""
    assign: str = ""

    @property
    def change(self) -> str:
        """The name of the change, which its picked and rebased commits share."""
        return str(self.commit.get("change") or self.commit["raw_node"])

    def steps(self, keeps_time: bool) -> list[str]:
        """The names of its steps on a tracker that *keeps_time*, or does not."""
        steps = ["comment"]
        if self.seconds and keeps_time:
            steps.append("time")
        if self.assign:
            steps.append("assign")
        if self.action in ("reopen", "move"):
            steps.append(self.action)
        elif self.action != "reference":
            steps.append("close")
        return steps


def merge(tasks: Iterable[Task]) -> list[Task]:
    """One task for each (issue, change): the first change of state wins, times of one
    commit add up.
    """
    merged: dict[tuple[str, str, str], Task] = {}
    for task in tasks:
        key = (task.issue.project, task.issue.number, task.change)
        first = merged.get(key)
        if first is None:
            merged[key] = task
            continue
        both = first._replace(assign=first.assign or task.assign)
        if first.commit["raw_node"] == task.commit["raw_node"]:
            both = both._replace(seconds=first.seconds + task.seconds)
        if first.action == "reference" and task.action != "reference":
            both = both._replace(action=task.action, target=task.target, why="")
        merged[key] = both
    return list(merged.values())
