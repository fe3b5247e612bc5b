"""Linear, by GraphQL. A comment's id is ours to choose, so a repeat cannot make a
second one.
"""

import uuid
from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.errors import Retry
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_key
from oberonc.issues.trackers.web import WebTracker, is_before
from oberonc.kit.answers import (
    CREDENTIALS_AFTER,
    Answer,
    Forbidden,
    NotDone,
    Refused,
    check,
    wait_hint,
)
from oberonc.text import one_line

_ISSUE = (
    "query($id:String!){issue(id:$id){id identifier state{id name type}"
    " team{states(first:100){nodes{id name type position}}}}}"
)
_COMMENT = (
    "mutation($i:CommentCreateInput!){commentCreate(input:$i){success comment{id}}}"
)
_FIND = "query($id:String!){comment(id:$id){id}}"
_UPDATE = "mutation($id:String!,$i:IssueUpdateInput!){issueUpdate(id:$id,input:$i){success issue{state{type}}}}"
_PAST = "query($id:String!){issue(id:$id){history(first:100){nodes{createdAt toState{name type}}}}}"
_TEAM = "query($key:String!){viewer{id} teams(filter:{key:{eq:$key}}){nodes{id states(first:100){nodes{name type}}}}}"

_CLOSED = ("completed", "canceled", "duplicate")
_TYPES: dict[str, tuple[str, ...]] = {
    "fixed": ("completed",),
    "wontfix": ("canceled",),
    "invalid": ("canceled",),
}
_TYPES |= {"duplicate": ("duplicate", "canceled"), "reopen": ("unstarted",)}


class Linear(WebTracker):
    """`tracker = "linear"`."""

    kind = "linear"
    default_url = "https://api.linear.app"
    api = "/graphql"
    flavour = "markdown"
    numbering = "key"
    missing = frozenset()  # it says so in a 200
    moves = True
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})
    needs: ClassVar[tuple[str, ...]] = ("token", "project")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        #: The ids of the issues that were read.
        self._ids: dict[Issue, str] = {}

    def headers(self) -> dict[str, str]:
        token = str(self.settings.token)
        return {
            "Authorization": token
            if token.startswith("lin_api_")
            else f"Bearer {token}"
        }

    def _ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = self.call("POST", self.base, json=body, errors=(400,))
        found = answer.json()
        errors = found.get("errors") if isinstance(found, dict) else None
        if errors:
            raise _meaning(errors[0], answer, self.http.now())
        return check(answer, "POST /graphql", self.http.now()).json()["data"]

    def _issue(self, issue: Issue) -> Any:
        found = self._ask(_ISSUE, id=issue_key(issue))["issue"]
        if not found:
            raise NoSuchIssue
        self.stays(issue, str(found["identifier"]))
        self._ids[issue] = found["id"]
        return found

    def whoami(self) -> None:
        self._ask("{viewer{id}}")

    def is_closed(self, issue: Issue) -> bool:
        state = self._issue(issue)["state"]
        own = str(self.settings.close).casefold()
        return state["type"] in _CLOSED or str(state["name"]).casefold() == own

    def comment(self, issue: Issue, comment: Comment) -> None:
        given = {
            "id": comment_id(comment.mark),
            "issueId": self._ids.get(issue) or self._issue(issue)["id"],
            "body": comment.text,
        }
        self._did(self._ask(_COMMENT, i=given)["commentCreate"])

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        try:
            return bool(self._ask(_FIND, id=comment_id(mark))["comment"])
        except NoSuchIssue:
            return False

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        return any(
            (state["type"] in _CLOSED) == closed
            for state in self._reached(issue, since)
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return any(
            reached["name"].casefold() == state.casefold()
            for reached in self._reached(issue, since)
        )

    def _reached(self, issue: Issue, since: float) -> list[dict[str, Any]]:
        """The states it was given after *since*, of its newest changes."""
        found = self._ask(_PAST, id=issue_key(issue))["issue"]["history"]["nodes"]
        return [
            entry["toState"]
            for entry in found
            if entry.get("toState") and not is_before(entry["createdAt"], since)
        ]

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution) or (
            self.settings.close if resolution == "fixed" else ""
        )
        self._move(issue, own, resolution, "close")

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._move(issue, self.settings.reopen, "reopen", "reopen")

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        found = self._issue(issue)
        if (
            choose(found["team"]["states"]["nodes"], state, "reopen", "words")["id"]
            == found["state"]["id"]
        ):
            return False
        self._move(issue, state, "reopen", "words")
        return True

    def assign(self, issue: Issue, user: str) -> None:
        self._did(
            self._ask(_UPDATE, id=self._issue(issue)["id"], i={"assigneeId": user})[
                "issueUpdate"
            ]
        )

    def _move(self, issue: Issue, wanted: str, how: str, setting: str) -> None:
        found = self._issue(issue)
        state = choose(found["team"]["states"]["nodes"], wanted, how, setting)
        self._did(
            self._ask(_UPDATE, id=found["id"], i={"stateId": state["id"]})[
                "issueUpdate"
            ]
        )

    def _did(self, result: dict[str, Any]) -> None:
        if not result.get("success"):
            raise Refused("Linear answered, and did not do it")

    def check(self) -> list[Check]:
        project = self.settings.project
        return self.looks(
            (
                "Linear answers, and takes the key",
                "set `token`",
                lambda: bool(self._ask(_TEAM, key=project)["viewer"]),
            ),
            (
                f"there is a team {project} whose issues can be closed and reopened",
                "set `project`, `close` and `reopen`",
                self._can_close,
            ),
        )

    def _can_close(self) -> bool:
        teams = self._ask(_TEAM, key=self.settings.project)["teams"]["nodes"]
        states = [
            state | {"position": 0}
            for team in teams
            for state in team["states"]["nodes"]
        ]
        choose(states, self.settings.close, "fixed", "close")
        return bool(choose(states, self.settings.reopen, "reopen", "reopen"))


def choose(
    states: list[dict[str, Any]], wanted: str, how: str, setting: str
) -> dict[str, Any]:
    """The state called *wanted*, or the first of the fitting type."""
    for kind in _TYPES[how]:
        fitting = sorted(
            (state for state in states if state["type"] == kind),
            key=lambda state: state["position"],
        )
        named = (
            [state for state in states if state["name"].casefold() == wanted.casefold()]
            if wanted
            else fitting
        )
        if named:
            return named[0]
    raise Refused(
        f"there is no state {wanted or _TYPES[how][0]} in the team's workflow: set `{setting}`"
    )


def comment_id(mark: str) -> str:
    """The id of the comment with *mark*: a UUID of version 4, the same each time."""
    return str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_OID, mark).bytes, version=4))


def _meaning(error: dict[str, Any], answer: Answer, now: float) -> Exception:
    code = str((error.get("extensions") or {}).get("code", ""))
    told = one_line(f"Linear: {error.get('message')} {code}", 200)
    if code == "RATELIMITED":
        wait = wait_hint(answer, now)
        return NotDone(f"rate limit: {told}", after=wait)
    if code == "FORBIDDEN":
        return Forbidden(told)
    if code == "AUTHENTICATION_ERROR":
        return NotDone(
            f"CREDENTIALS refused: {told}; check the API key", after=CREDENTIALS_AFTER
        )
    if "not found" in told.lower():
        return NoSuchIssue()
    return Retry(told) if "INTERNAL" in code else Refused(told)
