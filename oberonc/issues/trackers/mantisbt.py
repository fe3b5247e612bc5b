"""MantisBT, by its REST interface. One answer holds an issue with its notes and its
history; note and status are one change of the issue that was read (`If-Match`).
"""

from typing import Any

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import issue_number
from oberonc.issues.trackers.web import WebTracker, is_before, is_said, known, one_of
from oberonc.kit.answers import NotDone, Refused

#: The options of its configuration that decide, and what they are unless it says so.
_OPTIONS: dict[str, Any] = {
    "status_enum_string": [],
    "resolution_enum_string": [],
    "bug_resolved_status_threshold": 80,
    "bug_reopen_status": 20,
    "bug_reopen_resolution": 30,
    "default_bugnote_view_status": 10,
    "add_bugnote_threshold": 25,
    "update_bug_threshold": 40,
    "update_readonly_bug_threshold": 70,
}
_RESOLUTIONS = {"fixed": 20, "duplicate": 60, "invalid": 70, "wontfix": 90}


class MantisBT(WebTracker):
    """`tracker = "mantisbt"`."""

    kind = "mantisbt"
    api = "/api/rest"
    flavour = "mantis"
    numbering = "all"
    moves = True
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        #: The issues as they were read last, and their versions.
        self._issues: dict[str, tuple[Any, str]] = {}
        self._config: dict[str, Any] = {}

    def address(self, site: str) -> str:
        """Where the web server rewrites nothing, `index.php` follows the API's path."""
        return site if site.endswith("/index.php") else super().address(site)

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": str(self.settings.token),
            "Accept": "application/json",
        }

    def whoami(self) -> None:
        self.get("users", "me")

    def _option(self, name: str) -> Any:
        if not self._config:
            asked = {f"option[{at}]": each for at, each in enumerate(_OPTIONS)}
            found = self.get("config", **asked)["configs"]
            if isinstance(found, list):  # as it is since 2.10
                found = {each["option"]: each["value"] for each in found}
            self._config = _OPTIONS | found
        return self._config[name]

    def _enum(self, name: str) -> dict[str, int]:
        """The names of the values of an enumeration, and their numbers."""
        found = self._option(name)
        values = found.values() if isinstance(found, dict) else found
        return {str(value["name"]): int(value["id"]) for value in values}

    def is_closed(self, issue: Issue) -> bool:
        return self._counts_as_closed(self._read(issue)["status"])

    def homes(self, issue: Issue) -> list[str]:
        return [str(self._issues[issue.number][0]["project"]["name"])]

    def _read(self, issue: Issue) -> Any:
        number = issue_number(issue)
        with known():
            answer = self.call("GET", self.url("issues", number))
        found = answer.json()["issues"][0]
        self._issues[number] = found, answer.headers.get("etag", "")
        return found

    def _counts_as_closed(self, status: Any) -> bool:
        name = str(status.get("name")).casefold()
        if name == str(self.settings.close).casefold():
            return True
        return int(status["id"]) >= int(self._option("bug_resolved_status_threshold"))

    def comment(self, issue: Issue, comment: Comment) -> None:
        number = issue_number(issue)
        self._issues.pop(number, None)
        with known():
            self.send("POST", "issues", number, "notes", json=self._note(comment))

    def _note(self, comment: Comment) -> dict[str, Any]:
        state = {"id": self._option("default_bugnote_view_status")}
        return {"text": comment.text, "view_state": state}

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        notes = self._read(issue).get("notes") or []
        return any(is_said(note.get("text"), mark) for note in notes)

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        """By the history; by the status where the token's user may not see that."""
        reached = self._reached(issue, since)
        if reached is None:
            return super().was_moved(issue, since, closed=closed)
        return any(self._counts_as_closed(status) == closed for status in reached)

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        reached = self._reached(issue, since) or []
        return any(str(at.get("name")).casefold() == state.casefold() for at in reached)

    def _reached(self, issue: Issue, since: float) -> list[Any] | None:
        """The statuses it was given after *since*; None where there is no history, the
        beginning of which is that it was made.
        """
        history = self._read(issue).get("history")
        if not history:
            return None
        return [
            event["new_value"]
            for event in history
            if (event.get("field") or {}).get("name") == "status"
            and isinstance(event.get("new_value"), dict)
            and not is_before(event.get("created_at"), since)
        ]

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution)
        why = _RESOLUTIONS[resolution]
        if own:
            offered = self._enum("resolution_enum_string")
            why = one_of(own, offered, "resolution", "resolutions")
        status = self._own_status("close", "bug_resolved_status_threshold")
        self._set(issue, status, why, comment)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        status = self._own_status("reopen", "bug_reopen_status")
        self._set(issue, status, int(self._option("bug_reopen_resolution")), comment)

    def _own_status(self, setting: str, option: str) -> int:
        """The number of the status that the settings name, or MantisBT's own."""
        named = str(getattr(self.settings, setting))
        if not named:
            return int(self._option(option))
        return int(one_of(named, self._enum("status_enum_string"), "status", setting))

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        wanted = one_of(state, self._enum("status_enum_string"), "status", "words")
        if self._issue(issue)["status"]["id"] == wanted:
            return False
        closes = self._counts_as_closed({"id": wanted, "name": state})
        self._set(issue, wanted, _RESOLUTIONS["fixed"] if closes else 0, comment)
        return True

    def _issue(self, issue: Issue) -> Any:
        read = self._issues.get(issue.number)
        return read[0] if read else self._read(issue)

    def _set(
        self, issue: Issue, status: int, resolution: int, comment: Comment
    ) -> None:
        number, _ = issue_number(issue), self._issue(issue)
        # without this list MantisBT would write every note again, as edited just now
        notes = [self._note(comment)] if comment.text else []
        change: dict[str, Any] = {"status": {"id": status}, "notes": notes}
        if resolution:
            change["resolution"] = {"id": resolution}
        headers = {"If-Match": self._issues.pop(number)[1]}
        url = self.url("issues", number)
        with known():
            answer = self.call(
                "PATCH", url, json=change, headers=headers, errors=(412,)
            )
        if answer.status == 412:
            raise NotDone("somebody else changed the issue meanwhile", after=1.0)
        found = answer.json()["issues"][0]
        self._issues[number] = found, answer.headers.get("etag", "")
        if found["status"]["id"] != status:
            raise Refused(
                f"MantisBT answered, and left the status {found['status']['name']}"
            )

    def check(self) -> list[Check]:
        need = "make the token's user a developer (for `reopens`, and for notes on resolved issues, a manager)"
        project = self.settings.project
        where = f"in {project}" if project else "everywhere"
        return self.looks(
            (
                "MantisBT answers, and takes the token",
                "set `url` and `token`",
                lambda: bool(self.get("users", "me")),
            ),
            (
                "there is a status that closes, and one that opens again",
                "set `close` and `reopen` to names of MantisBT's statuses",
                self._has_statuses,
            ),
            (
                f"the token's user may comment and close {where}",
                need,
                lambda: self._may("add_bugnote_threshold", "update_bug_threshold"),
            ),
            (
                f"the token's user may reopen, and comment on what is resolved, {where}",
                need,
                lambda: self._may("update_readonly_bug_threshold"),
            ),
        )

    def _has_statuses(self) -> bool:
        closing = self._own_status("close", "bug_resolved_status_threshold")
        again = self._own_status("reopen", "bug_reopen_status")
        return closing != again

    def _may(self, *thresholds: str) -> bool:
        level = self._level()
        for name in thresholds:
            wanted = self._option(name)
            if not (level in wanted if isinstance(wanted, list) else level >= wanted):
                return False
        return True

    def _level(self) -> int:
        """The access level of the token's user, in the project where one is named."""
        me = self.get("users", "me")
        project = self.settings.project.casefold()
        if not project:
            return int(me["access_level"]["id"])
        for found in self.get("projects")["projects"]:
            if str(found["name"]).casefold() == project:
                return int((found.get("access_level") or me["access_level"])["id"])
        raise Refused(f"the user sees no project {self.settings.project}")
