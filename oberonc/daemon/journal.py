"""The daemon's log: the one form of its lines.

    oberonc: [TIME] service=chat push=1a2b3c4d repository=web/shop: what happened

What a line is about comes first and is quoted where it must be: what strangers choose,
names and messages, cannot pass for it. The time, UTC, is there where no journal adds
one.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from oberonc.text import one_line, utc

#: Characters of a line's text; what is cut ends with an ellipsis.
LONGEST: Final = 1000
#: Hex digits of a push's id.
PUSH: Final = 8
_PLAIN: Final = re.compile(r"[\w./+-]+", re.ASCII)


class Subject(Protocol):
    """What a line may be about: a delivery or a lease. Empty is unknown."""

    @property
    def service(self) -> str:
        """Its service."""

    @property
    def event(self) -> bytes:
        """The push's id."""

    @property
    def repo(self) -> str:
        """The push's repository."""


class About(NamedTuple):
    """A subject of which less is known."""

    service: str = ""
    event: bytes = b""
    repo: str = ""


NOTHING: Final = About()


class Say(Protocol):
    """Writes one line of the log."""

    def __call__(self, text: str, about: Subject = NOTHING, /) -> None:
        """*text*, and what it is about."""


def say(text: str, about: Subject = NOTHING, /) -> None:
    """Write one line to stderr, in which nothing steers a terminal."""
    with suppress(OSError):
        os.write(
            2, line(text, about, None if _is_kept(os.environ) else time.time()).encode()
        )


def line(text: str, about: Subject = NOTHING, now: float | None = None) -> str:
    """The line, with the time *now* unless that is None."""
    facts = {
        "service": about.service,
        "push": about.event.hex()[:PUSH],
        "repository": about.repo,
    }
    named = " ".join(f"{key}={_quoted(value)}" for key, value in facts.items() if value)
    head = "".join(
        f"{part} "
        for part in (now is not None and utc(now), named and f"{named}:")
        if part
    )
    return f"oberonc: {head}{one_line(text, LONGEST)}\n"


def _quoted(value: str) -> str:
    return (
        value
        if _PLAIN.fullmatch(value)
        else json.dumps(one_line(value), ensure_ascii=False)
    )


def _is_kept(environment: Mapping[str, str]) -> bool:
    """Whether stderr is systemd's journal, which adds a time to each line
    (systemd.exec(5), JOURNAL_STREAM).
    """
    facts = os.fstat(2)
    return environment.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"
