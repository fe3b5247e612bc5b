"""Request Tracker, REST 2. It answers 200 and says in words that it refused, so what
was changed is read again.
"""

from typing import Any

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import issue_number
from oberonc.issues.trackers.web import PAGES, WebTracker, is_before, known
from oberonc.kit.answers import Refused
from oberonc.text import one_line

#: Statuses in which nobody expects anything more, besides those the settings name.
_INACTIVE = ("resolved", "rejected", "deleted")
_TRIES = 4


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

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"token {self.settings.token}",
            "Accept": "application/json",
        }

    def is_closed(self, issue: Issue) -> bool:
        found = self._ticket(issue)
        self._queue_ids[issue] = str(found["Queue"]["id"])
        return self._is_closing(found["Status"])

    def homes(self, issue: Issue) -> list[str]:
        number = self._queue_ids[issue]
        if number not in self._queues:
            self._queues[number] = self.get("queue", number)
        return [str(self._queues[number]["Name"]), number]

    def _is_closing(self, status: str) -> bool:
        return status in (
            *_INACTIVE,
            self.settings.close,
            *self.settings.resolutions.values(),
        )

    def _ticket(self, issue: Issue) -> Any:
        with known():
            return self.get("ticket", issue_number(issue))

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._say(issue, comment, {})

    def _say(self, issue: Issue, comment: Comment, more: dict[str, str]) -> None:
        body = {"Content": comment.text, "ContentType": "text/plain", **more}
        with known():
            self.send("POST", "ticket", issue_number(issue), "comment", json=body)

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return self._has(issue, since, lambda text: mark in text)

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

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(
            issue,
            self.settings.resolutions.get(resolution)
            or self.settings.close
            or "resolved",
        )

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, self.settings.reopen or "open")

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        if str(self._ticket(issue)["Status"]).casefold() == state.casefold():
            return False
        self._set(issue, state.casefold())  # that is how RT keeps them
        return True

    def _set(self, issue: Issue, status: str) -> None:
        for _ in range(_TRIES):
            url = self.url("ticket", issue_number(issue))
            with known():
                tag = self.http.call("GET", url).headers.get("etag", "")
                headers = {"If-Match": tag} if tag else None
                answer = self.http.call(
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
        return self._has(issue, since, lambda text: mark in text and "of work" in text)

    def check(self) -> list[Check]:
        status = self.settings.close or "resolved"
        need = "give the token's user SeeQueue, ShowTicket, CommentOnTicket, ModifyTicket on the queue"
        return self.looks(
            (
                "RT answers, and takes the token",
                "set `url` and `token`",
                lambda: bool(self.get("rt")["Version"]),
            ),
            (
                f"an open ticket can become {status}",
                f"set `close`; {need}",
                lambda: self._can_close(status),
            ),
        )

    def _can_close(self, status: str) -> bool:
        found = self.get("tickets", query="Status = '__Active__'", per_page=1)["items"]
        if not found:
            return True
        links = self.get("ticket", str(found[0]["id"]))["_hyperlinks"]
        return any(
            link.get("ref") == "lifecycle" and link.get("to") == status
            for link in links
        )
