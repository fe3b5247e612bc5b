"""Where things are: the user's folders, the system's, and what is shipped with the
package.

Everything is a function of the environment,
so that a hook without HOME still finds its way.
"""

import os
import pwd
import sys
from pathlib import Path
from typing import NamedTuple

#: The administrator's folder. OBERONC_CONFIG_NOSYSTEM (as GIT_CONFIG_NOSYSTEM) leaves
#: it out.
SYSTEM = Path("/etc/oberonc")
#: Where the machine's daemon has its sockets and its spool, as `oberonc init --system`
#: sets it up.
SOCKETS = Path("/run/oberonc")
SPOOL = Path("/var/spool/oberonc")


def home() -> Path:
    """The home folder, also where HOME is not set, as in some servers' hooks."""
    try:
        return _named("HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")  # a container may run as a user that has no name and no home


def _named(variable: str) -> Path | None:
    """The folder an environment variable names. One that is not absolute counts for
    nothing, as XDG has it.
    """
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else None


class Homes(NamedTuple):
    """Where this account's things are, and the machine's."""

    #: The administrator's folder; None where it is switched off.
    system: Path | None
    #: Where the user's `config.toml` and `brokers/` are.
    config: Path
    #: What oberonc keeps when the configuration names no `state`.
    state: Path
    #: The folder of the daemon's sockets when the configuration names none; None: the
    #: state folder.
    sockets: Path | None


def homes() -> Homes:
    """Where the environment says that things are."""
    runtime = _named("XDG_RUNTIME_DIR")
    sockets = runtime / "oberonc" if runtime else None
    return Homes(
        system=None if os.environ.get("OBERONC_CONFIG_NOSYSTEM") else SYSTEM,
        config=(_named("XDG_CONFIG_HOME") or home() / ".config") / "oberonc",
        state=(_named("XDG_STATE_HOME") or home() / ".local" / "state") / "oberonc",
        sockets=SOCKETS if os.getuid() == 0 or SOCKETS.is_dir() else sockets,
    )


def isolation() -> list[str]:
    """The flags for a child of this interpreter: nothing of the caller's environment or
    folder is imported.

    The user's own site folder is left in where it is in use,
    because oberonc may live there.
    """
    import site

    return ["-E", "-P"] if site.ENABLE_USER_SITE else ["-I"]


def adding(extra: str) -> str:
    """The command that brings an *extra* of oberonc to this installation. What pipx and
    uv made has no pip of its own, or one whose work they would undo.
    """
    wanted = f"'oberonc[{extra}]'"
    if (Path(sys.prefix) / "pipx_metadata.json").exists():
        return f"pipx inject oberonc {wanted}"
    if (Path(sys.prefix) / "uv-receipt.toml").exists():
        return f"uv tool install {wanted} (with every --with it was installed with)"
    from importlib.util import find_spec  # every hook loads this module

    if find_spec("pip"):
        return f"{sys.executable} -m pip install {wanted}"
    return f"install {wanted} where {sys.executable} finds it"


def bundled(kind: str) -> Path:
    """The shipped *kind* ("brokers" or "hooks"): inside the package once installed,
    beside it in a checkout.
    """
    here = Path(__file__).parent
    shipped = here / "_bundled" / kind
    return shipped if shipped.is_dir() else here.parent / kind
