"""The payload, schema 1: one JSON value per push. Pure functions; `docs/payload.md`
lists the keys.

It is a superset of what Bitbucket sent its services from 2009 to 2015, so that brokers
of that time find what they expect.
"""

from __future__ import annotations

import os
import time

from oberonc import jsontext
from oberonc.text import utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oberonc.config import Limits

Payload = dict[str, "Any"]

SCHEMA = 1
#: Characters of a repository's name.
LONGEST_REPOSITORY = 512
#: Characters of a person's name or mail address, and of a path or ref; the rest is cut
#: off, and that is flagged.
LONGEST_NAME, LONGEST_PATH = 1024, 4096


def new_id() -> str:
    """An event's id: 24 bits of the time, and 104 random ones. Never derived from
    commits: A to B, B to A, A to B are three events.

    The time, milliseconds within four hours and a half, has those that come after one
    another stand beside one another in the index of a queue: one page is written for
    many of them, and of a deep queue few are read. An id's beginning, which people
    name it by, is as good as a random one all the same.
    """
    return f"{time.time_ns() // 1_000_000 % (1 << 24):06x}{os.urandom(13).hex()}"


def now() -> str:
    """The time, ISO 8601, UTC."""
    return utc()


def fit(payload: Payload, limits: Limits) -> Payload:
    """*payload* cut to `limits.bytes` of JSON; flagged, never silent.

    Diffs go first, then file lists, then the oldest of dropped, merged and new commits,
    then updates that no publish ref needs, then push options. What fits comes with its
    bytes, so that they need not be made once more.
    """
    raw = jsontext.canonical(payload)
    if b"\\ud" in raw:
        payload = _whole(payload)
        raw = jsontext.canonical(payload)
    size = len(raw)
    if size <= limits.bytes:
        return jsontext.received(payload, raw)
    for entry in payload["commits"]:
        if size > limits.bytes:
            size -= _drop_diff(entry)
    if size <= limits.bytes:
        return payload
    payload["truncated"] = True
    for entry in [*payload["merged"], *payload["commits"]]:
        if size > limits.bytes:
            size -= _drop_files(entry)
    for name, index in (
        ("dropped", 0),
        ("merged", 0),
        ("commits", 0),
        ("updates", -1),
        ("push_options", -1),
    ):
        while payload[name] and size > limits.bytes:
            size -= len(dumps(payload[name].pop(index)))
            size -= bool(payload[name])  # the comma
    kept = {
        entry["raw_node"] for name in ("merged", "commits") for entry in payload[name]
    }
    for name in ("published", "foreign"):
        payload[name] = [oid for oid in payload[name] if oid in kept]
    return payload


def _whole(value: Any) -> Any:
    """*value* with U+FFFD for each half of a surrogate pair: bytes of the system that
    are no text come as such.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _drop_diff(entry: Payload) -> int:
    """Empty the diff of *entry*; returns the bytes that saves."""
    if not entry.get("diff"):
        return 0
    before = len(dumps(entry))
    entry["diff"], entry["diff_truncated"] = "", True
    return before - len(dumps(entry))


def _drop_files(entry: Payload) -> int:
    """Empty the file list of *entry*; returns the bytes that saves."""
    if not entry["files"]:
        return 0
    before = len(dumps(entry))
    entry["files"], entry["truncated"] = [], True
    return before - len(dumps(entry))


def renamed(payload: Payload, name: str) -> Payload:
    """*payload* as of a repository that is called *name* now."""
    about = payload["repository"]
    owner, _, last = name.rpartition("/")
    was = about["full_name"].rpartition("/")[0]
    now = {
        "full_name": name,
        "name": last,
        "slug": last.lower(),
        "absolute_url": f"/{name}/",
    }
    return payload | {
        "repository": about
        | now
        | ({"owner": owner} if about.get("owner") == was else {})
    }


def dumps(payload: Any) -> bytes:
    """The bytes that are sent, kept and hashed: ASCII JSON, so that no lone surrogate
    can break a reader.
    """
    return jsontext.plain(payload)
