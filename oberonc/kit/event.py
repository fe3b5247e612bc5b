"""A push as an event for programs: the payload's JSON, CloudEvents attributes, and the
places of a message bus it goes to.
"""

import importlib
import re
from math import inf
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlsplit

from oberonc import paths
from oberonc.config import Limits
from oberonc.errors import Reject, Retry
from oberonc.kit.answers import CREDENTIALS_AFTER
from oberonc.kit.template import Template
from oberonc.payload import schema

#: What is for the broker alone: the settings, and what changes from try to try.
_OURS: Final = ("service", "broker", "delivery_id", "attempt", "order")


def body(payload: dict[str, Any], most: float = inf) -> bytes:
    """*payload* as JSON of at most *most* bytes, without what is for the broker alone.

    What is cut is flagged in it; raises Reject where cutting does not suffice.
    """
    told = {key: value for key, value in payload.items() if key not in _OURS}
    raw = schema.dumps(told)
    if len(raw) > most:
        raw = schema.dumps(schema.fit(told, Limits(bytes=int(most))))
    if len(raw) > most:
        raise Reject(f"the push has {len(raw)} bytes, and {most:.0f} can be sent")
    return raw


def attributes(payload: dict[str, Any], prefix: str) -> dict[str, str]:
    """What a push is as a CloudEvent (1.0.2); *prefix* is the one that the binding of
    the protocol asks for. `id` is the same on every try.
    """
    repository = quote(payload["repository"]["full_name"])
    kind = "test" if payload["event"] == "test" else "push"
    named = {
        "specversion": "1.0",
        "id": payload["delivery_id"],
        "source": f"/{repository}",
        "type": f"dev.oberonc.{kind}.v1",
        "time": payload["time"],
    }
    return {prefix + name: value for name, value in named.items()}


def check_place(setting: str, text: str) -> None:
    """Raise ValueError where *text*, of the *setting*, is no place that `place` fills."""
    if not text or Template(text).per_commit:
        raise ValueError(
            f"setting '{setting}' must be a name, or say ${{repository.full_name}} "
            "and the like; a commit has no place of its own"
        )


def place(text: str, payload: dict[str, Any], refused: str) -> str:
    """The name in *text*, with values of the push in it, in which what the pattern
    *refused* matches, blanks and controls are underscores.
    """

    def plain(value: str) -> str:
        shown = (c if c.isprintable() and c != " " else "_" for c in value)
        return re.sub(refused, "_", "".join(shown)) or "_"

    return Template(text).fill(payload, dead=plain)


def library(module: str, extra: str) -> Any:
    """The *module*; ValueError names the *extra* of ours that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(f"needs an extra: {paths.adding(extra)}") from None


def address(
    url: str, schemes: dict[str, int], setting: str = "url"
) -> tuple[bool, str, int]:
    """(whether by TLS, host, port) of the *setting* that is *url*.

    *schemes* has the default port of each scheme; the one with TLS comes second.
    Raises ValueError for another scheme, or where credentials stand in the address.
    """
    plain, secure = schemes
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in schemes:
        raise ValueError(
            f"setting '{setting}' must be an address, {plain}://host:port or {secure}://host:port"
        )
    if "@" in parts.netloc:
        raise ValueError(
            f"setting '{setting}' has a user in it; there are settings for that"
        )
    return parts.scheme == secure, host, port or schemes[parts.scheme]


def unwelcome(why: str) -> NoReturn:
    """Raise what it means that a server refused our credentials or their rights."""
    raise Retry(f"CREDENTIALS refused: {why}", after=CREDENTIALS_AFTER)
