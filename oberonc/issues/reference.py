"""What the grammar finds: references, and notes on places of the text."""

from typing import NamedTuple


class Reference(NamedTuple):
    """An issue a message speaks of, and what it asks for."""

    action: str
    repository: str | None
    key: str | None
    issue: str
    start: int
    end: int
    time: int | None = None
    why: str = ""
    #: What a state word or a smart command says besides: the status, the comment, the assignee.
    argument: str | None = None


class Note(NamedTuple):
    """A remark on a place of the message: a warning or a near miss."""

    start: int
    end: int
    text: str
