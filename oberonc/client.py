"""The daemon's clients: connect, send, wait, each against one deadline; no daemon, then the spool.

Loaded by hooks: standard library only, and only its light modules.
"""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from oberonc import wire
from oberonc.config import Config
from oberonc.errors import BadInput, NotAccepted, NotAllowed, OberoncError, Unreachable

#: Operations the submit socket knows; every other one needs the control socket.
PUBLIC: Final = ("submit", "ping")
#: Seconds to wait for the answer of operations that take their time; the others get `PATIENCE`.
PATIENT: Final = {"reload": 180.0, "backup": 3600.0, "drain": 3600.0}
PATIENCE: Final = 15.0
#: The part of a submission's budget that connecting may take: a full backlog is not worth waiting for.
CONNECT_SHARE: Final = 0.2

_REFUSALS: Final[dict[str, type[OberoncError]]] = {
    "busy": NotAccepted,
    "storage_low": NotAccepted,
    "stopping": NotAccepted,
    "forbidden": NotAllowed,
}


def call(config: Config, op: str, **fields: Any) -> dict[str, Any]:
    """The daemon's answer to one operation.

    Raises Unreachable (no daemon answers), NotAllowed, BadInput (it refused the request) or NotAccepted (busy).
    """
    path = config.daemon.socket if op in PUBLIC else config.daemon.control
    deadline = time.monotonic() + PATIENT.get(op, PATIENCE)
    try:
        return _checked(_exchange(path, {**fields, "op": op}, deadline, deadline))
    except PermissionError:
        raise NotAllowed(f"you may not use {path}: ask for its group, or run as the daemon's user") from None
    except TimeoutError:
        raise Unreachable(f"the daemon at {path} did not answer in time") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise Unreachable(f"no daemon answers at {path} ({why}): start it with 'oberonc daemon'") from None


def submit(config: Config, payload: dict[str, Any], budget: float) -> str:
    """Hand *payload* over within *budget* seconds: "accepted", "duplicate" or "spooled". All three are durable.

    Raises BadInput or NotAllowed when the daemon will never take it, NotAccepted when the spool fails too.
    """
    now = time.monotonic()
    try:
        request = {"op": "submit", "payload": payload}
        answer = _exchange(config.daemon.socket, request, now + budget * CONNECT_SHARE, now + budget)
        return str(_checked(answer)["status"])
    except (OSError, NotAccepted):
        # No answer means unknown, not refused: the event may be stored. The spooled copy has the same id, so
        # the daemon will find it to be a duplicate then.
        return _spool(config, payload)


def _spool(config: Config, payload: dict[str, Any]) -> str:
    from oberonc import spool  # the daemon's usual answer does not need it

    spool.put(config.spool, {"payload": payload, "services": None})
    return "spooled"


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("ok") is True:
        return answer
    kind = _REFUSALS.get(str(answer.get("error")), BadInput)
    raise kind(str(answer.get("message") or answer.get("error") or "the daemon refused"))


def _exchange(path: Path, request: dict[str, Any], connect_by: float, answer_by: float) -> dict[str, Any]:
    """One request, one answer; raises OSError (TimeoutError among them) when there is none."""
    frame = wire.encode(request)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        _connect(channel, path, connect_by)
        _arm(channel, answer_by)
        # Refused in the middle of the frame: the answer that says why may be there already.
        with suppress(BrokenPipeError):
            channel.sendall(frame)
        length = wire.body_length(_receive(channel, wire.HEADER.size, answer_by), 1 << 30)
        return wire.decode(_receive(channel, length, answer_by))


def _connect(channel: socket.socket, path: Path, deadline: float) -> None:
    _arm(channel, deadline)
    try:
        channel.connect(os.fspath(path))
    except BlockingIOError:  # a Unix socket with a full backlog says EAGAIN instead of waiting
        raise TimeoutError("its backlog is full") from None


def _receive(channel: socket.socket, count: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        _arm(channel, deadline)
        part = channel.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise ConnectionResetError("the daemon closed the connection")
        parts += part
    return bytes(parts)


def _arm(channel: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time left")
    channel.settimeout(left)
