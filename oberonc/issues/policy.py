"""What a push asks of the issues: a pure function from a payload to tasks, with the reason of each.

Only published commits act. A task is what one change wants of one issue: a comment always, and perhaps a change of
state or a time entry. What is decided here needs no tracker; what the tracker knows (closed already, no such issue)
is decided in `act.py`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from oberonc.issues.grammar import Reference, Words, scan
from oberonc.issues.rewritten import without
from oberonc.text import listed

#: References of one message that count; a person does not write more.
MESSAGE_LIMIT = 100
#: A cut message shorter than this was not cut in its text (its list of files was).
_CUT_ABOVE = 1024
#: The actions that change an issue's state, and the resolution with which some of them close it.
_CHANGING = ("close", "wontfix", "invalid", "duplicate", "reopen")
RESOLUTIONS = {"close": "fixed", "wontfix": "wontfix", "invalid": "invalid", "duplicate": "duplicate"}
#: Reasons that are told, and issues named for each.
_REASONS = 6
_NAMED = 6
#: What is said of a push that names no issue.
NOBODY = "no issue is named"
_UNPUBLISHED = "not on a publish ref"
#: How the grammar's rules begin: with the verb.
_VERB = re.compile("'([^']+?):?'")
#: An issue's number in what was not read, and how far before it a verb is looked for.
_NUMBER = re.compile(r"#[0-9]+")
_WORD = re.compile(r"[a-z]+")
_NEAR = 30

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
    """The tasks in the order of the commits, and what has to be said about what is not among them.

    `notes` are for who pushed: something was asked for and is not done. `remarks` are for who looks it up: an issue is
    named, and nothing was asked. `held` is what an import asked for: never done, unless it is sent by hand.
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
        """*shown* is an issue as people write it; *asked* says that something was wanted of it."""
        (self._asked if asked else self._named).setdefault(why, {})[shown] = None

    def plan(self, tasks: list[Task], remarks: Iterable[str] = ()) -> Plan:
        """*tasks* with what is to be said besides; an issue that has a task needs no excuse."""
        done = {task.issue.shown for task in tasks}
        return Plan(tasks, self.notes + _told(self._asked, done), [*_told(self._named, done), *remarks])


def _told(reasons: dict[str, dict[str, None]], done: set[str]) -> list[str]:
    """A sentence for each of the first reasons."""
    left = {why: [shown for shown in found if shown not in done] for why, found in reasons.items()}
    told = [nothing_done(found, why) for why, found in left.items() if found]
    more = [f"and {len(told) - _REASONS} more reasons"] if len(told) > _REASONS else []
    return told[:_REASONS] + more


def nothing_done(shown: list[str], why: str) -> str:
    """`#2 and #3 are named, and nothing is done: not on a publish ref`"""
    return f"{listed(shown, _NAMED)} {'is' if len(shown) == 1 else 'are'} named, and nothing is done: {why}"


def note(told: Iterable[str], remarks: Iterable[str]) -> str:
    """The note of an attempt. From the word `nothing:` on it is for the log; a hook does not print that."""
    loud, quiet = ("; ".join(dict.fromkeys(filter(None, texts))) for texts in (told, remarks))
    if not loud and not quiet:
        quiet = NOBODY
    return "; ".join(filter(None, (loud, f"nothing: {quiet}" if quiet else "")))


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
    left = _Left()
    tasks = _merged(task for commit, published in _commits(payload) for task in _tasks(commit, published, rules, left))
    remarks = ["the push was larger than the limits and was cut"] if payload["truncated"] else []
    tasks, held = _hold_imports(payload, rules, tasks, left)
    if not tasks and not held and _import(payload, rules):
        remarks.append(_import(payload, rules))
    tasks = _hold_floods(payload, rules, _not_again(payload, rules, tasks, left), left)
    return left.plan(tasks, remarks)._replace(held=tuple(held))


def _hold_imports(payload: Payload, rules: Rules, tasks: list[Task], left: _Left) -> tuple[list[Task], list[Task]]:
    """*tasks* without those of histories that came whole, and these."""
    why = _import(payload, rules)
    foreign = set(payload.get("foreign", ()))
    held = [task for task in tasks if why or task.commit["raw_node"] in foreign]
    for task in held:
        left.add(task.issue.shown, why or f"{_FOREIGN}; {_RUN}", asked=True)
    return [task for task in tasks if not (why or task.commit["raw_node"] in foreign)], held


def _not_again(payload: Payload, rules: Rules, tasks: list[Task], left: _Left) -> list[Task]:
    """*tasks* without what was asked for already by the commits that this push took off the publish refs."""
    dropped = payload.get("dropped", [])
    if not tasks or not payload.get("dropped_total", 0):
        return tasks
    if len(dropped) < payload["dropped_total"]:
        why = f"the push replaces more of the history than the limits hold, and acts on nothing; {_RUN}"
        kept, again = list[Task](), tasks
    else:
        why = "the history that this push replaces asked for it already"
        old = _merged(task for commit in dropped for task in _tasks(commit, True, rules, _Left()))
        kept, again = without(tasks, old)
    for task in again:
        left.add(task.issue.shown, why, asked=True)
    return kept


def _hold_floods(payload: Payload, rules: Rules, tasks: list[Task], left: _Left) -> list[Task]:
    if not payload["updates"] or len(tasks) <= rules.max_actions:
        return tasks
    why = f"{len(tasks)} actions are more than max_actions = {rules.max_actions}: none was done; {_RUN}"
    for task in tasks:
        left.add(task.issue.shown, why, asked=True)
    return []


_RUN = "`oberonc send --rev A..B` does what was held back"
_FOREIGN = "a merge brought in another project's history, which acts on nothing"


def _import(payload: Payload, rules: Rules) -> str:
    """Why this push is an import, or an empty string: it creates the first publish ref, with a whole history."""
    publishing = [update for update in payload["updates"] if update["publish"]]
    count = max(payload.get("published_total", 0), len(payload["published"]))
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


def _tasks(commit: Commit, published: bool, rules: Rules, left: _Left) -> Iterator[Task]:
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
            yield _decide(Task(issue, commit, reference.action, reference.time or 0, ""), reference, published, rules)


def _decide(task: Task, reference: Reference, published: bool, rules: Rules) -> Task:
    """*task* with the action it may have."""
    if not published:
        return task._replace(action="reference", seconds=0, why=_UNPUBLISHED)
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
    return reference.why if verb and verb[1].casefold() in _verbs(words) else ""


@lru_cache(maxsize=16)
def _verbs(words: Words) -> frozenset[str]:
    """The words that change a state."""
    found = {word.casefold() for action in _CHANGING for word in getattr(words, action)}
    return frozenset(found | {word.casefold() for word, action in words.trailers if action in _CHANGING})


def describe(plan: Plan) -> list[str]:
    """The plan for people, one line each: what, to which issue, for which commit, and why not more."""
    return [_line(task) for task in plan.tasks] + plan.notes + plan.remarks or [NOBODY]


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


def _references(commit: Commit, words: Words, left: _Left) -> list[Reference]:
    """The references of the commit's message that count."""
    message = commit["message"]
    subject, text = "", message
    if len(commit["parents"]) > 1:  # the subject names branches and pull requests, not issues
        subject, _, text = message.partition("\n")
    _overlook(subject, words, left, " in the subject of a merge")
    found = _overlook(text, words, left)
    if commit.get("truncated") and len(message) > _CUT_ABOVE and found and found[-1].end == len(text):
        left.notes.append(
            f"{written(found[-1])} stands where the message of {commit['node']} was cut, and may be cut too"
        )
        found = found[:-1]
    if len(found) > MESSAGE_LIMIT:
        left.notes.append(f"{commit['node']} has {len(found)} references; only the first {MESSAGE_LIMIT} count")
    return found[:MESSAGE_LIMIT]


def _overlook(text: str, words: Words, left: _Left, dead: str = "") -> list[Reference]:
    """The references of *text*. What only looks like one is told of; where *dead* says why, so are they."""
    found = scan(text, words)
    for near in found.near_misses:
        number = _NUMBER.search(text, near.start, near.end)
        if number:
            left.add(number[0], near.text + dead, asked=_asks(text, near.start, near.end, words))
    for reference in found.references if dead else ():
        left.add(written(reference), f"it stands{dead}", asked=reference.action != "mention")
    return found.references


def _asks(text: str, start: int, end: int, words: Words) -> bool:
    """Whether a word that changes a state stands close before the end of *text*'s part, on the same line."""
    line = text[max(0, start - _NEAR) : end].rpartition("\n")[2].casefold()
    return not _verbs(words).isdisjoint(_WORD.findall(line)[-3:])


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
