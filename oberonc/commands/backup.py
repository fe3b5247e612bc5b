"""`oberonc backup`: a copy of the queue while the daemon runs."""

from pathlib import Path

import click

from oberonc.commands import Session, example, pass_session, show
from oberonc.delivery import handover
from oberonc.errors import Failed


@click.command(epilog=example("oberonc backup /var/lib/oberonc/backup.sqlite"))
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def command(session: Session, file: Path) -> None:
    """Have the daemon write a consistent copy of its queue to FILE, which must not
    exist.

    The daemon writes it, as its own user; only that user may read it. As a service it
    can write below its state folder and nowhere else. To restore, stop the daemon and
    put the copy in the place of `queue.sqlite` in the state folder.

    Exit codes: 0 written; 1 the daemon wrote it where you do not see it; 65 the daemon
    cannot write there; 69 no daemon.
    """
    answer = handover.call(session.reach, "backup", path=str(file.absolute()))
    if _is_missing(file):
        where = session.reach.state
        raise Failed(
            f"the daemon has a {file.absolute().parent} of its own: name a file below {where}"
        )
    show(f"{answer['path']}: {answer['bytes']} bytes")


def _is_missing(file: Path) -> bool:
    """Whether *file* is certainly not there; who may not look there cannot tell."""
    try:
        file.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
