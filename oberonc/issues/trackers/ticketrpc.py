"""Trac with the small ticketrpc plugin: it comments and closes, and can neither reopen
nor set a resolution.
"""

from contextlib import suppress
from typing import Any, ClassVar

from oberonc.broker.contract import Check
from oberonc.errors import Retry
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import Elsewhere, NoSuchIssue, issue_number
from oberonc.issues.trackers.web import WebTracker
from oberonc.kit.answers import Forbidden, Refused
from oberonc.kit.http import AnyAuth
from oberonc.text import one_line

_ACCESS_DENIED = 1000
#: The last number that databases have.
_NO_TICKET = "2147483647"


class TicketRpc(WebTracker):
    """`tracker = "trac-ticketrpc"`."""

    kind = "trac"
    flavour = "trac"
    numbering = "all"
    needs: ClassVar[tuple[str, ...]] = ("url", "user", "password")
    _logged_in = False

    def auth(self) -> AnyAuth:
        return AnyAuth(self.settings.user, str(self.settings.password))

    def _call(self, method: str, issue: Issue, **params: str) -> Any:
        self.log_in()
        given = {
            "id": issue_number(issue),
            "project": self.settings.project or "trac",
            **params,
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
        answer = self.call("POST", self.url("ticketrpc"), json=body, errors=(404, 500))
        if answer.status == 404:
            raise Elsewhere(
                f"{self.url('ticketrpc')} is not there; has this Trac no ticketrpc plugin, and is it tracker = 'trac'?"
            )
        if answer.status == 500:
            raise _failure(f"{method}: {one_line(answer.text, 200)}")
        found = answer.json()
        if found.get("error"):
            raise _meaning(method, found["error"])
        return found["result"]

    def log_in(self) -> None:
        if not self._logged_in:  # the answer's cookie is what the plugin goes by
            self.call("GET", self.url("login"), errors=(302, 303), pages=True)
            self._logged_in = True

    def whoami(self) -> None:
        self._logged_in = False
        self.log_in()

    def is_closed(self, issue: Issue) -> bool:
        return bool(self._call("ticket.details", issue)["status"] == "closed")

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._call("ticket.add_comment", issue, text=comment.text)

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return any(
            mark in str(text)
            for text in self._call("ticket.comments", issue)["comments"]
        )

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._call("ticket.close", issue, resolution=resolution, text=comment.text)
        if not self.is_closed(issue):
            raise Refused("ticketrpc answered, and left the ticket open")

    def reopen(self, issue: Issue, comment: Comment) -> None:
        raise Refused(
            "the ticketrpc plugin cannot reopen tickets; the XmlRpcPlugin can (tracker = 'trac')"
        )

    def check(self) -> list[Check]:
        need = "enable tracticketrpc, and give the user TICKET_VIEW, TICKET_APPEND and TICKET_MODIFY"
        return self.looks(
            (
                "Trac answers, takes the password, and has ticketrpc",
                need,
                lambda: self._may("ticket.details"),
            ),
            (
                "the user may comment on tickets",
                need,
                lambda: self._may("ticket.add_comment", text="nothing"),
            ),
            (
                "the user may close tickets",
                need,
                lambda: self._may("ticket.close", text="", resolution="fixed"),
            ),
        )

    def _may(self, method: str, **params: str) -> bool:
        """Asks it of a ticket that cannot be there: the plugin looks at the right first."""
        with suppress(NoSuchIssue):
            self._call(method, Issue("", _NO_TICKET, f"#{_NO_TICKET}"), **params)
        return True


def _failure(told: str) -> Exception:
    """Trac's own exceptions come as 500."""
    return NoSuchIssue() if "does not exist" in told else Retry(told)


def _meaning(method: str, error: dict[str, Any]) -> Exception:
    told = one_line(f"{method}: {error.get('message')}", 200)
    if error.get("code") == _ACCESS_DENIED:
        return Forbidden(told)
    return Refused(told)
