"""The contract between the issue broker and a tracker.

Every method may raise `Retry` (not now; nobody knows whether it was done, unless it is
a `NotDone`), `NoSuchIssue`, `Refused` (never, and why), or `Forbidden` (not with these
credentials: about this issue, unless `whoami` fails as well). Numbers, keys and projects
are validated here before a URL is built from them.
"""

import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.issues.comment import Comment
from oberonc.issues.tasks import Issue
from oberonc.kit.answers import NotDone, Refused
from oberonc.text import one_line


class NoSuchIssue(Exception):
    """There is nothing to act on: the tracker has no such issue, or will not show it."""

    def __init__(self, why: str = "does not exist") -> None:
        super().__init__(why)


class Elsewhere(NotDone):
    """Something other than the tracker answers at its address: a proxy while the
    tracker is upgraded, a page to log in at, a wrong or an old `url`.
    """


#: What reading an answer raises that is JSON, and not of the form it should have.
MALFORMED = (LookupError, TypeError, AttributeError, ValueError)


def malformed(error: Exception) -> str:
    """What is said of one of these: a line in which the place can be found."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    told = one_line(f"{type(error).__name__}: {error}", 80)
    return (
        f"the answer has not the form in which the tracker gives it ({told}, {where})"
    )


class Tracker(ABC):
    """What the issue broker needs of a tracker; one instance works for one delivery at
    a time.
    """

    #: The name of the setting `tracker` and of the grammar's preset.
    kind: ClassVar[str]
    #: The grammar's words, where they are others than those of the preset of its name,
    #: or of `local`: as in the setting `words`.
    words: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    #: The markup of its comments, a name of `comment.FLAVOURS`.
    flavour: str = "markdown"
    #: `project`: issues are numbered in each project; `key`: written PROJ-12; `all`:
    #: numbered over the whole tracker.
    numbering: ClassVar[str] = "project"
    #: What people write before a number, where numbers are counted over all of it.
    sign: ClassVar[str] = "#"
    #: The resolutions it can close with, besides `fixed`.
    resolutions: frozenset[str] = frozenset()
    keeps_time: ClassVar[bool] = False
    #: Whether it has statuses that `move` leads to.
    moves: ClassVar[bool] = False
    #: The published limits on writing: (writes, seconds).
    pace: tuple[tuple[int, float], ...] = ()
    #: Which settings it needs besides `tracker`; `a|b` for one of two.
    needs: ClassVar[tuple[str, ...]] = ("url", "token")

    #: Names this tracker in the ledger: two services on one tracker share what was
    #: done.
    name: str = ""
    #: How many requests that may have changed something were answered well: where one
    #: was, and a later request of the same step was not done, the step may be done.
    written: int = 0
    #: What has to be said of this delivery besides: for whom it could not act.
    told: tuple[str, ...] = ()

    @abstractmethod
    def __init__(self, broker: BaseBroker) -> None:
        """Take the settings; ValueError when they make no sense together. No network."""

    @abstractmethod
    def whoami(self) -> None:
        """One cheap call that needs no right on any issue; returns where the tracker
        takes the credentials.

        Tells a `Forbidden` that is about one issue from one that is about them.
        """

    @abstractmethod
    def is_closed(self, issue: Issue) -> bool:
        """Whether *issue* is closed now."""

    def homes(self, issue: Issue) -> list[str]:
        """The names of the project *issue* is in, nearest first, and of those above it;
        asked after `is_closed`, and only where `numbering` is `all`.

        Empty where such a tracker is one project.
        """
        return []

    @abstractmethod
    def comment(self, issue: Issue, comment: Comment) -> None:
        """Say *comment*."""

    def joins(self, issue: Issue, comment: Comment) -> bool:
        """Whether `close`, `reopen` and `move` say *comment* in the same change of
        *issue*. Where such a change is refused, nothing of it is done.
        """
        return False

    @abstractmethod
    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        """Whether a comment with *mark*, made after *since* (epoch seconds), is there."""

    @abstractmethod
    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        """Close an open *issue* as `fixed` or one of `resolutions`.

        *comment* has no text where there is nothing to say: always, but for trackers
        that say it in the same change (`joins`).
        """

    @abstractmethod
    def reopen(self, issue: Issue, comment: Comment) -> None:
        """Open a closed *issue* again."""

    def was_moved(self, issue: Issue, since: float, *, closed: bool) -> bool:
        """Whether it was closed (or opened again) after *since*, whatever became of it;
        asked after a lost answer.

        A tracker whose history is not looked at goes by the state the issue is in.
        """
        return self.is_closed(issue) == closed

    def move(self, issue: Issue, state: str, comment: Comment) -> bool:
        """Lead *issue* to the status *state*, or through the transition of that name;
        False where it is there already.

        Only called where `moves`. *state* is the configuration's word.
        """
        raise NotImplementedError

    def was_put(self, issue: Issue, state: str, since: float) -> bool:
        """Whether `move` was done after *since*, whatever became of it; asked after a
        lost answer.

        A tracker whose history is not looked at does it again, which changes nothing
        where it was done.
        """
        return False

    def assign(self, issue: Issue, user: str) -> None:
        """Give *issue* to the tracker's *user*, a word of the configuration; only
        called where `numbering` is `key`.
        """
        raise NotImplementedError

    def find_user(self, mail: str) -> str:
        """The tracker's user with the address *mail* (in lower case), who can be acted
        for; an empty string where there is none, or our own user may not see it.

        The setting `authors_by_mail` is refused where a tracker does not have this.
        """
        return ""

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        """Log work; only called where `keeps_time`."""
        raise NotImplementedError

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        """Whether `log_time` was done: where time entries are comments, as
        `has_comment`.
        """
        return self.has_comment(issue, mark, since)

    @abstractmethod
    def check(self) -> list[Check]:
        """Prove, changing nothing, that it answers and that commenting and closing will
        work.
        """


_NUMBER = re.compile("[1-9][0-9]{0,9}")


def issue_number(issue: Issue) -> str:
    """The issue's number, when it is one: some servers act on issue 1 when they are
    asked for `1abc`.
    """
    if not _NUMBER.fullmatch(issue.number):
        raise NoSuchIssue
    return issue.number


_KEY = re.compile("[A-Z][A-Z0-9_]{0,30}-[1-9][0-9]{0,9}")


def issue_key(issue: Issue) -> str:
    """The issue's key (`PROJ-12`), when it is one."""
    if not _KEY.fullmatch(issue.number):
        raise NoSuchIssue
    return issue.number


_PROJECT = re.compile(
    r"(?!.*(?:^|/)\.{1,2}(?:/|$))[\w.-]{1,100}(?:/[\w.-]{1,100}){1,19}", re.ASCII
)


def project_path(issue: Issue) -> list[str]:
    """The parts of the issue's project (`owner/name`), when it is one."""
    if not _PROJECT.fullmatch(issue.project):
        raise Refused(
            f"'{issue.project}' is no project of the form owner/name; set `project`"
        )
    return issue.project.split("/")


def repository_path(issue: Issue) -> list[str]:
    """Owner and name of the issue's repository, on forges whose projects have no
    groups.
    """
    path = project_path(issue)
    if len(path) != 2:
        raise Refused(
            f"'{issue.project}' is no repository of the form owner/name; set `project`"
        )
    return path
