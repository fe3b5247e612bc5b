"""`oberonc hook`: install, status, uninstall; `run` is what the installed hooks fall back to."""

from pathlib import Path

import click

from oberonc import install as installer
from oberonc.commands import Session, example, pass_session, show, show_json
from oberonc.errors import Failed, OberoncError


@click.group("hook", epilog=example("oberonc hook install /srv/git/app.git", "oberonc hook status"))
def command() -> None:
    """Install, show and remove the hooks of repositories."""


_PATHS = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
_DRY = click.option("--dry-run", is_flag=True, help="Say what would be done and do nothing.")


@command.command(epilog=example("oberonc hook install", "oberonc hook install --dry-run /srv/git/*.git"))
@_PATHS
@_DRY
@pass_session
def install(session: Session, paths: tuple[Path, ...], dry_run: bool) -> None:
    """Install the hooks of the repositories at PATHS (default: the one you stand in).

    A bare repository gets post-receive; one with a work tree gets post-commit, post-merge and post-rewrite. A hook
    that is there already is kept and run first. Nothing is ever written outside the repository.
    """
    config = session.config
    layouts = _layouts(paths)
    for target in (target for found in layouts for target in found.targets):
        installer.refuse(target)
    if not dry_run:
        installer.prove()
    for found in layouts:
        for target in found.targets:
            if dry_run:
                chained = (
                    ", and keep the hook that is there as the first to run" if target.there == "another hook" else ""
                )
                show(f"would write {target.file}{chained}")
            else:
                show(f"installed {installer.install(target)}")
        if not dry_run:
            for warning in installer.warnings(found, config):
                show(f"note: {warning}", err=True)


@command.command(epilog=example("oberonc hook uninstall /srv/git/app.git"))
@_PATHS
@_DRY
def uninstall(paths: tuple[Path, ...], dry_run: bool) -> None:
    """Remove what `install` wrote, and put back what was there before."""
    for found in _layouts(paths):
        for target in found.targets:
            if dry_run:
                done = f"{target.file}" if target.there == "ours" else ""
            else:
                done = installer.uninstall(target)
            if done:
                show(f"{'would remove' if dry_run else 'removed'} {done}")


@command.command(epilog=example("oberonc hook status --json /srv/git/app.git"))
@_PATHS
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(paths: tuple[Path, ...], as_json: bool) -> None:
    """Show whether the hooks are there and would run; exit 1 where one is broken."""
    rows = [
        {
            "repository": str(found.path),
            "kind": found.kind,
            "hook": t.hook,
            "file": str(t.file),
            "state": installer.state(t),
        }
        for found in _layouts(paths)
        for t in found.targets
    ]
    if as_json:
        show_json(rows)
    else:
        for row in rows:
            show(f"{row['hook']}: {row['state']} ({row['file']})")
    if any(row["state"].startswith(("broken", "not run")) for row in rows):
        raise Failed("a hook is broken; `oberonc hook install` writes it anew")


@command.command(epilog=example("oberonc hook run post-receive < updates"))
@click.argument("name")
@click.argument("args", nargs=-1)
def run(name: str, args: tuple[str, ...]) -> None:
    """What an installed hook calls: deliver what git tells hook NAME. Always exit 0."""
    from oberonc import hook

    hook.main([name, *args])


def _layouts(paths: tuple[Path, ...]) -> list[installer.Layout]:
    """All layouts before anything is written: one bad path must not leave half of them done."""
    found, faults = [], []
    for path in paths or (Path(),):
        try:
            found.append(installer.layout(path))
        except OberoncError as error:
            faults.append(error)
    if faults:
        for fault in faults[1:]:
            show(f"oberonc: {fault}", err=True)
        raise faults[0]
    # One repository may be named twice, also by two of its work trees.
    return list({layout.targets[0].file: layout for layout in found}.values())
