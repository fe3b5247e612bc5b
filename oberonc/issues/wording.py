"""What the tracker is given to say with each step of a task."""

import hashlib
from dataclasses import dataclass, field

from oberonc.issues.comment import (
    Comment,
    cut,
    duration,
    make_comment,
    make_parts,
    time_parts,
)
from oberonc.issues.ledger import Step
from oberonc.issues.tasks import RESOLUTIONS, Issue, Payload, Task
from oberonc.issues.trackers.base import Tracker
from oberonc.kit.markup import FLAVOURS

#: Characters of a commit message that are quoted, where the tracker takes no more.
SHORTER = (1000, 100, 0)


@dataclass
class Wording:
    """The comments of one turn."""

    tracker: Tracker
    payload: Payload
    template: str
    #: What is said besides in the comment on an issue for a change.
    remarks: dict[tuple[Issue, str], dict[str, None]] = field(default_factory=dict)

    def add(self, task: Task, remark: str) -> None:
        """Have the comment of *task* say *remark*, of our own words."""
        self.remarks.setdefault((task.issue, task.change), {})[remark] = None

    def comment(self, task: Task, key: Step, limit: int | None = None) -> Comment:
        """What is said with the step *key* of *task*, with at most *limit* characters
        of the message; it has no text where that is nothing.
        """
        if key.step == "comment":
            remark = self._remark(task)
            parts = make_parts(task, self.payload, self.template, remark=remark)
        elif key.step == "time":
            parts = time_parts(task)
        else:
            parts = []
        if limit is not None:
            parts = cut(parts, limit)
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
        made = make_comment(parts, task, FLAVOURS[self.tracker.flavour], digest[:32])
        return made if parts else made._replace(text="")

    def shorter(self, task: Task, key: Step, comment: Comment) -> Comment | None:
        """The next shorter form of *comment*; None where there is none."""
        made = (self.comment(task, key, limit) for limit in SHORTER)
        return next((one for one in made if len(one.text) < len(comment.text)), None)

    def _remark(self, task: Task) -> str:
        """What the tracker cannot do, said in the comment and in the note."""
        remarks = []
        resolution = RESOLUTIONS.get(task.action, "fixed")
        if resolution != "fixed" and resolution not in self.tracker.resolutions:
            remarks.append(f"there is no resolution {task.action} here")
        if task.seconds and not self.tracker.keeps_time:
            work = duration(task.seconds)
            remarks.append(f"{work} of work, which this tracker does not record")
        return "; ".join([*remarks, *self.remarks.get((task.issue, task.change), ())])
