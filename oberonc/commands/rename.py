"""`oberonc rename`: a repository has another
name, and what is kept under the old one follows.
"""

import os
from typing import Any

import click

from oberonc.admin.runner import as_runner
from oberonc.commands import Session, example, json_flag, pass_session, show, show_json
from oberonc.config import Config
from oberonc.daemon.operations import renaming
from oberonc.delivery import handover
from oberonc.errors import Unreachable
from oberonc.text import counted


@click.command(epilog=example("oberonc rename web/shop web/store"))
@click.argument("old")
@click.argument("new")
@json_flag
@pass_session
def command(session: Session, old: str, new: str, as_json: bool) -> None:
    """Let everything kept for repository OLD follow it to its name NEW.

    That is: embedded issues, what the ledger knows to be done, deliveries that wait,
    pushes in the spool. The daemon does it where one runs. Run it when the folder or
    `oberonc.name` was changed, before the next push; run again after a fault it goes
    on.

    Exit codes: 0 done; 65 both have issues; 75 something of the repository is running,
    try again; 77 not allowed.
    """
    config = session.config
    renaming.check(old, new)
    moved = _through_daemon(config, old, new)
    if moved is None:
        moved = as_runner(config, lambda: renaming.without_daemon(config, old, new))
    if as_json:
        show_json(moved)
        return
    words = {
        "issues": ("issue", "issues"),
        "deliveries": ("delivery", "deliveries"),
        "spooled": ("kept push", "kept pushes"),
    }
    parts = [
        counted(moved[name], *word) for name, word in words.items() if moved.get(name)
    ]
    show(f"renamed {old} to {new}: {', '.join(parts) or 'nothing was kept for it'}")


def _through_daemon(config: Config, old: str, new: str) -> dict[str, Any] | None:
    """What a daemon did; None where none runs."""
    if config.delivery != "daemon" and not os.path.exists(config.daemon.control):  # noqa: PTH110
        return None
    try:
        answer = handover.call(config, "rename", old=old, new=new)
    except Unreachable:
        return None
    return {name: answer[name] for name in ("issues", "deliveries")}
