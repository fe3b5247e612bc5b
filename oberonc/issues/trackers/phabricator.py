"""Phabricator and Phorge, by Conduit. Refusals come as 200 with an `error_code`; a task
one may not see is left out of what is found.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from oberonc.broker.contract import BaseBroker, Check
from oberonc.errors import Retry
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import PAGE, PAGES, WebTracker, is_said, one_of
from oberonc.kit.answers import CREDENTIALS_AFTER, Forbidden, NotDone, Refused
from oberonc.redaction import redact
from oberonc.text import one_line

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
#: Codes of what is wrong with the token.
_CREDENTIALS = frozenset(
    {"ERR-INVALID-AUTH", "ERR-INVALID-SESSION", "ERR-OAUTH-ACCESS"}
)
#: How a policy's refusal begins, in every language: `[Access Denied: T1] (Can Edit) `.
_POLICY = re.compile(r"\[[^\]]*\] \([^)]*\) ")
#: The database's own errors, and that it takes no writes now.
_PASSING = re.compile(r"#[12][0-9]{3}: |read-only mode")
#: The names that Maniphest's statuses have for a purpose, whatever they are called.
_SPECIAL = {"fixed": "closed", "duplicate": "duplicate", "reopen": "default"}


class Phabricator(WebTracker):
    """`tracker = "phabricator"` and `"phorge"`."""

    kind = "phabricator"
    api = "/api"
    flavour = "remarkup"
    numbering = "all"
    sign = "T"
    missing = frozenset()  # it says so in a 200
    moves = True
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self._statuses: list[dict[str, Any]] = []
        #: The projects of the tasks that were read, and their names.
        self._projects: dict[str, list[str]] = {}
        self._names: dict[str, list[str]] = {}

    def _ask(self, method: str, **params: Any) -> Any:
        """What *method* gives back."""
        given = params | {"__conduit__": {"token": str(self.settings.token)}}
        form = {"params": json.dumps(given), "output": "json", "__conduit__": "1"}
        before = self.written
        answer = self.call(
            "POST", self.url(method), data=urlencode(form), headers=_FORM
        )
        if method != "maniphest.edit":
            self.written = before  # a look is a POST here as well
        found = answer.json()
        if not isinstance(found, dict) or "error_code" not in found:
            raise Retry(f"{method}: what answered is not Conduit")
        if found["error_code"]:
            self.written = before
            # it repeats a token that it does not know
            told = redact(str(found.get("error_info")), self.http.secrets)
            raise _meaning(str(found["error_code"]), f"{method}: {told}", told)
        return found.get("result")

    def whoami(self) -> None:
        self._ask("user.whoami")

    def _known(self) -> list[dict[str, Any]]:
        """The statuses there are: name, value, whether closed, and for what."""
        if not self._statuses:
            self._statuses = self._ask("maniphest.status.search")["data"]
        return self._statuses

    def _is_closed(self, status: str) -> bool:
        """As Maniphest has it: a status that is none of the open ones is closed."""
        return all(
            known["closed"] or known["value"] != status for known in self._known()
        )

    def _status(self, issue: Issue) -> str:
        number = issue_number(issue)
        found = self._ask(
            "maniphest.search",
            constraints={"ids": [int(number)]},
            attachments={"projects": True},
        )["data"]
        if not found:
            raise NoSuchIssue("does not exist, or may not be seen by this user")
        self._projects[number] = found[0]["attachments"]["projects"]["projectPHIDs"]
        return str(found[0]["fields"]["status"]["value"])

    def is_closed(self, issue: Issue) -> bool:
        status = self._status(issue)
        own = str(self.settings.close).casefold()
        return self._is_closed(status) or own in self._words(status)

    def _words(self, status: str) -> set[str]:
        """What people call *status*."""
        names = {each["name"] for each in self._known() if each["value"] == status}
        return {name.casefold() for name in (status, *names)}

    def homes(self, issue: Issue) -> list[str]:
        """The names and hashtags of its projects, and the names of those above them."""
        projects = self._projects[issue.number]
        new = [phid for phid in projects if phid not in self._names]
        for each in self._find_projects(phids=new) if new else ():
            above = each["attachments"]["ancestors"]["ancestors"]
            names = [each["fields"]["name"], each["fields"]["slug"]]
            names += [ancestor["name"] for ancestor in above]
            self._names[each["phid"]] = [name for name in names if name]
        named = [name for phid in projects for name in self._names.get(phid, ())]
        return named or ["no project"]

    def _find_projects(self, **constraints: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask(
            "project.search", constraints=constraints, attachments={"ancestors": True}
        )["data"]
        return found

    def _edit(self, issue: Issue, *, status: str = "", comment: str = "") -> None:
        """Say *comment* and set *status*, in one change."""
        wanted = {"comment": comment, "status": status}
        self._ask(
            "maniphest.edit",
            objectIdentifier=f"T{issue_number(issue)}",
            transactions=[
                {"type": kind, "value": value}
                for kind, value in wanted.items()
                if value
            ],
        )

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._edit(issue, comment=comment.text)

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def _past(self, issue: Issue, since: float) -> list[dict[str, Any]]:
        """What was done to it after *since*, newest first."""
        done: list[dict[str, Any]] = []
        window: dict[str, Any] = {"limit": PAGE}
        for _ in range(PAGES):
            found = self._ask(
                "transaction.search",
                objectIdentifier=f"T{issue_number(issue)}",
                **window,
            )
            recent = [
                each for each in found["data"] if each["dateCreated"] >= since - 300
            ]
            done += recent
            window["after"] = found["cursor"]["after"]
            if len(recent) < len(found["data"]) or not window["after"]:
                break
        return done

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return any(
            is_said(version["content"]["raw"], mark)
            for each in self._past(issue, since)
            for version in each["comments"]
        )

    def _reached(self, issue: Issue, since: float) -> list[str]:
        """The statuses it was given after *since*."""
        past = self._past(issue, since)
        return [each["fields"]["new"] for each in past if each["type"] == "status"]

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        own = str(self.settings.close).casefold()
        return any(
            (self._is_closed(status) or own in self._words(status)) == closed
            for status in self._reached(issue, since)
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return any(
            state.casefold() in self._words(status)
            for status in self._reached(issue, since)
        )

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        status = self._closing(resolution)
        self._edit(issue, status=status, comment=comment.text)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        status = self._choose(self.settings.reopen, "reopen", "reopen")
        self._edit(issue, status=status, comment=comment.text)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        status = self._choose(state, "", "words")
        if self._status(issue) == status:
            return False
        self._edit(issue, status=status, comment=comment.text)
        return True

    def _closing(self, resolution: str) -> str:
        own = self.settings.resolutions.get(resolution, "")
        if resolution == "fixed":
            return self._choose(own or self.settings.close, resolution, "close")
        return self._choose(own, resolution, "resolutions")

    def _choose(self, wanted: str, purpose: str, setting: str) -> str:
        """The value of the status called *wanted*, or else of the one for *purpose*:
        Maniphest would take any other word for a status too.
        """
        known = self._known()
        special = [
            each["value"]
            for each in known
            if purpose and each.get("special") == _SPECIAL.get(purpose)
        ]
        if not wanted and special and purpose in _SPECIAL:
            return str(special[0])
        offered = {
            each[key]: each["value"] for key in ("name", "value") for each in known
        }
        return str(one_of(wanted or purpose, offered, "status", setting))

    def check(self) -> list[Check]:
        project = self.settings.project
        proofs: list[tuple[str, str, Callable[[], bool | Check]]] = [
            (
                "Conduit answers, and takes the token",
                "set `url`, and `token` to an API token of the bot's user",
                lambda: bool(self._ask("user.whoami")["phid"]),
            ),
            (
                "there are statuses that close a task and open it again",
                "set `close` and `reopen` to names of Maniphest's statuses",
                lambda: bool(
                    self._closing("fixed")
                    and self._choose(self.settings.reopen, "reopen", "reopen")
                ),
            ),
            (
                "tasks may be looked for",
                "let the bot's user see Maniphest",
                self._sees_tasks,
            ),
        ]
        if project:
            need = (
                "name a project by its name or hashtag, and let the bot's user see it"
            )
            what = f"there is a project {project}"
            proofs.append((what, need, lambda: self._has_project(project)))
        return self.looks(*proofs)

    def _sees_tasks(self) -> Check:
        if self._ask("maniphest.search", limit=1)["data"]:
            what = "tasks may be seen; the policy of each says who may edit it"
        else:
            what = "unproven, for want of a task that this user sees: whether any may be edited"
        return Check(True, what)

    def _has_project(self, project: str) -> bool:
        if self._find_projects(slugs=[project.lower()]):
            return True
        return any(
            each["fields"]["name"].casefold() == project.casefold()
            for each in self._find_projects(name=project)
        )


def _meaning(code: str, told: str, why: str) -> Exception:
    told = one_line(told, 200)
    if code in _CREDENTIALS:
        return NotDone(
            f"CREDENTIALS refused: {told}; check the API token",
            after=CREDENTIALS_AFTER,
        )
    if _POLICY.match(why):
        return Forbidden(told)
    return Retry(told) if _PASSING.search(why) else Refused(told)
