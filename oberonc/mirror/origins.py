"""Where a webhook's repositories are fetched from, and with what: what
`[webhooks.NAME]` says beside its `mirror = true`.

The address is the administrator's. What a webhook says of it is not asked for: whoever
knows its secret could have the credentials sent anywhere.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from oberonc.broker import secrets
from oberonc.config import Config
from oberonc.errors import BadInput, ConfigError
from oberonc.peer import is_here
from oberonc.text import one_line

#: The keys that only count together with `mirror = true`, and what they must be.
KEYS: Final[dict[str, type]] = {
    "mirror": bool,
    "url": str,
    "user": str,
    "token": str,
    "ssh_key": str,
    "known_hosts": str,
}
#: Where the repositories of a forge are that has one place for all.
_PLACES: Final = {
    "bitbucket": "https://bitbucket.org/{repository}.git",
    "github": "https://github.com/{repository}.git",
    "gitlab": "https://gitlab.com/{repository}.git",
    "sourcehut": "https://git.sr.ht/{repository}",
}
#: The user that goes with a token; many forges take any.
_USERS: Final = {
    "bitbucket": "x-token-auth",
    "github": "x-access-token",
    "gitlab": "oauth2",
}
#: What stands for a repository's name in an address: all of it, and its two parts.
_NAMES: Final = ("repository", "owner", "name")
#: Names and addresses of hosts, and users of ssh; none begins with a dash.
_HOST: Final = re.compile("[a-z0-9:][a-z0-9.:-]*")
_USER: Final = re.compile("([A-Za-z0-9_][A-Za-z0-9._-]*)?")


class Origin(NamedTuple):
    """Where the repositories of the webhook *webhook* come from.

    *url* has `{repository}` in it, or `{owner}` and `{name}`. *token* is the password
    of *user*; *ssh_key* and *known_hosts* are paths of files, or empty.
    """

    webhook: str
    url: str
    repositories: tuple[str, ...]
    default_branch: str = ""
    user: str = ""
    token: str = ""
    ssh_key: str = ""
    known_hosts: str = ""

    @property
    def scheme(self) -> str:
        """`https`, `http`, `ssh` or `file`."""
        return urlsplit(self.url).scheme

    def address(self, repository: str) -> str:
        """Where *repository* is. Raises BadInput for a name that leads elsewhere."""
        parts = repository.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise BadInput(f"'{one_line(repository, 80)}' is no name of a repository")
        quoted = [quote(part, safe="~") for part in parts]
        named = {
            "repository": "/".join(quoted),
            "owner": "/".join(quoted[:-1]),
            "name": quoted[-1],
        }
        address = self.url
        for name in _NAMES:
            address = address.replace(f"{{{name}}}", named[name])
        return address


def state_folder(config: Config) -> Path:
    """The folder of what the HTTP face remembers. Where the face has an account of its
    own systemd makes it, beside the daemon's; who runs a command by hand finds it there.
    """
    made = config.state.with_name(f"{config.state.name}-web")
    usual = made if made.is_dir() else config.state / "web"
    return Path(os.environ.get("STATE_DIRECTORY") or usual)


def key(*parts: str) -> str:
    """16 hex digits that stand for *parts* in names of files."""
    named = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(named).hexdigest()[:16]


def read(config: Config) -> dict[str, Origin]:
    """By webhook, those that have a mirror. Raises ConfigError or NotAllowed with file,
    key and mend.
    """
    found = {}
    for name, table in config.webhooks.items():
        if isinstance(table, dict) and table.get("mirror") is True:
            file = config.sources.get(f"webhooks.{name}", "")
            found[name] = origin(name, table, f"{file}: webhooks.{name}")
    return found


def origin(name: str, table: Mapping[str, Any], where: str) -> Origin:
    """What *table*, the webhook *name*, says; *where* names it in errors. Raises as
    `read` does.
    """
    for known, kind in KEYS.items():
        if type(table.get(known, kind())) is not kind:
            raise ConfigError(f"{where}.{known} must be {_named(kind)}")
    forge = table.get("forge", "")
    if forge in ("oberonc", "standard"):
        raise ConfigError(
            f"{where}.mirror is of no use: {forge} sends whole payloads; take it away"
        )
    patterns = table.get("repositories")
    if not isinstance(patterns, list) or not patterns:
        raise ConfigError(
            f"{where} needs repositories: whoever knows its secret could have anything"
            ' fetched; add repositories = ["web/*"]'
        )
    made = Origin(
        name,
        _url(table.get("url") or _PLACES.get(forge, ""), where),
        tuple(map(str, patterns)),
        str(table.get("default_branch", "")),
        table.get("user") or _USERS.get(forge, "oberonc"),
        secrets.resolved(table.get("token", ""), f"{where}.token"),
        _file(table.get("ssh_key", ""), f"{where}.ssh_key"),
        _file(table.get("known_hosts", ""), f"{where}.known_hosts"),
    )
    if "\n" in made.user or not made.user.isprintable():
        raise ConfigError(f"{where}.user must be one line of text")
    if made.token and not secrets.is_reference(table["token"]):
        raise ConfigError(
            f'{where}.token must say where the token is: token = "file:/PATH"'
        )
    if made.token and made.scheme not in ("https", "http"):
        raise ConfigError(f"{where}.token is for https, and its url is {made.scheme}")
    if made.scheme == "ssh" and not made.known_hosts:
        raise ConfigError(
            f"{where} needs known_hosts, a file with the key of the host: `ssh-keyscan`"
            " writes one, compare it with what the forge publishes"
        )
    return made


def _named(kind: type) -> str:
    return "true or false" if kind is bool else "text"


def _url(url: str, where: str) -> str:
    """*url*, checked."""
    if not url:
        raise ConfigError(
            f"{where} needs url, where its repositories are: "
            'url = "https://git.example.org/{repository}.git"'
        )
    shown = one_line(url, 80)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{where}.url is no address: '{shown}'") from None
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise ConfigError(f"{where}.url has credentials in it: use user and token")
    if parts.scheme == "file":
        fits = not parts.netloc and parts.path.startswith("/")
    else:
        named = _HOST.fullmatch(host) and _USER.fullmatch(parts.username or "")
        fits = parts.scheme in ("https", "http", "ssh") and bool(named)
    if not fits or not url.isprintable() or any(c in url for c in " ?#\\"):
        raise ConfigError(
            f"{where}.url must begin with https://, ssh:// or file:///, not '{shown}'"
        )
    if parts.scheme == "http" and not is_here(host):
        raise ConfigError(
            f"{where}.url would send credentials in clear: http is for this machine"
            " alone; say https"
        )
    if "{repository}" not in url and not ("{owner}" in url and "{name}" in url):
        raise ConfigError(
            f"{where}.url must have {{repository}} in it, or {{owner}} and {{name}}"
        )
    if any(mark in parts.netloc for mark in "{}"):
        raise ConfigError(f"{where}.url: the host must not depend on the repository")
    return url


def _file(path: str, where: str) -> str:
    if path and not (path.startswith("/") and os.access(path, os.R_OK)):
        raise ConfigError(
            f"{where} must be the path of a file that can be read: {path}"
        )
    return path
