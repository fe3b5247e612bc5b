"""The oberonc on another machine that pushes are handed to: what the configuration says
of it. Loaded where `delivery` is an address.
"""

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from oberonc.errors import ConfigError
from oberonc.text import one_line


class Peer(NamedTuple):
    """Where the `oberonc web` of another machine is. *path* is what stands before
    `/api/events` in its addresses; *token* is a reference, *ca* a path or empty.
    """

    host: str
    port: int
    tls: bool
    path: str
    token: str
    ca: str


def read(url: str, token: str, ca: str, sources: Mapping[str, str]) -> Peer:
    """What `delivery`, `delivery_token` and `delivery_ca` say; *sources* are the files
    that say it. Raises ConfigError with file, key and mend.
    """
    where = f"{sources.get('delivery', '')}: 'delivery'"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{where} is no address: '{one_line(url, 80)}'") from None
    if parts.username is not None:
        raise ConfigError(f"{where} has credentials in it: use delivery_token")
    tls = parts.scheme == "https"
    if not host or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise ConfigError(f"{where} is no address: '{one_line(url, 80)}'")
    if not tls and not (parts.scheme == "http" and is_here(host)):
        raise ConfigError(
            f"{where} must begin with https://, not '{one_line(url, 80)}': the token"
            " would be sent in clear"
        )
    if not token:
        raise ConfigError(
            f'{where} needs a token of the role submit: delivery_token = "file:/PATH"'
        )
    if sources.get("delivery_token") != sources.get("delivery"):
        # Else a file of a user's could send the machine's token to any place.
        raise ConfigError(
            f"{sources.get('delivery_token', '')}: 'delivery_token' is in another file"
            f" than 'delivery' ({sources.get('delivery', '')}): put both into one"
        )
    if ca and not os.access(ca, os.R_OK):
        raise ConfigError(
            f"{sources.get('delivery_ca', '')}: 'delivery_ca' names a file that cannot"
            f" be read: {one_line(ca, 80)}"
        )
    path = parts.path.rstrip("/").removesuffix("/api/events")
    return Peer(host, port or (443 if tls else 80), tls, path, token, ca)


def is_here(host: str) -> bool:
    """Whether *host* is this machine, so that nothing sent to it leaves it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
