"""`oberonc demo`: the main job, for real, in a temporary folder."""

import click

from oberonc import demo
from oberonc.commands import example, show


@click.command("demo", epilog=example("oberonc demo", "oberonc demo --keep"))
@click.option("--keep", is_flag=True, help="Leave the folder and say where it is.")
def command(keep: bool) -> None:
    """Make a repository with the hook, an issue, a commit and a real push; show each step and its command."""
    demo.run(show, keep)
    show("\nIt works: the push closed the issue.")
