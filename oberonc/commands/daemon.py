"""`oberonc daemon`: the daemon in the foreground."""

import os
import sys

import click

from oberonc import paths
from oberonc.commands import Session, example, pass_session


@click.command(
    epilog=example("oberonc daemon", "oberonc --config /etc/oberonc/config.toml daemon")
)
@pass_session
def command(session: Session) -> None:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C.

    It answers on its two sockets, keeps what it accepts in the queue and has the
    brokers handle it. SIGTERM finishes what runs (a second one does not wait), SIGHUP
    reloads. The log goes to stderr.

    Exit codes: 0 stopped; 74 the disk failed; 75 another daemon has the state folder;
    78 the configuration or the queue cannot be used.
    """
    # A process that lives for months need not keep what read its command line.
    argv = [sys.executable, *paths.isolation(), "-m", "oberonc.daemon"]
    if session.config_path is not None:
        argv.append(session.config_path)
    os.execv(sys.executable, argv)  # noqa: S606  an argv list, no shell
