"""The payload, schema 1: one JSON value per push. Pure functions; `docs/payload.md`
lists the keys.

It is a superset of what Bitbucket sent its services from 2009 to 2015, so that brokers
of that time find what they expect.
"""

import json
import os
import re
import time
from typing import Any

from oberonc.config import Limits
from oberonc.errors import BadInput
from oberonc.text import one_line

Payload = dict[str, Any]

SCHEMA = 1
#: Characters of a repository's name.
LONGEST_REPOSITORY = 512
#: Characters of a person's name or mail address, and of a path or ref; the rest is cut
#: off, and that is flagged.
LONGEST_NAME, LONGEST_PATH = 1024, 4096


def new_id() -> str:
    """An event's id: 128 random bits. Never derived from commits: A to B, B to A, A to
    B are three events.
    """
    return os.urandom(16).hex()


def now() -> str:
    """The time, ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def fit(payload: Payload, limits: Limits) -> Payload:
    """*payload* cut to `limits.bytes` of JSON; flagged, never silent.

    Diffs go first, then file lists, then the oldest of dropped, merged and new commits,
    then updates that no publish ref needs, then push options.
    """
    raw = dumps(payload)
    if b"\\ud" in raw:
        payload = _whole(payload)
        raw = dumps(payload)
    size = len(raw)
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
    return json.dumps(payload, separators=(",", ":")).encode()


def loads(raw: bytes, where: str, *, notices: bool = False) -> Payload:
    """A payload from outside, checked; with *notices* it may be one. Raises BadInput
    naming *where* and the first thing that is wrong.
    """
    from oberonc import jsontext  # a hook makes payloads and reads none

    try:
        value = jsontext.strict(raw)
    except ValueError as error:
        raise BadInput(f"{where} is not JSON: {one_line(str(error))}") from None
    fault = check(value, notices=notices)
    if fault:
        raise BadInput(f"{where} is not a payload of schema 1: {fault}")
    checked: Payload = value
    return checked


_TOP: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "event": (str,),
    "time": (str,),
    "user": (str, type(None)),
    "canon_url": (str,),
    "repository": (dict,),
    "updates": (list,),
    "commits": (list,),
    "merged": (list,),
    "published": (list,),
    "truncated": (bool,),
    "commits_total": (int,),
    "push_options": (list,),
}
_COMMIT: dict[str, tuple[type, ...]] = {
    "node": (str,),
    "raw_node": (str,),
    "author": (str,),
    "raw_author": (str,),
    "message": (str,),
    "branch": (str, type(None)),
    "parents": (list,),
    "files": (list,),
    "change": (str,),
}
_UPDATE: dict[str, tuple[type, ...]] = {
    "ref": (str,),
    "kind": (str,),
    "name": (str,),
    "old": (str,),
    "new": (str,),
    "created": (bool,),
    "deleted": (bool,),
    "forced": (bool,),
    "publish": (bool,),
}


def check(value: Any, *, notices: bool = False) -> str:
    """What is wrong with *value* as a payload of schema 1, or an empty string; with
    *notices* it may be one. Unknown keys are kept.
    """
    if not isinstance(value, dict):
        return "it is not an object"
    if value.get("schema") != SCHEMA or isinstance(value.get("schema"), bool):
        return (
            f"'schema' is {one_line(json.dumps(value.get('schema')), 40)}, not {SCHEMA}"
        )
    fault = _keys(value, _TOP, "") or _keys(
        value, {key: _LATER[key] for key in _LATER if key in value}, ""
    )
    if fault:
        return fault
    if not re.fullmatch(r"[0-9a-f]{32}", value["id"]):
        return "'id' is not 32 hex digits"
    if value["event"] not in ("push", "commit", *(["dead"] if notices else [])):
        return "'event' is neither push nor commit"
    full_name = value["repository"].get("full_name")
    if not isinstance(full_name, str) or not full_name:
        return "'repository.full_name' is missing"
    if len(full_name) > LONGEST_REPOSITORY or not full_name.isprintable():
        return f"'repository.full_name' must be at most {LONGEST_REPOSITORY} printable characters"
    if not isinstance(value.get("submitter", {}), dict):
        return "'submitter' is not an object"
    if not _are_texts(value["repository"].get("services", [])):
        return "'repository.services' is not a list of texts"
    return _lists(value) or _halves(value)


def _halves(value: Payload) -> str:
    """What is wrong with *value* where half a surrogate pair is in it: no file,
    database or service takes that.
    """
    raw = getattr(value, "raw", None)  # of a `jsontext.Received`
    if raw is not None and b"\\ud" not in raw.lower():
        return ""  # nothing was escaped that could be one
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "a text in it is no Unicode: it holds half a surrogate pair"
    return ""


#: Keys that an entry may lack.
_MAYBE: dict[str, tuple[type, ...]] = {
    "url": (str,),
    "committer": (str,),
    "truncated": (bool,),
    "first": (bool,),
    "timestamp": (str,),
    "utctimestamp": (str,),
    "diff": (str,),
    "diff_truncated": (bool,),
}
_OID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_NODE = re.compile("[0-9a-f]{4,64}")
#: What git lets nobody call a ref: whoever prints one must not have to think of it.
_REF = re.compile("[^\x00-\x1f\x7f]*")
#: {key of a commit or an update: what its text must be, and how that is said}
_PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    "node": (_NODE, "is not the beginning of an id: 4 to 64 hex digits"),
    "raw_node": (_OID, "is no id: 40 or 64 hex digits"),
    "change": (_OID, "is not 40 hex digits"),
    "old": (_OID, "is no id: 40 or 64 hex digits"),
    "new": (_OID, "is no id: 40 or 64 hex digits"),
    "ref": (_REF, "holds a control character"),
    "name": (_REF, "holds a control character"),
    "branch": (_REF, "holds a control character"),
}

#: Keys that payloads of earlier versions lack.
_LATER: dict[str, tuple[type, ...]] = {
    "foreign": (list,),
    "dropped": (list,),
    "published_total": (int,),
    "dropped_total": (int,),
}


def _lists(value: Payload) -> str:
    for name, keys in (
        ("commits", _COMMIT),
        ("merged", _COMMIT),
        ("dropped", _COMMIT),
        ("updates", _UPDATE),
    ):
        for index, entry in enumerate(value.get(name, ())):
            fault = _entry(entry, keys, f"{name}[{index}].")
            if fault:
                return fault
    for name in ("published", "foreign"):
        if not _are_texts(value.get(name, [])) or not all(
            map(_OID.fullmatch, value.get(name, []))
        ):
            return f"'{name}' holds something that is no id: 40 or 64 hex digits"
    return (
        ""
        if _are_texts(value["push_options"])
        else "'push_options' holds something that is not text"
    )


def _entry(entry: Any, keys: dict[str, tuple[type, ...]], prefix: str) -> str:
    if not isinstance(entry, dict):
        return f"'{prefix[:-1]}' is not an object"
    fault = _keys(entry, keys, prefix) or _keys(
        entry, {key: _MAYBE[key] for key in _MAYBE if key in entry}, prefix
    )
    for key in _PATTERNS:
        if (
            not fault
            and isinstance(entry.get(key), str)
            and not _PATTERNS[key][0].fullmatch(entry[key])
        ):
            fault = f"'{prefix}{key}' {_PATTERNS[key][1]}"
    if fault or keys is not _COMMIT:
        return fault
    if not _are_texts(entry["parents"]) or not all(
        map(_NODE.fullmatch, entry["parents"])
    ):
        return f"'{prefix}parents' holds something that is no id"
    if not all(
        isinstance(file, dict) and isinstance(file.get("file"), str)
        for file in entry["files"]
    ):
        return f"'{prefix}files' holds something that is no object with a 'file'"
    return ""


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _keys(value: Payload, keys: dict[str, tuple[type, ...]], prefix: str) -> str:
    for key, kinds in keys.items():
        # The type itself, as JSON gives it: isinstance would take a bool for a number.
        if type(value.get(key, ...)) not in kinds:
            return (
                f"'{prefix}{key}' has the wrong type"
                if key in value
                else f"'{prefix}{key}' is missing"
            )
    return ""
