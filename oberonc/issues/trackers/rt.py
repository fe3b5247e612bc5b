"""Request Tracker, REST 2. It answers 200 and says in words that it refused, so what
was changed is read again.
"""

import re
from typing import Any

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import (
    PAGES,
    Tried,
    WebTracker,
    is_before,
    is_said,
    is_time,
    known,
)
from oberonc.kit.answers import Forbidden, Refused
from oberonc.text import one_line

#: What RT's own lifecycles have for ends, and not; of other statuses it is asked.
_INACTIVE = ("resolved", "rejected", "deleted")
_ACTIVE = ("new", "open", "stalled")
_DEFAULTS = {"close": "resolved", "reopen": "open"}
_TRIES = 4
#: Tickets that `brokers test` looks at for each step.
_SAMPLES = 20


class RequestTracker(WebTracker):
    """`tracker = "rt"`."""

    kind = "rt"
    api = "/REST/2.0"
    flavour = "plain"
    numbering = "all"
    keeps_time = True
    moves = True

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self.resolutions = frozenset(self.settings.resolutions)
        self._queue_ids: dict[Issue, str] = {}
        self._queues: dict[str, Any] = {}
        self._inactive: dict[tuple[str, str], bool] = {}
        self._sampled: dict[str, list[tuple[bool, Any]]] = {}

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"token {self.settings.token}",
            "Accept": "application/json",
        }

    def whoami(self) -> None:
        self.get("rt")

    def is_closed(self, issue: Issue) -> bool:
        found = self._ticket(issue)
        if found["Status"] == "deleted":
            raise NoSuchIssue("was deleted")
        self._queue_ids[issue] = str(found["Queue"]["id"])
        return self._is_closing(found)

    def homes(self, issue: Issue) -> list[str]:
        number = self._queue_ids[issue]
        return [str(self._queue(number)["Name"]), number]

    def _queue(self, number: str) -> Any:
        if number not in self._queues:
            self._queues[number] = self.get("queue", number)
        return self._queues[number]

    def _wanted(self, ticket: Any, step: str, resolution: str = "fixed") -> str:
        """The status that the settings give to *step* in the lifecycle of *ticket*."""
        own = self.settings.resolutions.get(resolution)
        if own and step == "close":
            return str(own)
        named = getattr(self.settings, step)
        if isinstance(named, dict):
            queue = self._queue(str(ticket["Queue"]["id"]))
            named = named.get(queue.get("Lifecycle") or "default")
        return str(named or _DEFAULTS[step])

    def _is_closing(self, ticket: Any) -> bool:
        """Whether its lifecycle, or a setting, has the status of *ticket* for an end."""
        status, queue = str(ticket["Status"]), str(ticket["Queue"]["id"])
        own = (self._wanted(ticket, "close"), *self.settings.resolutions.values())
        if status in own or status in _INACTIVE:
            return True
        if status in _ACTIVE:
            return False
        if (queue, status) not in self._inactive:
            query = f"id = {int(ticket['id'])} AND Status = '__Inactive__'"
            found = self.get("tickets", query=query, per_page=1)
            self._inactive[queue, status] = bool(found["items"])
        return self._inactive[queue, status]

    def _ticket(self, issue: Issue) -> Any:
        with known():
            return self.get("ticket", issue_number(issue))

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._say(issue, comment, {})

    def _say(self, issue: Issue, comment: Comment, more: dict[str, str]) -> None:
        body = {"Content": comment.text, "ContentType": "text/plain", **more}
        try:
            with known():
                self.send("POST", "ticket", issue_number(issue), "comment", json=body)
        except Refused as error:
            if error.answer and "Permission Denied" in error.answer.text:
                raise Forbidden(str(error)) from None
            raise

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return self._has(issue, since, lambda text: is_said(text, mark))

    def _has(self, issue: Issue, since: float, wanted: Any) -> bool:
        for page in range(1, PAGES + 1):
            newest = {
                "fields": "Content,Created",
                "orderby": "id",
                "order": "DESC",
                "per_page": 100,
                "page": page,
            }
            found = self.get("ticket", issue_number(issue), "attachments", **newest)
            if any(wanted(str(entry.get("Content"))) for entry in found["items"]):
                return True
            if page >= int(found.get("pages") or 1) or is_before(
                found["items"][-1].get("Created"), since
            ):
                return False
        return False

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        ticket = self._ticket(issue)
        return any(
            self._is_closing(ticket | {"Status": status}) == closed
            for status in self._reached(issue, since)
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return state.casefold() in map(str.casefold, self._reached(issue, since))

    def _reached(self, issue: Issue, since: float) -> list[str]:
        """The statuses it was given after *since*, of its newest hundred changes."""
        newest = {
            "fields": "Type,NewValue,Created",
            "orderby": "id",
            "order": "DESC",
            "per_page": 100,
        }
        found = self.get("ticket", issue_number(issue), "history", **newest)["items"]
        return [
            str(entry.get("NewValue"))
            for entry in found
            if entry.get("Type") == "Status"
            and not is_before(entry.get("Created"), since)
        ]

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(issue, self._wanted(self._ticket(issue), "close", resolution))

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, self._wanted(self._ticket(issue), "reopen"))

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        if str(self._ticket(issue)["Status"]).casefold() == state.casefold():
            return False
        self._set(issue, state.casefold())  # that is how RT keeps them
        return True

    def _set(self, issue: Issue, status: str) -> None:
        for _ in range(_TRIES):
            url = self.url("ticket", issue_number(issue))
            with known():
                tag = self.call("GET", url).headers.get("etag", "")
                headers = {"If-Match": tag} if tag else None
                answer = self.call(
                    "PUT", url, json={"Status": status}, headers=headers, errors=(412,)
                )
            if answer.status != 412:
                break
        found = self._ticket(issue)["Status"]
        if found != status:
            raise Refused(f"RT left the status {found}: {one_line(answer.text, 200)}")

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        self._say(issue, comment, {"TimeTaken": str(max(1, round(seconds / 60)))})

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        return self._has(issue, since, lambda text: is_time(text, seconds, mark))

    def check(self) -> list[Check]:
        need = "give the token's user ShowTicket, CommentOnTicket, ModifyTicket on the queue"
        where = (
            [("there is the queue", "set `project`", self._has_queue)]
            if self.settings.project
            else []
        )
        return self.looks(
            (
                "RT answers, and takes the token",
                "set `url` and `token`",
                lambda: bool(self.get("rt")["Version"]),
            ),
            *where,
            ("tickets can be commented on", need, lambda: self._leads("comment", need)),
            (
                "tickets can be closed",
                f"set `close`; {need}",
                lambda: self._leads("close", f"set `close`; {need}"),
            ),
            (
                "tickets can be reopened",
                f"set `reopen`; {need}",
                lambda: self._leads("reopen", f"set `reopen`; {need}"),
            ),
        )

    def _has_queue(self) -> Check:
        found = self.get("queue", self.settings.project)
        return Check(True, f"there is the queue {one_line(str(found['Name']), 60)}")

    def _leads(self, step: str, mend: str) -> Check:
        """Whether tickets offer *step*, queue by queue.

        RT names only those ways of a lifecycle that have a button: any of them shows
        that the user may change tickets of the queue, and no more.
        """
        tried = Tried()
        for queue, tickets in self._samples().items():
            fitting = [
                ticket for closed, ticket in tickets if closed == (step == "reopen")
            ]
            if step == "comment":
                offered = any("comment" in _links(ticket) for _, ticket in tickets)
                tried.add(queue, offered)
            elif any(self._wanted(ticket, step) in _ways(ticket) for ticket in fitting):
                tried.add(queue, True)
            else:
                changes = any(_ways(ticket) for _, ticket in tickets)
                tried.add(queue, None if changes or not fitting else False)
        if not self._samples():
            tried.add(self.settings.project or "every queue", None)
        word = {"comment": "commented on", "close": "closed", "reopen": "reopened"}[
            step
        ]
        return tried.check(f"tickets can be {word}", mend)

    def _samples(self) -> dict[str, list[tuple[bool, Any]]]:
        """Tickets by their queue, and whether they have ended: one of each status, of
        the newest ones.
        """
        samples = self._sampled
        if samples:
            return samples
        for closed, status in ((False, "__Active__"), (True, "__Inactive__")):
            query = f"Status = '{status}'"
            if self.settings.project:
                name = re.sub(r"([\\'])", r"\\\1", self.settings.project)
                query += f" AND Queue = '{name}'"
            newest = {"orderby": "id", "order": "DESC", "per_page": 100}
            fields = {"fields": "Status,Queue", "fields[Queue]": "Name"}
            found: dict[tuple[str, str], str] = {}
            for entry in self.get("tickets", query=query, **newest, **fields)["items"]:
                queue, state = str(entry["Queue"].get("Name")), str(entry["Status"])
                found.setdefault((queue, state), str(entry["id"]))
            for (queue, _), number in list(found.items())[:_SAMPLES]:
                ticket = self._ticket(Issue("", number, f"#{number}"))
                samples.setdefault(queue, []).append((closed, ticket))
        return samples


def _links(ticket: Any) -> list[str]:
    return [str(link.get("ref")) for link in ticket["_hyperlinks"]]


def _ways(ticket: Any) -> list[str]:
    """The statuses that buttons lead to, for this user."""
    links = ticket["_hyperlinks"]
    return [str(link.get("to")) for link in links if link.get("ref") == "lifecycle"]
