"""Jira: Cloud (REST 3, documents for texts) and Data Center (REST 2, wiki markup)."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment, Part
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_key
from oberonc.issues.trackers.web import (
    PAGE,
    PAGES,
    WebTracker,
    is_before,
    is_said,
    known,
    one_of,
)
from oberonc.kit.answers import Refused
from oberonc.kit.markup import plain_name, plain_text, safe_url

#: Under which key Cloud keeps our mark beside a comment or a worklog.
PROPERTY = "oberonc"
#: What Jira installations call the resolutions.
_RESOLUTIONS = {
    "fixed": ("Fixed", "Done", "Resolved"),
    "wontfix": ("Won't Fix", "Won't Do"),
    "invalid": ("Invalid", "Not a Bug"),
    "duplicate": ("Duplicate",),
}
Json = dict[str, Any]
_BREAK: Json = {"type": "hardBreak"}


class Jira(WebTracker):
    """`tracker = "jira"`: Cloud with `user` and `token`, Data Center with `token` alone
    or `user` and `password`.
    """

    kind = "jira"
    flavour = "jira"
    numbering = "key"
    missing = frozenset({"errorMessages"})
    keeps_time = True
    moves = True
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})
    needs: ClassVar[tuple[str, ...]] = ("url", "project", "token|password")

    def __init__(self, broker: BaseBroker) -> None:
        settings = broker.settings
        host = urlsplit(settings.url).hostname or ""
        self.cloud = bool(settings.user and settings.token) or host.endswith(
            ".atlassian.net"
        )
        super().__init__(broker)

    def address(self, site: str) -> str:
        return f"{site}/rest/api/{3 if self.cloud else 2}"

    def headers(self) -> dict[str, str]:
        settings = self.settings
        return (
            {"Authorization": f"Bearer {settings.token}"}
            if settings.token and not settings.user
            else {}
        )

    def auth(self) -> tuple[str, str] | None:
        settings = self.settings
        return (
            (settings.user, str(settings.token or settings.password))
            if settings.user
            else None
        )

    def whoami(self) -> None:
        self.get("myself")

    def is_closed(self, issue: Issue) -> bool:
        status = self._status(issue)
        # the names are translated, the keys are not
        return bool(status["statusCategory"]["key"] == "done") or (
            str(status["name"]).casefold() == str(self.settings.close).casefold()
        )

    def _status(self, issue: Issue) -> Json:
        with known():
            found: Json = self.get("issue", issue_key(issue), fields="status")
        self.stays(issue, str(found.get("key", issue.number)))
        status: Json = found["fields"]["status"]
        return status

    def comment(self, issue: Issue, comment: Comment) -> None:
        with known():
            self.send(
                "POST",
                "issue",
                issue_key(issue),
                "comment",
                json=self._text("body", comment),
            )

    def _text(self, name: str, comment: Comment) -> Json:
        if not self.cloud:
            return {name: comment.text}
        value = {"key": comment.mark}
        return {
            name: document(comment.parts),
            "properties": [{"key": PROPERTY, "value": value}],
        }

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        path = ("issue", issue_key(issue), "comment")
        for page in range(PAGES):
            newest = {
                "orderBy": "-created",
                "startAt": page * PAGE,
                "maxResults": PAGE,
                "expand": "properties",
            }
            found = self.get(*path, **newest)["comments"]
            # a transition has no place for our mark beside its comment
            if any(
                is_said(entry.get("body"), mark) or self._is_marked(entry, mark)
                for entry in found
            ):
                return True
            if len(found) < PAGE or is_before(found[-1].get("created"), since):
                return False
        return False

    def _is_marked(self, entry: Json, mark: str) -> bool:
        return any(
            kept.get("value") == {"key": mark} for kept in entry.get("properties", [])
        )

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._take(
            issue,
            choose(self._offered(issue), self.settings.close, ("done",), "close"),
            resolution,
            comment,
        )

    def reopen(self, issue: Issue, comment: Comment) -> None:
        offered = self._offered(issue)
        self._take(
            issue,
            choose(offered, self.settings.reopen, ("new", "indeterminate"), "reopen"),
            "",
            comment,
        )

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        status = str(self._status(issue)["name"])
        if status.casefold() == state.casefold():
            return False
        transition = choose(self._offered(issue), state, (), "words")
        if transition["to"]["name"] == status:
            return False
        closes = transition["to"]["statusCategory"]["key"] == "done"
        self._take(issue, transition, "fixed" if closes else "", comment)
        return True

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        done = {
            str(status["name"]): status["statusCategory"]["key"] == "done"
            for status in self.get("status")
        }
        return any(done.get(name) == closed for name in self._reached(issue, since))

    def _reached(self, issue: Issue, since: float) -> list[str]:
        """The names of the statuses it was given after *since*."""
        with known():
            found = self.get(
                "issue", issue_key(issue), fields="status", expand="changelog"
            )
        recent = [
            entry
            for entry in found["changelog"]["histories"]
            if not is_before(entry["created"], since)
        ]
        return [
            str(item["toString"])
            for entry in recent
            for item in entry["items"]
            if item["field"] == "status"
        ]

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        # Where a transition leads is not told once it was taken; but then the issue
        # moved, and it is not offered.
        reached = self._reached(issue, since)
        leads = {
            str(entry["name"]): str(entry["to"]["name"])
            for entry in self._offered(issue)
        }
        targets = {
            target
            for name, target in leads.items()
            if state.casefold() in (name.casefold(), target.casefold())
        }
        wanted = {name.casefold() for name in (state, *targets)}
        return any(name.casefold() in wanted for name in reached) or (
            bool(reached) and not targets
        )

    def assign(self, issue: Issue, user: str) -> None:
        # Not `known`: 404 means the user as well.
        self.send(
            "PUT",
            "issue",
            issue_key(issue),
            "assignee",
            json={"accountId" if self.cloud else "name": user},
        )

    def _offered(self, issue: Issue) -> list[Json]:
        """The transitions that lead on from where the issue is."""
        with known():
            path = ("issue", issue_key(issue), "transitions")
            found: list[Json] = self.get(*path, expand="transitions.fields")[
                "transitions"
            ]
        return found

    def _take(
        self, issue: Issue, transition: Json, resolution: str, comment: Comment
    ) -> None:
        request: Json = {"transition": {"id": str(transition["id"])}}
        if comment.text:
            # what a transition's screen does not show, it may drop without a word
            if "comment" not in (transition.get("fields") or {}):
                raise Refused("the transition's screen takes no comment")
            body = _marked(comment) if self.cloud else comment.text
            request["update"] = {"comment": [{"add": {"body": body}}]}
        shown = dict(transition.get("fields") or {})
        if comment.text:
            del shown["comment"]
        fields = self._fields(shown, resolution)
        with known():
            path = ("issue", issue_key(issue), "transitions")
            self.send(
                "POST", *path, json=request | ({"fields": fields} if fields else {})
            )

    def _fields(self, fields: Json, resolution: str) -> Json:
        """What the transition's screen wants to be told: the resolution, and nothing we
        could not know.
        """
        given: Json = {}
        for name, field in fields.items():
            if name == "resolution" and resolution:
                found = self._resolution(field, resolution)
                given |= {"resolution": {"name": found}} if found else {}
            if (
                field.get("required")
                and not field.get("hasDefaultValue")
                and name not in given
            ):
                values = ", ".join(
                    str(value.get("name")) for value in field.get("allowedValues") or []
                )
                mend = (
                    "set `resolutions`"
                    if name == "resolution"
                    else "name another transition in `close`"
                )
                raise Refused(
                    f"the transition demands the field {name} ({values}): {mend}"
                )
        return given

    def _resolution(self, field: Json, wanted: str) -> str:
        own = self.settings.resolutions.get(wanted)
        allowed = {
            str(value["name"]).casefold(): str(value["name"])
            for value in field.get("allowedValues") or []
        }
        names = [
            allowed.get(name.casefold(), "")
            for name in ([own] if own else _RESOLUTIONS[wanted])
        ]
        return next(filter(None, names), "")

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        entry = {
            "timeSpentSeconds": max(60, seconds),
            "started": started,
            **self._text("comment", comment),
        }
        notify = "true" if self.settings.notify else "false"
        with known():
            path = ("issue", issue_key(issue), "worklog")
            self.send(
                "POST", *path, json=entry, adjustEstimate="auto", notifyUsers=notify
            )

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        after = {
            "startedAfter": int(max(0.0, since - 300) * 1000),
            "expand": "properties",
        }
        found = self.get("issue", issue_key(issue), "worklog", **after)["worklogs"]
        return any(
            mark in str(entry.get("comment")) or self._is_marked(entry, mark)
            for entry in found
        )

    def check(self) -> list[Check]:
        project = self.settings.project
        need = f"give the user's role in {project} Browse Projects, Add Comments, Transition Issues"
        mend = "set `close` to a transition"
        return self.looks(
            (
                "Jira answers, and takes the credentials",
                "set `url`, `user`, `token`",
                lambda: bool(self.get("myself")),
            ),
            (
                f"comments and transitions are allowed in {project}",
                need,
                lambda: self._may(project),
            ),
            (
                f"an open issue of {project} can be closed",
                mend,
                lambda: self._leads(project, "close"),
            ),
            (
                f"a closed issue of {project} can be reopened",
                "set `reopen` to a transition",
                lambda: self._leads(project, "reopen"),
            ),
            (f"work can be logged in {project}", "", lambda: self._keeps(project)),
        )

    def _keeps(self, project: str) -> Check:
        """Never wrong: where no work can be logged, comments have it."""
        found = self.get(
            "mypermissions", projectKey=project, permissions="WORK_ON_ISSUES"
        )["permissions"]
        if found.get("WORK_ON_ISSUES", {}).get("havePermission"):
            return Check(True, f"work can be logged in {project}")
        why = "the role has no Work On Issues"
        return Check(True, f"no work can be logged, and comments say it: {why}")

    def _may(self, project: str) -> bool:
        wanted = "BROWSE_PROJECTS,ADD_COMMENTS,TRANSITION_ISSUES"
        found = self.get("mypermissions", projectKey=project, permissions=wanted)[
            "permissions"
        ]
        return all(
            found.get(name, {}).get("havePermission") for name in wanted.split(",")
        )

    def _leads(self, project: str, step: str) -> bool | Check:
        """Whether an issue of *project* has a transition for *step*."""
        search = ("search", "jql") if self.cloud else ("search",)
        is_done = "=" if step == "reopen" else "!="
        query = {
            "jql": f'project = "{project}" AND statusCategory {is_done} Done',
            "maxResults": 1,
            "fields": "status",
        }
        found = self.get(*search, **query)["issues"]
        if not found:
            which = "a closed" if step == "reopen" else "an open"
            return Check(True, f"to {step} is unproven: there is not {which} issue")
        try:
            issue = issue_key(Issue(project, found[0]["key"], ""))
        except NoSuchIssue:
            return False
        offered = self._offered(Issue(project, issue, ""))
        if step == "reopen":
            ends: tuple[str, ...] = ("new", "indeterminate")
            choose(offered, self.settings.reopen, ends, step)
            return True
        taken = choose(offered, self.settings.close, ("done",), step)
        self._fields(taken.get("fields") or {}, "fixed")
        return True


def choose(
    offered: list[Json], wanted: str, categories: tuple[str, ...], setting: str
) -> Json:
    """The transition called *wanted*, or leading to the status of that name, or, where
    nothing is named, the one that leads to a category; never a guess.
    """
    if wanted:
        targets = {str(entry["to"]["name"]): entry for entry in reversed(offered)}
        names = {str(entry["name"]): entry for entry in reversed(offered)}
        found: Json = one_of(wanted, targets | names, "transition", setting)
        return found
    for category in categories:
        fitting = [
            entry
            for entry in offered
            if entry["to"]["statusCategory"]["key"] == category
        ]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise Refused(
                f"{_names(fitting)} all lead there: set `{setting}` to the one that is meant"
            )
    raise Refused(
        f"no transition leads there now; there is {_names(offered) or 'none'}: set `{setting}`"
    )


def _names(transitions: list[Json]) -> str:
    return ", ".join(f"'{entry['name']}'" for entry in transitions)


def document(parts: list[Part]) -> Json:
    """The comment in Atlassian's document format, where text is text and nothing in it
    can be markup.
    """
    blocks: list[Json] = []
    line: list[Json] = []
    for part in parts:
        if part.kind == "quote":
            code = {
                "type": "codeBlock",
                "content": [{"type": "text", "text": plain_text(part.text) or " "}],
            }
            blocks += [*_paragraph(line), code]
            line = []
        else:
            line += _inline(part)
    return {"type": "doc", "version": 1, "content": [*blocks, *_paragraph(line)]}


def _marked(comment: Comment) -> Json:
    """The comment as a document that has the mark in its text."""
    written = document(comment.parts)
    if comment.mark in str(written):
        return written
    return document([*comment.parts, Part("text", f"\n({comment.mark})")])


def _inline(part: Part) -> list[Json]:
    """The nodes of a part: texts, and breaks between its lines."""
    text = plain_name(part.text) if part.kind == "name" else part.text
    marks = (
        {"marks": [{"type": "link", "attrs": {"href": part.url}}]}
        if safe_url(part.url)
        else {}
    )
    nodes: list[Json] = []
    for line in text.split("\n"):
        nodes += [_BREAK, {"type": "text", "text": line, **marks}] if line else [_BREAK]
    return nodes[1:]


def _paragraph(line: list[Json]) -> list[Json]:
    while line and line[-1] == _BREAK:
        line = line[:-1]
    while line and line[0] == _BREAK:
        line = line[1:]
    return [{"type": "paragraph", "content": line}] if line else []
