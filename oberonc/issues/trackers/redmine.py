"""Redmine. A 204 proves nothing there, so what was changed is read again."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment, render
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import issue_number
from oberonc.issues.trackers.web import (
    PAGE,
    Tried,
    WebTracker,
    is_before,
    known,
    one_of,
    the_one,
)
from oberonc.kit.answers import Answer, Forbidden, Refused
from oberonc.kit.markup import FLAVOURS

#: Projects above one another that are looked at.
_DEPTH = 20
#: Types of issues that `brokers test` tries.
_TYPES = 20


class Redmine(WebTracker):
    """`tracker = "redmine"`."""

    kind = "redmine"
    flavour = "textile"
    numbering = "all"
    keeps_time = True
    moves = True
    needs: ClassVar[tuple[str, ...]] = ("url", "token|password")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        # they are statuses, called as the administrator likes
        self.resolutions = frozenset(self.settings.resolutions)
        self._projects: dict[Issue, dict[str, Any]] = {}
        self._homes: dict[str, dict[str, Any]] = {}
        self._roles: dict[str, bool] | None = None

    def headers(self) -> dict[str, str]:
        return (
            {"X-Redmine-API-Key": str(self.settings.token)}
            if self.settings.token
            else {}
        )

    def auth(self) -> tuple[str, str] | None:
        return (
            None
            if self.settings.token
            else (self.settings.user, str(self.settings.password))
        )

    def on_behalf(self, comment: Comment) -> dict[str, str]:
        user = self.user_of(comment)
        return {"X-Redmine-Switch-User": user} if user else {}

    def find_user(self, mail: str) -> str:
        """Only an administrator's key finds users."""
        found = self.get("users.json", name=mail, status=1, limit=PAGE)["users"]
        return the_one(mail, ((user["login"], user.get("mail")) for user in found))

    def whoami(self) -> None:
        self.get("users", "current.json")

    def says_missing(self, answer: Answer) -> bool:
        """It says so with nothing at all, as others do too: so one has to ask whether
        it is there.
        """
        if answer.text.strip():
            return False
        try:
            self.http.call("GET", self.url("users", "current.json")).json()
        except Refused:
            return False
        return True

    def is_closed(self, issue: Issue) -> bool:
        return self._closes(self._read(issue)["status"])

    def _read(self, issue: Issue, *include: str) -> Any:
        with known():
            found = self.get(
                "issues", f"{issue_number(issue)}.json", include=",".join(include)
            )["issue"]
        self._projects[issue] = found["project"]
        return found

    def homes(self, issue: Issue) -> list[str]:
        found = self._projects.get(issue) or self._read(issue)["project"]
        names: list[str] = []
        for _ in range(_DEPTH):
            key, name = str(found["id"]), str(found["name"])
            if key not in self._homes:
                self._homes[key] = self._project(key)
            known = self._homes[key]
            names += [str(known["identifier"]), name, key] if known else [name, key]
            found = (known or {}).get("parent")
            if not found:
                break
        return names

    def _project(self, key: str) -> dict[str, Any]:
        """The project with the id *key*; empty where it may not be seen."""
        try:
            found: dict[str, Any] = self.get("projects", f"{key}.json")["project"]
        except (Refused, Forbidden):
            return {}
        return found

    def _change(self, issue: Issue, change: dict[str, Any], comment: Comment) -> None:
        with known():
            self.send(
                "PUT",
                "issues",
                f"{issue_number(issue)}.json",
                json={"issue": change},
                comment=comment,
            )

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._change(issue, {"notes": comment.text}, comment)
        while not self.has_comment(issue, comment.mark, 0.0):
            if self.act_ourselves(comment, "Redmine kept no note of theirs"):
                self._change(issue, {"notes": comment.text}, comment)
                continue
            raise Refused(
                "Redmine kept no note; give the token's role the permission Add notes"
            )

    def joins(self, issue: Issue, comment: Comment) -> bool:
        """Redmine keeps the note of a change whose status it drops without a word, for
        want of a right: so only where our user has it.
        """
        if self.on_behalf(comment):
            return False
        if self._roles is None:
            self._roles = self._editing()
        project = str(self._projects[issue]["id"])
        return self._roles.get(project, self._roles.get("", False))

    def _editing(self) -> dict[str, bool]:
        """Whether our user may edit the issues of a project, by the projects' ids;
        with an empty one, of any.
        """
        user = self.get("users", "current.json", include="memberships")["user"]
        if user.get("admin"):
            return {"": True}
        memberships = {
            str(entry["project"]["id"]): [role["id"] for role in entry["roles"]]
            for entry in user.get("memberships", [])
        }
        edits = {
            role: "edit_issues"
            in self.get("roles", f"{role}.json")["role"]["permissions"]
            for role in {role for roles in memberships.values() for role in roles}
        }
        return {
            project: any(edits[role] for role in roles)
            for project, roles in memberships.items()
        }

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        journals = self._read(issue, "journals").get("journals", [])
        return any(mark in (journal.get("notes") or "") for journal in journals)

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        return self._was_set(
            issue, since, lambda status: self._closes(status) == closed
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return self._was_set(
            issue, since, lambda status: status["name"].casefold() == state.casefold()
        )

    def _was_set(self, issue: Issue, since: float, fits: Callable[[Any], bool]) -> bool:
        """Whether a status that *fits* was set after *since*."""
        statuses = self.get("issue_statuses.json")["issue_statuses"]
        wanted = {str(status["id"]) for status in statuses if fits(status)}
        journals = self._read(issue, "journals").get("journals", [])
        recent = [
            journal
            for journal in journals
            if not is_before(journal["created_on"], since)
        ]
        changes = [
            detail
            for journal in recent
            for detail in journal["details"]
            if detail["name"] == "status_id"
        ]
        return any(str(detail["new_value"]) in wanted for detail in changes)

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        done = {"done_ratio": 100} if resolution == "fixed" else {}
        status = self._status(issue, resolution, closed=True)
        self._set(issue, status, done, comment)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, self._status(issue, closed=False), {}, comment)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        found = self._read(issue, "allowed_statuses")
        if found["status"]["name"].casefold() == state.casefold():
            return False
        allowed = {
            str(status["name"]): int(status["id"])
            for status in found.get("allowed_statuses", [])
        }
        self._set(issue, int(one_of(state, allowed, "status", "words")), {}, comment)
        return True

    def _status(self, issue: Issue, resolution: str = "fixed", *, closed: bool) -> int:
        """The status that closes as *resolution*, or opens again: the one the settings
        name, or the first that fits, among those allowed now.
        """
        found = self._read(issue, "allowed_statuses")
        allowed = {
            str(status["name"]): status for status in found.get("allowed_statuses", [])
        }
        settings = self.settings
        own = settings.resolutions.get(resolution) or settings.close
        wanted = own if closed else settings.reopen
        fitting = [
            name
            for name, status in allowed.items()
            if (status["is_closed"] if closed else not self._closes(status))
        ]
        setting = "close" if closed else "reopen"
        if not wanted and not fitting:
            need = "Edit issues and the workflow's transition"
            held = "an open subtask or a blocking issue holds it"
            if not closed:
                held = "its parent is closed"
            raise Refused(
                f"no status that would {setting} it is allowed now: {held}, or the token's role needs {need}"
            )
        return int(one_of(wanted or fitting[0], allowed, "status", setting)["id"])

    def _closes(self, status: dict[str, Any]) -> bool:
        """Whether *status* counts as closed: it does for Redmine, or the settings close
        with it.
        """
        own = (self.settings.close, *self.settings.resolutions.values())
        name = str(status["name"]).casefold()
        return bool(status.get("is_closed")) or name in map(str.casefold, own)

    def _set(
        self, issue: Issue, status: int, more: dict[str, Any], comment: Comment
    ) -> None:
        said = {"notes": comment.text} if comment.text else {}
        self._change(issue, {"status_id": status, **more, **said}, comment)
        found = self._read(issue)["status"]
        if found["id"] != status and self.act_ourselves(
            comment, f"Redmine left the status {found['name']} for them"
        ):
            self._change(issue, {"status_id": status, **more}, comment)
            found = self._read(issue)["status"]
        if found["id"] != status:
            raise Refused(
                f"Redmine took the change and left the status {found['name']}; see the role's workflow"
            )

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        # Redmine shows it as it is, whatever its markup
        said = render(comment.parts, FLAVOURS["plain"]).partition("\n")[0]
        text = f"{said[:200]} ({comment.mark})"
        entry = {
            "issue_id": int(issue_number(issue)),
            "hours": round(max(60, seconds) / 3600, 4),
            "comments": text,
        }
        activity = self._activity(issue)
        with known():
            self.send(
                "POST",
                "time_entries.json",
                json={"time_entry": entry | {"activity_id": activity}},
                comment=comment,
            )

    def _activity(self, issue: Issue) -> int:
        """The activity of the settings, or Redmine's default one, or the first, among
        those of the project.
        """
        found = self._projects.get(issue) or self._read(issue)["project"]
        project = self.get(
            "projects", f"{found['id']}.json", include="time_entry_activities"
        )["project"]
        shared = self.get("enumerations", "time_entry_activities.json")[
            "time_entry_activities"
        ]
        active = [entry for entry in shared if entry.get("active", True)]
        # before 3.4 it does not say which a project has
        offered = project.get("time_entry_activities", active)
        names = {str(entry["name"]): int(entry["id"]) for entry in offered}
        default = [str(entry["name"]) for entry in active if entry.get("is_default")]
        own = next((name for name in default if name in names), next(iter(names), ""))
        return int(one_of(self.settings.activity or own, names, "activity", "activity"))

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        found = self.get("time_entries.json", issue_id=issue_number(issue), limit=100)[
            "time_entries"
        ]
        return any(mark in (entry.get("comments") or "") for entry in found)

    def check(self) -> list[Check]:
        api = "turn on the REST API in Administration, Settings, API; set `url` and `token`"
        need = "give the token's user a role with View issues, Add notes, Edit issues"
        flow = "give the role of the token's user the transition, in Administration, Workflow"
        where = (
            [("there is the project", "set `project`", self._has_project)]
            if self.settings.project
            else []
        )
        return self.looks(
            (
                "Redmine answers, and takes the token",
                api,
                lambda: bool(self.get("users", "current.json")["user"]),
            ),
            *where,
            (
                "there is a status that closes",
                "set `close`, or add one in Administration, Issue statuses",
                self._can_close,
            ),
            ("the user may comment on and change issues", need, self._may),
            ("issues can be closed", flow, lambda: self._leads(flow, closed=True)),
            ("issues can be reopened", flow, lambda: self._leads(flow, closed=False)),
            ("time can be logged", "", self._keeps),
        )

    def _has_project(self) -> Check:
        name = self.settings.project
        found = self.get("projects", f"{name}.json")["project"]
        return Check(True, f"there is the project {found['identifier']}")

    def _can_close(self) -> bool:
        statuses = self.get("issue_statuses.json")["issue_statuses"]
        closing = [str(status["name"]) for status in statuses if status["is_closed"]]
        names = [str(status["name"]).casefold() for status in statuses]
        wanted = (self.settings.close, *self.settings.resolutions.values())
        return all(name.casefold() in names for name in wanted if name) and bool(
            closing or self.settings.close
        )

    def _may(self) -> bool:
        return {"view_issues", "add_issue_notes", "edit_issues"} <= self._rights()

    def _rights(self) -> set[str]:
        """What the roles of the token's user allow, in the project where it is known."""
        user = self.get("users", "current.json", include="memberships")["user"]
        if user.get("admin"):
            return {"view_issues", "add_issue_notes", "edit_issues", "log_time"}
        found = self._project(self.settings.project) if self.settings.project else {}
        roles = {
            role["id"]
            for membership in user.get("memberships", [])
            for role in membership["roles"]
            if found.get("id") in (None, membership["project"]["id"])
        }
        return {
            right
            for role in roles
            for right in self.get("roles", f"{role}.json")["role"]["permissions"]
        }

    def _leads(self, mend: str, *, closed: bool) -> Check:
        """Whether the workflow leads an open issue of each type to a status that closes
        (or a closed one back); looked at on one of each.
        """
        tried = Tried()
        for kind in self.get("trackers.json")["trackers"][:_TYPES]:
            query = {"tracker_id": kind["id"], "limit": 1, "sort": "id:desc"}
            query["status_id"] = "open" if closed else "closed"
            if self.settings.project:
                query["project_id"] = self.settings.project
            found = self.get("issues.json", **query)["issues"]
            allowed = None
            if found:
                number = str(found[0]["id"])
                with suppress(Refused):
                    self._status(Issue("", number, f"#{number}"), closed=closed)
                    allowed = True
                allowed = bool(allowed)
            tried.add(str(kind["name"]), allowed)
        what = "can be closed" if closed else "can be reopened"
        return tried.check(f"issues {what}", mend)

    def _keeps(self) -> Check:
        """Never wrong: where no time can be logged, comments have it."""
        if "log_time" in self._rights():
            return Check(True, "time can be logged")
        why = "the user's role has no Log spent time"
        return Check(True, f"no time can be logged, and comments say it: {why}")
