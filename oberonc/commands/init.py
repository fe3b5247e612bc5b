"""`oberonc init`: write a configuration to
start from; with --system, what a server needs.
"""

import os
import sys
from difflib import unified_diff
from pathlib import Path

import click

from oberonc import files, paths
from oberonc.admin import tracker_kinds, tracker_service
from oberonc.admin.install import reach
from oberonc.commands import (
    Session,
    example,
    finishes,
    offer,
    pass_session,
    show,
)
from oberonc.errors import ConfigError, Failed, NotAllowed, UsageError
from oberonc.issues.trackers import CLASSES
from oberonc.rights import EVERYBODY

USER = """\
# oberonc's configuration. `oberonc config` shows what is in force, `oberonc doctor` what is wrong with it.

# delivery = "here"            # "here": hooks run the brokers and wait; "daemon": they hand over and go
# publish = ["HEAD"]           # refs whose commits act on issues; HEAD is the default branch

[services.issues]
broker = "issues"
tracker = "local"              # the embedded tracker; `oberonc init --tracker NAME` shows a service on another
# repositories = ["web/*", "!web/attic-*"]
# refs = ["refs/heads/main"]
# paths = ["apps/**"]
# authors = ["!*bot*"]
"""
SYSTEM = """\
# oberonc's configuration for this machine. `oberonc config` shows what is in force.

delivery = "daemon"
state = "/var/lib/oberonc"
spool = "/var/spool/oberonc"
user_config = false            # what those who push configure for themselves does not count in hooks of servers

[daemon]
socket = "/run/oberonc/submit.sock"
control = "/run/oberonc/control.sock"

[services.issues]
broker = "issues"
tracker = "local"
"""
#: Shipped unit files, and where below /etc (an administrator's) and /usr/lib (a
#: package's) the system looks for them.
UNITS = {
    "oberonc.service": "systemd/system/oberonc.service",
    "oberonc.socket": "systemd/system/oberonc.socket",
    "oberonc-control.socket": "systemd/system/oberonc-control.socket",
    "oberonc-web.service": "systemd/system/oberonc-web.service",
    "oberonc-web.socket": "systemd/system/oberonc-web.socket",
    "oberonc-mirror.service": "systemd/system/oberonc-mirror.service",
    "oberonc-mirror.timer": "systemd/system/oberonc-mirror.timer",
    "oberonc-tmpfiles.conf": "tmpfiles.d/oberonc.conf",
    "oberonc-sysusers.conf": "sysusers.d/oberonc.conf",
}
CONFIG = "etc/oberonc/config.toml"
#: The trackers that need no plugin, and a service.
OWN = [name for name in CLASSES if name != "local"]


@click.command(
    "init",
    epilog=example(
        "oberonc init",
        "oberonc init --tracker github",
        "oberonc init --tracker redmine --url https://issues.example.org",
        "oberonc init --system",
        "oberonc init --system --force",
        "oberonc init --system --root ./package",
    ),
)
@click.option(
    "--system",
    is_flag=True,
    help="For the whole machine: configuration, unit, socket and folders for systemd.",
)
@click.option(
    "--force",
    is_flag=True,
    help="With --system: replace units that differ; never the configuration.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="With --system: write below this folder, units that run /usr/bin/oberonc to usr/lib (for packagers).",
)
@click.option(
    "--tracker",
    metavar="NAME",
    shell_complete=offer("tracker"),
    help=f"A service on this tracker, instead of the embedded one: {', '.join(OWN)}, or a plugin.",
)
@click.option("--url", help="With --tracker: its address (default: that of origin).")
@click.option("--project", help="With --tracker: the key of the project, as PROJ.")
@click.option("--user", help="With --tracker: the account that the token belongs to.")
@pass_session
@finishes
def command(
    session: Session,
    /,
    system: bool,
    force: bool,
    root: Path | None,
    tracker: str | None = None,
    **given: str,
) -> None:
    """Write a configuration to start from. A configuration that exists is never
    changed: what --tracker would have written is shown then.

    With --system it can be run again, as after an upgrade: it writes what is missing,
    leaves what is the same, and shows how the rest differs. Changes of your own belong
    into drop-ins (systemctl edit oberonc).
    """
    if (root is not None or force) and not system:
        raise UsageError(f"{'--force' if force else '--root'} goes with --system")
    if (tracker is None and any(given.values())) or (tracker and system):
        raise UsageError("--url, --project and --user go with --tracker, for a user")
    if not system:
        file = Path(paths.homes().config, "config.toml")
        service = ""
        if tracker == "local":  # that of a configuration that names none
            tracker = None
        if tracker:
            needs = tracker_kinds.needs(session.reach, tracker)
            service = tracker_service.text(tracker, needs, given, file.parent)
        _user(file, service)
        if tracker:
            show(tracker_service.NEXT.format(name=tracker), err=True)
        return
    fault = reach.fault(EVERYBODY) if root is None else ""
    if fault:
        raise NotAllowed(
            f"the daemon runs under an account of its own: {fault.replace('hook install', 'init --system')}"
        )
    done = [_write(file, text, force) for file, text in _system_files(root).items()]
    if any(word in ("wrote", "replaced") for word in done):
        show(_NEXT, err=True)
    if "differs" in done:
        raise Failed("what differs was left as it is; --force replaces it")


_NEXT = """\
next: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload &&
systemctl enable --now oberonc.socket oberonc-control.socket oberonc.service,
then add those who push to the group oberonc-submit and run `oberonc hook install` in each repository;
where there is a [web] in the configuration: systemctl enable --now oberonc-web.socket oberonc-web.service,
and where a webhook has mirror = true: systemctl enable --now oberonc-mirror.timer;
after an upgrade: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload &&
systemctl restart oberonc && systemctl try-restart oberonc-web"""


def _user(file: Path, service: str) -> None:
    if os.path.lexists(file):
        if service:
            show(f"add to {file}:\n\n{service}")
        raise ConfigError(
            f"{file} exists already; nothing was written (`oberonc config` shows what is in force)"
        )
    text = USER
    if service:
        head, _, rest = USER.partition("[services.issues]\n")
        text = f"{head}{service}{rest.partition('on another')[2].partition(chr(10))[2]}"
    _write(file, text, force=False)


def _system_files(root: Path | None) -> dict[Path, str]:
    top = root or Path("/")
    wanted = {top / CONFIG: SYSTEM}
    # The unit runs this installation, wherever it
    # is; a package's runs what the package brings.
    itself = (
        " ".join([sys.executable, *paths.isolation(), "-m", "oberonc"])
        if root is None
        else "/usr/bin/oberonc"
    )
    for name, place in UNITS.items():
        if root is None and (top / "usr/lib" / place).exists():
            show(f"left to its package: {top / 'usr/lib' / place}")
            continue
        text = (Path(paths.__file__).parent / "daemon" / name).read_text()
        wanted[top / ("etc" if root is None else "usr/lib") / place] = text.replace(
            "/usr/bin/env oberonc", itself
        )
    return wanted


def _write(file: Path, text: str, force: bool) -> str:
    """Write one file as far as that is right, and say so; returns what was done."""
    was = (files.read(file, 1 << 20) or b"").decode("utf-8", "replace")
    if not os.path.lexists(file):
        done = "wrote"
    elif was == text:
        done = "same"
    elif file.name == "config.toml" or not was:
        done = "kept"  # the administrator's own, or a link or a mask that is his doing
    else:
        done = "replaced" if force else "differs"
        names = (str(file), f"{file} of this version")
        show(
            "".join(unified_diff(was.splitlines(True), text.splitlines(True), *names)),
            nl=False,
        )
    if done in ("wrote", "replaced"):
        try:
            with files.folder(file.parent.absolute().resolve(), make=True) as folder:
                files.put(folder, file.name, text.encode(), 0o644)
        except OSError as error:
            raise NotAllowed(f"cannot write {file}: {error.strerror}") from None
    show(f"{done} {file}")
    return done
