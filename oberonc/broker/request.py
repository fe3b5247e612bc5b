"""What the process of a broker is asked, what it answers, and the environment it runs
in; built here for whoever delivers: a hook, the daemon, and commands that try a broker.
"""

import copy
import os
import signal
from types import FrameType
from typing import Any, NamedTuple

from oberonc import process
from oberonc.broker import secrets
from oberonc.broker.registry import Place
from oberonc.config import Service
from oberonc.text import one_line

#: What a broker's process inherits of our environment, and `LC_*`: nothing of git's or
#: of ours, and nothing that could be somebody's secret.
_INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_RUNTIME_DIR",
)


#: What a broker's process says last when it is ended.
_STOOD = b"oberonc: it was ended at "


class Outcome(NamedTuple):
    """How one attempt ended: `done`, `retry`, `dead` or `crash` (the process died or
    was killed at its limit).
    """

    kind: str
    note: str = ""
    after: float | None = None
    progress: bool = False
    output: str = ""


class Request(NamedTuple):
    """One attempt of one delivery. Only `settings` holds secrets."""

    service: str
    broker: str
    #: With its secrets resolved.
    settings: dict[str, Any]
    #: The state folder.
    state: str
    #: Seconds.
    timeout: float
    delivery_id: str
    payload: dict[str, Any]
    #: Counted from 1.
    attempt: int = 1
    #: Whether an earlier delivery of the same lane was passed over.
    gap: bool = False
    #: Whether the broker is only asked if the payload asks anything of it; it is done
    #: where that is nothing.
    only_idle: bool = False
    #: When the attempt is ended from outside, on the clock of `time.monotonic`.
    until: float | None = None
    #: Whether what the broker raises is printed whole.
    traceback: bool = False

    def wire(self) -> dict[str, Any]:
        """All but the payload, for a private JSON channel."""
        fields = self._asdict()
        del fields["payload"]
        return fields | {"settings": secrets.to_wire(self.settings)}

    def delivered(self) -> dict[str, Any]:
        """The payload as `handle` gets it:
        a deep copy with the keys that exist only at delivery.
        """
        return copy.deepcopy(self.payload) | {
            "broker": self.broker,
            "service": copy.deepcopy(self.settings),
            "delivery_id": self.delivery_id,
            "attempt": self.attempt,
            "order": {"gap": self.gap},
        }


def first_attempt(
    service: Service,
    settings: dict[str, Any],
    payload: dict[str, Any],
    state: str,
    timeout: float,
) -> Request:
    """The first attempt of *payload* for *service*;
    *settings* are resolved, *timeout* is in seconds.
    """
    delivery_id = f"{payload['id']}-{service.name}"
    return Request(
        service.name, service.broker, settings, state, timeout, delivery_id, payload
    )


def received(wire: dict[str, Any], payload: dict[str, Any]) -> Request:
    """The request at the other end of the channel, of its `wire` and payload."""
    settings = secrets.from_wire(wire["settings"])
    return Request(**wire | {"settings": settings, "payload": payload})


def say_where_it_stands(place: Place) -> None:
    """Have this process, when it is told to end, say first on which line the broker at
    *place* stands: whoever ends it looks there (`stood`).
    """
    itself, files = os.getpid(), place.files()
    module = (place.entry_point or "").partition(":")[0].strip()

    def told(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        while frame and os.getpid() == itself:
            file = frame.f_code.co_filename
            if file in files or frame.f_globals.get("__name__") == module:
                line = f"{os.path.basename(file)}:{frame.f_lineno}\n"  # noqa: PTH119  short
                os.write(2, _STOOD + line.encode("utf-8", "backslashreplace"))
                break
            frame = frame.f_back
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, told)


def stood(output: bytes) -> str:
    """Where the broker stood that printed *output*, in brackets; else nothing."""
    _, found, where = output.rpartition(_STOOD)
    return f" ({one_line(where.decode('utf-8', 'replace'), 80)})" if found else ""


def environment() -> dict[str, str]:
    """The environment of a process that runs a broker's code."""
    return {
        key: value
        for key, value in process.environment().items()
        if key in _INHERITED or key.startswith("LC_")
    }
