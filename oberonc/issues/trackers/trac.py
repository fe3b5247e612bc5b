"""Trac with the XmlRpcPlugin, spoken to in JSON. Refusals come as 200 with an `error`."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import Tried, WebTracker, is_before, known, one_of
from oberonc.kit.answers import CREDENTIALS_AFTER, Forbidden, NotDone, Refused
from oberonc.kit.http import AnyAuth
from oberonc.text import one_line

_TRIES = 4
_ACTIONS = {"close": "resolve", "reopen": "reopen"}
#: What Trac says when somebody else changed the ticket in between.
_COLLISION = "modified by someone else"


class Trac(WebTracker):
    """`tracker = "trac"`."""

    kind = "trac"
    flavour = "trac"
    numbering = "all"
    missing = frozenset()  # it says so in a 200
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})
    needs: ClassVar[tuple[str, ...]] = ("url", "user", "password")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self._components: dict[Issue, str] = {}

    def auth(self) -> AnyAuth:
        return AnyAuth(self.settings.user, str(self.settings.password))

    def _call(self, method: str, *params: Any) -> Any:
        with known():
            before = self.written
            body = {"id": 1, "method": method, "params": list(params)}
            answer = self.call("POST", self.url("login", "rpc"), json=body).json()
        error = answer.get("error")
        if error or method != "ticket.update":
            self.written = before  # a look is a POST here, and a refusal a 200
        if error:
            raise _meaning(method, error)
        return answer.get("result")

    def _ticket(self, issue: Issue) -> dict[str, Any]:
        found: dict[str, Any] = self._call("ticket.get", int(issue_number(issue)))[3]
        return found

    def whoami(self) -> None:
        self._version()

    def is_closed(self, issue: Issue) -> bool:
        found = self._ticket(issue)
        self._components[issue] = str(found.get("component") or "")
        return bool(found["status"] == "closed")

    def homes(self, issue: Issue) -> list[str]:
        """The component, those it is a part of (`web/api`), and the environment."""
        parts = self._components[issue].split("/")
        names = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        return [*filter(None, names), urlsplit(self.base).path.rpartition("/")[2]]

    def comment(self, issue: Issue, comment: Comment) -> None:
        self._call(
            "ticket.update",
            int(issue_number(issue)),
            comment.text,
            {},
            self.settings.notify,
        )

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        changes = self._call("ticket.changeLog", int(issue_number(issue)))
        return any(
            change[2] == "comment" and mark in str(change[4]) for change in changes
        )

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        changes = self._call("ticket.changeLog", int(issue_number(issue)))
        recent = [
            change
            for change in changes
            if change[2] == "status" and not is_before(_moment(change[0]), since)
        ]
        return any((change[4] == "closed") == closed for change in recent)

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        wanted = self.settings.resolutions.get(resolution, resolution)
        self._act(issue, self.settings.close or "resolve", wanted, comment)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._act(issue, self.settings.reopen or "reopen", "", comment)

    def _act(
        self, issue: Issue, action: str, resolution: str, comment: Comment
    ) -> None:
        """Take the workflow's *action*, which closes as *resolution* or, without one,
        opens again; again when somebody else changed the ticket in
        between.
        """
        number = int(issue_number(issue))
        for attempt in range(_TRIES):
            offered = {
                str(entry[0]): entry
                for entry in self._call("ticket.getActions", number)
            }
            found = one_of(
                action, offered, "action", "close" if resolution else "reopen"
            )
            ticket = self._ticket(issue)
            before = ticket["status"]
            change = {"action": action, "_ts": str(ticket["_ts"])}
            change |= _fields(found[3], resolution) if resolution else {}
            try:
                self._call(
                    "ticket.update", number, comment.text, change, self.settings.notify
                )
                break
            except Refused as error:
                if _COLLISION not in str(error) or attempt == _TRIES - 1:
                    raise
        left = self._ticket(issue)["status"]
        own = self.settings.close if resolution else self.settings.reopen
        if (left == "closed") != bool(resolution) and (not own or left == before):
            raise Refused(f"Trac answered, and left the status {left}")

    def check(self) -> list[Check]:
        need = "enable the XmlRpcPlugin, and give the user XML_RPC"
        rights = "give the user TICKET_VIEW, TICKET_APPEND and TICKET_MODIFY"
        return self.looks(
            (
                "Trac answers, and takes the password",
                "set `url`, `user`, `password`",
                lambda: bool(self._version()),
            ),
            (
                "the plugin takes changes of tickets",
                need,
                lambda: "ticket.update" in self._call("system.listMethods"),
            ),
            (
                "tickets can be closed",
                f"set `close`; {rights}",
                lambda: self._leads("close", f"set `close`; {rights}"),
            ),
            (
                "tickets can be reopened",
                f"set `reopen`; {rights}",
                lambda: self._leads("reopen", f"set `reopen`; {rights}"),
            ),
        )

    def _leads(self, step: str, mend: str) -> Check:
        """Whether the workflow offers the user *step* on the newest ticket that it can
        be of.
        """
        which = "status=closed" if step == "reopen" else "status!=closed"
        action = getattr(self.settings, step) or _ACTIONS[step]
        tried = Tried()
        found = self._call("ticket.query", f"{which}&order=id&desc=1&max=1")
        if not found:
            tried.add(f"any ticket with {which}", None)
        for number in found[:1]:
            offered = [entry[0] for entry in self._call("ticket.getActions", number)]
            tried.add(f"#{number} ({action})", action in offered)
        word = "closed" if step == "close" else "reopened"
        return tried.check(f"tickets can be {word}", mend)

    def _version(self) -> Any:
        return self._call("system.getAPIVersion")


def _moment(time: Any) -> str:
    """The plugin's way to write a time in JSON, as ISO 8601."""
    return (
        f"{time['__jsonclass__'][1]}+00:00"
        if isinstance(time, dict) and "__jsonclass__" in time
        else str(time)
    )


def _fields(inputs: list[Any], resolution: str) -> dict[str, str]:
    """The action's input for the resolution, whatever the workflow calls it."""
    for name, _, *options in inputs:
        if str(name).endswith("resolution"):
            offered = {
                str(option): str(option)
                for option in (options[0] if options else [resolution])
            }
            return {
                str(name): str(one_of(resolution, offered, "resolution", "resolutions"))
            }
    return {}


def _meaning(method: str, error: dict[str, Any]) -> Exception:
    code, told = error.get("code"), one_line(f"{method}: {error.get('message')}", 200)
    if code == 404:
        return NoSuchIssue()
    if code == 401:
        return NotDone(f"CREDENTIALS refused: {told}", after=CREDENTIALS_AFTER)
    if code == 403:
        return Forbidden(told)
    return Refused(told)
