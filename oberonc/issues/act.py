"""Carries a plan out: every step through the ledger, then through the tracker, within
the time there is.

A turn ends early, with `Retry(progress=True)`, when its time or the tracker's rate is
used up; the ledger knows where to go on.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from oberonc.errors import Reject, Retry
from oberonc.issues.comment import Comment, duration
from oberonc.issues.ledger import Claim, Ledger, Step
from oberonc.issues.plan import Plan, note
from oberonc.issues.report import NAMED, Report
from oberonc.issues.tasks import RESOLUTIONS, Issue, Payload, Task
from oberonc.issues.trackers.base import MALFORMED, NoSuchIssue, Tracker, malformed
from oberonc.issues.wording import Wording
from oberonc.kit.answers import Forbidden, NotDone, Refused, is_too_long
from oberonc.payload.globs import passes
from oberonc.text import listed, one_line

#: Seconds of the delivery's limit that stay unused: one request may last that long.
RESERVE = 30.0
#: Issues that fail, after each of which many it is looked whether the tracker answers
#: at all.
FAILURES = 3
#: Seconds to wait for another worker that has the same step in hand.
PATIENCE = 5.0
#: The steps that change the state: a task has one of them at most.
_STATES = ("close", "reopen", "move")


@dataclass(kw_only=True)
class Actor:
    """One turn of one delivery."""

    tracker: Tracker
    ledger: Ledger
    payload: Payload
    template: str
    #: Patterns of the projects it is bound to, where numbers are global; none: all.
    bound: tuple[str, ...] = ()
    remaining: Callable[[], float]
    pause: Callable[[float], None] = time.sleep
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self.closed: dict[Issue, bool] = {}
        self.missing: set[Issue] = set()
        self.steps_done = 0
        #: Whether the tracker is known to take the credentials.
        self.proven = False
        #: What ends the turn, and the issues that cannot be worked on now.
        self.failures: list[Retry] = []
        self.failing: dict[Issue, Retry] = {}
        #: How many tasks change the state of each issue; those that wait for the rest.
        self.changing: Counter[Issue] = Counter()
        self.put_off: list[Task] | None = []
        self.wording = Wording(self.tracker, self.payload, self.template)
        self.reserve = min(RESERVE, self.remaining() / 3)

    def run(self, plan: Plan) -> str:
        """Do what *plan* says; the note of the outcome. Raises Retry or Reject with
        that note.
        """
        self.ledger.hold(
            self._key(task, step)
            for task in plan.held
            for step in task.steps(self.tracker.keeps_time)
        )
        self.report.notes += plan.notes
        kept_back: dict[str, dict[str, None]] = {}
        for task in plan.tasks:
            if task.why:
                kept_back.setdefault(task.why, {})[task.issue.shown] = None
        for why, shown in kept_back.items():
            names = listed(list(shown), NAMED)
            self.report.notes.append(f"the state of {names} is left as it is: {why}")
        self.changing = Counter(
            task.issue for task in plan.tasks if task.action != "reference"
        )
        self._work_off(self._put_in_order(plan.tasks))
        again, self.put_off = self.put_off, None
        self._work_off(again or [])
        if self.failures or self.failing:
            raise self._go_on_later()
        text = note(self._sentences(), plan.remarks)
        if self.report.refused:
            raise Reject(text)
        return text

    def _work_off(self, busy: list[Task]) -> None:
        """Do the tasks, those last that another worker is at."""
        deadline = time.monotonic() + PATIENCE
        while busy := [task for task in busy if not self._try(task)]:
            if time.monotonic() > deadline or self.failing:
                self.failures.append(
                    Retry("another worker has the rest in hand", after=PATIENCE)
                )
                break
            self.pause(0.2)

    def _put_in_order(self, tasks: list[Task]) -> list[Task]:
        """*tasks*, those last whose issues failed in an earlier turn: an issue that
        takes the time of a turn and fails keeps no other one waiting for ever.
        """
        failed = {
            task.issue
            for task in tasks
            for step in (*task.steps(self.tracker.keeps_time), "read")
            if self.ledger.is_doubtful(self._key(task, step))
        }
        return sorted(tasks, key=lambda task: task.issue in failed)

    def _sentences(self) -> list[str]:
        return [*self.report.sentences(), *self.tracker.told]

    def _go_on_later(self) -> Retry:
        """The end of a turn that has to go on later."""
        texts = self._sentences()
        if self.failing:
            shown = listed([issue.shown for issue in self.failing], NAMED)
            texts.append(f"failed: {shown}")
        failures = [*self.failing.values(), *self.failures]
        told = [*failures[:FAILURES], *self.failures]
        texts += [one_line(str(failure)) for failure in told]
        waits = [failure.after for failure in failures if failure.after is not None]
        return Retry(
            "; ".join(dict.fromkeys(filter(None, texts))),
            after=max(waits, default=None),
            progress=bool(self.steps_done),
        )

    def _try(self, task: Task) -> bool:
        """Whether this turn has no more to do for *task*; False when another worker has
        a step of it.
        """
        if task.issue in self.missing or task.issue in self.failing:
            return True
        try:
            return self._do_task(task)
        except NoSuchIssue as error:
            self.missing.add(task.issue)
            self.report.notes.append(f"{task.issue.shown} {error}")
        except Refused as error:
            self.report.refused = True
            self.report.notes.append(f"{task.issue.shown}: {one_line(str(error))}")
        except Forbidden as error:
            self._prove(error)
            self._add_forbidden(task.issue, error)
        except NotDone as error:
            self.failures.append(error)
            raise self._go_on_later() from None
        except Retry as error:
            self._fail(task, error)
        except MALFORMED as error:
            self._fail(task, Retry(malformed(error)))
        return True

    def _fail(self, task: Task, error: Retry) -> None:
        """Leave the issue of *task* for a later turn; and all others, where the tracker
        does not answer any more.
        """
        self.failing[task.issue] = error
        if task.issue not in self.closed:
            key = self._key(task, "read")
            self.ledger.claim(key, "")
            self.ledger.doubt(key)
        if len(self.failing) % FAILURES:
            return
        try:
            self._need_time()
            self.tracker.whoami()
        except (Retry, Refused, NoSuchIssue) as failure:
            if isinstance(failure, Retry):
                self.failures.append(failure)
            raise self._go_on_later() from None

    def _prove(self, error: Forbidden) -> None:
        """End the turn unless the tracker takes the credentials all the same: then it
        was one issue that it spoke of, or its project, and no failure of anything else.
        """
        if self.proven:
            return
        try:
            self.tracker.whoami()
        except (Refused, NoSuchIssue):
            self.failures.append(error)
        except Retry as failure:
            self.failures.append(error if isinstance(failure, Forbidden) else failure)
        else:
            self.proven = True
            return
        raise self._go_on_later()

    def _add_forbidden(self, issue: Issue, error: Forbidden) -> None:
        """*issue* may not be seen, or not be changed, with credentials that are good."""
        told = one_line(error.told)
        if issue in self.closed:
            self.report.refused = True
            self.report.notes.append(
                f"{issue.shown} may not be changed with these credentials: {told}"
            )
        else:
            self.missing.add(issue)
            self.report.notes.append(
                f"{issue.shown} may not be seen with these credentials: {told}"
            )

    def _do_task(self, task: Task) -> bool:
        """Do what is not done yet; False when another worker is at it."""
        issue = task.issue
        steps = [
            step
            for step in task.steps(self.tracker.keeps_time)
            if not self.ledger.is_done(self._key(task, step))
        ]
        if not steps:
            self.report.add("", issue.shown)
            return True
        if task.seconds and not self.tracker.keeps_time:
            told = f"{issue.shown}: {self.tracker.kind} records no time"
            if told not in self.report.notes:
                self.report.notes.append(told)
        if issue not in self.closed:
            self._need_time()
            self.closed[issue] = self.tracker.is_closed(issue)
            self._need_bound(issue)
        for step in ("time", "assign"):
            if step in steps and not self._do_beside(task, step):
                return False
        states = [step for step in steps if step in _STATES]
        if "comment" not in steps:
            return all(self._do_once(task, step) for step in states)
        if states:
            together = self._do_together(task, states[0])
            if together is not None:
                return together
            return self._do_apart(task, states[0])
        return self._do_once(task, "comment")

    def _do_beside(self, task: Task, step: str) -> bool:
        """Do a *step* that keeps nothing else from being done: what is refused is said
        in the comment. False when another worker is at it.
        """
        try:
            return self._do_once(task, step)
        except (Refused, NoSuchIssue) as error:
            told = one_line(str(error))
        except Forbidden as error:
            self._prove(error)
            told = one_line(error.told)
        except NotDone:
            raise
        except Retry as error:
            self._fail(task, error)
            return True
        self.report.refused = True
        what, remark = "the assignment", "which was refused"
        if step == "time":
            what, remark = duration(task.seconds), "which was refused as a time entry"
        self.wording.add(task, f"{what}, {remark}")
        self.report.notes.append(f"{task.issue.shown}: {what}, {remark}: {told}")
        return True

    def _do_together(self, task: Task, state: str) -> bool | None:
        """Comment and change the *state* in one change; None where it has to be done
        apart, False when another worker is at it.
        """
        issue = task.issue
        comment = self.wording.comment(task, self._key(task, "comment"))
        if not self._changes(task, state) or not self.tracker.joins(issue, comment):
            return None
        self._need_time()
        self._keep_pace()
        keys = [self._key(task, step) for step in ("comment", state)]
        before = self.tracker.written
        claims = [self.ledger.claim(key, comment.mark) for key in keys]
        verdicts = {claim.verdict for claim in claims}
        try:
            # Both in one change: that the one was done says that the other was.
            done = verdicts == {"doubtful"} and self.tracker.has_comment(
                issue, claims[0].mark, claims[0].begun
            )
            if not done and verdicts == {"fresh"}:
                done = self._do(task, state, comment)
        except BaseException as error:
            if self._is_doubtful(error, before):
                for key in keys:
                    self.ledger.doubt(key)
                raise
            self._give_back(keys, claims)
            if not isinstance(error, Refused | Forbidden):
                raise
            self._expect_unsaid(task, comment, error)
            return None
        if not done:
            self._give_back(keys, claims)
            return False if "busy" in verdicts else None
        for key in keys:
            self.ledger.done(key)
        self.steps_done += 2
        self.report.add("comment", issue.shown)
        self.report.add(state, issue.shown)
        return True

    def _is_doubtful(self, error: BaseException, before: int) -> bool:
        """Whether nobody knows if the step that raised *error* was done: *before* it
        there were so many writes.
        """
        if isinstance(error, NotDone):
            return self.tracker.written > before
        return not isinstance(error, NoSuchIssue | Refused)

    def _give_back(self, keys: list[Step], claims: list[Claim]) -> None:
        """Nothing was done under *claims*."""
        for key, claim in zip(keys, claims, strict=True):
            if claim.verdict == "fresh":
                self.ledger.release(key)
            elif claim.verdict == "doubtful":
                self.ledger.doubt(key)

    def _expect_unsaid(self, task: Task, comment: Comment, error: Exception) -> None:
        """Raise *error*, with nothing left to be said, where the tracker refused one
        half of a change and took the other.
        """
        if isinstance(error, Refused) and self.tracker.has_comment(
            task.issue, comment.mark, self.ledger.now()
        ):
            key = self._key(task, "comment")
            self.ledger.claim(key, comment.mark)
            self.ledger.done(key)
            raise error

    def _do_apart(self, task: Task, state: str) -> bool:
        """Change the *state*, then comment on what came of it: a comment never says
        what did not happen. False when another worker is at it.
        """
        refusal: Exception | None = None
        try:
            if not self._do_once(task, state):
                return False
        except Refused as error:
            if self._puts_off(task):
                return True
            refusal = error
        except Forbidden as error:
            self._prove(error)
            refusal = error
        if not refusal:
            return self._do_once(task, "comment")
        asked = {"move": f"move it to {task.target}"}.get(state, f"{state} it")
        plain = task._replace(
            action="reference", target="", why=f"the tracker refused to {asked}"
        )
        if not self._do_once(plain, "comment"):
            return False
        raise refusal

    def _puts_off(self, task: Task) -> bool:
        """Whether *task*, which was refused, is put off: what stands in its way, a child
        or what it depends on, may be closed when the other issues are done.
        """
        alone = len(self.changing) == 1 or self.changing[task.issue] > 1
        if self.put_off is None or alone:
            return False
        self.put_off.append(task)
        return True

    def _key(self, task: Task, step: str) -> Step:
        issue = task.issue
        return Step(self.tracker.name, issue.project, issue.number, step, task.change)

    def _do_once(self, task: Task, step: str) -> bool:
        """Do *step* of *task* once; False when another worker is at it."""
        self._need_time()
        self._keep_pace()
        key = self._key(task, step)
        comment = self.wording.comment(task, key)
        claim = self.ledger.claim(key, comment.mark)
        if claim.verdict in ("done", "busy"):
            return claim.verdict == "done"
        before = self.tracker.written
        doubtful = claim.verdict == "doubtful"
        try:
            if (
                doubtful and self._was_done(task, step, claim.begun, claim.mark)
            ) or self._do(task, step, comment):
                self.report.add(step, task.issue.shown)
        except BaseException as error:
            doubtful |= self._is_doubtful(error, before)
            self.ledger.doubt(key) if doubtful else self.ledger.release(key)
            raise
        self.ledger.done(key)
        self.steps_done += 1
        return True

    def _need_bound(self, issue: Issue) -> None:
        """Raise NoSuchIssue for one of a project that the service is not bound to."""
        homes = self.tracker.homes(issue) if self.bound else []
        if homes and not passes(self.bound, [name.casefold() for name in homes]):
            named = one_line(homes[0], 60)
            raise NoSuchIssue(
                f"is of {named}, which this service is not bound to: add it to `projects`"
            )

    def _need_time(self) -> None:
        """End the turn when one more request may not fit into it."""
        if self.remaining() < self.reserve:
            raise _End("the time of this turn is over", after=0.0)

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

    def _was_done(self, task: Task, step: str, since: float, mark: str) -> bool:
        """Whether an attempt after *since* whose answer was lost did *step*."""
        tracker, issue = self.tracker, task.issue
        match step:
            case "comment":
                return tracker.has_comment(issue, mark, since)
            case "time":
                return tracker.has_time(issue, task.seconds, mark, since)
            case "assign":
                return False  # done again, it changes nothing
            case "move":
                return tracker.was_put(issue, task.target, since)
            case _:
                return tracker.was_moved(issue, since, closed=step == "close")

    def _do(self, task: Task, step: str, comment: Comment) -> bool:
        """Do *step*, with a shorter comment where the tracker takes none so long;
        whether there was anything to do.
        """
        said = self._key(task, "time" if step == "time" else "comment")
        while True:
            try:
                return self._take(task, step, comment)
            except Refused as error:
                shorter = self.wording.shorter(task, said, comment)
                if shorter is None or not is_too_long(error):
                    raise
                comment = shorter
                self._need_time()

    def _take(self, task: Task, step: str, comment: Comment) -> bool:
        """Do *step* with *comment*; whether there was anything to do."""
        tracker, issue = self.tracker, task.issue
        match step:
            case "comment":
                tracker.comment(issue, comment)
            case "time":
                tracker.log_time(issue, task.seconds, comment)
            case "assign":
                tracker.assign(issue, task.assign)
            case "move":
                if not tracker.move(issue, task.target, comment):
                    self.report.notes.append(f"{issue.shown} was {task.target} already")
                    return False
                # the new status may be one that closes, or opens again
                self.closed.pop(issue, None)
            case _:
                return self._close_or_reopen(task, step, comment)
        return True

    def _changes(self, task: Task, step: str) -> bool:
        """Whether *step* may find something to do, as far as is known."""
        return step == "move" or self.closed[task.issue] != (step == "close")

    def _close_or_reopen(self, task: Task, step: str, comment: Comment) -> bool:
        """Leaves the issue alone that is in that state already."""
        issue, close = task.issue, step == "close"
        if not self._changes(task, step):
            if issue.shown not in self.report.done.get(step, []):
                state = "closed" if close else "open"
                self.report.notes.append(f"{issue.shown} was {state} already")
            return False
        if close:
            resolution = RESOLUTIONS[task.action]
            if resolution not in self.tracker.resolutions:
                resolution = "fixed"
            self.tracker.close(issue, resolution, comment)
        else:
            self.tracker.reopen(issue, comment)
        self.closed[issue] = close
        return True


class _End(NotDone):
    """This turn is over, and nothing went wrong."""

    def __init__(self, reason: str, *, after: float) -> None:
        super().__init__(reason, after=after)
