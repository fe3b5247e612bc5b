"""`oberonc backup`: a copy of the queue while the daemon runs."""

from pathlib import Path

import click

from oberonc import client
from oberonc.commands import Session, example, pass_session, show


@click.command(epilog=example("oberonc backup /var/backups/oberonc-queue.sqlite"))
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def command(session: Session, file: Path) -> None:
    """Have the daemon write a consistent copy of its queue to FILE, which must not exist.

    The daemon writes it, as its own user; only that user may read it. To restore, stop the daemon and put
    the copy in the place of `queue.sqlite` in the state folder.

    Exit codes: 0 written; 65 the daemon cannot write there; 69 no daemon.
    """
    answer = client.call(session.reach, "backup", path=str(file.absolute()))
    show(f"{answer['path']}: {answer['bytes']} bytes")
