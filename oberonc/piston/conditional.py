"""Entity tags, and whether the preconditions of a request hold (RFC 9110, 8.8 and 13).

Pure functions: `resource` finds out what there is, and asks. The comparison is no lock:
between it and the handler another request may change the thing. Who must exclude that
compares again where the change is made (`UPDATE ... WHERE version = 7`).
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, Final

#: One element of a list and the comma after it; the group is unset where it is no
#: entity tag. A tag may have commas in it, and a quote ends it, so no text is looked at
#: twice.
_ELEMENT: Final = re.compile(
    r'[ \t]*(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)|[^,]*(?:,|$))'
)
#: The three forms of a date that RFC 9110, 5.6.7 has recipients accept.
_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    r"|[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}",
    re.ASCII,
)


def entity_tag(body: bytes, format: str) -> str:
    """The strong tag of *body*, with its quotes; each format has its own."""
    digest = sha256(format.encode() + b"\0")
    digest.update(body)
    return f'"{digest.hexdigest()[:32]}"'


def version_tag(version: object, format: str) -> str:
    """The strong tag of what a handler's `etag` says, which may be anything."""
    return entity_tag(str(version).encode("utf-8", "surrogatepass"), format)


def check(
    request: Any,
    tags: Collection[str],
    current_tag: str | None,
    last_modified: datetime | None,
    exists: bool,
) -> int | None:
    """None: go on; else the status to answer, 304 or 412 (RFC 9110, 13.2.2).

    *tags* are the strong tags of the thing in each format, *current_tag* the one in the
    format of the answer, which alone makes a 304. *last_modified* is an aware datetime.

    Raises ValueError for a datetime without a time zone.
    """
    headers = request.headers
    reading = request.method in ("GET", "HEAD")
    refused = 304 if reading else 412
    if last_modified is not None:
        if last_modified.tzinfo is None:
            raise ValueError("last_modified() must return a datetime with a time zone")
        # A header has no fractions.
        last_modified = last_modified.replace(microsecond=0)

    if (text := headers.get("If-Match")) is not None:
        # Weak tags never match here (13.1.1), so that a cache's or GZipMiddleware's
        # word for the thing does not overwrite it.
        wanted, _ = _entity_tags(text)
        if text.strip() == "*":
            holds = exists
        else:
            holds = not wanted.isdisjoint((*tags, current_tag))
        if not holds:
            return 412
    elif last_modified:
        since = _date(headers.get("If-Unmodified-Since"))
        if since and last_modified > since:
            return 412

    if (text := headers.get("If-None-Match")) is not None:
        unwanted, malformed = _entity_tags(text)
        # The weak comparison (13.1.2).
        unwanted = {tag.removeprefix("W/") for tag in unwanted}
        if text.strip() == "*":
            return refused if exists else None
        if reading:
            return 304 if current_tag in unwanted else None
        # A write with a condition that nobody can read is not done.
        holds = unwanted.isdisjoint((*tags, current_tag)) and not malformed
        return None if holds else 412
    if reading and last_modified:
        since = _date(headers.get("If-Modified-Since"))
        if since and last_modified <= since:
            return 304
    return None


def _entity_tags(text: str) -> tuple[set[str], bool]:
    """The entity tags in a list, and whether something else was in it."""
    tags, malformed, position = set(), False, 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        assert element is not None  # the second form of an element matches any text
        if element[1]:
            tags.add(element[1])
        elif element[0].strip(" \t,"):
            malformed = True
        position = element.end()
    return tags, malformed


def _date(text: str | None) -> datetime | None:
    """The time a header names; None, as if it were not there, for a malformed one."""
    if text is None or not _DATE.fullmatch(text):
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
