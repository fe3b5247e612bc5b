"""Secrets in texts: what is one, and every text without it, however it is written."""

import base64
import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote

#: Credentials inside addresses.
USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_PASSWORD = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
#: Settings whose plain text counts as a secret, and the fewest characters of it: what
#: is short may be any word.
_PLAINLY = re.compile(
    r"(?i)token|passw|passphrase|secret|credential|(api|access|private|signing)_?key$"
)
_TELLING = 8
#: As `html.escape` has it, which would load the names of all characters into each
#: process.
_IN_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_QUOTES_IN_HTML = str.maketrans({'"': "&quot;", "'": "&#x27;"})
#: Characters of a secret whose other forms are looked for, too; of a shorter one they
#: may be anything.
_SHORTEST = 4


class Secret(str):
    """A setting that must not be shown: `repr` hides it, using it as a string does not."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


def secrets_in(settings: Any, key: str = "") -> list[str]:
    """Every secret value inside *settings*: of references, and what a careless hand
    wrote in place of one.
    """
    if isinstance(settings, Secret):
        return [str(settings)]
    if isinstance(settings, str):
        passwords = [found[1] for found in _PASSWORD.finditer(settings)]
        plain = [settings] if len(settings) >= _TELLING and _PLAINLY.search(key) else []
        return [*passwords, *(unquote(password) for password in passwords), *plain]
    if isinstance(settings, dict):
        return [
            secret
            for name, item in settings.items()
            for secret in secrets_in(item, str(name))
        ]
    if isinstance(settings, list):
        return [secret for item in settings for secret in secrets_in(item, key)]
    return []


@lru_cache(maxsize=256)
def forms(secret: str) -> tuple[str, ...]:
    """*secret* as it may come back in a text: as it is, escaped for JSON, Python, HTML
    or an address, and in base64.

    Base64 shows it at one of three places of a longer text, such as `user:password`;
    what is left out there are the letters that its neighbours have a part in.
    """
    if not secret:
        return ()
    found = {secret}
    if len(secret) >= _SHORTEST:
        raw = secret.encode("utf-8", "surrogatepass")
        found |= {
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        }
        found |= {
            json.dumps(secret)[1:-1].replace("/", "\\/"),
            secret.translate(_IN_HTML),
            secret.translate(_IN_HTML | _QUOTES_IN_HTML),
        }
        quoted = {
            quote(raw),
            quote(raw, safe=""),
            quote_plus(raw),
            quote(raw, safe="!$&'()*+,;=:@~-._"),
        }
        found |= quoted | {
            re.sub("%..", lambda code: code[0].lower(), text) for text in quoted
        }
        found |= {
            text
            for plain in _in_base64(raw)
            for text in (plain, plain.replace("+", "-").replace("/", "_"))
        }
    return tuple(sorted(found, key=len, reverse=True))


def _in_base64(raw: bytes) -> set[str]:
    """The letters that *raw* alone decides, at each of three places in what is encoded."""
    whole = base64.b64encode(raw).decode()
    found = {whole}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        letters = (before + len(raw)) * 8 // 6
        inner = encoded[-(-before * 8 // 6) : letters]
        if len(inner) >= _SHORTEST:
            found.add(inner)
    return found


def redact(text: str, secrets: list[str], cut: bool = False) -> str:
    """*text* without any form of *secrets*; where it was *cut*, also without the
    beginning of one at its end.
    """
    if not text:  # most brokers that are done say nothing
        return text
    every = sorted(
        {form for secret in secrets for form in forms(secret)}, key=len, reverse=True
    )
    for form in every:
        text = text.replace(form, "***")
    ends = [_begun(text, form) for form in every] if cut else []
    return text[: min(ends, default=len(text))]


def _begun(text: str, form: str) -> int:
    """Where the longest beginning of *form* at the end of *text* begins;
    the end where there is none.
    """
    place = text.find(form[0], max(0, len(text) - len(form) + 1))
    while place >= 0 and not form.startswith(text[place:]):
        place = text.find(form[0], place + 1)
    return place if place >= 0 else len(text)


def without_userinfo(url: str) -> str:
    """*url* without what stands before the host: a user, and often a password."""
    return USERINFO.sub("", url)


def redact_all(value: Any, secrets: list[str]) -> Any:
    """A JSON *value* with every text in it redacted."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {
            redact(key, secrets): redact_all(item, secrets)
            for key, item in value.items()
        }
    return (
        [redact_all(item, secrets) for item in value]
        if isinstance(value, list)
        else value
    )
