"""A worker: one process, one broker, one service, one delivery at a time.

It speaks frames on its channel. The settings, secrets among them, come with each
request and only those of its own service; what it prints goes to a pipe. Its end is the
daemon's to judge: it never exits by itself except when the channel closes.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from oberonc import redaction
from oberonc.broker import confine, perform, secrets
from oberonc.broker.contract import BaseBroker
from oberonc.broker.loading import error_text
from oberonc.broker.request import received
from oberonc.delivery import frames
from oberonc.text import one_line

#: Bytes read at once.
CHUNK: Final = 1 << 16


class _Private(dict[str, Any]):
    """A payload that was read for this one call, so that nobody else sees what the
    broker does to it.
    """

    def __deepcopy__(self, _memo: dict[int, Any]) -> "_Private":
        return self


def serve(channel: socket.socket, load: Callable[[], type[BaseBroker]]) -> None:
    """Answer requests until the daemon closes the channel."""
    broker: type[BaseBroker] | None = None
    itself, streams = os.getpid(), (sys.stdout, sys.stderr)
    while (request := read_frame(channel)) is not None:
        if broker is None:
            # Loaded with the first request and not before, so that what a load prints
            # or breaks has a witness.
            broker = load()
        answer = _ANSWERS[request["op"]](broker, request)
        if os.getpid() != itself:
            # the broker forked and let the copy come back; the worker itself answers
            os._exit(0)
        for stream in streams:
            # the broker may have closed it; what it put in its place is not ours to
            # call
            with suppress(Exception):
                stream.flush()
        # What the broker left running is ended with its worker, and that must not wait
        # for hundreds of deliveries.
        answer["spent"] = confine.has_children()
        channel.sendall(frames.encode(answer, frames.LARGEST_RESULT))


def _handle(broker: type[BaseBroker], request: dict[str, Any]) -> dict[str, Any]:
    wire = request["every"] | request["this"]
    asked = received(wire, _Private(request["payload"]))
    outcome = perform.perform(broker, asked)
    return {"lease": request["lease"], "outcome": outcome._asdict()}


def _verify(broker: type[BaseBroker], request: dict[str, Any]) -> dict[str, Any]:
    settings = secrets.from_wire(request["settings"])
    try:
        broker().bind(request["service"], settings, Path(request["state"]))
        why = None
    except BaseException as error:  # noqa: BLE001  it is the broker's code: it may raise anything
        file, hidden = perform.source(broker), redaction.secrets_in(settings)
        why = (
            one_line(redaction.redact(error_text(error), hidden))
            if isinstance(error, ValueError)
            else perform.told(error, file, hidden)
        ) or type(error).__name__
    return {"verified": why}


def _check(broker: type[BaseBroker], request: dict[str, Any]) -> dict[str, Any]:
    return perform.call(broker, "check", received(request["request"], {}))


_ANSWERS: Final = {"verify": _verify, "check": _check, "handle": _handle}


def read_frame(
    channel: socket.socket, limit: int = 4 * frames.LARGEST
) -> dict[str, Any] | None:
    """The next frame, or None when the other side closed. Nothing follows a frame until
    it is answered.

    A payload that filters cut is written anew, in ASCII, in which a letter can take
    three times its bytes.
    """
    frame = bytearray()
    wanted = None
    while wanted is None or len(frame) < wanted:
        part = channel.recv(CHUNK)
        if not part:
            return None
        frame += part
        if wanted is None and len(frame) >= frames.HEADER.size:
            wanted = frames.HEADER.size + frames.body_length(
                bytes(frame[: frames.HEADER.size]), limit
            )
    # The daemon wrote it: what a stranger's frame is searched for cannot be in it.
    request: dict[str, Any] = json.loads(frame[frames.HEADER.size :])
    return request
