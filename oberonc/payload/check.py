"""Payloads from outside: are they ones of schema 1? A hook makes payloads and reads
none, so it does not load this.
"""

import json
import re
from collections.abc import Callable, Container, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from oberonc import jsontext
from oberonc.errors import BadInput
from oberonc.payload.schema import LONGEST_REPOSITORY, SCHEMA, Payload
from oberonc.text import one_line


def loads(raw: bytes, where: str, *, notices: bool = False) -> Payload:
    """A payload from outside, checked; with *notices* it may be one. Raises BadInput
    naming *where* and the first thing that is wrong.
    """
    try:
        value = jsontext.strict(raw)
    except ValueError as error:
        raise BadInput(f"{where} is not JSON: {one_line(str(error))}") from None
    fault = check(value, notices=notices)
    if fault:
        raise BadInput(f"{where} is not a payload of schema 1: {fault}")
    checked: Payload = value
    return checked


#: {key: types of its value}. The type itself, as JSON gives it: isinstance would take a
#: bool for a number. The type of `...` stands for a key that may be missing.
Shape = dict[str, tuple[type, ...]]
_MISSING = type(...)
_TOP: Shape = {
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
    # Payloads of earlier versions lack these.
    "foreign": (list, _MISSING),
    "dropped": (list, _MISSING),
    "published_total": (int, _MISSING),
    "dropped_total": (int, _MISSING),
}
_ANY_ENTRY: Shape = {
    "url": (str, _MISSING),
    "committer": (str, _MISSING),
    "truncated": (bool, _MISSING),
    "first": (bool, _MISSING),
    "timestamp": (str, _MISSING),
    "utctimestamp": (str, _MISSING),
    "diff": (str, _MISSING),
    "diff_truncated": (bool, _MISSING),
}
_COMMIT: Shape = _ANY_ENTRY | {
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
_UPDATE: Shape = _ANY_ENTRY | {
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
    fault = _keys(value, _TOP, "")
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


_OID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}").fullmatch
_NODE = re.compile("[0-9a-f]{4,64}").fullmatch
#: What git lets nobody call a ref: whoever prints one must not have to think of it.
_REF = re.compile("[^\x00-\x1f\x7f]*").fullmatch
#: {key of a commit or an update: what its text must match, and how that is said}
_PATTERNS: dict[str, tuple[Callable[[str], object], str]] = {
    "node": (_NODE, "is not the beginning of an id: 4 to 64 hex digits"),
    "raw_node": (_OID, "is no id: 40 or 64 hex digits"),
    "change": (_OID, "is not 40 hex digits"),
    "old": (_OID, "is no id: 40 or 64 hex digits"),
    "new": (_OID, "is no id: 40 or 64 hex digits"),
    "ref": (_REF, "holds a control character"),
    "name": (_REF, "holds a control character"),
    "branch": (_REF, "holds a control character"),
}


def _lists(value: Payload) -> str:
    for name, shape in (
        ("commits", _COMMIT),
        ("merged", _COMMIT),
        ("dropped", _COMMIT),
        ("updates", _UPDATE),
    ):
        entries = value.get(name, [])
        if shape is _COMMIT and len(entries) >= _MANY and _are_usual(entries):
            continue
        for index, entry in enumerate(entries):
            fault = _entry(entry, shape, f"{name}[{index}].")
            if fault:
                return fault
    for name in ("published", "foreign"):
        oids = value.get(name, [])
        if not _are_texts(oids) or not _are_hex(oids, (40, 64)):
            return f"'{name}' holds something that is no id: 40 or 64 hex digits"
    return (
        ""
        if _are_texts(value["push_options"])
        else "'push_options' holds something that is not text"
    )


#: The keys that our client gives a commit, no more and no fewer, and their types.
_USUAL: Shape = {
    **{key: kinds for key, kinds in _COMMIT.items() if _MISSING not in kinds},
    **dict.fromkeys(("url", "committer", "timestamp", "utctimestamp"), (str,)),
    "revision": (type(None),),
    "size": (int,),
}
_USUAL_VALUES = itemgetter(*_USUAL)
_HEX = b"0123456789abcdef"
#: Fewer are looked at one by one sooner.
_MANY = 16


def _are_usual(commits: list[Any]) -> bool:
    """Whether nothing is wrong with *commits*, which all are as our client makes them:
    looked at key by key for all of them, in a fifth of the time. Others may be right
    as well.
    """
    if {*map(type, commits)} != {dict} or {*map(len, commits)} != {len(_USUAL)}:
        return False
    try:
        rows = map(_USUAL_VALUES, commits)
        columns = dict(zip(_USUAL, zip(*rows, strict=True), strict=True))
        files = map(itemgetter("file"), chain(*columns["files"]))
        parents = [*chain(*columns["parents"])]
        return (
            all({*map(type, columns[key])} <= {*_USUAL[key]} for key in _USUAL)
            and {*map(type, chain(parents, files))} <= {str}
            and _are_hex(columns["node"] + (*parents,), range(4, 65))
            and _are_hex(columns["raw_node"] + columns["change"], (40, 64))
            and all(branch is None or _REF(branch) for branch in {*columns["branch"]})
        )
    except (KeyError, TypeError):
        return False


def _are_hex(texts: Sequence[str], lengths: Container[int]) -> bool:
    long = all(length in lengths for length in {*map(len, texts)})
    return long and not "".join(texts).encode(errors="replace").translate(None, _HEX)


def _entry(entry: Any, shape: Shape, prefix: str) -> str:
    if not isinstance(entry, dict):
        return f"'{prefix[:-1]}' is not an object"
    fault = _keys(entry, shape, prefix)
    if fault:
        return fault
    for key, (fits, why) in _PATTERNS.items():
        text = entry.get(key)
        if isinstance(text, str) and not fits(text):
            return f"'{prefix}{key}' {why}"
    if shape is not _COMMIT:
        return ""
    if not _are_texts(entry["parents"]) or not all(map(_NODE, entry["parents"])):
        return f"'{prefix}parents' holds something that is no id"
    if not all(
        isinstance(file, dict) and isinstance(file.get("file"), str)
        for file in entry["files"]
    ):
        return f"'{prefix}files' holds something that is no object with a 'file'"
    return ""


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and {*map(type, value)} <= {str}


def _keys(value: Payload, shape: Shape, prefix: str) -> str:
    for key, kinds in shape.items():
        if type(value.get(key, ...)) not in kinds:
            wrong = "has the wrong type" if key in value else "is missing"
            return f"'{prefix}{key}' {wrong}"
    return ""
