"""YouTrack. States change, and work is logged, by commands; they hold nothing of a
commit's text.
"""

from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment, duration
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import issue_key
from oberonc.issues.trackers.web import PAGE, PAGES, WebTracker, is_said, is_time, known
from oberonc.kit.answers import Forbidden, Refused

_FIELDS = "idReadable,resolved,customFields(name,value(name))"
#: Which states an issue can have, and whether each resolves it.
_RESOLVES = "$type,projectCustomField(bundle(values(name,isResolved)))"
_STATES = {"fixed": "Fixed", "wontfix": "Won't fix", "duplicate": "Duplicate"}


class YouTrack(WebTracker):
    """`tracker = "youtrack"`."""

    kind = "youtrack"
    api = "/api"
    flavour = "markdown-visible"
    numbering = "key"
    missing = frozenset({"error_description", "error"})
    keeps_time = True
    moves = True
    resolutions = frozenset({"wontfix", "duplicate"})
    needs: ClassVar[tuple[str, ...]] = ("url", "token", "project")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self._resolves: dict[str, dict[str, bool]] = {}

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.settings.token}",
            "Accept": "application/json",
        }

    def whoami(self) -> None:
        self.get("users", "me")

    def is_closed(self, issue: Issue) -> bool:
        found = self._issue(issue)
        own = str(self.settings.close).casefold()
        return found.get("resolved") is not None or own in _values(found)

    def _issue(self, issue: Issue) -> Any:
        with known():
            found = self.get("issues", issue_key(issue), fields=_FIELDS)
        self.stays(issue, str(found["idReadable"]))
        return found

    def comment(self, issue: Issue, comment: Comment) -> None:
        with known():
            self.send(
                "POST",
                "issues",
                issue_key(issue),
                "comments",
                json={"text": comment.text},
                fields="id",
            )

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return self._has(issue, lambda text: is_said(text, mark))

    def _has(self, issue: Issue, wanted: Any) -> bool:
        for page in range(PAGES):
            window = {"fields": "text", "$skip": page * PAGE, "$top": PAGE}
            found = self.get("issues", issue_key(issue), "comments", **window)
            if any(wanted(str(entry.get("text"))) for entry in found):
                return True
            if len(found) < PAGE:
                return False
        return False

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution) or (
            self.settings.close if resolution == "fixed" else ""
        )
        self._set(issue, own or _STATES[resolution], comment, resolved=True)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, self.settings.reopen or "Open", comment, resolved=False)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        if state.casefold() in _values(self._issue(issue)):
            return False
        self._command(issue, state, comment.text)
        return True

    def assign(self, issue: Issue, user: str) -> None:
        self._command(issue, f"for {user}", "")

    def _set(
        self, issue: Issue, state: str, comment: Comment, *, resolved: bool
    ) -> None:
        if comment.text and not self._leads(issue, state, resolved=resolved):
            raise Refused(f"it is not known beforehand where '{state}' leads")
        self._command(issue, state, comment.text)
        if self.is_closed(issue) != resolved:
            setting = "close" if resolved else "reopen"
            raise Refused(
                f"YouTrack took the command '{state}' and did not {setting} the issue: set `{setting}`"
            )

    def _leads(self, issue: Issue, state: str, *, resolved: bool) -> bool:
        """Whether the command *state* is known to resolve *issue*, or to open it: what
        a comment of the same command says has to be true.
        """
        if issue.project not in self._resolves:
            self._resolves[issue.project] = self._find_states(issue)
        found = self._resolves[issue.project].get(state.casefold())
        own = resolved and state == self.settings.close
        return found == resolved or (found is not None and own)

    def _find_states(self, issue: Issue) -> dict[str, bool]:
        """The states of the project of *issue*, in lower case, and whether each
        resolves; empty where our user may not see them.
        """
        path = ("issues", issue_key(issue), "customFields")
        try:
            found = self.get(*path, fields=_RESOLVES)
        except (Refused, Forbidden):
            return {}
        bundles = [
            (field.get("projectCustomField") or {}).get("bundle") or {}
            for field in found
            if field.get("$type") == "StateIssueCustomField"
        ]
        return {
            str(value["name"]).casefold(): bool(value["isResolved"])
            for bundle in bundles
            for value in bundle.get("values") or []
        }

    def _command(self, issue: Issue, query: str, comment: str) -> None:
        body = {
            "query": query,
            "issues": [{"idReadable": issue_key(issue)}],
            "silent": not self.settings.notify,
        }
        with known():
            self.send(
                "POST",
                "commands",
                json=body | ({"comment": comment} if comment else {}),
            )

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        self._command(issue, f"work {duration(seconds)}", comment.text)

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        return self._has(issue, lambda text: is_time(text, seconds, mark))

    def check(self) -> list[Check]:
        project = self.settings.project
        need = f"give the token's user Read Issue, Update Issue and Create Comment in {project}"
        return self.looks(
            (
                "YouTrack answers, and takes the token",
                "set `url` and `token`",
                lambda: bool(self.get("users", "me")),
            ),
            (
                f"there is a project {project} one may see",
                need,
                lambda: bool(self.get("admin", "projects", project)),
            ),
        )


def _values(found: Any) -> set[str]:
    """The values of the issue's fields, in lower case; its state is one of them."""
    values = [field.get("value") for field in found.get("customFields", [])]
    return {
        str(value.get("name")).casefold() for value in values if isinstance(value, dict)
    }
