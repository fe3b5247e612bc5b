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
    #: What a state word or a smart command says besides: the status, the comment, the
    #: assignee.
    argument: str | None = None
    #: The change of state that its verb asks for, where a rule keeps it back.
    wanted: str | None = None


class Note(NamedTuple):
    """A remark on a place of the message: a warning or a near miss."""

    start: int
    end: int
    text: str
    #: The change of state that was not read: `close` for `fixes #1` in code.
    wanted: str | None = None
