"""GitLab, gitlab.com or one's own."""

from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number, project_path
from oberonc.issues.trackers.web import (
    PAGE,
    PAGES,
    WebTracker,
    is_before,
    known,
    the_one,
)
from oberonc.kit.answers import Refused
from oberonc.text import one_line

#: The lowest access level that may close other people's issues: Planner.
_PLANNER = 15


class GitLab(WebTracker):
    """`tracker = "gitlab"`."""

    kind = "gitlab"
    default_url = "https://gitlab.com"
    api = "/api/v4"
    keeps_time = True
    moves = True
    needs: ClassVar[tuple[str, ...]] = ("token",)
    #: Notes a user may write, as gitlab.com has it.
    pace: tuple[tuple[int, float], ...] = ((60, 60.0),)

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        # one's own GitLab has the limits its administrator sets, and says when they are
        # reached
        if self.settings.url:
            self.pace = ()

    def headers(self) -> dict[str, str]:
        return {"PRIVATE-TOKEN": str(self.settings.token)}

    def on_behalf(self, comment: Comment) -> dict[str, str]:
        user = self.user_of(comment)
        return {"Sudo": user} if user else {}

    def find_user(self, mail: str) -> str:
        """An administrator's token sees all addresses, others the public ones."""
        found = self.get("users", search=mail, per_page=PAGE)
        return the_one(
            mail,
            (
                (user["username"], user.get(field))
                for user in found
                for field in ("email", "public_email")
                if user.get("state") == "active"
            ),
        )

    def whoami(self) -> None:
        self.get("user")

    def is_closed(self, issue: Issue) -> bool:
        with known():
            found = self.get(*_path(issue))
        if found.get("moved_to_id"):
            raise NoSuchIssue(f"was moved to {self._place(found['moved_to_id'])}")
        return bool(found["state"] == "closed")

    def _place(self, number: Any) -> str:
        """How the issue is written whose number, over all of GitLab, is *number*: only
        administrators may ask.
        """
        url = self.url("issues", str(number))
        answer = self.call("GET", url, errors=(401, 403, 404))
        if answer.status != 200:
            return "another project"
        return one_line(answer.json()["references"]["full"], 100)

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._note(issue, comment.text, comment)

    def _note(self, issue: Issue, text: str, comment: Comment) -> None:
        with known():
            answer = self.send(
                "POST", *_path(issue), "notes", json={"body": text}, comment=comment
            )
        # 202: all of it was taken for quick actions, and no note was made
        if answer.status != 201:
            raise Refused(
                f"GitLab answered {answer.status} and made no note of the comment"
            )

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        for page in range(1, PAGES + 1):
            newest = {
                "order_by": "created_at",
                "sort": "desc",
                "per_page": PAGE,
                "page": page,
            }
            notes = self.get(*_path(issue), "notes", **newest)
            if any(mark in note["body"] for note in notes):
                return True
            if len(notes) < PAGE or is_before(notes[-1].get("created_at"), since):
                return False
        return False

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        wanted = "closed" if closed else "reopened"
        found = self.get(*_path(issue), "resource_state_events", per_page=PAGE)
        return any(
            event["state"] == wanted and not is_before(event["created_at"], since)
            for event in found
        )

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(issue, "close", "closed", comment)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, "reopen", "opened", comment)

    def _set(self, issue: Issue, event: str, state: str, comment: Comment) -> None:
        with known():
            answer = self.send(
                "PUT", *_path(issue), json={"state_event": event}, comment=comment
            ).json()
        if answer.get("state") != state:
            left = answer.get("state")
            raise Refused(
                f"GitLab answered, and left the issue {left}; may the token's user {event} it?"
            )

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        """Statuses are labels here; of scoped ones (`status::doing`) GitLab itself
        keeps one only.
        """
        with known():
            if state in self.get(*_path(issue))["labels"]:
                return False
            answer = self.send(
                "PUT", *_path(issue), json={"add_labels": state}, comment=comment
            ).json()
        if state not in answer.get("labels", []):
            raise Refused(
                f"GitLab answered, and did not add the label {state}; may the token's user label it?"
            )
        return True

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        # A note with the quick action, so that the time is found again by the note's
        # mark.
        self._note(
            issue, f"{comment.text}\n\n/spend {max(1, round(seconds / 60))}m", comment
        )

    def check(self) -> list[Check]:
        need = "make the token's user at least Planner or Reporter of the project, scope api"
        return self.looks_at_project("GitLab", need, self._may)

    def _may(self, issue: Issue) -> bool:
        found = self.get(*_path(issue)[:2])
        if found.get("archived"):
            return False
        if self.get("user").get("is_admin"):
            return True
        rights = found.get("permissions") or {}
        names = ("project_access", "group_access")
        levels = [
            int((rights.get(name) or {}).get("access_level", 0)) for name in names
        ]
        return max(levels) >= _PLANNER


def _path(issue: Issue) -> list[str]:
    return ["projects", "/".join(project_path(issue)), "issues", issue_number(issue)]
