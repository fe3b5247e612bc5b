"""What a push asks of the issues: a pure function from a payload to tasks, with the reason of each.

Only published commits act. A task is what one change wants of one issue: a comment always, and perhaps a change of
state or a time entry. What is decided here needs no tracker; what the tracker knows (closed already, no such issue)
is decided in `act.py`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from oberonc.issues.grammar import Reference, Words, find_references

#: References of one message that count; a person does not write more.
MESSAGE_LIMIT = 100
#: A cut message shorter than this was not cut in its text (its list of files was).
_CUT_ABOVE = 1024
#: The actions that change an issue's state, and the resolution with which some of them close it.
_CHANGING = ("close", "wontfix", "invalid", "duplicate", "reopen")
RESOLUTIONS = {"close": "fixed", "wontfix": "wontfix", "invalid": "invalid", "duplicate": "duplicate"}
#: How the grammar's rules begin: with the verb.
_VERB = re.compile("'([^']+?):?'")

Payload = dict[str, Any]
Commit = dict[str, Any]


class Issue(NamedTuple):
    """An issue of a project the service is bound to, and how people write it."""

    project: str
    number: str
    shown: str


class Task(NamedTuple):
    """What one change asks of one issue.

    `action` is `close`, `wontfix`, `invalid`, `duplicate`, `reopen` or `reference`; `seconds` is work to log;
    `why` says what kept a stronger action back, and is empty otherwise.
    """

    issue: Issue
    commit: Commit
    action: str
    seconds: int
    why: str

    @property
    def change(self) -> str:
        return str(self.commit.get("change") or self.commit["raw_node"])


class Plan(NamedTuple):
    """The tasks in the order of the commits, and what has to be said about what is not among them."""

    tasks: list[Task]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The settings the policy looks at. `resolve` finds the issue a reference means, if the service is bound to it."""

    words: Words
    resolve: Callable[[Reference], Issue | None]
    other_refs: str = ""
    mentions: str = ""
    import_above: int = 20
    max_actions: int = 1000
    may_change_state: bool = True


def make_plan(payload: Payload, rules: Rules) -> Plan:
    """What *payload* asks for, under *rules*."""
    held = _import(payload, rules)
    if held:
        return Plan([], [held])
    notes: list[str] = []
    commits = _commits(payload)
    tasks = _merged(task for commit, published in commits for task in _tasks(commit, published, rules, notes))
    if payload["updates"] and len(tasks) > rules.max_actions:
        why = f"{len(tasks)} actions are more than max_actions = {rules.max_actions}: none was done"
        return Plan([], [f"{why}; {_RUN}"])
    return Plan(tasks, notes)


_RUN = "`oberonc send --rev A..B` does what was held back"


def _import(payload: Payload, rules: Rules) -> str:
    """Why this push is an import, or an empty string: it creates the first publish ref, with a whole history."""
    publishing = [update for update in payload["updates"] if update["publish"]]
    count = len(payload["published"])
    if count <= rules.import_above or not publishing or not all(_is_first(update) for update in publishing):
        return ""
    name = publishing[0]["name"]
    return f"the first push of {name} with {count} commits is an import and acts on nothing; {_RUN}"


def _is_first(update: dict[str, Any]) -> bool:
    """Whether the update made the first publish ref; a payload of another hand may only say that it made one."""
    return bool(update["created"] and update.get("first", True))


def _commits(payload: Payload) -> Iterator[tuple[Commit, bool]]:
    """Every commit of the push once, oldest first, and whether it was published."""
    published = set(payload["published"])
    seen = set()
    for commit in [*payload["merged"], *payload["commits"]]:
        if commit["raw_node"] not in seen:
            seen.add(commit["raw_node"])
            yield commit, commit["raw_node"] in published


def _tasks(commit: Commit, published: bool, rules: Rules, notes: list[str]) -> Iterator[Task]:
    """What one commit asks for: one task an issue, in the order of first mention."""
    if not published and rules.other_refs != "reference":
        return
    for reference in _references(commit, rules.words, notes):
        if reference.action == "mention" and rules.mentions != "comment":
            continue
        issue = rules.resolve(reference)
        if issue is None:
            notes.append(f"{written(reference)} is not of a project this service is bound to")
            continue
        yield _decide(Task(issue, commit, reference.action, reference.time or 0, ""), reference, published, rules)


def _decide(task: Task, reference: Reference, published: bool, rules: Rules) -> Task:
    """*task* with the action it may have."""
    if not published:
        return task._replace(action="reference", seconds=0, why="not on a publish ref")
    if task.action == "reference":
        return task._replace(why=_held(reference, rules.words))
    if task.action in ("mention", "comment", "time"):
        return task._replace(action="reference")
    if task.action not in _CHANGING:
        return task._replace(action="reference", why=f"{task.action} is nothing oberonc does")
    if not rules.may_change_state:
        return task._replace(action="reference", why="a fork does not change the issues of its original")
    return task


def _held(reference: Reference, words: Words) -> str:
    """The rule by which the grammar kept a change of state back, or an empty string."""
    verb = _VERB.match(reference.why)
    changing = {word.casefold() for action in _CHANGING for word in getattr(words, action)}
    changing |= {word.casefold() for word, action in words.trailers if action in _CHANGING}
    return reference.why if verb and verb[1].casefold() in changing else ""


def describe(plan: Plan) -> list[str]:
    """The plan for people, one line each: what, to which issue, for which commit, and why not more."""
    return [_line(task) for task in plan.tasks] + plan.notes


def _line(task: Task) -> str:
    verb = {"reference": "comment on", "close": "close", "reopen": "reopen"}.get(task.action, f"close as {task.action}")
    time = f", log {task.seconds // 60} minutes" if task.seconds else ""
    why = f" (state left as it is: {task.why})" if task.why else ""
    return f"{verb} {task.issue.shown}{time} for {task.commit['node']}{why}"


def written(reference: Reference) -> str:
    """The reference as a person would write it."""
    if reference.key:
        return f"{reference.key}-{reference.issue}"
    return f"{reference.repository or ''}#{reference.issue}"


def _references(commit: Commit, words: Words, notes: list[str]) -> list[Reference]:
    """The references of the commit's message that count."""
    message = commit["message"]
    text = message
    if len(commit["parents"]) > 1:  # the subject names branches and pull requests, not issues
        text = text.partition("\n")[2]
    found = find_references(text, words)
    if commit.get("truncated") and len(message) > _CUT_ABOVE and found and found[-1].end == len(text):
        notes.append(f"{written(found[-1])} stands where the message of {commit['node']} was cut, and may be cut too")
        found = found[:-1]
    if len(found) > MESSAGE_LIMIT:
        notes.append(f"{commit['node']} has {len(found)} references; only the first {MESSAGE_LIMIT} count")
    return found[:MESSAGE_LIMIT]


def _merged(tasks: Iterator[Task]) -> list[Task]:
    """One task for each (issue, change): the first change of state wins, times of one commit add up."""
    merged: dict[tuple[str, str, str], Task] = {}
    for task in tasks:
        key = (task.issue.project, task.issue.number, task.change)
        merged[key] = _both(merged[key], task) if key in merged else task
    return list(merged.values())


def _both(first: Task, second: Task) -> Task:
    same = first.commit["raw_node"] == second.commit["raw_node"]
    task = first._replace(seconds=first.seconds + second.seconds * same)
    if first.action == "reference" and second.action != "reference":
        return task._replace(action=second.action, why="")
    return task
