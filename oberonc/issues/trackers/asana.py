"""Asana. Comments are stories in rich text, which is XML: what is written in it is dead
by being escaped.
"""

import html
import re
from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment, Part
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue
from oberonc.issues.trackers.web import (
    PAGE,
    PAGES,
    WebTracker,
    is_before,
    is_said,
    known,
)
from oberonc.kit.markup import MARKUPS, plain_name, plain_text, safe_url

_RICH = MARKUPS["html"]
#: The number that Asana gives a task; ours is one with it.
_GID = re.compile("[1-9][0-9]{0,18}")
#: What is visible text and may not be in XML.
_NO_XML = re.compile("[\ufffe\uffff]")
_FIELDS = "completed,resource_subtype,projects.name,workspace.name"
_MOVES = {True: "marked_complete", False: "marked_incomplete"}


class Asana(WebTracker):
    """`tracker = "asana"`."""

    kind = "asana"
    default_url = "https://app.asana.com"
    api = "/api/1.0"
    flavour = "plain"
    numbering = "all"
    missing = frozenset({"errors"})
    needs: ClassVar[tuple[str, ...]] = ("token",)

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        #: What the tasks that were read belong to, by name and number.
        self._homes: dict[Issue, list[str]] = {}

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.settings.token}",
            "Accept": "application/json",
        }

    def whoami(self) -> None:
        self._me()

    def _me(self) -> Any:
        return self.get("users", "me", opt_fields="workspaces.name")["data"]

    def _task(self, issue: Issue) -> Any:
        with known():
            return self.get("tasks", _number(issue), opt_fields=_FIELDS)["data"]

    def is_closed(self, issue: Issue) -> bool:
        found = self._task(issue)
        if found.get("resource_subtype") == "approval":
            raise NoSuchIssue("is an approval, which a person has to decide")
        projects = _names(found["projects"]) or ["no project"]
        self._homes[issue] = projects + _names([found.get("workspace") or {}])
        return bool(found["completed"])

    def homes(self, issue: Issue) -> list[str]:
        """Its projects, then the workspace."""
        return self._homes[issue]

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._send("POST", issue, "stories", html_text=rich_text(comment))

    def _send(self, method: str, issue: Issue, *parts: str, **change: Any) -> None:
        with known():
            self.send(method, "tasks", _number(issue), *parts, json={"data": change})

    def _stories(self, issue: Issue, since: float) -> list[dict[str, Any]]:
        """What was said of it and done to it after *since*; Asana has the oldest first."""
        fields = "created_at,resource_subtype,text"
        window: dict[str, Any] = {"opt_fields": fields, "limit": PAGE}
        done: list[dict[str, Any]] = []
        for _ in range(PAGES):
            found = self.get("tasks", _number(issue), "stories", **window)
            done += [
                each
                for each in found["data"]
                if not is_before(each["created_at"], since)
            ]
            if not found.get("next_page"):
                break
            window["offset"] = found["next_page"]["offset"]
        return done

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return any(
            is_said(each.get("text"), mark) for each in self._stories(issue, since)
        )

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        return any(
            each["resource_subtype"] == _MOVES[closed]
            for each in self._stories(issue, since)
        )

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._send("PUT", issue, completed=True)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._send("PUT", issue, completed=False)

    def check(self) -> list[Check]:
        project = self.settings.project
        token = (
            "Asana answers, and takes the token",
            "set `token` to a personal access token, or to one of a service account",
            lambda: bool(self._me()["gid"]),
        )
        if not project:
            return self.looks(token)
        need = "name a project or a workspace by its number or its name, and share it with the token's user"
        what = f"{project} may be seen; whether its tasks may be changed is unproven"
        return self.looks(token, (what, need, lambda: self._sees(project)))

    def _sees(self, project: str) -> bool:
        spaces = self._me()["workspaces"]
        if project.casefold() in map(str.casefold, _names(spaces)):
            return True
        if _GID.fullmatch(project):
            with known():
                return bool(self.get("projects", project, opt_fields="name")["data"])
        wanted = {"resource_type": "project", "query": project, "opt_fields": "name"}
        found = [
            each
            for space in spaces
            for each in self.get("workspaces", space["gid"], "typeahead", **wanted)[
                "data"
            ]
        ]
        return project.casefold() in map(str.casefold, _names(found))


def _number(issue: Issue) -> str:
    if not _GID.fullmatch(issue.number):
        raise NoSuchIssue
    return issue.number


def _names(things: list[dict[str, Any]]) -> list[str]:
    """The name and the number of each."""
    return [
        str(each[key]) for each in things for key in ("name", "gid") if each.get(key)
    ]


def rich_text(comment: Comment) -> str:
    """The comment as Asana's rich text."""
    text = "".join(map(_rich, comment.parts)).strip("\n")
    if comment.mark not in text:
        text += f"\n\n({comment.mark})"
    return f"<body>{_NO_XML.sub('?', text)}</body>"


def _rich(part: Part) -> str:
    if part.kind == "name":
        return _RICH.dead(plain_name(part.text))
    if part.kind == "link":
        return _RICH.link(part.text, safe_url(part.url))
    if part.kind == "quote":
        return f"\n<pre>{_RICH.dead(plain_text(part.text)) or ' '}</pre>\n"
    return html.escape(part.text, quote=True)
