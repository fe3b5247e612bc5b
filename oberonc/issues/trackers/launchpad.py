"""Launchpad, by its web service, signed by OAuth. A bug has a task for each project it
concerns; only the tasks of those that the service is bound to are acted on.
"""

import secrets
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import (
    PAGE,
    PAGES,
    WebTracker,
    is_before,
    is_said,
    known,
)
from oberonc.kit.answers import (
    CREDENTIALS_AFTER,
    Answer,
    Forbidden,
    NotDone,
    Refused,
)
from oberonc.payload.globs import passes

_STATUSES = {"fixed": "Fix Released", "wontfix": "Won't Fix", "invalid": "Invalid"}
_AGAIN = "Confirmed"
#: Those in which Launchpad itself takes a task for done.
_COMPLETE = frozenset(
    {"opinion", "invalid", "won't fix", "expired", "fix released", "does not exist"}
)
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Launchpad(WebTracker):
    """`tracker = "launchpad"`."""

    kind = "launchpad"
    default_url = "https://api.launchpad.net"
    api = "/devel"
    flavour = "plain"
    numbering = "all"
    moves = True
    resolutions = frozenset({"wontfix", "invalid"})
    needs: ClassVar[tuple[str, ...]] = ("token", "password", "project")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        names = (self.settings.project, *self.settings.projects)
        self._bound = tuple(name.casefold() for name in names)
        #: The tasks of bugs as they were read last.
        self._tasks: dict[str, list[dict[str, Any]]] = {}

    def headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    def call(self, method: str, url: str, **request: Any) -> Answer:
        """Launchpad says 401 of a bug that may not be seen, or a change that is not
        allowed, too: the calls that need no right tell the two apart.
        """
        headers = {"Authorization": self._signature()} | (
            request.pop("headers", None) or {}
        )
        try:
            return super().call(method, url, headers=headers, **request)
        except NotDone as error:
            if isinstance(error, Forbidden) or error.after != CREDENTIALS_AFTER:
                raise
            told = str(error).removeprefix("CREDENTIALS refused: ")
            raise Forbidden(told.partition("; check the token")[0]) from None

    def _signature(self) -> str:
        site = urlsplit(self.base)
        signed = {
            "realm": f"{site.scheme}://{site.netloc}/",
            "oauth_version": "1.0",
            "oauth_consumer_key": quote(self.settings.user or "oberonc", safe=""),
            "oauth_token": quote(str(self.settings.token), safe=""),
            "oauth_signature_method": "PLAINTEXT",
            "oauth_signature": f"%26{quote(str(self.settings.password), safe='')}",
            "oauth_timestamp": str(int(self.http.now())),
            "oauth_nonce": secrets.token_hex(16),
        }
        return "OAuth " + ", ".join(f'{name}="{signed[name]}"' for name in signed)

    def says_missing(self, answer: Answer) -> bool:
        return answer.text.startswith("Object: <")

    def _own(self, link: str) -> str:
        """*link*, an address of Launchpad's, below our own address."""
        path = urlsplit(link).path
        return self.base + path.removeprefix(self.api)

    def whoami(self) -> None:
        self._me()

    def _me(self) -> str:
        """The address of the token's user, to which the one of `+me` leads."""
        url = self.url("people", "+me")
        answer = self.call("GET", url, errors=(301, 302, 303, 307))
        target = answer.headers.get("location", "")
        if "/~" not in target:
            raise Refused("Launchpad does not say whose the token is")
        return self._own(target)

    def is_closed(self, issue: Issue) -> bool:
        return all(map(self._is_complete, self._ours(self._read(issue))))

    def _is_complete(self, task: dict[str, Any]) -> bool:
        return self._closes(str(task["status"])) or bool(task.get("is_complete"))

    def _closes(self, status: str) -> bool:
        own = (self.settings.close, *self.settings.resolutions.values())
        return status.casefold() in {*_COMPLETE, *map(str.casefold, own)}

    def _read(self, issue: Issue) -> list[dict[str, Any]]:
        number = issue_number(issue)
        with known():
            found = list(self._pages("bugs", number, "bug_tasks"))
        if not found:
            raise NoSuchIssue("concerns nothing that may be seen")
        self._tasks[number] = found
        return found

    def _pages(self, *parts: str) -> Any:
        """The entries of a collection."""
        for page in range(PAGES):
            window = {"ws.start": page * PAGE, "ws.size": PAGE}
            entries = self.get(*parts, **window)["entries"]
            yield from entries
            if len(entries) < PAGE:
                return

    def _ours(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            task
            for task in tasks
            if passes(self._bound, [self._target(task).casefold()])
        ]

    def _target(self, task: dict[str, Any]) -> str:
        """What it concerns: `hello`, `hello/trunk`, `ubuntu/+source/hello`."""
        return self._own(str(task["target_link"])).removeprefix(f"{self.base}/")

    def homes(self, issue: Issue) -> list[str]:
        return [self._target(task) for task in self._tasks[issue.number]]

    def comment(self, issue: Issue, comment: Comment) -> None:
        said = urlencode({"ws.op": "newMessage", "content": comment.text})
        url = self.url("bugs", issue_number(issue))
        with known():
            self.call("POST", url, data=said, headers=_FORM)

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        found = self._pages("bugs", issue_number(issue), "messages")
        return any(is_said(message.get("content"), mark) for message in found)

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        """Of every task of ours, as far as it is not that way now."""
        reached = self._reached(issue, since)
        return all(
            self._is_complete(task) == closed
            or closed in map(self._closes, reached.get(_named(task), []))
            for task in self._ours(self._read(issue))
        )

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        reached = self._reached(issue, since)
        return all(
            state.casefold() in map(str.casefold, reached.get(_named(task), []))
            for task in self._ours(self._read(issue))
        )

    def _reached(self, issue: Issue, since: float) -> dict[str, list[str]]:
        """The statuses that tasks were given after *since*, by what says so."""
        reached: dict[str, list[str]] = {}
        for change in self._pages("bugs", issue_number(issue), "activity"):
            if not is_before(change.get("datechanged"), since):
                what = str(change.get("whatchanged"))
                reached.setdefault(what, []).append(str(change.get("newvalue")))
        return reached

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        own = self.settings.resolutions.get(resolution) or (
            self.settings.close if resolution == "fixed" else ""
        )
        self._set(issue, own or _STATUSES[resolution], closed=True)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, self.settings.reopen or _AGAIN, closed=False)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        return self._set(issue, state, closed=None)

    def _set(self, issue: Issue, status: str, *, closed: bool | None) -> bool:
        """Give *status* to each of our tasks that has it not, or is not *closed* (or
        open) already; whether there was one.
        """
        number, done = issue_number(issue), False
        # where a task fails, the next turn reads them all again
        tasks = self._tasks.pop(number, None) or self._read(issue)
        for task in self._ours(tasks):
            if status.casefold() == str(task["status"]).casefold() or (
                closed is not None and self._is_complete(task) == closed
            ):
                continue
            task |= self._patch(task, status)
            done = True
        self._tasks[number] = tasks
        return done

    def _patch(self, task: dict[str, Any], status: str) -> dict[str, Any]:
        """The task as it is then; only what was read is changed."""
        url, headers = (
            self._own(str(task["self_link"])),
            {"If-Match": task["http_etag"]},
        )
        with known():
            answer = self.call(
                "PATCH", url, json={"status": status}, headers=headers, errors=(412,)
            )
        if answer.status == 412:
            raise NotDone("somebody else changed the bug meanwhile", after=1.0)
        found: dict[str, Any] = answer.json()
        if str(found["status"]).casefold() != status.casefold():
            raise Refused(f"Launchpad answered, and left the status {found['status']}")
        return found

    def check(self) -> list[Check]:
        project = self.settings.project
        need = f"make the token's user the bug supervisor of {project}, or a member of the team that is"
        return self.looks(
            (
                "Launchpad answers, and takes the token",
                "set `token` and `password` to an access token and its secret, and `user` to its consumer key",
                lambda: bool(self._me()),
            ),
            (
                f"there is {project}, and its bugs are in Launchpad",
                "set `project` to a project, `project/series` or `ubuntu/+source/package`",
                self._has_bugs,
            ),
            (
                "the token's user may set every status, and reopen",
                need,
                self._supervises,
            ),
        )

    def _has_bugs(self) -> bool:
        found = self.get(*self.settings.project.split("/"))
        return bool(found.get("official_bugs", True))

    def _supervises(self) -> bool:
        pillar = self.get(self.settings.project.split("/")[0])
        links = (pillar.get("owner_link"), pillar.get("bug_supervisor_link"))
        people = {self._own(str(link)) for link in links if link}
        me = self._me()
        teams = self._pages(me.rpartition("/")[2], "super_teams")
        return me in people or any(
            self._own(str(team["self_link"])) in people for team in teams
        )


def _named(task: dict[str, Any]) -> str:
    """How the history names the status of *task*."""
    return f"{task['bug_target_name']}: status"
