"""`oberonc doctor`: what is wrong with this
installation, and the command that mends it.
"""

import click

from oberonc.admin.doctor.examine import examine
from oberonc.commands import (
    Session,
    example,
    finishes,
    json_flag,
    pass_session,
    show_finding,
    show_json,
)
from oberonc.errors import Failed


@click.command(
    "doctor", epilog=example("oberonc doctor", "cd /srv/git/app.git && oberonc doctor")
)
@json_flag
@pass_session
@finishes
def command(session: Session, as_json: bool) -> None:
    """Look at git, configuration, folders, services, hooks, spool and daemon; exit 1
    when something is wrong.

    Looks as the account that runs it: `?` is before what only another account can know
    (null in JSON). Run as root, it sees most. Nothing is changed.
    """
    findings = []
    for finding in examine(session.config_path):
        findings.append(finding)
        if not as_json:
            show_finding(finding)
    if as_json:
        show_json([finding._asdict() for finding in findings])
    wrong = sum(finding.ok is False for finding in findings)
    if wrong:
        raise Failed(f"{wrong} thing{'s' if wrong > 1 else ''} to mend")
