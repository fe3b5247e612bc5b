"""Where things are: the user's folders, the system's, and what is shipped with the
package.

Everything is a function of the environment,
so that a hook without HOME still finds its way.
"""

from __future__ import annotations

import os
import pwd
import sys

from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: The administrator's folder. OBERONC_CONFIG_NOSYSTEM (as GIT_CONFIG_NOSYSTEM) leaves
#: it out, and with it the places of the machine's daemon.
SYSTEM = "/etc/oberonc"
#: Where the machine's daemon has its sockets and its spool, as `oberonc init --system`
#: sets it up.
SOCKETS = "/run/oberonc"
SPOOL = "/var/spool/oberonc"
#: Where the Debian package has its virtual environment.
PACKAGE = "/usr/lib/oberonc"


def home() -> str:
    """The home folder, also where HOME is not set, as in some servers' hooks."""
    try:
        return _named("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"  # a container may run as a user that has no name and no home


def absolute(path: str | Path) -> str:
    """*path* from the root on, as `pathlib` would have it: links and `..` stay."""
    full = os.fspath(path)
    if not full.startswith("/"):
        full = f"{os.getcwd()}/{full}"
    return "/" + "/".join(part for part in full.split("/") if part not in ("", "."))


def _named(variable: str) -> str:
    """The folder an environment variable names, or an empty string. One that is not
    absolute counts for nothing, as XDG has it.
    """
    named = os.environ.get(variable, "")
    return named if named.startswith("/") else ""


class Homes(NamedTuple):
    """Where this account's things are, and the machine's."""

    #: The administrator's folder; None where it is switched off.
    system: str | None
    #: Where the user's `config.toml` and `brokers/` are.
    config: str
    #: What oberonc keeps when the configuration names no `state`.
    state: str
    #: The folder of the daemon's sockets when the configuration names none; None: the
    #: state folder.
    sockets: str | None


def homes() -> Homes:
    """Where the environment says that things are."""
    runtime = _named("XDG_RUNTIME_DIR")
    sockets = os.path.join(runtime, "oberonc") if runtime else None
    machine = not os.environ.get("OBERONC_CONFIG_NOSYSTEM")
    if machine and (os.getuid() == 0 or os.path.isdir(SOCKETS)):
        sockets = SOCKETS
    return Homes(
        system=SYSTEM if machine else None,
        config=os.path.join(
            _named("XDG_CONFIG_HOME") or os.path.join(home(), ".config"), "oberonc"
        ),
        state=os.path.join(
            _named("XDG_STATE_HOME") or os.path.join(home(), ".local/state"), "oberonc"
        ),
        sockets=sockets,
    )


def cache() -> str:
    """The folder of what may be lost at any time."""
    return os.path.join(
        _named("XDG_CACHE_HOME") or os.path.join(home(), ".cache"), "oberonc"
    )


def isolation() -> list[str]:
    """The flags for a child of this interpreter: nothing of the caller's environment or
    folder is imported.

    The user's own site folder is left in where it is in use,
    because oberonc may live there.
    """
    import site

    return ["-E", "-P"] if site.ENABLE_USER_SITE else ["-I"]


def adding(extra: str = "") -> str:
    """The command that brings an *extra* of oberonc, or any LIBRARY, to this
    installation. What pipx and uv made has no pip of its own, or one whose work they
    would undo.
    """
    wanted = f"'oberonc[{extra}]'" if extra else "LIBRARY"
    if extra == "web" and sys.prefix == PACKAGE:
        return "install the Debian package oberonc-web"
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx inject oberonc {wanted}"
    if os.path.exists(os.path.join(sys.prefix, "uv-receipt.toml")):
        whole = wanted if extra else f"oberonc --with {wanted}"
        return f"uv tool install {whole} (with every --with it was installed with)"
    from importlib.util import find_spec  # every hook loads this module

    if find_spec("pip"):
        return f"{sys.executable} -m pip install {wanted}"
    return f"install {wanted} where {sys.executable} finds it"


def bundled(kind: str) -> Path:
    """The shipped *kind* ("brokers" or "hooks"): inside the package once installed,
    beside it in a checkout.
    """
    from pathlib import Path

    here = Path(__file__).parent
    shipped = here / "_bundled" / kind
    return shipped if shipped.is_dir() else here.parent / kind
