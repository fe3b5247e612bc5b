"""Trello. A card is found by its number on a board, or by the short name that its
address has; what closes it is the board's custom, so the settings say it.
"""

import re
from typing import Any, ClassVar, NamedTuple

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, issue_number
from oberonc.issues.trackers.web import (
    WebTracker,
    is_before,
    is_said,
    iso,
    known,
    one_of,
)
from oberonc.kit.answers import CREDENTIALS_AFTER, Answer, Forbidden, NotDone, Refused
from oberonc.payload.globs import passes
from oberonc.redaction import redact
from oberonc.text import one_line

#: Seconds for which its limits count, and of which no answer tells.
_WINDOW = 10.0
#: Actions of a card that one answer has at most.
_MOST = 1000
#: Characters (as JavaScript counts them) that a comment has at most.
_LONGEST = 16_384
_SHORT = re.compile("[0-9A-Za-z]{8}")
_BOARD = re.compile("[0-9A-Za-z]{8}|[0-9a-f]{24}")
_FIELDS = "closed,dueComplete,idBoard,idList"
#: What it says of a card that is not there; not in JSON.
_MISSING = frozenset(
    {"the requested resource was not found.", "card not found", "model not found"}
)


class _Card(NamedTuple):
    id: str
    board: str
    list: str
    archived: bool
    complete: bool


class Trello(WebTracker):
    """`tracker = "trello"`."""

    kind = "trello"
    default_url = "https://api.trello.com"
    api = "/1"
    flavour = "markdown-visible"
    moves = True
    #: Of 100 requests a token may make; beside each write there is one that looks.
    pace: tuple[tuple[int, float], ...] = ((45, _WINDOW),)
    needs: ClassVar[tuple[str, ...]] = ("user", "token", "project")

    def __init__(self, broker: BaseBroker) -> None:
        super().__init__(broker)
        if self.base != self.default_url + self.api:
            self.pace = ()  # what stands in for Trello says when it is too much
        for board in (self.settings.project, *self.settings.projects):
            if not _BOARD.fullmatch(board) and not set(board) & set("*!"):
                raise ValueError(
                    f"'{board}' is no board: give the name in its address, AbCd1234 of"
                    " https://trello.com/b/AbCd1234/shop"
                )
        self._lists: dict[str, dict[str, str]] = {}
        #: Boards that the service is bound to, by their ids.
        self._bound: dict[str, bool] = {}
        self._cards: dict[Issue, str] = {}

    def headers(self) -> dict[str, str]:
        key, token = self.settings.user, str(self.settings.token)
        return {
            "Authorization": f'OAuth oauth_consumer_key="{key}", oauth_token="{token}"'
        }

    def says_missing(self, answer: Answer) -> bool:
        return answer.text.strip().lower() in _MISSING or super().says_missing(answer)

    def call(self, method: str, url: str, **request: Any) -> Answer:
        """As for every tracker; 401 may be about a card alone, too."""
        try:
            answer = super().call(method, url, errors=(401,), **request)
        except NotDone as error:
            if error.after is None and str(error).startswith("rate limit"):
                raise NotDone(str(error), after=_WINDOW) from None
            raise
        if answer.status == 401:
            told = one_line(redact(answer.text, self.http.secrets), 200)
            if "permission requested" in told:
                raise Forbidden(told)
            raise NotDone(
                f"CREDENTIALS refused: {told}; check the key in `user`, and the token",
                after=CREDENTIALS_AFTER,
            )
        return answer

    def whoami(self) -> None:
        self.get("members", "me", fields="id")

    def _card(self, issue: Issue) -> _Card:
        fields = {"fields": _FIELDS}
        with known():
            if _SHORT.fullmatch(issue.number) and not issue.number.isdigit():
                found = self.get("cards", issue.number, **fields)
                self._need_bound(str(found["idBoard"]))
            else:
                number = issue_number(issue)
                board = issue.project
                if not _BOARD.fullmatch(board):
                    raise NoSuchIssue(
                        f"is of '{one_line(board, 60)}', which is no board"
                    )
                found = self.get("boards", board, "cards", number, **fields)
        self._cards[issue] = str(found["id"])
        return _Card(
            str(found["id"]),
            str(found["idBoard"]),
            str(found["idList"]),
            bool(found["closed"]),
            bool(found.get("dueComplete")),
        )

    def _need_bound(self, board: str) -> None:
        """Raise NoSuchIssue for a card on a board that the service is not bound to."""
        if board not in self._bound:
            found = self.get("boards", board, fields="shortLink,name")
            names = [str(found["shortLink"]).casefold(), board]
            patterns = (self.settings.project, *self.settings.projects)
            self._bound[board] = passes(
                tuple(pattern.casefold() for pattern in patterns), names
            )
        if not self._bound[board]:
            raise NoSuchIssue(
                "is on a board this service is not bound to: add it to `projects`"
            )

    def _id(self, issue: Issue) -> str:
        return self._cards.get(issue) or self._card(issue).id

    def _on(self, board: str) -> dict[str, str]:
        """The ids of the open lists on *board*, by their names, in their order."""
        if board not in self._lists:
            found = self.get("boards", board, "lists", filter="open", fields="name")
            self._lists[board] = {str(each["name"]): str(each["id"]) for each in found}
        return self._lists[board]

    @property
    def _how(self) -> str:
        """What closes: `complete`, `archive`, or the name of a list in lower case."""
        return str(self.settings.close).casefold() or "complete"

    def is_closed(self, issue: Issue) -> bool:
        card = self._card(issue)
        if card.archived or self._how == "archive":
            return card.archived
        if self._how == "complete":
            return card.complete
        return card.list == self._listed(card.board, self.settings.close, "close")

    def _listed(self, board: str, name: str, setting: str) -> str:
        return str(one_of(name, self._on(board), "list", setting))

    def comment(self, issue: Issue, comment: Comment) -> None:
        if len(comment.text.encode("utf-16-le")) > 2 * _LONGEST:
            raise Refused("the comment is too long for Trello")  # which does not say so
        self._put("POST", issue, "actions", "comments", text=comment.text)

    def _put(self, method: str, issue: Issue, *parts: str, **change: Any) -> None:
        with known():
            self.send(method, "cards", self._id(issue), *parts, json=change)

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        found = self._actions(issue, "commentCard", since)
        return any(is_said(each["data"].get("text"), mark) for each in found)

    def _actions(self, issue: Issue, kind: str, since: float) -> list[dict[str, Any]]:
        """What was done to it after *since*, as far as it is of one *kind*."""
        window = {"filter": kind, "limit": _MOST, "since": iso(since)}
        found = self.get("cards", self._id(issue), "actions", **window)
        return [each for each in found if not is_before(each["date"], since)]

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        field, wanted = {
            "archive": ("closed", closed),
            "complete": ("dueComplete", closed),
        }.get(self._how, ("idList", None))
        if wanted is None:
            return any(
                (name == self._how) == closed for name in self._reached(issue, since)
            )
        return any(
            field in each["data"].get("old", {})
            and each["data"]["card"].get(field) is wanted
            for each in self._actions(issue, "updateCard", since)
        )

    def _reached(self, issue: Issue, since: float) -> list[str]:
        """The lists it was put on after *since*, in lower case."""
        found = self._actions(issue, "updateCard", since)
        after = [each["data"].get("listAfter") for each in found]
        return [str(each["name"]).casefold() for each in after if each]

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        return state.casefold() in self._reached(issue, since)

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        how = self._how
        if how in ("archive", "complete"):
            self._put(
                "PUT", issue, **{"closed" if how == "archive" else "dueComplete": True}
            )
            return
        card = self._card(issue)
        target = self._listed(card.board, self.settings.close, "close")
        self._put("PUT", issue, idList=target)

    def reopen(self, issue: Issue, comment: Comment) -> None:
        card = self._card(issue)
        change: dict[str, Any] = {"closed": False}
        if self._how == "complete":
            change["dueComplete"] = False
        lists = self._on(card.board)
        if self.settings.reopen:
            change["idList"] = self._listed(card.board, self.settings.reopen, "reopen")
        elif card.list == lists.get(self._name(card)):
            change["idList"] = next(iter(lists.values()))
        self._put("PUT", issue, **change)

    def _name(self, card: _Card) -> str:
        """The name of the list that closes, as the board writes it."""
        return next(
            (name for name in self._on(card.board) if name.casefold() == self._how), ""
        )

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        card = self._card(issue)
        target = self._listed(card.board, state, "words")
        if card.list == target:
            return False
        self._put("PUT", issue, idList=target)
        return True

    def check(self) -> list[Check]:
        board = self.settings.project
        need = "make the token's member one of the board, and no observer"
        return self.looks(
            (
                "Trello answers, and takes key and token",
                "set `user` to the API key and `token` to a token with the scopes read and write",
                lambda: bool(self.get("members", "me", fields="id")["id"]),
            ),
            (
                f"the board {board} may be changed",
                need,
                lambda: self._may_change(board),
            ),
            (
                f"the board {board} has the lists that close and open again",
                "set `close` and `reopen` to `complete`, `archive`, or names of lists",
                lambda: self._has_lists(board),
            ),
        )

    def _may_change(self, board: str) -> bool:
        me = self.get("members", "me", fields="id")["id"]
        found = self.get("boards", board, "memberships", filter="all")
        kinds = [each["memberType"] for each in found if each["idMember"] == me]
        return bool(kinds) and kinds[0] != "observer"

    def _has_lists(self, board: str) -> bool:
        if self._how not in ("archive", "complete"):
            self._listed(board, self.settings.close, "close")
        if self.settings.reopen:
            self._listed(board, self.settings.reopen, "reopen")
        return bool(self._on(board))
