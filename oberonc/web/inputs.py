"""What requests to the API may say; Piston checks it, and documents it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

#: A place in a list: the `seq` of an event, or the id of a delivery.
Cursor = Annotated[int, Field(ge=0, lt=1 << 62)]
State = Literal["ready", "leased", "done", "dead", "cancelled", "expired", "collapsed"]


@dataclass
class EventFilter:
    """Which events; times are ISO 8601."""

    repository: str | None = None
    commit: str = ""
    issue: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: Cursor | None = None
    after: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 20


@dataclass
class DeliveryFilter:
    """Which deliveries."""

    state: State | None = None
    service: str | None = None
    repository: str | None = None
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

    reason: str | None = None


@dataclass
class Numbers:
    """Deliveries, by their ids, and why something is done to them."""

    deliveries: Annotated[
        list[Annotated[int, Field(ge=0, lt=1 << 62, strict=True)]],
        Field(max_length=1000),
    ]
    reason: str | None = None


@dataclass
class Lane:
    """A repository, where not all of a service is meant."""

    repository: str | None = None
    reason: str | None = None


@dataclass
class Reload:
    """How a reload goes."""

    check: bool = False
    partial: bool = False
    reason: str | None = None


@dataclass
class Span:
    """What happened when is wanted, and of what."""

    minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    hours: Annotated[int, Field(ge=0, le=100_000)] = 0
    service: str | None = None
    each: bool = False


@dataclass
class Message:
    """What the grammar reads."""

    message: Annotated[str, Field(max_length=64 * 1024)]
    words: str = "local"
    keys: list[str] = field(default_factory=list)
