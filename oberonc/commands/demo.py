"""`oberonc demo`: the main job, for real, in a temporary folder."""

import click

from oberonc.admin import demo, demo_daemon
from oberonc.commands import example, show


@click.command(
    "demo",
    epilog=example("oberonc demo", "oberonc demo --daemon", "oberonc demo --keep"),
)
@click.option("--keep", is_flag=True, help="Leave the folder and say where it is.")
@click.option(
    "--daemon",
    is_flag=True,
    help="Show the daemon: killed in the middle of its work, and a reload.",
)
def command(keep: bool, daemon: bool) -> None:
    """Make a repository with the hook, an issue, a commit and a real push; show each
    step and its command.
    """
    demo.run(show, keep, demo_daemon.job if daemon else demo.main_job)
    show("\nIt works: the push closed the issue.")
