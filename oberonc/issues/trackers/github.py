"""GitHub, and GitHub Enterprise Server by its address."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import (
    Elsewhere,
    NoSuchIssue,
    issue_number,
    repository_path,
)
from oberonc.issues.trackers.web import (
    PAGE,
    PAGES,
    WebTracker,
    is_before,
    iso,
    known,
)
from oberonc.kit.answers import Refused
from oberonc.text import one_line

_REASONS = {
    "fixed": "completed",
    "wontfix": "not_planned",
    "invalid": "not_planned",
    "duplicate": "duplicate",
}


class GitHub(WebTracker):
    """`tracker = "github"`."""

    kind = "github"
    default_url = "https://api.github.com"
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})
    needs: ClassVar[tuple[str, ...]] = ("token",)
    #: What GitHub allows to create: 80 a minute, 500 an hour.
    pace: tuple[tuple[int, float], ...] = ((80, 60.0), (500, 3600.0))

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        # Enterprise Server has no such limits unless its administrator sets some
        if self.base != self.default_url:
            self.pace = ()

    def address(self, site: str) -> str:
        host = urlsplit(site).hostname or ""
        if host in ("github.com", "www.github.com"):
            return self.default_url
        return (
            site
            if host.startswith("api.") or site.endswith("/api/v3")
            else f"{site}/api/v3"
        )

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.settings.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def whoami(self) -> None:
        # a token of any kind may ask this
        try:
            self.get("rate_limit")
        except Refused as error:
            if error.status != 404:  # an Enterprise Server without limits says so
                raise

    def is_closed(self, issue: Issue) -> bool:
        with known():
            # the address of an issue leads on when it is given to another repository
            url = self.url(*_path(issue))
            found = self.call("GET", url, redirects=True).json()
        self._expect_at_home(issue, found)
        if "pull_request" in found and not self.settings.pull_requests:
            raise NoSuchIssue(
                "is a pull request; `pull_requests = true` acts on those too"
            )
        return bool(found["state"] == "closed")

    def _expect_at_home(self, issue: Issue, found: Any) -> None:
        """Raise NoSuchIssue for an issue that was given to another repository, and
        Elsewhere where its repository has a new name.
        """
        home = "/".join(str(found.get("repository_url", "")).split("/")[-2:])
        if not home or home.casefold() == issue.project.casefold():
            return
        url = self.url("repos", *repository_path(issue))
        name = str(self.call("GET", url, redirects=True).json().get("full_name"))
        if name.casefold() == home.casefold():
            raise Elsewhere(f"{issue.project} is now {name}: set `project` to that")
        raise NoSuchIssue(f"was moved to {one_line(home, 100)}#{found.get('number')}")

    def comment(self, issue: Issue, comment: Comment) -> None:
        with known():
            self.send("POST", *_path(issue), "comments", json={"body": comment.text})

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        for page in range(1, PAGES + 1):
            found = self.get(
                *_path(issue), "comments", since=iso(since), per_page=PAGE, page=page
            )
            if any(mark in (entry.get("body") or "") for entry in found):
                return True
            if len(found) < PAGE:
                return False
        return False

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        wanted = "closed" if closed else "reopened"
        for page in range(1, PAGES + 1):
            found = self.get(*_path(issue), "events", per_page=PAGE, page=page)
            if any(
                event["event"] == wanted and not is_before(event["created_at"], since)
                for event in found
            ):
                return True
            if len(found) < PAGE:
                return False
        return False

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(issue, {"state": "closed", "state_reason": _REASONS[resolution]})

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, {"state": "open", "state_reason": "reopened"})

    def _set(self, issue: Issue, change: dict[str, str]) -> None:
        with known():
            answer: Any = self.send("PATCH", *_path(issue), json=change).json()
        if answer.get("state") != change["state"]:
            raise Refused(f"GitHub answered, and left the issue {answer.get('state')}")

    def check(self) -> list[Check]:
        need = "give the token Issues: read and write on this repository"
        return self.looks_at_project("GitHub", need, self._may)

    def _may(self, issue: Issue) -> bool | Check:
        found = self.get(*_path(issue)[:3])
        if not found.get("has_issues"):
            return Check(False, f"{issue.project} has issues", "turn Issues on")
        rights = found.get("permissions") or {}
        return not found.get("archived") and any(
            rights.get(right) for right in ("admin", "maintain", "push", "triage")
        )


def _path(issue: Issue) -> list[str]:
    return ["repos", *repository_path(issue), "issues", issue_number(issue)]
