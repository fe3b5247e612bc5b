"""Carries a plan out: every step through the ledger, then through the tracker, within
the time there is.

A turn ends early, with `Retry(progress=True)`, when its time or the tracker's rate is
used up; the ledger knows where to go on.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from oberonc.errors import Reject, Retry
from oberonc.issues.comment import (
    FLAVOURS,
    Comment,
    Part,
    commit_parts,
    duration,
    make_comment,
    make_parts,
    time_parts,
)
from oberonc.issues.ledger import Claim, Ledger, Step
from oberonc.issues.plan import Plan, note
from oberonc.issues.tasks import RESOLUTIONS, Issue, Payload, Task
from oberonc.issues.trackers.base import NoSuchIssue, Tracker
from oberonc.kit.answers import Forbidden, NotDone, Refused
from oberonc.text import listed, one_line

#: Seconds of the delivery's limit that stay unused: one request may last that long.
RESERVE = 30.0
#: Tracker failures in one turn after which the rest waits for the next.
FAILURES = 3
#: Seconds to wait for another worker that has the same step in hand.
PATIENCE = 5.0
#: Issues one kind of outcome names in the note.
_NAMED = 20
#: In the order of the note.
_OUTCOMES = (
    "closed",
    "reopened",
    "moved",
    "assigned",
    "commented on",
    "logged time on",
    "already done for the same change:",
)


class Deed(NamedTuple):
    """One step of a task: what to say, what to call it in the note, how to do it, how
    to see that it was done.

    `do` tells whether there was anything to do.
    """

    step: Step
    comment: Comment
    outcome: str
    do: Callable[[], bool]
    was_done: Callable[[float, str], bool]


@dataclass
class Report:
    """What became of the tasks, by outcome: the issues as people write them."""

    found: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused: bool = False

    def add(self, outcome: str, shown: str) -> None:
        names = self.found.setdefault(outcome, [])
        if shown not in names:
            names.append(shown)

    def told(self) -> list[str]:
        """`closed #42, commented on #37`, `#99 does not exist`"""
        by_outcome = {
            outcome: list(self.found.get(outcome, [])) for outcome in _OUTCOMES
        }
        changed = {
            *by_outcome["closed"],
            *by_outcome["reopened"],
            *by_outcome["moved"],
            *by_outcome["assigned"],
        }
        by_outcome["commented on"] = [
            shown for shown in by_outcome["commented on"] if shown not in changed
        ]
        told = ", ".join(
            f"{outcome} {listed(names, _NAMED)}"
            for outcome, names in by_outcome.items()
            if names
        )
        return [told, *self.notes]


@dataclass(kw_only=True)
class Actor:
    """One turn of one delivery."""

    tracker: Tracker
    ledger: Ledger
    payload: Payload
    template: str
    remaining: Callable[[], float]
    pause: Callable[[float], None] = time.sleep
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self.closed: dict[Issue, bool] = {}
        self.missing: set[Issue] = set()
        self.done = 0
        self.failures: list[Retry] = []
        self.reserve = min(RESERVE, self.remaining() / 3)

    def run(self, plan: Plan) -> str:
        """Do what *plan* says; the note of the outcome. Raises Retry or Reject with
        that note.
        """
        self.ledger.hold(step for task in plan.held for step in self._steps(task))
        self.report.notes += plan.notes
        held: dict[str, dict[str, None]] = {}
        for task in plan.tasks:
            held.setdefault(task.why, {})[task.issue.shown] = None
        self.report.notes += [
            f"the state of {listed(list(shown), _NAMED)} is left as it is: {why}"
            for why, shown in held.items()
            if why
        ]
        busy = plan.tasks
        deadline = time.monotonic() + PATIENCE
        while busy := [task for task in busy if not self._try(task)]:
            if time.monotonic() > deadline or self.failures:
                self.failures.append(
                    Retry("another worker has the rest in hand", after=PATIENCE)
                )
                break
            self.pause(0.2)
        if self.failures:
            raise self._again(self.failures)
        said = note(self.report.told(), plan.remarks)
        if self.report.refused:
            raise Reject(said)
        return said

    def _again(self, failures: list[Retry]) -> Retry:
        """The end of a turn that has to go on later."""
        told = [one_line(str(failure)) for failure in failures]
        waits = [failure.after for failure in failures if failure.after is not None]
        reason = "; ".join(dict.fromkeys(filter(None, [*self.report.told(), *told])))
        return Retry(reason, after=max(waits, default=None), progress=bool(self.done))

    def _try(self, task: Task) -> bool:
        """Whether nothing of *task* is left to this turn; False when another worker has
        a step of it.
        """
        if task.issue in self.missing:
            return True
        try:
            return self._task(task)
        except NoSuchIssue as error:
            self.missing.add(task.issue)
            self.report.notes.append(f"{task.issue.shown} {error}")
        except Refused as error:
            self.report.refused = True
            self.report.notes.append(f"{task.issue.shown}: {one_line(str(error))}")
        except Retry as error:
            self.failures.append(error)
            whole = isinstance(error, NotDone) and not isinstance(error, Forbidden)
            if whole or len(self.failures) >= FAILURES:
                raise self._again(self.failures) from None
        return True

    def _task(self, task: Task) -> bool:
        deeds = [
            deed for deed in self._deeds(task) if not self.ledger.is_done(deed.step)
        ]
        if not deeds:
            self.report.add("already done for the same change:", task.issue.shown)
            return True
        if task.seconds and not self.tracker.keeps_time:
            self.report.notes.append(
                f"{task.issue.shown}: {self.tracker.kind} records no time"
            )
        if task.issue not in self.closed:
            self._take_time()
            self.closed[task.issue] = self.tracker.is_closed(task.issue)
        return all(self._deed(deed, task.issue.shown) for deed in deeds)

    def _take_time(self) -> None:
        """End the turn when one more request may not fit into it."""
        if self.remaining() < self.reserve:
            raise _End("the time of this turn is over", after=0.0)

    def _deed(self, deed: Deed, shown: str) -> bool:
        """Do *deed* once; False when another worker is at it."""
        self._take_time()
        self._keep_pace()
        claim = self.ledger.claim(deed.step, deed.comment.mark)
        if claim.verdict in ("done", "busy"):
            return claim.verdict == "done"
        try:
            self._once(deed, shown, claim)
        except (NoSuchIssue, Refused, NotDone):
            self.ledger.release(deed.step)
            raise
        except BaseException:
            self.ledger.doubt(deed.step)
            raise
        self.ledger.done(deed.step)
        self.done += 1
        return True

    def _once(self, deed: Deed, shown: str, claim: Claim) -> None:
        if (
            claim.verdict == "doubtful" and deed.was_done(claim.begun, claim.mark)
        ) or deed.do():
            self.report.add(deed.outcome, shown)

    def _keep_pace(self) -> None:
        """End the turn when the tracker's published limit on writing is reached."""
        waits = [
            self.ledger.wait_for(self.tracker.name, writes, seconds)
            for writes, seconds in self.tracker.pace
        ]
        wait = max(waits, default=0.0)
        if wait > 0:
            raise _End(
                f"{self.tracker.kind} takes no more writes for {wait:.0f} s", after=wait
            )

    def _deeds(self, task: Task) -> Iterator[Deed]:
        """The steps of *task*: the comment first, so that a state never changes without
        its reason.
        """
        tracker, issue = self.tracker, task.issue
        parts = make_parts(task, self.payload, self.template, remark=self._remark(task))
        comment = self._comment(task, "comment", parts)
        yield Deed(
            self._step(task, "comment"),
            comment,
            "commented on",
            lambda: self._say(task, comment),
            lambda since, mark: tracker.has_comment(issue, mark, since),
        )
        if task.seconds and tracker.keeps_time:
            entry = self._comment(task, "time", time_parts(task))
            yield Deed(
                self._step(task, "time"),
                entry,
                "logged time on",
                lambda: self._log_time(task, entry),
                lambda since, mark: tracker.has_time(issue, task.seconds, mark, since),
            )
        if task.assign:
            yield self._assignment(task)
        if task.action != "reference":
            yield self._change_of(task)

    def _say(self, task: Task, comment: Comment) -> bool:
        self.tracker.comment(task.issue, comment)
        return True

    def _log_time(self, task: Task, entry: Comment) -> bool:
        self.tracker.log_time(task.issue, task.seconds, entry)
        return True

    def _assignment(self, task: Task) -> Deed:
        """The step that gives the issue to a user; done again after a lost answer, it
        changes nothing.
        """
        text = self._comment(task, "assign", commit_parts(task.commit))
        return Deed(
            self._step(task, "assign"),
            text,
            "assigned",
            lambda: self._assign(task),
            lambda since, mark: False,
        )

    def _assign(self, task: Task) -> bool:
        self.tracker.assign(task.issue, task.assign)
        return True

    def _change_of(self, task: Task) -> Deed:
        """The step that changes the state."""
        if task.action == "move":
            return self._move_of(task)
        close = task.action != "reopen"
        name, outcome = ("close", "closed") if close else ("reopen", "reopened")
        text = self._comment(task, name, commit_parts(task.commit))
        return Deed(
            self._step(task, name),
            text,
            outcome,
            lambda: self._change(task, text, close=close),
            lambda since, mark: self.tracker.was_moved(task.issue, since, closed=close),
        )

    def _move_of(self, task: Task) -> Deed:
        """The step that moves to the status that is asked for."""
        text = self._comment(task, "move", commit_parts(task.commit))
        return Deed(
            self._step(task, "move"),
            text,
            "moved",
            lambda: self._move(task, text),
            lambda since, mark: self.tracker.was_put(task.issue, task.target, since),
        )

    def _move(self, task: Task, comment: Comment) -> bool:
        moved = self.tracker.move(task.issue, task.target, comment)
        if moved:
            # the new status may be one that closes, or opens again
            self.closed.pop(task.issue, None)
        else:
            self.report.notes.append(f"{task.issue.shown} was {task.target} already")
        return moved

    def _change(self, task: Task, comment: Comment, *, close: bool) -> bool:
        """Close or reopen, unless the issue is in that state already: it is left alone
        then.
        """
        shown = task.issue.shown
        if self.closed[task.issue] == close:
            if shown not in self.report.found.get(
                "closed" if close else "reopened", []
            ):
                self.report.notes.append(
                    f"{shown} was {'closed' if close else 'open'} already"
                )
            return False
        if close:
            wanted = RESOLUTIONS[task.action]
            self.tracker.close(
                task.issue,
                wanted if wanted in self.tracker.resolutions else "fixed",
                comment,
            )
        else:
            self.tracker.reopen(task.issue, comment)
        self.closed[task.issue] = close
        return True

    def _remark(self, task: Task) -> str:
        """What the tracker cannot do, said in the comment and in the note."""
        said = []
        if task.action in RESOLUTIONS and RESOLUTIONS[task.action] not in {
            "fixed",
            *self.tracker.resolutions,
        }:
            said.append(f"there is no resolution {task.action} here")
        if task.seconds and not self.tracker.keeps_time:
            said.append(
                f"{duration(task.seconds)} of work, which this tracker does not record"
            )
        return "; ".join(said)

    def _step(self, task: Task, step: str) -> Step:
        return Step(
            self.tracker.name, task.issue.project, task.issue.number, step, task.change
        )

    def _steps(self, task: Task) -> Iterator[Step]:
        """The steps of *task* by name alone."""
        yield self._step(task, "comment")
        if task.seconds and self.tracker.keeps_time:
            yield self._step(task, "time")
        if task.assign:
            yield self._step(task, "assign")
        if task.action != "reference":
            yield self._step(
                task, task.action if task.action in ("reopen", "move") else "close"
            )

    def _comment(self, task: Task, step: str, parts: list[Part]) -> Comment:
        key = hashlib.sha256("\0".join(self._step(task, step)).encode()).hexdigest()[
            :32
        ]
        return make_comment(parts, task, FLAVOURS[self.tracker.flavour], key)


class _End(NotDone):
    """This turn is over, and nothing went wrong."""

    def __init__(self, reason: str, *, after: float) -> None:
        super().__init__(reason, after=after)
