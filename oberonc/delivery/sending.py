"""Payloads to the `oberonc web` of another machine. Each is in the spool before it is
sent, and leaves it when the other machine has it: under one id, so that it is one event
there however often it was sent.

Loaded by hooks where `delivery` is an address, and only there.
"""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, NamedTuple

from oberonc import peer
from oberonc.broker import secrets
from oberonc.config import Config
from oberonc.delivery import log, spool
from oberonc.errors import BadInput, ConfigError, OberoncError
from oberonc.payload import schema
from oberonc.payload.check import check as fault_of
from oberonc.payload.schema import Payload
from oberonc.redaction import redact
from oberonc.text import one_line, utc

#: Seconds that one step of a connection may take where there is no other limit.
_STEP: Final = 20.0
#: Bytes of an answer that are read.
_ANSWER: Final = 1 << 16
#: Seconds for which a server may ask not to be asked; and where that is noted.
_LONGEST_REST: Final = 3600.0
_REST: Final = "rest"


class Sent(NamedTuple):
    """What became of a kept payload: `accepted`, `kept`, or put aside as `wrong` or too
    `large`; and why.
    """

    id: str
    repository: str
    status: str
    why: str = ""


class _Refused(OberoncError):
    """The server does not take it; *wrong*: and never will."""

    def __init__(self, why: str, wrong: int = 0) -> None:
        super().__init__(why)
        self.wrong = wrong


def submit(config: Config, payload: Payload, budget: float) -> tuple[str, str]:
    """Keep *payload*, and send it within *budget* seconds: `accepted` or `spooled`, and
    why. What is older of its repository goes first; what is left of the time is for
    what else waits.

    Raises BadInput where the payload itself is wrong, NotAccepted where it can be
    neither sent nor kept.
    """
    own = spool.put(config.spool, {"payload": payload, "services": None})
    said: dict[str, Sent] = {}
    until = time.monotonic() + budget

    def work() -> None:
        name = payload["repository"]["full_name"]
        try:
            sender = Sender(config, until)
            for sent in sender.all_of(name):
                said[sent.id] = sent
                if sent.status == "kept":  # and so is what comes after it
                    said[payload["id"]] = sent
            if not own.exists():
                for _ in sender.everything():
                    pass
        except Exception as error:  # noqa: BLE001  who pushes reads a line, no traceback
            said[payload["id"]] = Sent(payload["id"], name, "kept", str(error))

    rest = _rest(config)
    if rest:
        return "spooled", rest
    # Looking for a host's name knows no time limit: who pushes does not wait for it.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(budget)
    sent = said.get(payload["id"])
    if sent and sent.status == "wrong":
        raise BadInput(sent.why)
    if own.exists():
        return "spooled", sent.why if sent else "there was no time to send it"
    return ("spooled", sent.why) if sent and sent.why else ("accepted", "")


def _rest(config: Config) -> str:
    """Why nothing is to be sent now; empty where nobody asked for that."""
    with suppress(OSError, ValueError):
        until = float((config.spool / _REST).read_text())
        if time.time() < until < time.time() + _LONGEST_REST:
            return f"{config.delivery} asked for rest until {utc(until)}"
    return ""


class Sender:
    """Sends what is kept in the spool, by one connection, until *until* (monotonic).
    Raises ConfigError where the configuration does not say where to.
    """

    def __init__(self, config: Config, until: float = math.inf) -> None:
        self._config, self._until = config, until
        self._peer = peer.read(
            config.delivery, config.delivery_token, config.delivery_ca, config.sources
        )
        where = f"{config.sources.get('delivery_token', '')}: delivery_token"
        self._token = secrets.resolved(self._peer.token, where, until)
        if not secrets.is_reference(self._peer.token):
            raise ConfigError(f'{where} must say where it is: "file:/PATH"')
        self._connection: HTTPConnection | None = None

    def everything(self) -> Iterator[Sent]:
        """Send all that waits, repository by repository, until there is no more time or
        the server takes nothing.
        """
        done: set[str] = set()
        spool.sweep(self._config.spool)
        for path in spool.listing(self._config.spool):
            name = _repository(path)
            if name is None or name in done or time.monotonic() > self._until:
                continue
            done.add(name)
            for sent in self.all_of(name):
                yield sent
                if sent.status == "kept":
                    return

    def all_of(self, repository: str) -> Iterator[Sent]:
        """Send what waits of *repository*, oldest first, until one is not taken. What
        is wrong or too large is put aside.
        """
        deadline = min(self._until, time.monotonic() + _STEP)
        with spool.lane(self._config.spool, repository, deadline) as mine:
            if not mine:
                return
            for path in spool.listing(self._config.spool, repository):
                payload = _kept(path)
                if payload is None:
                    continue
                if payload["repository"]["full_name"] != repository:
                    continue
                sent = self._sent(path, payload)
                yield sent
                if sent.status == "kept":
                    return

    def _sent(self, path: Path, payload: Payload) -> Sent:
        named = payload["id"], payload["repository"]["full_name"]
        try:
            self.post(schema.dumps(payload), payload["id"])
        except _Refused as refused:
            if not refused.wrong:
                return Sent(*named, "kept", str(refused))
            # A proxy with a smaller limit can be mended: nothing is thrown away.
            aside = f"{refused}; it was put aside as {spool.reject(path, str(refused))}"
            return Sent(*named, "wrong" if refused.wrong == 422 else "large", aside)
        spool.remove(path)
        with suppress(OSError):  # taken all the same
            log.write(self._config, log.record(payload, self._config.delivery, {}))
        return Sent(*named, "accepted")

    def post(self, body: bytes, name: str) -> None:
        """Send one payload, whose id is *name*. Raises _Refused."""
        host = self._peer.host
        try:
            status, headers, text = self._exchange(body)
        except (OSError, HTTPException) as error:
            self.close()
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise _Refused(f"{host} does not answer: {one_line(why, 200)}") from None
        if status in (200, 201):
            if _said(text).get("id") == name:
                return
            # A proxy's login page, say: what it is given would be nowhere.
            raise _Refused(
                f"{host} answered {status}, and not as oberonc does: is 'delivery' right?"
            )
        detail = redact(_detail(text), [str(self._token)])
        if status == 401:
            why = f"{host} refuses the token of 'delivery_token' (401)"
        elif status == 403:
            why = f"{host}: the token may not submit (403): give it the role submit"
        elif status == 413:
            why = (
                f"{host} takes no {len(body)} bytes (413): is a proxy's limit smaller?"
            )
        elif status in (429, 503):
            self._note_rest(headers.get("retry-after", ""))
            why = f"{host} takes nothing now ({status})"
        else:
            why = f"{host} answered {status}"
        raise _Refused(
            f"{why}: {detail}" if detail and status not in (401, 403, 413) else why,
            status if status in (413, 422) else 0,
        )

    def _exchange(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        seconds = min(_STEP, self._until - time.monotonic())
        if seconds <= 0:
            raise TimeoutError("no time left")
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        for fresh in (self._connection is None, True):
            connection = self._connection if not fresh else self._connected(seconds)
            assert connection
            try:
                connection.request(
                    "POST", f"{self._peer.path}/api/events", body, headers
                )
                answer = connection.getresponse()
                break
            except (OSError, HTTPException):
                # Who was idle may have been hung up on; what was sent has one id.
                self.close()
                if fresh:
                    raise
        text = answer.read(_ANSWER + 1)
        named = {name.lower(): value for name, value in answer.getheaders()}
        if len(text) > _ANSWER or answer.status >= 300:
            self.close()
        return answer.status, named, text[:_ANSWER]

    def _connected(self, seconds: float) -> HTTPConnection:
        given = self._peer
        if given.tls:
            import ssl  # loads half of what a hook does

            trusted = ssl.create_default_context(cafile=given.ca or None)
            self._connection = HTTPSConnection(
                given.host, given.port, timeout=seconds, context=trusted
            )
        else:
            self._connection = HTTPConnection(given.host, given.port, timeout=seconds)
        return self._connection

    def _note_rest(self, said: str) -> None:
        if said.isascii() and said.isdigit() and len(said) < 9:
            until = time.time() + min(float(said), _LONGEST_REST)
            with suppress(OSError):
                (self._config.spool / _REST).write_text(f"{until:.0f}")

    def close(self) -> None:
        """End the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None


def check(config: Config) -> str:
    """What is wrong with where pushes go; empty where a payload would be taken."""
    try:
        Sender(config).post(b"{}", "")
    except _Refused as refused:
        # It is no payload, which only who may submit is told.
        return "" if refused.wrong == 422 else str(refused)
    except OberoncError as error:
        return str(error)
    return "it took what is no payload"


def _kept(path: Path) -> Payload | None:
    """The payload in *path*; None where it is not for another machine, not ours to
    read, or gone. What is damaged goes to bad/.
    """
    try:
        entry = spool.read(path)
    except spool.Damaged as error:
        with suppress(OSError):
            spool.reject(path, str(error))
        return None
    except OSError:
        return None
    payload: Payload = entry["payload"]
    # What has services waits for brokers that run here.
    if entry.get("services") is not None or fault_of(payload):
        return None
    return payload


def _repository(path: Path) -> str | None:
    payload = _kept(path)
    return payload["repository"]["full_name"] if payload else None


def _said(text: bytes) -> dict[str, Any]:
    """The object that an answer is; empty where it is none."""
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _detail(text: bytes) -> str:
    """What a problem document says."""
    detail = _said(text).get("detail")
    return one_line(detail, 200) if isinstance(detail, str) else ""
