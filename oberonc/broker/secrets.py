"""References to secrets, and their values when a delivery needs them.

A setting never holds a secret, it says where one is: `env:NAME`, `file:PATH`,
`cred:NAME` (systemd's LoadCredential) or `cmd:PROGRAM ARG...`. Values are `Secret`s;
`oberonc.redaction` takes them out of every text that leaves.
"""

import math
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

from oberonc import paths, process
from oberonc.config import Service
from oberonc.errors import ConfigError, NotAllowed
from oberonc.redaction import USERINFO, Secret
from oberonc.text import nearest

KINDS = ("env:", "file:", "cred:", "cmd:")
#: What settings with secrets are called; only the broker knows all of its own.
_USUAL = ("token", "password", "secret", "url", "key", "user")
#: Seconds a `cmd:` may take, and characters any secret may have.
COMMAND_SECONDS = 10
LONGEST = 64 * 1024
#: Settings that are not shown even where somebody wrote the secret itself.
_DELICATE = re.compile(
    r"(?i)token|passw|passphrase|secret|credential|^key$|(api|access|private|signing)_?key$"
)


def is_reference(value: object) -> bool:
    """Whether *value* says where a secret is."""
    return isinstance(value, str) and value.startswith(KINDS)


def resolve(service: Service, until: float = math.inf) -> dict[str, Any]:
    """The settings of *service* with each reference replaced by its `Secret`; commands
    end at *until* (monotonic).

    Raises ConfigError (nothing there) or NotAllowed (a file others may read), naming
    service and setting.
    """
    found = {}
    for key, value in service.settings.items():
        where = f"{service.origin}: services.{service.name}.{key}"
        try:
            found[key] = resolved(value, where, until)
        except (ConfigError, NotAllowed) as error:
            near = "" if key in _USUAL else nearest(key, _USUAL)
            if not near:
                raise
            slip = f"{where} (is it a slip{near})"
            raise type(error)(str(error).replace(where, slip, 1)) from None
    return found


def resolved(value: Any, where: str, until: float = math.inf) -> Any:
    """*value* as `resolve` does it; *where* names it in errors."""
    if isinstance(value, dict):
        return {
            key: resolved(item, f"{where}.{key}", until) for key, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, where, until) for item in value]
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
    path = Path(paths.home(), name[2:]) if name.startswith("~/") else Path(name)
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
    return USERINFO.sub("***@", value) if isinstance(value, str) else value


def _is_careless(key: str, value: str) -> bool:
    return _DELICATE.search(key) is not None and not is_reference(value)
