"""`oberonc hook`: install, status, uninstall; `run` is what the installed hooks fall
back to.
"""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from oberonc import config as configuration
from oberonc import layers
from oberonc.admin.install import hook_files, managers, places
from oberonc.admin.install.notes import (
    forget,
    forget_name,
    notes,
    remember_name,
    remembered,
)
from oberonc.admin.install.repositories import below
from oberonc.commands import (
    Session,
    example,
    finishes,
    json_flag,
    not_counting,
    pass_session,
    show,
    show_json,
    show_line,
)
from oberonc.config import Config
from oberonc.errors import Failed, NotAllowed, OberoncError
from oberonc.paths import homes
from oberonc.source import memory, newness, repository
from oberonc.text import listed


@click.group(
    "hook",
    epilog=example("oberonc hook install /srv/git/app.git", "oberonc hook status"),
)
def command() -> None:
    """Install, show and remove the hooks of repositories.

    Exit codes: 0 done; 1 something is broken, or one of several PATHS failed; else what
    was wrong with the one PATH.
    """


#: Stands for the repositories that `install` was run for.
_KNOWN = Path(":known:")
_PATHS = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
_ALL = click.option(
    "--all",
    "folders",
    multiple=True,
    metavar="[FOLDER]",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value=str(_KNOWN),
    help="Every repository below; without FOLDER: all that you installed hooks into.",
)
_DRY = click.option(
    "--dry-run", is_flag=True, help="Say what would be done and do nothing."
)


@command.command(
    epilog=example(
        "oberonc hook install", "oberonc hook install --dry-run --all /srv/git"
    )
)
@_PATHS
@_ALL
@_DRY
@pass_session
@finishes
def install(
    session: Session, paths: tuple[Path, ...], folders: tuple[Path, ...], dry_run: bool
) -> None:
    """Install the hooks of the repositories at PATHS (default: the one you stand in).

    A bare repository gets post-receive; one with a work tree gets post-commit,
    post-merge, post-rewrite and post-applypatch as well. A hook that is there already
    is kept and run first. What is in the repository by then is history. A PATH may also
    be a folder that serves many repositories: that of core.hooksPath, gitolite's
    hooks/common, GitLab's custom_hooks_dir, a template of new repositories. Nothing is
    ever written outside what you name.
    """
    config = session.config
    for layer in layers.read(homes()) if not dry_run else ():
        if layer.left_out:
            show(f"note: {not_counting(layer)}", err=True)
    if not dry_run:
        hook_files.prove()
    places = _named(paths, folders, config)
    _each(places, lambda found: _install(found, config, dry_run))


def _install(found: places.Layout, config: Config, dry_run: bool) -> None:
    found = places.asked_for(found, config)
    if found.served:
        show(f"{found.path} is served by {found.targets[0].file}")
        return
    hook_files.refuse(found)
    for target in (target for target in found.targets if not target.tool):
        if dry_run:
            chained = (
                ", and keep the hook that is there as the first to run"
                if target.there == "another hook"
                else ""
            )
            show(f"would write {target.file}{chained}")
        else:
            show(f"installed {hook_files.install(target)}")
    if found.repository and not dry_run:
        remember_name(found.repository)
        newness.look(repository.describe(found.repository, config.publish))
    for note in notes(found, config) if not dry_run else ():
        show(f"note: {note}", err=True)
    _ask_tools([target.tool for target in found.targets if target.tool], dry_run)


def _ask_tools(tools: list[managers.Tool], dry_run: bool) -> None:
    """Show what is to be added to the configuration of *tools*; raises NotAllowed until
    it is.
    """
    missing = [tool for tool in tools if not tool.runs]
    for tool in tools:
        if tool.runs:
            show(f"{tool.name} runs it, as {tool.file} says")
    for place in dict.fromkeys((tool.file, tool.where) for tool in missing):
        those = [tool for tool in missing if (tool.file, tool.where) == place]
        show(f"add to {''.join(map(str, place))}:\n\n{managers.together(those)}\n")
    for then in dict.fromkeys(tool.then for tool in missing if tool.then):
        show(f"then run: {then}")
    if missing and not dry_run:
        names = listed(sorted({tool.name for tool in missing}), 5)
        raise NotAllowed(
            f"{names} would write over our hooks, so they were not installed: add the lines above, and"
            " `oberonc hook status` says whether they are run"
        )


@command.command(
    epilog=example(
        "oberonc hook uninstall /srv/git/app.git",
        "oberonc hook uninstall --all /srv/git",
        "oberonc hook uninstall --all",
    )
)
@_PATHS
@_ALL
@_DRY
@pass_session
@finishes
def uninstall(
    session: Session, paths: tuple[Path, ...], folders: tuple[Path, ...], dry_run: bool
) -> None:
    """Remove what `install` wrote, and put back what was there before.

    A folder that serves many repositories has to be named.
    """
    config = configuration.learn(session.config_path)
    places = _named(paths, folders, config)
    _each(places, lambda found: _uninstall(found, config, dry_run))


def _uninstall(found: places.Layout, config: Config, dry_run: bool) -> None:
    for target in found.targets:
        if found.shared:
            # It is not this repository's alone.
            if target.there == "ours":
                folder = shlex.quote(str(target.file.parent))
                show(
                    f"left {target.file}, which may serve other repositories too:"
                    f" oberonc hook uninstall {folder}"
                )
        elif dry_run and target.there == "ours":
            show(f"would remove {target.file}")
        elif not dry_run:
            for done in hook_files.uninstall(target):
                show(done)
        if target.tool and target.tool.runs:
            show(f"left what {target.tool.file} says: it is {target.tool.name}'s")
    for target in places.abandoned(found):
        would = [f"would remove {target.file}"]
        for done in would if dry_run else hook_files.uninstall(target):
            show(done)
    left = found.shared and any(target.there == "ours" for target in found.targets)
    if found.repository and not left and not dry_run:
        memory.forget(str(found.repository))
        forget(config, found.repository)
        forget_name(found.repository)


@command.command(
    epilog=example(
        "oberonc hook status --json /srv/git/app.git",
        "oberonc hook status --all /srv/git",
    )
)
@_PATHS
@_ALL
@json_flag
@pass_session
@finishes
def status(
    session: Session, paths: tuple[Path, ...], folders: tuple[Path, ...], as_json: bool
) -> None:
    """Show whether the hooks are there and would run; exit 1 where one is broken."""
    config = configuration.learn(session.config_path)
    rows: list[dict[str, str | bool | None]] = []

    def look(found: places.Layout) -> None:
        stand = hook_files.states(places.asked_for(found, config))
        for (ok, text), targets in stand.items():
            for target in targets:
                row = {
                    "repository": str(found.path),
                    "kind": found.kind,
                    "hook": target.hook,
                    "file": str(target.file),
                }
                rows.append({**row, "ok": ok, "state": text})
            if not as_json:
                hooks = ", ".join(target.hook for target in targets)
                place = os.path.commonpath([target.file for target in targets])
                state = "broken" if text.startswith("broken") else "installed"
                state = "not installed" if text.startswith("not installed") else state
                show_line(f"{hooks}: {text} ({place})", state=state)

    try:
        _each(_named(paths, folders, config), look)
    finally:
        if as_json:
            show_json(rows)
    broken = sum(row["ok"] is False for row in rows)
    if broken:
        raise Failed(
            f"{broken} hook{'s are' if broken > 1 else ' is'} broken; `oberonc hook install` mends it or says what does"
        )


@command.command(epilog=example("oberonc hook run post-receive < updates"))
@click.argument("name")
@click.argument("args", nargs=-1)
def run(name: str, args: tuple[str, ...]) -> None:
    """What an installed hook calls: deliver what git tells hook NAME. Always exit 0."""
    from oberonc import hook

    hook.main([name, *args])


def _each(
    named: list[Path | OberoncError], work: Callable[[places.Layout], None]
) -> None:
    """Do *work* for every place that is named; one that fails is told, and the others
    go on.
    """
    done: set[Path] = set()
    faults: list[OberoncError] = []
    for path in named:
        try:
            if isinstance(path, OberoncError):
                raise path
            found = places.layout(path)
            # One repository may be named twice, also by two of its work trees.
            if found.path not in done:
                done.add(found.path)
                work(found)
        except OberoncError as error:
            faults.append(error)
            if len(named) > 1:
                show(f"oberonc: {error}", err=True)
    if not named:
        show("no repository was found", err=True)
    if len(faults) == len(named) == 1:
        raise faults[0]
    if faults:
        raise Failed(f"{len(faults)} of {len(named)} failed")


def _named(
    paths: tuple[Path, ...], folders: tuple[Path, ...], config: Config
) -> list[Path | OberoncError]:
    found: list[Path | OberoncError] = list(paths if paths or folders else (Path(),))
    for folder in folders:
        if folder == _KNOWN:
            known = (Path(place) for place in sorted(remembered(config)))
            found += [place for place in known if place.exists()]
        else:
            found += below(folder.absolute())
    return found
