"""Where things are: the user's folders, the system's, and what is shipped with the
package.

Everything is a function of the environment, so that a hook without HOME still finds its
way.
"""

import os
import pwd
from pathlib import Path

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


def config_home() -> Path:
    """Where the user's `config.toml` and `brokers/` are."""
    return (_named("XDG_CONFIG_HOME") or home() / ".config") / "oberonc"


def state_home() -> Path:
    """What oberonc keeps when the configuration names no `state`."""
    return (_named("XDG_STATE_HOME") or home() / ".local" / "state") / "oberonc"


def socket_home(state: Path) -> Path:
    """The folder of the daemon's sockets when the configuration names none."""
    if os.getuid() == 0 or SOCKETS.is_dir():
        return SOCKETS
    runtime = _named("XDG_RUNTIME_DIR")
    return runtime / "oberonc" if runtime else state


def system() -> Path | None:
    """The administrator's folder, or None where it is switched off."""
    return None if os.environ.get("OBERONC_CONFIG_NOSYSTEM") else SYSTEM


def isolation() -> list[str]:
    """The flags for a child of this interpreter: nothing of the caller's environment or
    folder is imported.

    The user's own site folder is left in where it is in use, because oberonc may live
    there.
    """
    import site

    return ["-E", "-P"] if site.ENABLE_USER_SITE else ["-I"]


def bundled(kind: str) -> Path:
    """The shipped *kind* ("brokers" or "hooks"): inside the package once installed,
    beside it in a checkout.
    """
    here = Path(__file__).parent
    shipped = here / "_bundled" / kind
    return shipped if shipped.is_dir() else here.parent / kind
