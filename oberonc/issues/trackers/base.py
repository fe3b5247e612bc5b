"""The contract between the issue broker and a tracker.

Every method may raise `Retry` (not now; nobody knows whether it was done, unless it is a `NotDone`), `NoSuchIssue`,
or `Refused` (never, and why). Issue numbers and projects are validated by `issue_id` before a URL is built.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from oberonc.broker import Check
from oberonc.errors import Retry
from oberonc.issues.comment import Comment
from oberonc.issues.policy import Issue


class NoSuchIssue(Exception):
    """The tracker has no such issue, or will not show it."""


class Refused(Exception):
    """The tracker will never do this; the text says why."""


class NotDone(Retry):
    """Again later, and the tracker certainly did nothing this time."""


class Setup(NamedTuple):
    """What a tracker is made from: the service's settings, the state folder, and the seconds left of the delivery."""

    settings: Any
    state: Path
    remaining: Callable[[], float] = lambda: float("inf")


class Tracker(ABC):
    """What the issue broker needs of a tracker; one instance works for one delivery at a time."""

    #: The name of the setting `tracker` and of the grammar's preset.
    kind: ClassVar[str]
    #: The markup of its comments, a name of `comment.FLAVOURS`.
    flavour: ClassVar[str] = "markdown"
    #: `project`: issues are numbered in each project; `key`: written PROJ-12; `all`: numbered over the whole tracker.
    numbering: ClassVar[str] = "project"
    #: The resolutions it can close with, besides `fixed`.
    resolutions: ClassVar[frozenset[str]] = frozenset()
    keeps_time: ClassVar[bool] = False
    #: The published limits on writing: (writes, seconds).
    pace: ClassVar[tuple[tuple[int, float], ...]] = ()
    #: Which settings it needs besides `tracker`, for `verify`.
    needs: ClassVar[tuple[str, ...]] = ("url", "token")

    #: Names this tracker in the ledger: two services on one tracker share what was done.
    name: str = ""

    @abstractmethod
    def __init__(self, setup: Setup) -> None:
        """Take the settings; ValueError when they make no sense together. No network."""

    @abstractmethod
    def is_closed(self, issue: Issue) -> bool:
        """Whether *issue* is closed now."""

    @abstractmethod
    def comment(self, issue: Issue, comment: Comment) -> None:
        """Say *comment*."""

    @abstractmethod
    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        """Whether a comment with *mark*, made after *since* (epoch seconds), is there."""

    @abstractmethod
    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        """Close an open *issue* as `fixed` or one of `resolutions`; *comment* is for trackers that demand a text."""

    @abstractmethod
    def reopen(self, issue: Issue, comment: Comment) -> None:
        """Open a closed *issue* again."""

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        """Log work; only called where `keeps_time`."""
        raise NotImplementedError

    def has_time(self, issue: Issue, seconds: int, mark: str, since: float) -> bool:
        """Whether `log_time` was done: where time entries are comments, as `has_comment`."""
        return self.has_comment(issue, mark, since)

    @abstractmethod
    def check(self) -> list[Check]:
        """Prove, changing nothing, that it answers and that commenting and closing will work."""


_NUMBER = re.compile("[1-9][0-9]{0,9}")


def issue_number(issue: Issue) -> str:
    """The issue's number, when it is one: some servers act on issue 1 when they are asked for `1abc`."""
    if not _NUMBER.fullmatch(issue.number):
        raise NoSuchIssue
    return issue.number


_KEY = re.compile("[A-Z][A-Z0-9_]{0,30}-[1-9][0-9]{0,9}")


def issue_key(issue: Issue) -> str:
    """The issue's key (`PROJ-12`), when it is one."""
    if not _KEY.fullmatch(issue.number):
        raise NoSuchIssue
    return issue.number

