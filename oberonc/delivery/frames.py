"""Frames: how client, daemon, host and worker speak. Pure functions, no sockets.

    +------+---------+-------+----------------------+---------------------------+
    | "OB" | version | flags | length, big-endian   | one JSON object, UTF-8    |
    | 2 B  | 1 B = 1 | 1 B=0 | 4 B                  | length B                  |
    +------+---------+-------+----------------------+---------------------------+

The length is checked before anything is read or allocated;
the JSON is read strictly (`jsontext`).
"""

from __future__ import annotations

import struct

from oberonc.errors import BadInput
from oberonc.jsontext import Received, canonical, received, strict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

VERSION: Final = 1
HEADER: Final = struct.Struct(">2sBBI")
#: Bytes of the largest frame a daemon takes: the largest payload, and room for what
#: wraps it.
LARGEST: Final = 9 * 1024 * 1024
#: Bytes of a frame that is worked on in the daemon's loop at once; a larger one beside
#: it.
SMALL: Final = 128 * 1024
#: Bytes of the largest frame of a worker: an outcome, its note and 64 KiB of output.
LARGEST_RESULT: Final = 1024 * 1024
#: Bytes of one packet on a channel between the daemon and its hosts of workers.
PACKET: Final = 128 * 1024
#: How `canonical` begins a submission.
_SUBMISSION: Final = b'{"op":"submit","payload":'


class BadFrame(BadInput):
    """Bytes that are not a frame of ours;
    *kind* is `version`, `too_large` or `invalid`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def encode(value: dict[str, Any], limit: int = LARGEST) -> bytes:
    """*value* as one frame;
    raises BadFrame where the other side would refuse it for its length.
    """
    body = canonical(value)
    if len(body) > limit:
        raise BadFrame(
            "too_large",
            f"the frame would have {len(body)} bytes; at most {limit} are taken",
        )
    return frame(body)


def submission(payload: dict[str, Any]) -> bytes:
    """The frame that hands *payload* in; raises as `encode` does."""
    if not isinstance(payload, Received) or len(payload.raw) > LARGEST:
        return encode({"op": "submit", "payload": payload})
    return frame(_SUBMISSION + payload.raw + b"}")


def frame(body: bytes) -> bytes:
    """*body*, which is JSON already, as one frame."""
    return HEADER.pack(b"OB", VERSION, 0, len(body)) + body


def body_length(header: bytes, limit: int = LARGEST) -> int:
    """How many bytes follow *header*; raises BadFrame before any of them is read."""
    magic, version, _flags, length = HEADER.unpack(header)
    if magic != b"OB":
        raise BadFrame("invalid", "this is not a frame: it does not begin with 'OB'")
    if version != VERSION:
        raise BadFrame(
            "version", f"version {version} is not spoken here, only {VERSION}"
        )
    if length > limit:
        raise BadFrame(
            "too_large", f"a frame of {length} bytes; at most {limit} are taken"
        )
    return int(length)


def decode(body: bytes) -> dict[str, Any]:
    """The object in *body*;
    raises BadFrame("invalid") for everything else, and nothing else.
    """
    try:
        value = strict(body)
    except ValueError as error:
        raise BadFrame(
            "invalid", f"not valid JSON for a frame: {str(error)[:200]}"
        ) from None
    if not isinstance(value, dict):
        raise BadFrame("invalid", "the frame holds no JSON object")
    return value


def decode_request(body: bytes) -> dict[str, Any]:
    """As `decode`; the payload of a submission in the form our client gives it is
    `Received`.

    So what came is kept as it came,
    and is not written a second time to be compared and kept.
    """
    if body.startswith(_SUBMISSION) and body.endswith(b"}"):
        try:
            value = decode(raw := body[len(_SUBMISSION) : -1])
        except BadFrame:
            pass  # other keys may follow, or the fault is one of the whole
        else:
            return {"op": "submit", "payload": received(value, raw)}
    return decode(body)
