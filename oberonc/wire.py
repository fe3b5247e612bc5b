"""Frames: how client, daemon, host and worker speak. Pure functions, no sockets.

    +------+---------+-------+----------------------+---------------------------+
    | "OB" | version | flags | length, big-endian   | one JSON object, UTF-8    |
    | 2 B  | 1 B = 1 | 1 B=0 | 4 B                  | length B                  |
    +------+---------+-------+----------------------+---------------------------+

The length is checked before anything is read or allocated. The JSON is read strictly: what Python's parser
would let pass (NaN, 1e999, a key given twice, other encodings, thousands of brackets) is refused here.
"""

import json
import math
import struct
from itertools import islice
from typing import Any, Final

from oberonc.errors import BadInput

VERSION: Final = 1
HEADER: Final = struct.Struct(">2sBBI")
#: Bytes of the largest frame a daemon takes: the largest payload, and room for what wraps it.
LARGEST: Final = 9 * 1024 * 1024
#: Bytes of a frame that is worked on in the daemon's loop at once; a larger one beside it.
SMALL: Final = 128 * 1024
#: Bytes of the largest frame of a worker: an outcome, its note and 64 KiB of output.
LARGEST_RESULT: Final = 1024 * 1024
#: How deep objects and lists may nest. A payload needs six levels.
DEEPEST: Final = 32
_TOO_DEEP: Final = f"nested deeper than {DEEPEST} levels"
#: How many values one frame may hold. A payload has one in eight bytes at most; `[],[],[]` takes fifty times its bytes
#: of memory.
MOST_VALUES: Final = LARGEST // 8
#: How `canonical` begins a submission.
_SUBMISSION: Final = b'{"op":"submit","payload":'


class BadFrame(BadInput):
    """Bytes that are not a frame of ours; *kind* is `version`, `too_large` or `invalid`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def encode(value: dict[str, Any], limit: int = LARGEST) -> bytes:
    """*value* as one frame; raises BadFrame where the other side would refuse it for its length."""
    body = canonical(value)
    if len(body) > limit:
        raise BadFrame("too_large", f"the frame would have {len(body)} bytes; at most {limit} are taken")
    return frame(body)


def frame(body: bytes) -> bytes:
    """*body*, which is JSON already, as one frame."""
    return HEADER.pack(b"OB", VERSION, 0, len(body)) + body


def canonical(value: Any) -> bytes:
    """*value* as JSON in ASCII: equal values give equal bytes, whatever order their keys came in."""
    return _ENCODER.encode(value).encode()


def body_length(header: bytes, limit: int = LARGEST) -> int:
    """How many bytes follow *header*; raises BadFrame before any of them is read."""
    magic, version, _flags, length = HEADER.unpack(header)
    if magic != b"OB":
        raise BadFrame("invalid", "this is not a frame: it does not begin with 'OB'")
    if version != VERSION:
        raise BadFrame("version", f"version {version} is not spoken here, only {VERSION}")
    if length > limit:
        raise BadFrame("too_large", f"a frame of {length} bytes; at most {limit} are taken")
    return int(length)


def decode(body: bytes) -> dict[str, Any]:
    """The object in *body*; raises BadFrame("invalid") for everything else, and nothing else."""
    try:
        value = strict(body)
    except ValueError as error:
        raise BadFrame("invalid", f"not valid JSON for a frame: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise BadFrame("invalid", "the frame holds no JSON object")
    return value


def strict(raw: bytes) -> Any:
    """The JSON value in *raw*, read as strictly as said above; raises ValueError, and nothing else."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_VALUES and _too_many(raw):
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        value = _DECODER.decode(raw.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Counting brackets is cheap and clears nearly every small value; strings with brackets only cost a walk.
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _too_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def _too_many(raw: bytes) -> bool:
    """Whether *raw* holds over `MOST_VALUES` values; what stands in its texts is none."""
    import re  # only for what counting bytes does not clear

    marks = re.finditer(rb'"(?:[^"\\]|\\.)*+"|([,\[{])', raw, re.DOTALL)
    return next(islice((mark for mark in marks if mark[1]), MOST_VALUES, None), None) is not None


class Received(dict[str, Any]):
    """An object of a request, and the bytes it came as."""

    raw: bytes


def decode_request(body: bytes) -> dict[str, Any]:
    """As `decode`; the payload of a submission in the form our client gives it is `Received`.

    So what came is kept as it came, and is not written a second time to be compared and kept.
    """
    if body.startswith(_SUBMISSION) and body.endswith(b"}"):
        try:
            payload = Received(decode(raw := body[len(_SUBMISSION) : -1]))
        except BadFrame:
            pass  # other keys may follow, or the fault is one of the whole
        else:
            payload.raw = raw
            return {"op": "submit", "payload": payload}
    return decode(body)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (math.inf, -math.inf):
        raise ValueError(f"{text[:20]} is beyond any number")
    return number


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return value


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


#: Made once: json.dumps and json.loads would make one for every frame.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_twice)
