"""What a comment says, in the markup of its tracker, with nothing of the commit's text
alive in it.

A comment is a list of parts: text that is ours or the administrator's, names, links and
quotes. A *flavour* of `kit/markup` turns the parts into one text.
"""

import re
from collections.abc import Iterator
from string import Template
from typing import Any, NamedTuple

from oberonc.issues.tasks import Payload, Task
from oberonc.kit.markup import Flavour, plain_name, plain_text, safe_url
from oberonc.kit.summary import is_nowhere

#: What a comment says unless the setting `template` says otherwise.
TEMPLATE = "${action} by ${commit} of ${repository}, written by ${author}${remark}:\n${message}"
FIELDS = ("action", "commit", "repository", "branch", "author", "remark", "message")
_HEADINGS = {
    "close": "Closed",
    "wontfix": "Closed as wontfix",
    "invalid": "Closed as invalid",
    "duplicate": "Closed as duplicate",
    "reopen": "Reopened",
    "move": "Moved to ",
    "reference": "Referenced",
}


class Part(NamedTuple):
    """A piece of a comment. `kind` is `text` (as it is), `name`, `link` (to `url`) or
    `quote`.
    """

    kind: str
    text: str
    url: str = ""


class Comment(NamedTuple):
    """What a tracker is given to say.

    `key` names the step in the ledger; `mark` is what the comment is found by again:
    hidden where the markup can hide it, else the commit's short id. `name` and `email`
    are the commit author's, `commit` its id or None.
    """

    parts: list[Part]
    text: str
    key: str
    mark: str
    name: str
    email: str
    commit: str | None


def make_parts(
    task: Task, payload: Payload, template: str, *, remark: str = ""
) -> list[Part]:
    """The comment on *task*; ValueError where *template* has a field there is not.

    *remark* has our own words only.
    """
    commit = task.commit
    held = _held(task, payload)
    remarks = [Part("name", held)] if held else []
    if remark:
        remarks.append(Part("text", f"; {remark}" if held else remark))
    fields = {
        "action": [
            Part("text", _HEADINGS[task.action]),
            *([Part("name", task.target)] if task.target else []),
        ],
        "commit": commit_parts(commit),
        "repository": [Part("name", payload["repository"]["full_name"])],
        "branch": [Part("name", commit.get("branch") or "")],
        "author": [Part("name", commit["author"])],
        "remark": [
            Part("text", " ("),
            *remarks,
            Part("text", ")"),
        ]
        if remarks
        else [],
        "message": [Part("quote", commit["message"])],
    }
    return [
        part
        for text, name in _pieces(template)
        for part in (fields[name] if name else [Part("text", text)])
    ]


def check_template(template: str) -> None:
    """Raise ValueError for a field that is not one of `FIELDS`."""
    for _, name in _pieces(template):
        if name and name not in FIELDS:
            raise ValueError(
                f"template: there is no ${{{name}}}; there are {', '.join(FIELDS)}"
            )


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """(literal text, "") and ("", field name) in turn."""
    last = 0
    for match in Template.pattern.finditer(template):
        yield template[last : match.start()], ""
        last = match.end()
        name = match["named"] or match["braced"]
        yield ("", name) if name else ("$", "")
    yield template[last:], ""


def _held(task: Task, payload: Payload) -> str:
    """Why the state was left as it is; in words that stay true when the commit is
    published later.
    """
    if task.commit["raw_node"] not in payload["published"]:
        branch = task.commit.get("branch")
        return (
            f"on {branch}, before it was published"
            if branch
            else "before it was published"
        )
    return f"state left as it is: {task.why}" if task.why else ""


def cut(parts: list[Part], limit: int) -> list[Part]:
    """*parts*, with at most *limit* characters of the message, and how many it has
    more.
    """
    return [
        part._replace(text=plain_text(part.text, limit))
        if part.kind == "quote"
        else part
        for part in parts
    ]


def time_parts(task: Task) -> list[Part]:
    """What a time entry says."""
    return [
        Part("text", f"{duration(task.seconds)} of work, told by "),
        *commit_parts(task.commit),
    ]


def duration(seconds: int) -> str:
    """*seconds* as `1h 30m`."""
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return " ".join(
        part
        for part in (f"{hours}h" * bool(hours), f"{minutes}m" * bool(minutes))
        if part
    )


def commit_parts(commit: dict[str, Any]) -> list[Part]:
    """The commit, linked where its address is known."""
    if is_nowhere(commit):
        return [Part("text", "a commit message")]
    return [
        Part("text", "commit "),
        Part("link", plain_name(commit["node"]), commit.get("url") or ""),
    ]


def render(parts: list[Part], flavour: Flavour) -> str:
    """The parts as one text of *flavour*."""
    return "".join(_write(part, flavour) for part in parts).strip("\n")


def _write(part: Part, flavour: Flavour) -> str:
    if part.kind == "name":
        return flavour.name(plain_name(part.text))
    if part.kind == "link":
        return flavour.link(part.text, safe_url(part.url))
    if part.kind == "quote":
        # on lines of its own wherever the template puts it
        return f"\n{flavour.quote(plain_text(part.text))}\n"
    return part.text


def make_comment(parts: list[Part], task: Task, flavour: Flavour, key: str) -> Comment:
    """The comment in *flavour*, with the mark it is found by again."""
    commit = task.commit
    text = render(parts, flavour)
    nowhere = is_nowhere(commit)
    mark = f"oberonc:{key}" if flavour.hidden or nowhere else str(commit["node"])
    if flavour.hidden:
        text += flavour.hidden % mark
    elif mark not in text:
        text += f"\n\n({mark})"
    return Comment(
        parts,
        text,
        key,
        mark,
        commit["author"],
        _email(commit),
        None if nowhere else commit["raw_node"],
    )


def _email(commit: dict[str, Any]) -> str:
    found = re.search(r"<([^<>]*)>\s*$", commit["raw_author"])
    return found[1].strip().lower() if found else ""
