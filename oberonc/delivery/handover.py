"""The daemon's client: what it is given (`deliver`) and asked (`call`). Connect, send
and wait each have a deadline; what is not taken goes into the spool.

Loaded by hooks: standard library only, and only its light modules.
"""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_STREAM, socket  # `socket` loads `enum` and `re`

from oberonc import accounts
from oberonc.delivery import frames
from oberonc.delivery.report import Report, cut, in_words
from oberonc.errors import BadInput, NotAccepted, NotAllowed, OberoncError, Unreachable
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Final

    from oberonc.config import Config
    from oberonc.payload.schema import Payload

#: Operations the submit socket knows; every other one needs the control socket.
PUBLIC: Final = ("submit", "ping")
#: Seconds to wait for the answer of operations that take their time; the others get
#: `PATIENCE`.
PATIENT: Final = {"reload": 180.0, "backup": 3600.0, "service.test": 100.0}
PATIENCE: Final = 15.0
#: The part of a submission's budget that connecting may take: a full backlog is not
#: worth waiting for.
CONNECT_SHARE: Final = 0.2

#: The errors of an answer that say the payload itself is wrong: keeping it would not
#: make it right.
WRONG: Final = ("invalid", "too_large", "conflict")

#: How the daemon's usual answer begins and ends; to read others, JSON is loaded.
_TAKEN: Final = (b'{"ok":true,"seq":', b',"status":"accepted"}')

_REFUSALS: Final[dict[str, type[OberoncError]]] = {
    "busy": NotAccepted,
    "storage_low": NotAccepted,
    "stopping": NotAccepted,
    "forbidden": NotAllowed,
}


class Conflict(BadInput):
    """The daemon has another payload with the id of this one."""


class Handed(NamedTuple):
    """What became of a payload: `accepted`, `duplicate` or `spooled`, all three
    durable.

    *why* says what kept the daemon from taking it;
    empty where it took it, and where none answered.
    """

    status: str
    why: str = ""


def deliver(config: Config, payload: Payload, budget: float) -> Report:
    """Hand *payload* to the daemon, or to the spool where none answers; *budget* is in
    seconds. Raises as `submit` does.
    """
    status, why = submit(config, payload, budget)
    line = f"queued {in_words(payload)}"
    if status == "spooled":
        from oberonc.delivery import log

        line = f"spooled {in_words(payload)}"
        # the state folder may be the daemon's alone; it logs what it takes in
        try:
            log.write(config, log.record(payload, "spool", {}))
        except OSError:
            pass
    parts = [f"{line}: {why}" if why else line, *cut(payload)]
    return Report(payload["id"], {}, "; ".join(parts))


def submit(config: Config, payload: Payload, budget: float) -> Handed:
    """Hand *payload* over within *budget* seconds; what the daemon does not take goes
    into the spool.

    Raises BadInput where the payload itself is wrong (Conflict among it),
    NotAccepted when the spool fails too.
    """
    if "://" in config.delivery:
        from oberonc.delivery import sending  # few push to another machine

        return Handed(*sending.submit(config, payload, budget))
    request = frames.submission(payload)
    path, now = config.daemon.submit_socket, time.monotonic()
    answer: bytes | OSError | frames.BadFrame
    try:
        answer = _exchange(path, request, now + budget * CONNECT_SHARE, now + budget)
    except (OSError, frames.BadFrame) as error:
        answer = error
    return handed(config, payload, answer)


def handed(
    config: Config, payload: Payload, answer: bytes | OSError | frames.BadFrame
) -> Handed:
    """What becomes of *payload* by the daemon's *answer* to it, or by what kept it from
    answering. Raises as `submit` does.
    """
    path = config.daemon.submit_socket
    try:
        if isinstance(answer, Exception):
            raise answer
        if is_taken(answer):
            return Handed("accepted")
        said = frames.decode(answer)
    except PermissionError:
        why = _locked(path)
    except (OSError, frames.BadFrame):
        # No answer means unknown, not refused: the event may be stored. The spooled
        # copy has the same id, so the daemon will find it to be a duplicate then.
        why = ""
    else:
        status, error = said.get("status"), said.get("error")
        if said.get("ok") is True and status in ("accepted", "duplicate"):
            return Handed(str(status))
        if error in WRONG:
            raise (Conflict if error == "conflict" else BadInput)(_reason(said))
        why = _locked(path) if error == "forbidden" else _reason(said)
    from oberonc.delivery import spool  # the daemon's usual answer does not need it

    try:
        spool.put(config.spool, {"payload": payload, "services": None})
    except NotAccepted as failure:
        raise NotAccepted("; ".join(filter(None, (why, str(failure))))) from None
    return Handed("spooled", why)


def is_taken(raw: bytes) -> bool:
    """Whether *raw* is the daemon's usual answer to a payload: it is accepted."""
    return raw.startswith(_TAKEN[0]) and raw.endswith(_TAKEN[1])


def keep(config: Config, payload: Payload) -> str:
    """Keep *payload* for a configuration that is whole again; returns the line for
    people. Raises NotAccepted where the spool does not take it.
    """
    from oberonc.delivery import spool

    spool.put(config.spool, {"payload": payload, "services": None})
    return (
        f"kept {in_words(payload)}; once that is mended the next push or"
        " `oberonc send --spooled` delivers it"
    )


def call(
    config: Config,
    op: str,
    *,
    at: Path | None = None,
    within: float | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The daemon's answer to one operation, asked at the socket *at* (default: the one
    it is served at).

    It has *within* seconds to come (default: what the operation is known to take).

    Raises Unreachable (no daemon answers), NotAllowed, BadInput (it refused the
    request) or NotAccepted (busy).
    """
    daemon = config.daemon
    path = at or (daemon.submit_socket if op in PUBLIC else daemon.control_socket)
    deadline = time.monotonic() + (within or PATIENT.get(op, PATIENCE))
    request = frames.encode({**fields, "op": op})
    try:
        answer = frames.decode(_exchange(path, request, deadline, deadline))
    except PermissionError:
        raise NotAllowed(_locked(path)) from None
    except TimeoutError:
        raise Unreachable(f"the daemon at {path} did not answer in time") from None
    except OSError as error:
        why = error.strerror or str(error)
        if "://" in config.delivery:
            raise Unreachable(
                f"no daemon runs here, pushes go to {config.delivery}: ask there"
            ) from None
        raise Unreachable(
            f"no daemon answers at {path} ({why}): start it with 'oberonc daemon'"
        ) from None
    if answer.get("ok") is True:
        return answer
    raise _REFUSALS.get(str(answer.get("error")), BadInput)(_reason(answer))


def _reason(answer: dict[str, Any]) -> str:
    """Why the daemon refused, in its own words."""
    return str(answer.get("message") or answer.get("error") or "the daemon refused")


def _locked(path: str | Path) -> str:
    """What to say to somebody who may not use the socket at *path*."""
    mend = "only its owner and root may"
    try:
        facts = os.stat(path)
        if facts.st_mode & 0o020:
            group = accounts.group_name(facts.st_gid)
            mend = f"an administrator can add you to its group {group}"
    except OSError:
        pass
    return f"you may not use {path}: {mend}"


def _exchange(
    path: str | Path, frame: bytes, connect_by: float, answer_by: float
) -> bytes:
    """One request, and the JSON of its answer.

    Raises OSError (TimeoutError among them) when there is none,
    BadFrame when it is none of ours.
    """
    channel = connected(path, connect_by)
    try:
        return converse(channel, frame, answer_by)
    finally:
        channel.close()


def connected(path: str | Path, deadline: float) -> socket:
    """A connection to the socket at *path*. Raises OSError."""
    channel = socket(AF_UNIX, SOCK_STREAM)
    try:
        _limit(channel, deadline)
        channel.connect(os.fspath(path))
        return channel
    except BlockingIOError:
        # a Unix socket with a full backlog says EAGAIN instead of waiting
        channel.close()
        raise TimeoutError("its backlog is full") from None
    except BaseException:
        channel.close()
        raise


def converse(channel: socket, frame: bytes, deadline: float) -> bytes:
    """As `_exchange`, on a connection that there is."""
    _limit(channel, deadline)
    # Refused in the middle of the frame: the answer that says why may be there already.
    try:
        channel.sendall(frame)
    except BrokenPipeError:
        pass
    head = _receive(channel, frames.HEADER.size, deadline)
    length = frames.body_length(head, 1 << 30)
    return _receive(channel, length, deadline)


def _receive(channel: socket, count: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        _limit(channel, deadline)
        part = channel.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise ConnectionResetError("the daemon closed the connection")
        parts += part
    return bytes(parts)


def _limit(channel: socket, deadline: float) -> None:
    """Let what *channel* does next end at *deadline*; raises TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no time left")
    channel.settimeout(seconds)
