"""Kanboard, by JSON-RPC as one of its users. A task it does not have and one of a
project of others are the same 403.
"""

from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import WebTracker, is_said
from oberonc.kit.answers import Refused
from oberonc.text import one_line


class Kanboard(WebTracker):
    """`tracker = "kanboard"`."""

    kind = "kanboard"
    api = "/jsonrpc.php"
    flavour = "markdown-visible"
    numbering = "all"
    missing = frozenset()
    needs: ClassVar[tuple[str, ...]] = ("url", "user", "token|password")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        #: The projects of the tasks that were read.
        self._projects: dict[str, int] = {}
        #: Our own user, once it is known.
        self._own = 0

    def auth(self) -> tuple[str, str]:
        secret = self.settings.token or self.settings.password
        return self.settings.user, str(secret)

    def _ask(self, method: str, *, hidden: bool = False, **params: Any) -> Any:
        """What *method* gives back; NoSuchIssue for a 403 where a task may be *hidden*."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.call("POST", self.base, json=body, errors=(403,) * hidden)
        found = answer.json()
        if answer.status == 403:
            raise NoSuchIssue("does not exist, or is in a project this user is not in")
        if isinstance(found, dict) and "error" in found:
            raise Refused(f"{method}: {one_line(str(found), 200)}")
        return found["result"]

    def whoami(self) -> None:
        self._me()

    def _me(self) -> int:
        found = self._ask("getMe")
        if not found:
            raise Refused("Kanboard takes the credentials, which are no user's")
        self._own = int(found["id"])
        return self._own

    def is_closed(self, issue: Issue) -> bool:
        number = issue_number(issue)
        found = self._ask("getTask", hidden=True, task_id=int(number))
        if not found:
            raise NoSuchIssue
        self._projects[number] = int(found["project_id"])
        return not int(found["is_active"])

    def homes(self, issue: Issue) -> list[str]:
        found = self._ask("getProjectById", project_id=self._projects[issue.number])
        return [name for name in (found["identifier"], found["name"]) if name]

    def comment(self, issue: Issue, comment: Comment) -> None:
        number = int(issue_number(issue))
        made = self._ask(
            "createComment",
            task_id=number,
            user_id=self._own or self._me(),
            content=comment.text,
        )
        if not made:
            raise Refused("Kanboard did not take the comment")

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        found = self._ask("getAllComments", task_id=int(issue_number(issue)))
        return any(is_said(each["comment"], mark) for each in found)

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(issue, "closeTask", closed=True)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, "openTask", closed=False)

    def _set(self, issue: Issue, method: str, *, closed: bool) -> None:
        # false, too, where somebody else was quicker
        done = self._ask(method, task_id=int(issue_number(issue)))
        if not done and self.is_closed(issue) != closed:
            raise Refused(f"Kanboard refused {method}")

    def check(self) -> list[Check]:
        project = self.settings.project
        proofs = [
            (
                "Kanboard answers, and takes the user's token",
                "set `url`, `user`, and `token` or `password`",
                lambda: bool(self._me()),
            )
        ]
        if project:
            need = (
                "name a project by its name or identifier, and make the user a member"
            )
            what = f"the user is in the project {project}"
            proofs.append((what, need, lambda: self._is_in(project)))
        return self.looks(*proofs)

    def _is_in(self, project: str) -> bool:
        mine = self._ask("getMyProjects")
        names = {
            str(each[key]).casefold() for each in mine for key in ("identifier", "name")
        }
        return project.casefold() in names
