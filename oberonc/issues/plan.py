"""What a push asks of the issues: a pure function from a payload to tasks, with the
reason of each.

Only published commits act. A task is what one change wants of one issue: a comment
always, and perhaps a change of state or a time entry. What is decided here needs no
tracker; what the tracker knows (closed already, no such issue) is decided in `act.py`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from oberonc.grammar.message import scan
from oberonc.grammar.reference import Reference
from oberonc.grammar.vocabulary import Words
from oberonc.issues.rewritten import asked_anew
from oberonc.issues.tasks import Commit, Issue, Payload, Task, merge
from oberonc.issues.undone import undone_by
from oberonc.text import counted, listed, visible

#: References of one message that count; a person does not write more.
MESSAGE_LIMIT = 100
#: A cut message shorter than this was not cut in its text (its list of files was).
_CUT_ABOVE = 1024
#: Reasons that are given, and issues named for each.
_REASONS = 6
_NAMED = 6
#: What is said of a push that names no issue.
_NO_ISSUE = "no issue is named"
_UNPUBLISHED = "not on a publish ref"
_FOREIGN = "a merge brought in another project's history, which acts on nothing"
_BY_HAND = "`oberonc send --rev A..B` does what was held back"
#: An issue's number in what was not read.
_NUMBER = re.compile(r"#[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings that decide what acts. `resolve` finds the issue a reference means,
    if the service is bound to it.
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


class _Skipped:
    """The issues that are named and for which nothing is done, by the reason."""

    def __init__(self) -> None:
        #: Sentences that stand by themselves.
        self.notes: list[str] = []
        self._wanted: dict[str, dict[str, None]] = {}
        self._named: dict[str, dict[str, None]] = {}

    def add(self, shown: str, why: str, *, wanted: bool) -> None:
        """*shown* is an issue as people write it; *wanted* says that something was
        wanted of it.
        """
        reasons = self._wanted if wanted else self._named
        reasons.setdefault(why, {})[shown] = None

    def add_tasks(self, tasks: Iterable[Task], why: str) -> None:
        """None of *tasks* is done."""
        for task in tasks:
            self.add(task.issue.shown, why, wanted=True)

    def sentences(self, done: Iterable[Task]) -> tuple[list[str], list[str]]:
        """The notes and the remarks; an issue that has a task needs no excuse."""
        shown = {task.issue.shown for task in done}
        return (
            self.notes + _sentences(self._wanted, shown),
            _sentences(self._named, shown),
        )


def _sentences(reasons: dict[str, dict[str, None]], done: set[str]) -> list[str]:
    """`#2 and #3 are named, and nothing is done: not on a publish ref`, for each of the
    first reasons.
    """
    sentences = []
    for why, found in reasons.items():
        names = [shown for shown in found if shown not in done]
        if names:
            verb = "is" if len(names) == 1 else "are"
            named = f"{listed(names, _NAMED)} {verb} named"
            sentences.append(f"{named}, and nothing is done: {why}")
    more = len(sentences) - _REASONS
    if more > 0:
        return [*sentences[:_REASONS], f"and {more} more reasons"]
    return sentences


def make_plan(payload: Payload, rules: Rules) -> Plan:
    """What *payload* asks for, under *rules*."""
    skipped = _Skipped()
    remarks = []
    if payload["truncated"]:
        remarks.append("the push was larger than the limits and was cut")
    commits = list(_commits(payload))
    undone = undone_by(commit for commit, published in commits if published)
    tasks = merge(
        _unless_undone(task, undone)
        for commit, published in commits
        for task in _tasks(commit, published, rules, skipped)
    )

    imported = _import(payload, rules)
    foreign = set(payload.get("foreign", ()))
    held, tasks_of_ours = list[Task](), list[Task]()
    for task in tasks:
        if imported or task.commit["raw_node"] in foreign:
            held.append(task)
        else:
            tasks_of_ours.append(task)
    skipped.add_tasks(held, imported or f"{_FOREIGN}; {_BY_HAND}")
    if imported and not tasks:
        remarks.append(imported)

    tasks = _not_again(payload, rules, tasks_of_ours, skipped)
    if payload["updates"] and len(tasks) > rules.max_actions:
        limit = f"max_actions = {rules.max_actions}"
        why = f"{len(tasks)} actions are more than {limit}: none was done; {_BY_HAND}"
        skipped.add_tasks(tasks, why)
        tasks = []
    notes, named = skipped.sentences(tasks)
    return Plan(tasks, notes, named + remarks, tuple(held))


def _commits(payload: Payload) -> Iterator[tuple[Commit, bool]]:
    """Every commit of the push once, oldest first, and whether it was published."""
    published = set(payload["published"])
    seen = set()
    for commit in [*payload["merged"], *payload["commits"]]:
        if commit["raw_node"] not in seen:
            seen.add(commit["raw_node"])
            yield commit, commit["raw_node"] in published


def _tasks(
    commit: Commit, published: bool, rules: Rules, skipped: _Skipped
) -> Iterator[Task]:
    """What one commit asks for: one task an issue, in the order of first mention."""
    for reference in _references(commit, rules.words, skipped):
        issue = rules.resolve(reference)
        shown = issue.shown if issue else _written(reference)
        wanted = reference.action != "mention"
        if not wanted and rules.mentions != "comment":
            skipped.add(shown, "no word before it asks for anything", wanted=False)
        elif not published and rules.other_refs != "reference":
            skipped.add(shown, _UNPUBLISHED, wanted=wanted)
        elif issue is None:
            skipped.notes.append(
                f"{shown} is not of a project this service is bound to"
            )
        else:
            task = Task(issue, commit, reference.action, reference.time or 0, "")
            yield _decide(task, reference, published, rules, skipped)


def _references(commit: Commit, words: Words, skipped: _Skipped) -> list[Reference]:
    """The references of the commit's message that count."""
    message = commit["message"]
    read = scan(message, words)
    for near in read.near_misses:
        number = _NUMBER.search(message, near.start, near.end)
        if number:
            skipped.add(number[0], near.text, wanted=near.wanted is not None)
    found = read.references
    if (
        commit.get("truncated")
        and len(message) > _CUT_ABOVE
        and found
        and found[-1].end == len(message)
    ):
        skipped.notes.append(
            f"{_written(found[-1])} stands where the message of {commit['node']} was cut, and may be cut too"
        )
        found = found[:-1]
    limit = min(MESSAGE_LIMIT, words.max_references)
    if len(found) > limit or (read.cut and len(found) == limit):
        skipped.notes.append(
            f"{commit['node']} has more references than count: only the first {limit} do"
        )
    return found[:MESSAGE_LIMIT]


def _written(reference: Reference) -> str:
    """The reference as a person would write it."""
    if reference.key:
        return f"{reference.key}-{reference.issue}"
    return f"{reference.repository or ''}#{reference.issue}"


def _decide(
    task: Task, reference: Reference, published: bool, rules: Rules, skipped: _Skipped
) -> Task:
    """*task* with the action it may have."""
    comment = task._replace(action="reference")
    if not published:
        return comment._replace(seconds=0, why=_UNPUBLISHED)
    if task.action == "reference" and reference.wanted:
        return comment._replace(why=reference.why)
    if task.action in ("reference", "mention", "comment", "time"):
        return comment
    if not rules.may_change_state:
        return comment._replace(why="a fork does not change the issues of its original")
    argument = reference.argument or ""
    if task.action == "assign":
        # the whole name, or its first word; never somebody the settings do not know
        first = argument.partition(" ")[0]
        users = rules.users
        user = users.get(argument.casefold()) or users.get(first.casefold()) or ""
        if not user:
            name = repr(visible(first[:60]))
            skipped.notes.append(
                f"{task.issue.shown} is assigned to nobody: {name} is not in `authors`"
            )
        return comment._replace(assign=user)
    if task.action in ("state", "transition"):
        if not rules.moves:
            return comment._replace(why=f"this tracker has no status {argument}")
        return task._replace(action="move", target=argument)
    return task


def _unless_undone(task: Task, undone: dict[str, str]) -> Task:
    """*task* without its change of state, where the same push undoes it."""
    by = undone.get(task.commit["raw_node"])
    if by is None or task.action == "reference":
        return task
    why = f"{by}, of the same push, undoes it"
    return task._replace(action="reference", target="", why=why)


def _import(payload: Payload, rules: Rules) -> str:
    """Why this push is an import, or an empty string: it creates the first publish ref,
    with a whole history.
    """
    publishing = [update for update in payload["updates"] if update["publish"]]
    count = max(payload.get("published_total", 0), len(payload["published"]))
    if count <= rules.import_above or not publishing:
        return ""
    for update in publishing:
        # a payload of another hand may only say that it made a ref
        if not update["created"] or not update.get("first", True):
            return ""
    push = f"the first push of {publishing[0]['name']} with {counted(count, 'commit')}"
    return f"{push} is an import and acts on nothing; {_BY_HAND}"


def _not_again(
    payload: Payload, rules: Rules, tasks: list[Task], skipped: _Skipped
) -> list[Task]:
    """*tasks* without what was asked for already by the commits that this push took off
    the publish refs.
    """
    dropped = payload.get("dropped", [])
    total = payload.get("dropped_total", 0)
    if not tasks or not total:
        return tasks
    if len(dropped) < total:
        skipped.add_tasks(
            tasks,
            f"the push replaces more of the history than the limits hold, and acts on nothing; {_BY_HAND}",
        )
        return []
    old = merge(
        task for commit in dropped for task in _tasks(commit, True, rules, _Skipped())
    )
    replaced = any(
        update["publish"] and (update["forced"] or update["deleted"])
        for update in payload["updates"]
    )
    anew, again = asked_anew(tasks, old, replaced=replaced)
    skipped.add_tasks(again, "the history that this push replaces asked for it already")
    return anew


def note(notes: Iterable[str], remarks: Iterable[str]) -> str:
    """The note of an attempt. From the word `nothing:` on it is for the log; a hook
    does not print that.
    """
    for_pusher = "; ".join(dict.fromkeys(filter(None, notes)))
    for_log = "; ".join(dict.fromkeys(filter(None, remarks)))
    if not for_pusher:
        return f"nothing: {for_log or _NO_ISSUE}"
    return f"{for_pusher}; nothing: {for_log}" if for_log else for_pusher


def describe(plan: Plan) -> list[str]:
    """The plan for people, one line each: what, to which issue, for which commit, and
    why not more.
    """
    lines = [_line(task) for task in plan.tasks] + plan.notes + plan.remarks
    return lines or [_NO_ISSUE]


def _line(task: Task) -> str:
    verb = f"close as {task.action}"
    if task.action == "reference":
        verb = "comment on"
    elif task.action in ("close", "reopen", "move"):
        verb = task.action
    line = f"{verb} {task.issue.shown}"
    if task.target:
        line += f" to {task.target}"
    if task.seconds:
        line += f", log {task.seconds // 60} minutes"
    if task.assign:
        line += f", assign it to {task.assign}"
    line += f" for {task.commit['node']}"
    if task.why:
        line += f" (state left as it is: {task.why})"
    return line
