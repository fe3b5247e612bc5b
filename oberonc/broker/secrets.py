"""References to secrets, and their values when a delivery needs them.

A setting never holds a secret, it says where one is: `env:NAME`, `file:PATH`,
`cred:NAME` (systemd's LoadCredential) or `cmd:PROGRAM ARG...`. Values are `Secret`s;
`redact` takes them out of every text that leaves.
"""

import base64
import html
import json
import math
import os
import re
import stat
import time
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from oberonc import paths, process
from oberonc.broker.contract import Secret
from oberonc.config import Service
from oberonc.errors import ConfigError, NotAllowed

KINDS = ("env:", "file:", "cred:", "cmd:")
#: Seconds a `cmd:` may take, and characters any secret may have.
COMMAND_SECONDS = 10
LONGEST = 64 * 1024
#: Settings that are not shown even where somebody wrote the secret itself, and
#: credentials inside addresses.
_DELICATE = re.compile(
    r"(?i)token|passw|passphrase|secret|credential|^key$|(api|access|private|signing)_?key$"
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_PASSWORD = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
#: The same of what is looked for in texts: fewer keys, and nothing short, which may be
#: any word.
_PLAINLY = re.compile(
    r"(?i)token|passw|passphrase|secret|credential|(api|access|private|signing)_?key$"
)
_TELLING = 8
#: Characters of a secret whose other forms are looked for, too; of a shorter one they
#: may be anything.
_SHORTEST = 4


def is_reference(value: object) -> bool:
    """Whether *value* says where a secret is."""
    return isinstance(value, str) and value.startswith(KINDS)


def resolve(service: Service, until: float = math.inf) -> dict[str, Any]:
    """The settings of *service* with each reference replaced by its `Secret`; commands
    end at *until* (monotonic).

    Raises ConfigError (nothing there) or NotAllowed (a file others may read), naming
    service and setting.
    """
    return {
        key: _resolve(value, f"{service.origin}: services.{service.name}.{key}", until)
        for key, value in service.settings.items()
    }


def _resolve(value: Any, where: str, until: float) -> Any:
    if isinstance(value, dict):
        return {
            key: _resolve(item, f"{where}.{key}", until) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_resolve(item, where, until) for item in value]
    if not is_reference(value):
        return value
    kind, _, rest = value.partition(":")
    if kind == "cmd":
        secret = _command(
            rest, where, min(COMMAND_SECONDS, max(until - time.monotonic(), 0))
        )
    else:
        secret = {"env": _env, "file": _file, "cred": _credential}[kind](rest, where)
    if not secret or len(secret) > LONGEST or any(c in secret for c in "\0\r\n"):
        raise ConfigError(f"{where}: {kind}:{rest} is empty or not one line of text")
    return Secret(secret)


def _env(name: str, where: str) -> str:
    if name not in os.environ:
        raise ConfigError(f"{where}: the environment has no {name}")
    return os.environ[name]


def _file(name: str, where: str) -> str:
    path = paths.home() / name[2:] if name.startswith("~/") else Path(name)
    if not path.is_absolute() or "\0" in name:
        raise ConfigError(
            f"{where}: file: wants an absolute path or one that begins with ~/, not '{name}'"
        )
    try:
        # A FIFO must not hold a push for ever.
        with os.fdopen(
            os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{where}: {path} is not a plain file")
            if mode & 0o027:
                raise NotAllowed(
                    f"{where}: others may read or change {path}: chmod 600 {path}"
                )
            return stream.read(LONGEST + 1).decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: {path} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot read {path}: {error.strerror}") from None


def _credential(name: str, where: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder or "/" in name:
        raise ConfigError(
            f"{where}: cred:{name} needs systemd's LoadCredential={name}:... in the unit"
        )
    try:
        return (Path(folder) / name).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{where}: systemd gave no credential called {name}"
        ) from None


def _command(line: str, where: str, seconds: float) -> str:
    import shlex
    import subprocess

    try:
        argv = shlex.split(line)
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            # In a hook GIT_DIR and its like belong to the push: `cmd:pass ...` has a
            # repository of its own.
            env=process.environment(),
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        raise ConfigError(
            f"{where}: cmd:{line} did not run, or took over {seconds:.0f} s"
        ) from None
    if done.returncode != 0:
        # What the command printed may be half a secret: it is not repeated.
        raise ConfigError(f"{where}: cmd:{line} ended with {done.returncode}")
    return done.stdout.strip()


def values(settings: Any, key: str = "") -> list[str]:
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
            for secret in values(item, str(name))
        ]
    if isinstance(settings, list):
        return [secret for item in settings for secret in values(item, key)]
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
            html.escape(secret),
            html.escape(secret, quote=False),
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
    every = sorted(
        {form for secret in secrets for form in forms(secret)}, key=len, reverse=True
    )
    for form in every:
        text = text.replace(form, "***")
    ends = [_begun(text, form) for form in every] if cut else []
    return text[: min(ends, default=len(text))]


def _begun(text: str, form: str) -> int:
    """Where the longest beginning of *form* at the end of *text* begins; the end where
    there is none.
    """
    place = text.find(form[0], max(0, len(text) - len(form) + 1))
    while place >= 0 and not form.startswith(text[place:]):
        place = text.find(form[0], place + 1)
    return place if place >= 0 else len(text)


def without_userinfo(url: str) -> str:
    """*url* without what stands before the host: a user, and often a password."""
    return _USERINFO.sub("", url)


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


def to_wire(value: Any) -> Any:
    """*value* for a private JSON channel: each Secret as {"$secret": text}."""
    if isinstance(value, Secret):
        return {"$secret": str(value)}
    if isinstance(value, dict):
        return {key: to_wire(item) for key, item in value.items()}
    return [to_wire(item) for item in value] if isinstance(value, list) else value


def from_wire(value: Any) -> Any:
    """The inverse of `to_wire`."""
    if isinstance(value, dict):
        if list(value) == ["$secret"]:
            return Secret(value["$secret"])
        return {key: from_wire(item) for key, item in value.items()}
    return [from_wire(item) for item in value] if isinstance(value, list) else value


def masked(value: Any, key: str = "") -> Any:
    """Settings for showing: a reference is shown; a secret, or what a careless hand
    wrote in place of one, is not.
    """
    if isinstance(value, dict):
        return {name: masked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, key) for item in value]
    if isinstance(value, Secret) or (
        isinstance(value, str) and value and _is_careless(key, value)
    ):
        return "***"
    return _USERINFO.sub("***@", value) if isinstance(value, str) else value


def _is_careless(key: str, value: str) -> bool:
    return _DELICATE.search(key) is not None and not is_reference(value)
