"""What a push asks of the issues: a pure function from a payload to tasks, with the
reason of each.

Only published commits act. A task is what one change wants of one issue: a comment
always, and perhaps a change of state or a time entry. What is decided here needs no
tracker; what the tracker knows (closed already, no such issue) is decided in `act.py`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oberonc.grammar.message import Reference, Words, scan
from oberonc.issues.rewritten import without
from oberonc.issues.undone import undone_by
from oberonc.text import listed, visible

#: References of one message that count; a person does not write more.
MESSAGE_LIMIT = 100
#: A cut message shorter than this was not cut in its text (its list of files was).
_CUT_ABOVE = 1024
#: The resolution with which some actions close an issue.
RESOLUTIONS = {
    "close": "fixed",
    "wontfix": "wontfix",
    "invalid": "invalid",
    "duplicate": "duplicate",
}
#: Reasons that are told, and issues named for each.
_REASONS = 6
_NAMED = 6
#: What is said of a push that names no issue.
NOBODY = "no issue is named"
_UNPUBLISHED = "not on a publish ref"
#: An issue's number in what was not read.
_NUMBER = re.compile(r"#[0-9]+")

Payload = dict[str, Any]
Commit = dict[str, Any]


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
        return str(self.commit.get("change") or self.commit["raw_node"])


class Plan(NamedTuple):
    """The tasks in the order of the commits, and what has to be said about what is not
    among them.

    `notes` are for who pushed: something was asked for and is not done. `remarks` are
    for who looks it up: an issue is named, and nothing was asked. `held` is what an
    import asked for: never done, unless it is sent by hand.
    """

    tasks: list[Task]
    notes: list[str]
    remarks: list[str]
    held: tuple[Task, ...] = ()


class _Left:
    """The issues that are named and left alone, by the reason."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._asked: dict[str, dict[str, None]] = {}
        self._named: dict[str, dict[str, None]] = {}

    def add(self, shown: str, why: str, *, asked: bool) -> None:
        """*shown* is an issue as people write it; *asked* says that something was
        wanted of it.
        """
        (self._asked if asked else self._named).setdefault(why, {})[shown] = None

    def plan(self, tasks: list[Task], remarks: Iterable[str] = ()) -> Plan:
        """*tasks* with what is to be said besides; an issue that has a task needs no
        excuse.
        """
        done = {task.issue.shown for task in tasks}
        return Plan(
            tasks,
            self.notes + _told(self._asked, done),
            [*_told(self._named, done), *remarks],
        )


def _told(reasons: dict[str, dict[str, None]], done: set[str]) -> list[str]:
    """A sentence for each of the first reasons."""
    left = {
        why: [shown for shown in found if shown not in done]
        for why, found in reasons.items()
    }
    told = [nothing_done(found, why) for why, found in left.items() if found]
    more = [f"and {len(told) - _REASONS} more reasons"] if len(told) > _REASONS else []
    return told[:_REASONS] + more


def nothing_done(shown: list[str], why: str) -> str:
    """`#2 and #3 are named, and nothing is done: not on a publish ref`"""
    return f"{listed(shown, _NAMED)} {'is' if len(shown) == 1 else 'are'} named, and nothing is done: {why}"


def note(told: Iterable[str], remarks: Iterable[str]) -> str:
    """The note of an attempt. From the word `nothing:` on it is for the log; a hook
    does not print that.
    """
    loud, quiet = (
        "; ".join(dict.fromkeys(filter(None, texts))) for texts in (told, remarks)
    )
    if not loud and not quiet:
        quiet = NOBODY
    return "; ".join(filter(None, (loud, f"nothing: {quiet}" if quiet else "")))


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings the policy looks at. `resolve` finds the issue a reference means, if
    the service is bound to it.
    """

    words: Words
    resolve: Callable[[Reference], Issue | None]
    other_refs: str = ""
    mentions: str = ""
    import_above: int = 20
    max_actions: int = 1000
    may_change_state: bool = True
    #: Whether the tracker has statuses between open and closed.
    moves: bool = True
    #: The tracker's users, by the lower-case names and addresses people call them.
    users: dict[str, str] = field(default_factory=dict)


def make_plan(payload: Payload, rules: Rules) -> Plan:
    """What *payload* asks for, under *rules*."""
    left = _Left()
    commits = list(_commits(payload))
    undone = undone_by(commit for commit, published in commits if published)
    asked = (
        task
        for commit, published in commits
        for task in _tasks(commit, published, rules, left)
    )
    tasks = _merged(_unless_undone(task, undone) for task in asked)
    remarks = (
        ["the push was larger than the limits and was cut"]
        if payload["truncated"]
        else []
    )
    tasks, held = _hold_imports(payload, rules, tasks, left)
    if not tasks and not held and _import(payload, rules):
        remarks.append(_import(payload, rules))
    tasks = _hold_floods(payload, rules, _not_again(payload, rules, tasks, left), left)
    return left.plan(tasks, remarks)._replace(held=tuple(held))


def _hold_imports(
    payload: Payload, rules: Rules, tasks: list[Task], left: _Left
) -> tuple[list[Task], list[Task]]:
    """*tasks* without those of histories that came whole, and these."""
    why = _import(payload, rules)
    foreign = set(payload.get("foreign", ()))
    held = [task for task in tasks if why or task.commit["raw_node"] in foreign]
    for task in held:
        left.add(task.issue.shown, why or f"{_FOREIGN}; {_RUN}", asked=True)
    return [
        task for task in tasks if not (why or task.commit["raw_node"] in foreign)
    ], held


def _not_again(
    payload: Payload, rules: Rules, tasks: list[Task], left: _Left
) -> list[Task]:
    """*tasks* without what was asked for already by the commits that this push took off
    the publish refs.
    """
    dropped = payload.get("dropped", [])
    if not tasks or not payload.get("dropped_total", 0):
        return tasks
    if len(dropped) < payload["dropped_total"]:
        why = f"the push replaces more of the history than the limits hold, and acts on nothing; {_RUN}"
        kept, again = list[Task](), tasks
    else:
        why = "the history that this push replaces asked for it already"
        old = _merged(
            task for commit in dropped for task in _tasks(commit, True, rules, _Left())
        )
        moved = [update for update in payload["updates"] if update["publish"]]
        replaced = any(update["forced"] or update["deleted"] for update in moved)
        kept, again = without(tasks, old, replaced=replaced)
    for task in again:
        left.add(task.issue.shown, why, asked=True)
    return kept


def _hold_floods(
    payload: Payload, rules: Rules, tasks: list[Task], left: _Left
) -> list[Task]:
    if not payload["updates"] or len(tasks) <= rules.max_actions:
        return tasks
    why = f"{len(tasks)} actions are more than max_actions = {rules.max_actions}: none was done; {_RUN}"
    for task in tasks:
        left.add(task.issue.shown, why, asked=True)
    return []


_RUN = "`oberonc send --rev A..B` does what was held back"
_FOREIGN = "a merge brought in another project's history, which acts on nothing"


def _import(payload: Payload, rules: Rules) -> str:
    """Why this push is an import, or an empty string: it creates the first publish ref,
    with a whole history.
    """
    publishing = [update for update in payload["updates"] if update["publish"]]
    count = max(payload.get("published_total", 0), len(payload["published"]))
    if (
        count <= rules.import_above
        or not publishing
        or not all(_is_first(update) for update in publishing)
    ):
        return ""
    name = publishing[0]["name"]
    return f"the first push of {name} with {count} commits is an import and acts on nothing; {_RUN}"


def _is_first(update: dict[str, Any]) -> bool:
    """Whether the update made the first publish ref; a payload of another hand may only
    say that it made one.
    """
    return bool(update["created"] and update.get("first", True))


def _commits(payload: Payload) -> Iterator[tuple[Commit, bool]]:
    """Every commit of the push once, oldest first, and whether it was published."""
    published = set(payload["published"])
    seen = set()
    for commit in [*payload["merged"], *payload["commits"]]:
        if commit["raw_node"] not in seen:
            seen.add(commit["raw_node"])
            yield commit, commit["raw_node"] in published


def _unless_undone(task: Task, undone: dict[str, str]) -> Task:
    """*task* without its change of state, where the same push undoes it."""
    by = undone.get(task.commit["raw_node"])
    if by is None or task.action == "reference":
        return task
    return task._replace(
        action="reference", target="", why=f"{by}, of the same push, undoes it"
    )


def _tasks(
    commit: Commit, published: bool, rules: Rules, left: _Left
) -> Iterator[Task]:
    """What one commit asks for: one task an issue, in the order of first mention."""
    for reference in _references(commit, rules.words, left):
        issue = rules.resolve(reference)
        shown = issue.shown if issue else written(reference)
        asked = reference.action != "mention"
        if not asked and rules.mentions != "comment":
            left.add(shown, "no word before it asks for anything", asked=False)
        elif not published and rules.other_refs != "reference":
            left.add(shown, _UNPUBLISHED, asked=asked)
        elif issue is None:
            left.notes.append(f"{shown} is not of a project this service is bound to")
        else:
            task = Task(issue, commit, reference.action, reference.time or 0, "")
            yield _decide(task, reference, published, rules, left)


def _decide(
    task: Task, reference: Reference, published: bool, rules: Rules, left: _Left
) -> Task:
    """*task* with the action it may have."""
    if not published:
        return task._replace(action="reference", seconds=0, why=_UNPUBLISHED)
    if task.action == "reference":
        return task._replace(why=reference.why if reference.wanted else "")
    if task.action in ("mention", "comment", "time"):
        return task._replace(action="reference")
    if not rules.may_change_state:
        return task._replace(
            action="reference", why="a fork does not change the issues of its original"
        )
    if task.action == "assign":
        return _assigned(task, reference.argument or "", rules.users, left)
    if task.action in ("state", "transition"):
        target = reference.argument or ""
        if not rules.moves:
            return task._replace(
                action="reference", why=f"this tracker has no status {target}"
            )
        return task._replace(action="move", target=target)
    return task


def _assigned(task: Task, name: str, users: dict[str, str], left: _Left) -> Task:
    """*task* for the user called *name*, or as its first word; never somebody the
    settings do not know.
    """
    first = name.partition(" ")[0]
    user = users.get(name.casefold()) or users.get(first.casefold()) or ""
    if not user:
        left.notes.append(
            f"{task.issue.shown} is assigned to nobody: {visible(first[:60])!r} is not in `authors`"
        )
    return task._replace(action="reference", assign=user)


def describe(plan: Plan) -> list[str]:
    """The plan for people, one line each: what, to which issue, for which commit, and
    why not more.
    """
    return [_line(task) for task in plan.tasks] + plan.notes + plan.remarks or [NOBODY]


def _line(task: Task) -> str:
    verb = {"reference": "comment on"} | {
        same: same for same in ("close", "reopen", "move")
    }
    did = f"{verb.get(task.action, f'close as {task.action}')} {task.issue.shown}"
    target = f" to {task.target}" if task.target else ""
    time = f", log {task.seconds // 60} minutes" if task.seconds else ""
    to = f", assign it to {task.assign}" if task.assign else ""
    why = f" (state left as it is: {task.why})" if task.why else ""
    return f"{did}{target}{time}{to} for {task.commit['node']}{why}"


def written(reference: Reference) -> str:
    """The reference as a person would write it."""
    if reference.key:
        return f"{reference.key}-{reference.issue}"
    return f"{reference.repository or ''}#{reference.issue}"


def _references(commit: Commit, words: Words, left: _Left) -> list[Reference]:
    """The references of the commit's message that count."""
    message = commit["message"]
    read = scan(message, words)
    for near in read.near_misses:
        number = _NUMBER.search(message, near.start, near.end)
        if number:
            left.add(number[0], near.text, asked=near.wanted is not None)
    found = read.references
    if (
        commit.get("truncated")
        and len(message) > _CUT_ABOVE
        and found
        and found[-1].end == len(message)
    ):
        left.notes.append(
            f"{written(found[-1])} stands where the message of {commit['node']} was cut, and may be cut too"
        )
        found = found[:-1]
    limit = min(MESSAGE_LIMIT, words.max_references)
    if len(found) > limit or (read.cut and len(found) == limit):
        left.notes.append(
            f"{commit['node']} has more references than count: only the first {limit} do"
        )
    return found[:MESSAGE_LIMIT]


def _merged(tasks: Iterator[Task]) -> list[Task]:
    """One task for each (issue, change): the first change of state wins, times of one
    commit add up.
    """
    merged: dict[tuple[str, str, str], Task] = {}
    for task in tasks:
        key = (task.issue.project, task.issue.number, task.change)
        merged[key] = _both(merged[key], task) if key in merged else task
    return list(merged.values())


def _both(first: Task, second: Task) -> Task:
    same = first.commit["raw_node"] == second.commit["raw_node"]
    task = first._replace(
        seconds=first.seconds + second.seconds * same,
        assign=first.assign or second.assign,
    )
    if first.action == "reference" and second.action != "reference":
        return task._replace(action=second.action, target=second.target, why="")
    return task
