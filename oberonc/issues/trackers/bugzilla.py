"""Bugzilla, by its REST interface. Its error codes say more than its HTTP statuses."""

from typing import Any

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import Elsewhere, NoSuchIssue, issue_number
from oberonc.issues.trackers.web import WebTracker, is_said, is_time, iso, one_of
from oberonc.kit.answers import CREDENTIALS_AFTER, Answer, NotDone, Refused, check
from oberonc.text import one_line

_NO_BUG = (100, 101)
_NOT_SEEN = 102
#: What it says to somebody it does not know, also of a bug that this key may see.
_LOG_IN = (_NOT_SEEN, 410, 505)
_BAD_KEY = (300, 301, 305, 306, 400, 410)
_RESOLUTIONS = {"fixed": "FIXED", "wontfix": "WONTFIX", "invalid": "INVALID"}


class Bugzilla(WebTracker):
    """`tracker = "bugzilla"`."""

    kind = "bugzilla"
    api = "/rest"
    flavour = "plain"
    numbering = "all"
    keeps_time = True
    moves = True
    #: Not `duplicate`: Bugzilla wants to know of what.
    resolutions = frozenset({"wontfix", "invalid"})

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self._key: dict[str, str] = {}
        self._homes: dict[Issue, list[str]] = {}
        self._statuses: list[dict[str, Any]] = []

    def headers(self) -> dict[str, str]:
        return {
            "X-BUGZILLA-API-KEY": str(self.settings.token),
            "Accept": "application/json",
        }

    def _call(self, method: str, *parts: str, json: Any = None, **params: str) -> Any:
        """The answer's JSON; the key is a parameter too where the server does not know
        the header (before 5.1).
        """
        answer = self._ask(method, parts, json, params)
        if _error(answer).get("code") in _LOG_IN and not self._key:
            self._key = {"api_key": str(self.settings.token)}
            answer = self._ask(method, parts, json, params)
        error = _error(answer)
        if error:
            raise _meaning(error, answer, f"{method} {'/'.join(parts)}")
        return check(answer, f"{method} {'/'.join(parts)}", self.http.now()).json()

    def _ask(
        self, method: str, parts: tuple[str, ...], json: Any, params: dict[str, str]
    ) -> Answer:
        given = self._key | params
        answer = self.call(
            method,
            self.url(*parts),
            json=json,
            params=given or None,
            errors=(400, 401, 404),
        )
        if answer.status == 404 and not _error(answer):
            raise Elsewhere(
                f"404, but not as Bugzilla says it: check `url`, and what is before it ({method} {self.url(*parts)})"
            )
        return answer

    def whoami(self) -> None:
        self._login()

    def is_closed(self, issue: Issue) -> bool:
        found = self._bug(issue, "is_open", "status", "product", "classification")
        names = (found.get("product"), found.get("classification"))
        self._homes[issue] = [str(name) for name in names if name]
        return not found["is_open"] or found["status"] == self.settings.close

    def homes(self, issue: Issue) -> list[str]:
        return self._homes[issue]

    def _bug(self, issue: Issue, *fields: str) -> dict[str, Any]:
        bugs = self._call(
            "GET", "bug", issue_number(issue), include_fields=",".join(fields)
        )["bugs"]
        found: dict[str, Any] = bugs[0]
        return found

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._call(
            "POST",
            "bug",
            issue_number(issue),
            "comment",
            json={"comment": comment.text},
        )

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        number = issue_number(issue)
        found = self._call("GET", "bug", number, "comment", new_since=iso(since))[
            "bugs"
        ][number]["comments"]
        return any(is_said(entry["text"], mark) for entry in found)

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        open_ones = {value["name"] for value in self._states() if value["is_open"]}
        open_ones.discard(self.settings.close)
        return any(
            (status in open_ones) != closed for status in self._reached(issue, since)
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return state.casefold() in map(str.casefold, self._reached(issue, since))

    def _reached(self, issue: Issue, since: float) -> list[str]:
        """The statuses it was given after *since*."""
        found = self._call(
            "GET", "bug", issue_number(issue), "history", new_since=iso(since)
        )["bugs"][0]["history"]
        changes = [
            change
            for entry in found
            for change in entry["changes"]
            if change["field_name"] == "status"
        ]
        return [str(change["added"]) for change in changes]

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution)
        status = self.settings.close or "RESOLVED"
        is_open = {"is_open": self._is_open(status)}
        why = (
            {}
            if is_open["is_open"]
            else {"resolution": own or _RESOLUTIONS[resolution]}
        )
        self._set(issue, {"status": status, **why}, comment, **is_open)

    def _is_open(self, status: str) -> bool:
        """Whether bugs with *status* count as open; one that is not there as closed."""
        return any(
            value["name"] == status and value["is_open"] for value in self._states()
        )

    def reopen(self, issue: Issue, comment: Comment) -> None:
        change = {"status": self.settings.reopen or "CONFIRMED"}
        self._set(issue, change, comment, is_open=True)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        wanted = one_of(
            state,
            {str(value["name"]): value for value in self._states()},
            "status",
            "words",
        )
        if self._bug(issue, "status")["status"] == wanted["name"]:
            return False
        resolution = (
            {}
            if wanted["is_open"]
            else {"resolution": self.settings.resolutions.get("fixed") or "FIXED"}
        )
        change = {"status": str(wanted["name"]), **resolution}
        self._set(issue, change, comment, is_open=wanted["is_open"])
        return True

    def _set(
        self, issue: Issue, change: dict[str, str], comment: Comment, *, is_open: bool
    ) -> None:
        said = {"comment": {"body": comment.text}} if comment.text else {}
        self._call("PUT", "bug", issue_number(issue), json={**change, **said})
        found = self._bug(issue, "is_open", "status")
        if found["is_open"] != is_open or found["status"] != change["status"]:
            raise Refused(f"Bugzilla answered, and left the status {found['status']}")

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        # the hours would be dropped without a word
        if "actual_time" not in self._bug(issue, "actual_time"):
            raise Refused(
                "the token's user is not in Bugzilla's time tracking group, so no time can be logged"
            )
        entry = {
            "comment": comment.text,
            "work_time": round(max(60, seconds) / 3600, 2),
        }
        self._call("POST", "bug", issue_number(issue), "comment", json=entry)

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        number = issue_number(issue)
        found = self._call("GET", "bug", number, "comment", new_since=iso(since))[
            "bugs"
        ][number]["comments"]
        return any(is_time(entry["text"], seconds, mark) for entry in found)

    def check(self) -> list[Check]:
        status, again = self.settings.close or "RESOLVED", self.settings.reopen
        again = again or "CONFIRMED"
        where = (
            [("there is the product", "set `project`", self._has_product)]
            if self.settings.project
            else []
        )
        return self.looks(
            (
                "Bugzilla answers, and takes the key",
                "set `url` and `token`",
                lambda: self._login() is not None,
            ),
            *where,
            (
                f"there is a status {status} that an open bug can get",
                "set `close`",
                lambda: self._follows(status, is_open=True),
            ),
            (
                f"there is a status {again} that opens a closed bug again",
                "set `reopen`",
                lambda: self._follows(again, is_open=False),
            ),
            (
                "the key's user may close other people's bugs",
                "give them the group editbugs",
                self._may,
            ),
        )

    def _login(self) -> str:
        """The login name of the key's user; empty where Bugzilla does not say it.

        Before 5.1 there is no `whoami`; to look for users takes a login there.
        """
        try:
            found = self._call("GET", "whoami")
        except (Elsewhere, Refused, NoSuchIssue):
            self._call("GET", "user", match="oberonc", limit="1")
            return str(self.settings.user)
        return str(found.get("name") or self.settings.user)

    def _has_product(self) -> bool:
        found = self._call(
            "GET", "product", type="accessible", include_fields="name,classification"
        )["products"]
        names = {
            str(entry.get(field)).casefold()
            for entry in found
            for field in ("name", "classification")
        }
        return str(self.settings.project).casefold() in names

    def _follows(self, status: str, *, is_open: bool) -> bool:
        """Whether the workflow leads from an open (or a closed) status to *status*."""
        leads = [
            str(target["name"])
            for value in self._states()
            if value["is_open"] == is_open and value["name"] != status
            for target in value.get("can_change_to") or []
        ]
        return status in leads

    def _may(self) -> Check:
        login, mend = self._login(), "give the key's user the group editbugs"
        if not login:
            what = "whether the key's user has the group editbugs cannot be seen here"
            return Check(True, f"{what}; name them in `user`, and it can")
        found = self._call("GET", "user", names=login, include_fields="groups")
        groups = [group["name"] for group in found["users"][0].get("groups", [])]
        return Check("editbugs" in groups, f"{login} has the group editbugs", mend)

    def _states(self) -> list[dict[str, Any]]:
        if not self._statuses:
            found = self._call("GET", "field", "bug", "bug_status")["fields"]
            self._statuses = found[0]["values"]
        return self._statuses


def _error(answer: Answer) -> dict[str, Any]:
    """The error in the answer, also in one that is called a success."""
    if answer.status >= 400 and not answer.text.lstrip().startswith("{"):
        return {}
    found = answer.json()
    return found if isinstance(found, dict) and found.get("error") else {}


def _meaning(error: dict[str, Any], answer: Answer, what: str) -> Exception:
    code, told = error.get("code"), one_line(f"{what}: {error.get('message')}", 200)
    if code in _NO_BUG:
        return NoSuchIssue()
    if code == _NOT_SEEN:
        return NoSuchIssue("may not be seen with this key")
    if code in _BAD_KEY:
        return NotDone(
            f"CREDENTIALS refused: {told}; check the API key", after=CREDENTIALS_AFTER
        )
    return Refused(told, answer.status)
