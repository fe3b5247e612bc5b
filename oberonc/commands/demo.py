"""`oberonc demo`: the main job, for real, in a temporary folder."""

import click

from oberonc.admin import demo, demo_daemon, demo_web
from oberonc.commands import example, show
from oberonc.errors import UsageError


@click.command(
    "demo",
    epilog=example(
        "oberonc demo",
        "oberonc demo --daemon",
        "oberonc demo --web",
        "oberonc demo --keep",
    ),
)
@click.option("--keep", is_flag=True, help="Leave the folder and say where it is.")
@click.option(
    "--daemon",
    is_flag=True,
    help="Show the daemon: killed in the middle of its work, and a reload.",
)
@click.option(
    "--web",
    is_flag=True,
    help="Show the page too, until Ctrl-C (needs oberonc[web]).",
)
def command(keep: bool, daemon: bool, web: bool) -> None:
    """Make a repository with the hook, an issue, a commit and a real push; show each
    step and its command.
    """
    if daemon and web:
        raise UsageError("choose --daemon or --web")
    job = demo_daemon.job if daemon else demo_web.job if web else demo.main_job
    demo.run(show, keep, job)
    show("\nIt works: the push closed the issue.")
