"""Gitea and Forgejo."""

from typing import Any, ClassVar

from oberonc.broker.contract import Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number, repository_path
from oberonc.issues.trackers.web import PAGES, WebTracker, iso, known, the_one
from oberonc.kit.answers import Refused


class Gitea(WebTracker):
    """`tracker = "gitea"` or `"forgejo"`."""

    kind = "gitea"
    api = "/api/v1"
    keeps_time = True
    needs: ClassVar[tuple[str, ...]] = ("url", "token")

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.settings.token}"}

    def on_behalf(self, comment: Comment) -> dict[str, str]:
        user = self.user_of(comment)
        return {"Sudo": user} if user else {}

    def find_user(self, mail: str) -> str:
        """An administrator's token sees all addresses, others the public ones."""
        found = self.get("users", "search", q=mail)["data"]
        return the_one(mail, ((user["login"], user.get("email")) for user in found))

    def whoami(self) -> None:
        self.get("user")

    def is_closed(self, issue: Issue) -> bool:
        with known():
            found = self.get(*_path(issue))
        if found.get("pull_request") and not self.settings.pull_requests:
            raise NoSuchIssue(
                "is a pull request; `pull_requests = true` acts on those too"
            )
        return bool(found["state"] == "closed")

    def comment(self, issue: Issue, comment: Comment) -> None:
        with known():
            self.send(
                "POST",
                *_path(issue),
                "comments",
                json={"body": comment.text},
                comment=comment,
            )

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        found = self.get(*_path(issue), "comments", since=iso(since))
        return any(mark in entry["body"] for entry in found)

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        """By the timeline; servers that are older than it (1.17) go by the state."""
        wanted = "close" if closed else "reopen"
        for page in range(1, PAGES + 1):
            url = self.url(*_path(issue), "timeline")
            answer = self.call(
                "GET",
                url,
                params={"since": iso(since), "page": str(page), "limit": "50"},
                errors=(404,),
            )
            if answer.status == 404:
                return super().was_moved(issue, since, closed=closed)
            found = answer.json()
            if any(entry.get("type") == wanted for entry in found or ()):
                return True
            if not found:
                return False
        return False

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(issue, "closed", comment)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, "open", comment)

    def _set(self, issue: Issue, state: str, comment: Comment) -> None:
        """Only ever `open` or `closed`: older servers take every other word for `open`,
        and so reopen.
        """
        try:
            with known():
                answer: Any = self.send(
                    "PATCH", *_path(issue), json={"state": state}, comment=comment
                ).json()
        except Refused as error:
            if error.status == 412:
                raise Refused(
                    f"it depends on open issues, or is a merged pull request ({error})",
                    412,
                ) from None
            raise
        if answer.get("state") != state:
            raise Refused(
                f"the server answered, and left the issue {answer.get('state')}"
            )

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        with known():
            self.send(
                "POST", *_path(issue), "times", json={"time": seconds}, comment=comment
            )

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        # Time entries have no text: one of the same length since the first attempt is
        # taken for ours.
        return any(
            entry["time"] == seconds
            for entry in self.get(*_path(issue), "times", since=iso(since))
        )

    def check(self) -> list[Check]:
        need = "make the token's user a collaborator with write access to issues, token scope write:issue"
        return self.looks_at_project("Gitea", need, self._may)

    def _may(self, issue: Issue) -> bool:
        found = self.get(*_path(issue)[:3])
        rights = found.get("permissions") or {}
        return bool(
            found.get("has_issues", True)
            and not found.get("archived")
            and (rights.get("admin") or rights.get("push"))
        )


def _path(issue: Issue) -> list[str]:
    return ["repos", *repository_path(issue), "issues", issue_number(issue)]
