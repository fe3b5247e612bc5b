"""Roundup. A comment is two calls: the message is made by a one-time address, then
linked to the issue.
"""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import (
    Tried,
    WebTracker,
    is_said,
    known,
    one_of,
    the_one,
)
from oberonc.kit.answers import Forbidden, Refused
from oberonc.text import one_line

#: How often a change is tried again when somebody else changed the issue in between.
_TRIES = 4
#: What the templates `classic` and `devel` call the statuses.
_USUAL = {"close": ("resolved", "closed"), "reopen": ("chatting", "open")}


class Roundup(WebTracker):
    """`tracker = "roundup"`."""

    kind = "roundup"
    api = "/rest"
    flavour = "plain"
    numbering = "all"
    missing = frozenset({"error"})
    moves = True
    needs: ClassVar[tuple[str, ...]] = ("url", "user", "password")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        self.resolutions = frozenset(self.settings.resolutions)
        self._names: dict[str, str] = {}

    def headers(self) -> dict[str, str]:
        site = urlsplit(self.base)
        return {
            "Origin": f"{site.scheme}://{site.netloc}",
            "X-Requested-With": "oberonc",
            "Accept": "application/json",
        }

    def auth(self) -> tuple[str, str]:
        return self.settings.user, str(self.settings.password)

    def find_user(self, mail: str) -> str:
        """Users whose address our own user may not see are not found."""
        fields = {"@fields": "username,address", "address": mail}
        found = self.get("data", "user", **fields)["data"]["collection"]
        return the_one(
            mail, ((user.get("username"), user.get("address")) for user in found)
        )

    def _issue(self, issue: Issue) -> Any:
        with known():
            return self.get("data", "issue", issue_number(issue))["data"]

    def _statuses(self) -> dict[str, str]:
        """The tracker's statuses: name and id."""
        if not self._names:
            found = self.get("data", "status", **{"@fields": "name"})["data"][
                "collection"
            ]
            self._names = {str(entry["name"]): str(entry["id"]) for entry in found}
        return self._names

    def _named(self, name: str, setting: str) -> str:
        """The id of the status called *name*."""
        return str(one_of(name, self._statuses(), "status", setting))

    def _own_status(self, setting: str) -> str:
        """The name of the status for *setting*: the one that it names, or what the
        templates of Roundup call it.
        """
        named = str(getattr(self.settings, setting))
        usual = _USUAL[setting]
        there = [name for name in usual if name in self._statuses()]
        return named or (there or usual)[0]

    def _closing(self) -> set[str]:
        """The ids of those in which an issue counts as closed."""
        names = [self._own_status("close"), *self.settings.resolutions.values()]
        ids = {self._named(name, "close") for name in names}
        return ids | {
            self._statuses()[name]
            for name in _USUAL["close"]
            if name in self._statuses()
        }

    def whoami(self) -> None:
        self.get("data", "status", **{"@page_size": 1})

    def is_closed(self, issue: Issue) -> bool:
        return self._status(issue) in self._closing()

    def comment(self, issue: Issue, comment: Comment) -> None:
        before = _status_of(self._patch(issue, {}, self._make(comment)))
        if before in self._closing() and self._status(issue) != before:
            # many trackers open an issue again when somebody speaks
            self._patch(issue, {"status": before})

    def _make(self, comment: Comment) -> str:
        """The id of a new message, which is not linked to an issue yet."""
        author = self.user_of(comment)
        if author:
            try:
                return self._make_by(author, comment)
            except (Refused, Forbidden) as error:
                made = self._make_by(self.settings.user, comment)
                self.act_ourselves(comment, str(error))
                return made
        return self._make_by(self.settings.user, comment)

    def _make_by(self, author: str, comment: Comment) -> str:
        # Without an author the message could not be linked later.
        content = {"content": comment.text, "author": author}
        once = self.send("POST", "data", "msg", "@poe", json={}).json()["data"]["link"]
        made = self.call("POST", self._own(once), json=content).json()["data"]["id"]
        return str(made)

    def _status(self, issue: Issue) -> str:
        return _status_of(self._issue(issue))

    def _own(self, link: str) -> str:
        """*link* below our own address: the server may know itself by another name."""
        return self.base + link[link.index("/rest/") + len("/rest") :]

    def _patch(self, issue: Issue, change: dict[str, str], message: str = "") -> Any:
        """Change the issue as it was read, and add *message* to it; once more when
        somebody else changed it in between. The issue as it was before.
        """
        for _ in range(_TRIES):
            found = self._issue(issue)
            headers = {"If-Match": found["@etag"]}
            if message:
                known = found["attributes"].get("messages") or []
                ids = [*(str(entry["id"]) for entry in known), message]
                change = change | {"messages": ",".join(ids)}
            url = self.url("data", "issue", issue_number(issue))
            answer = self.call(
                "PATCH", url, json=change, headers=headers, errors=(409, 412)
            )
            if answer.status == 409 and "is retired" in answer.text:
                raise NoSuchIssue("was retired")
            if answer.status == 409:
                raise Refused(f"Roundup refuses it: {one_line(answer.text, 200)}", 409)
            if answer.status != 412:
                return found
        raise Refused("somebody else changed the issue each time", 412)

    def joins(self, issue: Issue, comment: Comment) -> bool:
        return True

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        messages = self._issue(issue)["attributes"].get("messages") or []
        newest = sorted((int(message["id"]) for message in messages), reverse=True)[
            :100
        ]
        return any(is_said(self._message(number), mark) for number in newest)

    def _message(self, number: int) -> str:
        # Less verbose, the text is only a link.
        content = self.get("data", "msg", str(number), **{"@verbose": 3})["data"][
            "attributes"
        ].get("content")
        return str(content)

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        self._set(
            issue,
            self.settings.resolutions.get(resolution) or self._own_status("close"),
            "close",
            comment,
        )

    def reopen(self, issue: Issue, comment: Comment) -> None:
        self._set(issue, self._own_status("reopen"), "reopen", comment)

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        if self._status(issue) == one_of(state, self._statuses(), "status", "words"):
            return False
        self._set(issue, state, "words", comment)
        return True

    def _set(self, issue: Issue, status: str, setting: str, comment: Comment) -> None:
        wanted = one_of(status, self._statuses(), "status", setting)
        message = self._make(comment) if comment.text else ""
        self._patch(issue, {"status": wanted}, message)
        if self._status(issue) != wanted:
            raise Refused(f"Roundup answered, and did not set the status {status}")

    def check(self) -> list[Check]:
        need = "give the user the role User: Edit on issue, Create on msg"
        return self.looks(
            (
                "Roundup answers and takes the password",
                "set `url`, `user`, `password`",
                self._answers,
            ),
            (
                "there is the status that closes",
                "set `close`",
                lambda: bool(self._closing()),
            ),
            (
                "there is the status that opens again",
                "set `reopen`",
                lambda: bool(self._named(self._own_status("reopen"), "reopen")),
            ),
            ("the user may change issues", need, lambda: self._may(need)),
        )

    def _may(self, mend: str) -> Check:
        """Writes the newest issue's status as it is: the right is asked for, and nothing
        is changed.
        """
        newest = {"@page_size": 1, "@page_index": 1, "@sort": "-id"}
        found = self.get("data", "issue", **newest)["data"]["collection"]
        tried = Tried()
        for entry in found[:1]:
            number = str(entry["id"])
            issue = Issue("", number, f"#{number}")
            self._patch(issue, {"status": self._status(issue)})
        tried.add(f"#{found[0]['id']}" if found else "any", bool(found) or None)
        return tried.check("the user may change issues", mend)

    def _answers(self) -> bool:
        return bool(self._statuses())


def _status_of(found: Any) -> str:
    """The id of the status of an issue that was read."""
    return str((found["attributes"].get("status") or {}).get("id"))
