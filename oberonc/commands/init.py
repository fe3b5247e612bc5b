"""`oberonc init`: write a configuration to start from; with --system, what a server needs."""

import os
import sys
from pathlib import Path

import click

from oberonc import paths
from oberonc.commands import example, show
from oberonc.errors import ConfigError, NotAllowed, UsageError

USER = """\
# oberonc's configuration. `oberonc config` shows what is in force, `oberonc doctor` what is wrong with it.

# delivery = "here"            # "here": hooks run the brokers and wait; "daemon": they hand over and go
# publish = ["HEAD"]           # refs whose commits act on issues; HEAD is the default branch

[services.issues]
broker = "issues"
tracker = "local"              # the embedded tracker; docs/trackers.md has one service per kind of tracker
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

[daemon]
socket = "/run/oberonc/submit.sock"
control = "/run/oberonc/control.sock"

[services.issues]
broker = "issues"
tracker = "local"
"""
#: Shipped unit files, and where the system looks for them.
UNITS = {
    "oberonc.service": "etc/systemd/system/oberonc.service",
    "oberonc.socket": "etc/systemd/system/oberonc.socket",
    "oberonc-control.socket": "etc/systemd/system/oberonc-control.socket",
    "oberonc-tmpfiles.conf": "etc/tmpfiles.d/oberonc.conf",
    "oberonc-sysusers.conf": "etc/sysusers.d/oberonc.conf",
}


@click.command(
    "init", epilog=example("oberonc init", "oberonc init --system", "oberonc init --system --root ./package")
)
@click.option(
    "--system", is_flag=True, help="For the whole machine: configuration, unit, socket and folders for systemd."
)
@click.option("--root", type=click.Path(path_type=Path), help="With --system: write below this folder (for packagers).")
def command(system: bool, root: Path | None) -> None:
    """Write a configuration to start from. A file that exists is never changed."""
    if root is not None and not system:
        raise UsageError("--root goes with --system")
    files = _system_files(root or Path("/")) if system else {paths.config_home() / "config.toml": USER}
    there = [str(file) for file in files if os.path.lexists(file)]
    if there:
        raise ConfigError(
            f"{', '.join(there)} exists already; nothing was written (`oberonc config` shows what is in force)"
        )
    for file, text in files.items():
        _write(file, text)
        show(f"wrote {file}")
    if system:
        show(_NEXT, err=True)


_NEXT = """\
next: systemd-sysusers && systemd-tmpfiles --create &&
systemctl enable --now oberonc.socket oberonc-control.socket oberonc.service,
then add those who push to the group oberonc-submit and run `oberonc hook install` in each repository"""


def _system_files(root: Path) -> dict[Path, str]:
    files = {root / "etc/oberonc/config.toml": SYSTEM}
    shipped = Path(paths.__file__).parent / "daemon"
    for name, place in UNITS.items():
        if (shipped / name).is_file():
            # The unit runs this installation, wherever it is.
            text = (shipped / name).read_text()
            itself = " ".join([sys.executable, *paths.isolation(), "-m", "oberonc"])
            files[root / place] = text.replace("/usr/bin/env oberonc", itself)
    return files


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
    except OSError as error:
        raise NotAllowed(f"cannot write {file}: {error.strerror}") from None
