"""The embedded tracker: an SQLite file in the state folder; repeats are refused by the
file itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from oberonc.broker.contract import BaseBroker, Check
from oberonc.errors import BadInput, OberoncError
from oberonc.issues.comment import Comment
from oberonc.issues.embedded import IssueFile
from oberonc.issues.sqlite_files import fault
from oberonc.issues.tasks import Issue
from oberonc.issues.trackers.base import NoSuchIssue, Tracker, issue_number


class Local(Tracker):
    """`tracker = "local"`."""

    kind = "local"
    flavour = "plain"
    resolutions = frozenset({"wontfix", "invalid", "duplicate"})
    keeps_time = True
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, broker: BaseBroker) -> None:
        self.name = "local"
        self.store = IssueFile(broker.common_state)

    def whoami(self) -> None:
        """Nobody has to be anybody here."""

    def is_closed(self, issue: Issue) -> bool:
        with _known():
            return self.store.state(issue.project, int(issue_number(issue))) == "closed"

    def comment(self, issue: Issue, comment: Comment) -> None:
        number = int(issue_number(issue))
        with _known():
            self.store.comment(
                issue.project,
                number,
                comment.name,
                comment.text,
                comment.commit,
                comment.key,
            )

    def has_comment(self, issue: Issue, mark: str, since: float) -> bool:
        return False  # doing it again adds nothing

    def close(self, issue: Issue, resolution: str, comment: Comment) -> None:
        with _known():
            self.store.set_state(
                issue.project,
                int(issue_number(issue)),
                "closed",
                resolution,
                comment.key,
            )

    def reopen(self, issue: Issue, comment: Comment) -> None:
        with _known():
            self.store.set_state(
                issue.project, int(issue_number(issue)), "open", "", comment.key
            )

    def log_time(self, issue: Issue, seconds: int, comment: Comment) -> None:
        with _known():
            self.store.log_time(
                issue.project,
                int(issue_number(issue)),
                comment.name,
                seconds,
                comment.key,
            )

    def check(self) -> list[Check]:
        try:
            self.store.issues("")
            wrong = fault(self.store.path)
        except OberoncError as error:
            wrong = str(error)
        if wrong:
            return [
                Check(
                    False,
                    wrong,
                    "give `state` a folder that whoever runs brokers may write",
                )
            ]
        return [Check(True, f"the embedded tracker can be written: {self.store.path}")]


@contextmanager
def _known() -> Iterator[None]:
    """The store's answer to a number it does not have, in the words of the contract."""
    try:
        yield
    except BadInput:
        raise NoSuchIssue from None
