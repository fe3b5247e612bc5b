"""What requests to the API may say; Piston checks it, and documents it."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

#: A place in a list: the `seq` of an event, or the id of a delivery.
Cursor = Annotated[int, Field(ge=0, lt=1 << 62)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are in no name")
    return text


def _iso(said: Any) -> Any:
    """A time in words: pydantic takes a number, too, for seconds."""
    if not isinstance(said, str):
        return said
    if not re.match(r"\d{4}-\d\d-\d\d", said):
        raise ValueError("give ISO 8601, as 2026-01-31T12:00:00Z")
    # A `+` that nobody escaped comes as a blank.
    return re.sub(r"(T.*) (\d\d:?\d\d)$", r"\1+\2", said)


#: What the daemon takes for a name.
Name = Annotated[str, AfterValidator(_printable)]
Reason = Annotated[Name, Field(max_length=300)]
Moment = Annotated[datetime, BeforeValidator(_iso)]
State = Literal["ready", "leased", "done", "dead", "cancelled", "expired", "collapsed"]


@dataclass
class EventFilter:
    """Which events; times are ISO 8601."""

    repository: Name | None = None
    commit: Name = ""
    issue: Name = ""
    since: Moment | None = None
    until: Moment | None = None
    before: Cursor | None = None
    after: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 20


@dataclass
class DeliveryFilter:
    """Which deliveries."""

    state: State | None = None
    service: Name | None = None
    repository: Name | None = None
    # With nothing before it, from the newest on.
    before: Cursor = 2**53
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


@dataclass
class Newest:
    """How many of them."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100


@dataclass
class Why:
    """Why somebody does something."""

    reason: Reason | None = None


@dataclass
class Numbers:
    """Deliveries, by their ids, and why something is done to them."""

    deliveries: Annotated[
        list[Annotated[int, Field(ge=0, lt=1 << 62, strict=True)]],
        Field(max_length=1000),
    ]
    reason: Reason | None = None


@dataclass
class Lane:
    """A repository, where not all of a service is meant."""

    repository: Name | None = None
    reason: Reason | None = None


@dataclass
class Reload:
    """How a reload goes."""

    check: bool = False
    partial: bool = False
    reason: Reason | None = None


@dataclass
class Span:
    """What happened when is wanted, and of what."""

    minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    hours: Annotated[int, Field(ge=0, le=100_000)] = 0
    service: Name | None = None
    each: bool = False


@dataclass
class Message:
    """What the grammar reads."""

    message: Annotated[str, Field(max_length=64 * 1024)]
    words: str = "local"
    keys: list[str] = field(default_factory=list)
