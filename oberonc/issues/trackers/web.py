"""What the trackers behind HTTP share: address, credentials, and answers in the words
of the contract.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from oberonc.broker.contract import BaseBroker, Check
from oberonc.errors import Retry
from oberonc.issues.comment import Comment, duration
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import (
    MALFORMED,
    Elsewhere,
    NoSuchIssue,
    Tracker,
    malformed,
)
from oberonc.kit.answers import (
    CREDENTIALS_AFTER,
    Answer,
    Forbidden,
    Moved,
    NotDone,
    Page,
    Refused,
)
from oberonc.kit.http import part
from oberonc.redaction import without_userinfo
from oberonc.text import listed, one_line, utc

#: Pages of comments that are looked through for a mark.
PAGES = 50
PAGE = 100
#: Kinds of issues that a check names.
_KINDS = 8
#: What no tracker means that answers our calls: redirects, and that something is not
#: there, unless it is said in the tracker's own way.
_STRAY = frozenset({*range(300, 400), 404, 405, 410})


#: What every server reads in a header as it was written.
_HEADER = re.compile("[!-~](?:[ -~]*[!-~])?")


class WebTracker(Tracker):
    """A tracker with a REST interface below `base`."""

    #: Where it is when the setting `url` does not say.
    default_url: ClassVar[str] = ""
    #: What follows the address people use.
    api: ClassVar[str] = ""
    #: One of these names is in the object with which it says that something is not
    #: there.
    missing: ClassVar[frozenset[str]] = frozenset({"message"})

    def __init__(self, broker: BaseBroker) -> None:
        self.settings = broker.settings
        site = (self.settings.url or self.default_url).rstrip("/")
        if (
            urlsplit(site).scheme not in ("http", "https")
            or not urlsplit(site).hostname
        ):
            raise ValueError(
                f"url must be an address such as https://{self.kind}.example.org, not '{site}'"
            )
        self.base = self.address(site)
        self.name = f"{self.kind} {without_userinfo(self.base)}"
        self.flavour = self.settings.markup or type(self).flavour
        #: Users by their addresses, and those who may not act.
        self._users: dict[str, str] = {}
        self._strangers: set[str] = set()
        self.http = broker.http(headers=self.headers(), auth=self.auth())

    def address(self, site: str) -> str:
        """The API's address of the *site* people use."""
        return site if site.endswith(self.api) else site + self.api

    def headers(self) -> dict[str, str]:
        """What every request carries, the credentials among it."""
        return {}

    def auth(self) -> Any:
        """Credentials that are no plain header: (user, password), or an object of
        requests.
        """
        return None

    def url(self, *parts: str) -> str:
        """The address of *parts* below the API, each of them encoded."""
        return "/".join([self.base, *map(part, parts)])

    def call(self, method: str, url: str, **request: Any) -> Answer:
        """As `Http.call`; but that something is not there, only the tracker itself is
        believed. Raises Elsewhere for what other servers say.
        """
        try:
            answer = self.http.call(method, url, **request)
            self.written += method != "GET" and answer.status < 400
            return answer
        except Page as error:
            self.written += method != "GET"  # who knows
            raise Elsewhere(str(error)) from None
        except (Moved, Refused) as error:
            if isinstance(error, Refused) and self._is_its_own(error):
                raise
            refusal = error.answer or Answer(0, {}, "")
            said, told = f"but not as {self.kind} says it", f" ({error})"
            if 300 <= refusal.status < 400:
                target = re.split("[?#]", refusal.headers.get("location", ""))[0]
                said = f"moved to {one_line(without_userinfo(target), 200)}"
                told = ""
            raise Elsewhere(
                f"{refusal.status}, {said}: check `url` and `project`, and what stands before the server{told}"
            ) from None

    def _is_its_own(self, error: Refused) -> bool:
        if error.answer is None or error.status not in _STRAY:
            return True
        return error.status in (404, 410) and self.says_missing(error.answer)

    def says_missing(self, answer: Answer) -> bool:
        """Whether this 404 or 410 has the form in which the tracker itself says that
        something is not there.
        """
        try:
            found = answer.json()
        except Retry:
            return False
        return isinstance(found, dict) and not self.missing.isdisjoint(found)

    def get(self, *parts: str, **params: Any) -> Any:
        """The JSON found at *parts*."""
        given = {name: str(value) for name, value in params.items()}
        return self.call("GET", self.url(*parts), params=given or None).json()

    def send(
        self,
        method: str,
        *parts: str,
        json: Any,
        comment: Comment | None = None,
        **params: str,
    ) -> Answer:
        """Change something; for the author of *comment* where the settings name the
        tracker's user for them, and the tracker lets them act.
        """
        url = self.url(*parts)
        headers = self.on_behalf(comment) if comment else {}
        if comment and not all(map(_HEADER.fullmatch, headers.values())):
            self.act_ourselves(comment, "no header can hold that name")
            headers = {}
        if comment and headers:
            try:
                return self.call(
                    method, url, json=json, headers=headers, params=params or None
                )
            except (Refused, NotDone) as error:
                if isinstance(error, NotDone) and error.after != CREDENTIALS_AFTER:
                    raise
                answer = self.call(method, url, json=json, params=params or None)
                self.act_ourselves(comment, str(error))
                return answer
        return self.call(method, url, json=json, params=params or None)

    def on_behalf(self, comment: Comment) -> dict[str, str]:
        """The header that makes the request count as that of the commit's author."""
        return {}

    def act_ourselves(self, comment: Comment, why: str) -> bool:
        """From now on act as our own user for the author of *comment*, and say so;
        False where it was our own user all the time.
        """
        user = self.user_of(comment)
        if not user:
            return False
        self._strangers.add(user)
        self.told += (f"not done as {one_line(user, 60)}: {one_line(why, 200)}",)
        return True

    def user_of(self, comment: Comment) -> str:
        """The tracker's user for the author of the commit, or an empty string."""
        authors = {
            name.casefold(): user for name, user in self.settings.authors.items()
        }
        mail = comment.email.casefold()
        user = authors.get(mail) or authors.get(comment.name.casefold()) or ""
        if not user and mail and self.settings.authors_by_mail:
            if mail not in self._users:
                self._users[mail] = self._look_up(mail)
            user = self._users[mail]
        return "" if user in self._strangers else user

    def _look_up(self, mail: str) -> str:
        try:
            return self.find_user(mail)
        except (Refused, Forbidden):
            return ""

    def stays(self, issue: Issue, key: str) -> None:
        """Raise NoSuchIssue where *issue* has become *key*, of a project that the
        service is not bound to: a tracker goes on answering to the old key.
        """
        settings, (project, _, _) = self.settings, key.rpartition("-")
        bound = {name.casefold() for name in (settings.project, *settings.projects)}
        if project and project.casefold() not in bound | {issue.project.casefold()}:
            raise NoSuchIssue(
                f"was moved to {one_line(key, 60)}, of a project this service is not bound to: add it to `projects`"
            )

    def looks(
        self, *proofs: tuple[str, str, Callable[[], bool | Check]]
    ) -> list[Check]:
        """Run *proofs* of (what holds, what mends it, look) until one shows that the
        rest makes no sense. A look may word its check itself.
        """
        checks = []
        for what, mend, look in proofs:
            try:
                found = look()
                checks.append(
                    found if isinstance(found, Check) else Check(found, what, mend)
                )
            except (Refused, NoSuchIssue) as error:
                checks.append(Check(False, f"{what}: {error}", mend))
            except Elsewhere as error:
                need = "set `url` to where the tracker is, and look at what stands before it"
                return [*checks, Check(False, str(error), need)]
            except Forbidden as error:
                checks.append(Check(False, f"{what}: {error}", mend))
            except MALFORMED as error:
                checks.append(Check(False, f"{what}: {malformed(error)}", mend))
            except Retry as error:
                return [
                    *checks,
                    Check(False, str(error), "check url, token and the network"),
                ]
        return checks

    def looks_at_project(
        self, name: str, need: str, may: Callable[[Issue], bool | Check]
    ) -> list[Check]:
        """What a forge called *name* shows: that it takes the token, and whether that
        *may* act on the issues of the project, where the settings name one.
        """
        project = self.settings.project
        proven = (
            f"{name} answers, and takes the token",
            "set `url` and `token`",
            lambda: self.whoami() is None,
        )
        acts = f"the token may comment on and close issues of {project}"
        first = Issue(project, "1", "#1")
        if project:
            return self.looks(proven, (acts, need, lambda: may(first)))
        said = f"each repository's own {name} project is used; set `project` to have its permissions proven"
        return [*self.looks(proven), Check(True, said)]


class Tried:
    """What came of looking whether something is allowed, kind by kind of issue (their
    types, queues, ...), on issues that are there.
    """

    def __init__(self) -> None:
        self.allowed: list[str] = []
        self.refused: list[str] = []
        #: Kinds of which there is no issue to look at.
        self.untried: list[str] = []

    def add(self, kind: str, allowed: bool | None) -> None:
        """None: nothing of *kind* is there to look at."""
        names = self.untried if allowed is None else self.refused
        (self.allowed if allowed else names).append(kind)

    def check(self, what: str, mend: str) -> Check:
        """Says of *what* for which kinds it holds, and of which nobody knows."""
        parts = [
            f"{how}{listed(names, _KINDS)}"
            for how, names in (
                ("", self.allowed),
                ("not for ", self.refused),
                ("unproven, for want of an issue: ", self.untried),
            )
            if names
        ]
        return Check(not self.refused, f"{what}: {'; '.join(parts)}", mend)


@contextmanager
def known() -> Iterator[None]:
    """Not found, or gone: the issue is not there for us."""
    try:
        yield
    except Refused as error:
        if error.status in (404, 410):
            raise NoSuchIssue from None
        raise


def the_one(mail: str, users: Iterable[tuple[str, Any]]) -> str:
    """Who of *users* (name and address) has the address *mail*; an empty string where
    it is nobody, or not one.
    """
    names = {str(name) for name, found in users if str(found).casefold() == mail}
    return names.pop() if len(names) == 1 else ""


def iso(when: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, a little earlier: clocks differ."""
    return utc(max(0.0, when - 300))


#: How a time entry begins, where those are comments.
_TIME = re.compile(r"\s*(?:[0-9]+h ?)?(?:[0-9]+m)? of work, told by ")


def is_said(text: Any, mark: str) -> bool:
    """Whether *text* is the comment with *mark*, which may be the short id of a commit:
    not a time entry of the same commit, nor a comment that quotes its whole id.
    """
    found = re.search(rf"(?<![0-9a-f]){re.escape(mark)}(?![0-9a-f])", str(text))
    return bool(found) and not _TIME.match(str(text))


def is_time(text: str, seconds: int, mark: str) -> bool:
    """Whether the comment *text* with *mark* is the one that logged *seconds*."""
    entry = f"{duration(seconds)} of work, told by "
    return mark in text and text.lstrip().startswith(entry)


def is_before(text: Any, since: float) -> bool:
    """Whether the tracker's time *text* lies clearly before *since*; an unreadable one
    does not.
    """
    try:
        return datetime.fromisoformat(str(text)).timestamp() < since - 300
    except ValueError:
        return False


def one_of(wanted: str, offered: dict[str, Any], what: str, setting: str) -> Any:
    """The one *offered* under the name *wanted*, whatever the case; Refused with what
    there is.
    """
    found = {name.casefold(): value for name, value in offered.items()}
    if wanted.casefold() not in found:
        raise Refused(
            f"there is no {what} '{wanted}' now; there is {', '.join(offered) or 'none'}: set `{setting}`"
        )
    return found[wanted.casefold()]
