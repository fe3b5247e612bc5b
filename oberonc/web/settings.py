"""What the configuration says of the HTTP face: `[web]` and `[webhooks.NAME]`."""

import hmac
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from oberonc.broker import secrets
from oberonc.config import Config
from oberonc.errors import ConfigError
from oberonc.mirror import origins
from oberonc.text import nearest, one_line
from oberonc.web.incoming import FORGES, NAMELESS, Webhook

#: What a token of each role may do.
ROLES: Final = {
    "submit": ("submit",),
    "read": ("read",),
    "operate": ("read", "operate"),
    "admin": ("submit", "read", "operate", "admin"),
}
#: Where it listens when nobody says.
LISTEN: Final = "127.0.0.1:8649"
#: sourcehut's public key, from man.sr.ht: not a secret, and the same for everybody.
SOURCEHUT: Final = "uX7KWyyDNMaBma4aVbJ/cbUQpdjqczuCyK/HxzV/u+4="

_WEB: Final = {
    "listen": str,
    "behind_proxy": bool,
    "certificate": str,
    "key": str,
    "public_try": bool,
    "tokens": dict,
    "user_header": str,
    "users": dict,
}
_TOKEN: Final = {"token": str, "role": str}
_WEBHOOK: Final = {
    "forge": str,
    "secret": (str, list),
    "repositories": list,
    "default_branch": str,
    **origins.KEYS,
}
_NAMED: Final = {
    dict: "a table",
    str: "text",
    bool: "true or false",
    list: "a list of texts",
}


class Token(NamedTuple):
    """What a program proves itself with, and what it may do."""

    name: str
    secret: str
    role: str


class Settings(NamedTuple):
    """*listen* is an address and a port, or the path of a Unix socket. *state* is the
    folder of what the face remembers. *user_header* is the header in which a proxy says
    who looks at the page, and *users* has the role of each (`*`: of all others).
    """

    listen: tuple[str, int] | Path
    behind_proxy: bool
    certificate: Path | None
    key: Path | None
    webhooks: dict[str, Webhook]
    tokens: tuple[Token, ...]
    state: Path
    user_header: str
    users: dict[str, str]
    public_try: bool

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it by TLS alone."""
        return self.behind_proxy or self.certificate is not None

    @property
    def secrets(self) -> list[str]:
        """What no log may have in it."""
        found = [token.secret for token in self.tokens]
        for webhook in self.webhooks.values():
            found += webhook.secrets
            if webhook.origin and webhook.origin.token:
                found.append(webhook.origin.token)
        return found


def token_of(tokens: tuple[Token, ...], given: str) -> Token | None:
    """The one of *tokens* that *given* is; how long it takes tells nothing of them."""
    found = None
    for token in tokens:
        if hmac.compare_digest(token.secret.encode(), given.encode()):
            found = token
    return found


def read(config: Config) -> Settings:
    """Checked, with the secrets of the webhooks. Raises ConfigError or NotAllowed with
    file, key and mend.
    """
    table, sources = config.web, config.sources

    def where(key: str) -> str:
        return f"{sources.get(f'web.{key}', 'the configuration')}: 'web.{key}'"

    _check(table, _WEB, where)
    files = {}
    for key in ("certificate", "key"):
        files[key] = Path(table[key]) if key in table else None
        if key in table and not os.access(table[key], os.R_OK):
            raise ConfigError(
                f"{where(key)} names a file that cannot be read: {table[key]}"
            )
    pem = files["certificate"], files["key"]
    if (pem[0] is None) != (pem[1] is None):
        raise ConfigError("[web] needs both 'certificate' and 'key', or none of them")
    if pem[0] and pem[1]:
        _check_pem(pem[0], pem[1], where)
    behind_proxy = table.get("behind_proxy", False)
    listen = _listen(table.get("listen", LISTEN), where("listen"))
    safe = isinstance(listen, Path) or ipaddress.ip_address(listen[0]).is_loopback
    if not safe and not behind_proxy and files["certificate"] is None:
        raise ConfigError(
            f"{where('listen')} is no loopback address: give [web] 'certificate' and 'key', or say"
            " behind_proxy = true where a proxy before it speaks TLS"
        )
    state = origins.state_folder(config)
    webhooks = {
        name: _webhook(name, table, sources.get(f"webhooks.{name}", ""))
        for name, table in config.webhooks.items()
    }
    tokens = tuple(
        _token(name, token, sources.get("web.tokens", ""))
        for name, token in table.get("tokens", {}).items()
    )
    _check_tokens(tokens)
    header, users = table.get("user_header", ""), table.get("users", {})
    _check_users(header, users, behind_proxy, where)
    public = table.get("public_try", False)
    return Settings(
        *(listen, behind_proxy, *pem, webhooks, tokens, state, header, users, public)
    )


def _check_pem(certificate: Path, key: Path, where: Any) -> None:
    """Raises ConfigError where these are no pair that TLS can be spoken with."""

    def nobody() -> str:
        # A server has no terminal at which somebody could be asked for it.
        raise ConfigError(f"{where('key')} names a key with a passphrase: take it off")

    try:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificate, key, nobody)
    except OSError as error:  # ssl.SSLError too
        why = error.strerror if error.filename else getattr(error, "reason", "")
        raise ConfigError(
            f"{where('certificate')} and 'web.key' are no certificate and its key in PEM"
            f" form: {why or error}"
        ) from None


def _check_tokens(tokens: tuple[Token, ...]) -> None:
    """Raises ConfigError where nobody could say whose a token is."""
    names: dict[str, str] = {}
    for token in tokens:
        other = names.setdefault(token.secret, token.name)
        if other != token.name:
            raise ConfigError(
                f"web.tokens.{token.name} and web.tokens.{other} have the same token:"
                " give each its own"
            )


def _check_users(
    header: str, users: Mapping[str, Any], behind_proxy: bool, where: Any
) -> None:
    """Raises ConfigError where anybody could say who they are."""
    if header and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", header):
        raise ConfigError(f"{where('user_header')} must be the name of a header")
    if header and not behind_proxy:
        raise ConfigError(
            f"{where('user_header')} is what a proxy says: it needs behind_proxy = true"
        )
    if users and not header:
        raise ConfigError(f"{where('users')} needs user_header, which names them")
    for name, role in users.items():
        if not isinstance(role, str) or role not in ROLES:
            raise ConfigError(
                f"{where('users')}: '{one_line(name, 80)}' must have one of the roles {', '.join(ROLES)}"
            )


def _listen(said: str, where: str) -> tuple[str, int] | Path:
    if said.startswith("/"):
        return Path(said)
    host, _, port = said.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
        if not 0 <= int(port) <= 65535:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{where} must be ADDRESS:PORT, or the path of a Unix socket, not '{one_line(said, 80)}'"
        ) from None
    return address, int(port)


def _token(name: str, table: Any, file: str) -> Token:
    where = f"{file}: web.tokens.{name}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    _check(table, _TOKEN, lambda key: f"{where}.{key}")
    role = table.get("role", "read")
    if role not in ROLES:
        raise ConfigError(
            f"{where}.role is '{one_line(role, 40)}'; it must be one of {', '.join(ROLES)}"
        )
    if "token" not in table:
        raise ConfigError(f'{where} has no token: add token = "file:/PATH"')
    [secret] = _secrets([table["token"]], f"{where}.token")
    return Token(name, secret, role)


def _secrets(references: list[str], where: str) -> list[str]:
    """What they refer to: a secret that stands in the configuration itself is most often
    a path without `file:`, which anybody could guess. Raises ConfigError.
    """
    if not all(map(secrets.is_reference, references)):
        raise ConfigError(f'{where} must say where it is: "file:/PATH"')
    return [str(secret) for secret in secrets.resolved(references, where)]


def _webhook(name: str, table: Any, file: str) -> Webhook:
    where = f"{file}: webhooks.{name}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ConfigError(
            f"{file}: webhook name '{one_line(name, 80)}' must be 1 to 64 letters, digits, '-', '_' or '.'"
        )
    _check(table, _WEBHOOK, lambda key: f"{where}.{key}")
    forge = table.get("forge", "")
    if forge not in FORGES:
        raise ConfigError(
            f"{where}.forge is '{one_line(forge, 40)}'; it must be one of {', '.join(FORGES)}"
        )
    said = table.get("secret", SOURCEHUT if forge == "sourcehut" else [])
    references = [said] if isinstance(said, str) else said
    if not references:
        raise ConfigError(
            f'{where} has no secret: anybody could send pushes. Add secret = "file:/PATH", and set'
            " the same one in the forge"
        )
    branch = table.get("default_branch", "")
    if forge in NAMELESS and not branch:
        raise ConfigError(
            f"{where} needs default_branch: {forge} does not say which branch that is"
        )
    if forge == "sourcehut":  # a public key
        found = [str(one) for one in secrets.resolved(references, f"{where}.secret")]
    else:
        found = _secrets(references, f"{where}.secret")
    mirrored = table.get("mirror", False)
    for key in origins.KEYS if not mirrored else ():
        if key in table and key != "mirror":
            raise ConfigError(f"{where}.{key} is of use with mirror = true alone")
    return Webhook(
        name,
        forge,
        tuple(found),
        tuple(table.get("repositories", ())),
        branch,
        origins.origin(name, table, where) if mirrored else None,
    )


def _check(table: Mapping[str, Any], known: Mapping[str, Any], where: Any) -> None:
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where(key)} is unknown{nearest(key, list(known))}")
        kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
        texts = not isinstance(value, list) or all(isinstance(v, str) for v in value)
        if type(value) not in kinds or not texts:
            must = " or ".join(_NAMED[kind] for kind in kinds)
            raise ConfigError(f"{where(key)} must be {must}")
