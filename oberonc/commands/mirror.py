"""`oberonc mirror`: list, fetch and add mirrors of hosted repositories by hand, or from
a timer.
"""

import sys
from pathlib import Path
from typing import Any

import click

from oberonc.commands import (
    Session,
    example,
    json_flag,
    pass_session,
    show,
    show_json,
    show_line,
)
from oberonc.config import Config
from oberonc.errors import BadInput, Failed
from oberonc.mirror import bells, mirrors, origins, work
from oberonc.mirror.mirrors import Mirror
from oberonc.payload.globs import passes
from oberonc.text import counted, one_line

Row = dict[str, Any]

#: Seconds that are waited for the HTTP face, which may be fetching the same.
_PATIENCE = 60.0


@click.group(
    epilog=example(
        "oberonc mirror list",
        "oberonc mirror add shop web/shop",
        "oberonc mirror fetch",
    )
)
def command() -> None:
    """Mirrors of the repositories whose webhooks have `mirror = true`.

    `oberonc web` fetches when a webhook comes; `fetch` finds the pushes whose webhook
    never came. Run it as the account of `oberonc web`, whose folder they are in.

    Exit codes: 0 done; 1 something could not be fetched; 65 no such webhook or mirror;
    77 the folder is another account's; 78 the configuration cannot be used.
    """


@command.command("list", epilog=example("oberonc mirror list --json"))
@json_flag
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List the mirrors: when each was fetched, what went wrong, and how many webhooks
    wait.
    """
    state = origins.state_folder(session.config)
    waiting = bells.keys(state)
    rows: list[Row] = []
    for one in mirrors.every(state):
        about = one.about()
        rows.append(
            {
                "repository": one.repository,
                "webhook": one.webhook,
                "address": one.address,
                "folder": str(one.git_dir),
                "fetched": about.get("fetched") or None,
                "error": about.get("error") or None,
                "waits": origins.key(one.webhook, one.repository) in waiting,
            }
        )
    if as_json:
        show_json(rows)
        return
    for row in rows:
        state_of = row["error"] or "ok"
        waits = "; webhooks wait" if row["waits"] else ""
        when = row["fetched"] or "never"
        show_line(
            f"{row['repository']}  {row['webhook']}  fetched {when}: {state_of}{waits}",
            state="ok" if state_of == "ok" else "",
        )
    if not rows:
        show("there are no mirrors", err=True)


@command.command(
    epilog=example("oberonc mirror fetch", "oberonc mirror fetch web/shop")
)
@click.argument("repositories", nargs=-1)
@json_flag
@pass_session
def fetch(session: Session, repositories: tuple[str, ...], as_json: bool) -> None:
    """Fetch the mirrors of REPOSITORIES (default: all), and hand over what moved, to
    the daemon or the spool.
    """
    state = origins.state_folder(session.config)
    chosen = [
        one
        for one in mirrors.every(state)
        if not repositories or one.repository in repositories
    ]
    known = {one.repository for one in chosen}
    for name in repositories:
        if name not in known:
            raise BadInput(
                f"there is no mirror of '{one_line(name, 80)}': `oberonc mirror list`"
                " shows them, `oberonc mirror add` makes one"
            )
    _fetch(session.config, state, chosen, as_json)


@command.command(epilog=example("oberonc mirror add shop web/shop"))
@click.argument("webhook")
@click.argument("repository")
@json_flag
@pass_session
def add(session: Session, webhook: str, repository: str, as_json: bool) -> None:
    """Make the mirror of REPOSITORY, from where WEBHOOK of the configuration says.

    What is there by now is history, and not told of. Without this the first webhook
    makes it.
    """
    found = origins.read(session.config).get(webhook)
    if found is None:
        raise BadInput(
            f"no webhook '{one_line(webhook, 80)}' with mirror = true is configured"
        )
    if not passes(found.repositories, [repository]):
        raise BadInput(
            f"the webhook {webhook} is not for '{one_line(repository, 80)}': add it to"
            f" webhooks.{webhook}.repositories"
        )
    state = origins.state_folder(session.config)
    _fetch(session.config, state, [mirrors.mirror(state, found, repository)], as_json)


def _row(one: Mirror, told: list[Row], error: str) -> Row:
    return {"repository": one.repository, "told": told, "error": error or None}


def _fetch(config: Config, state: Path, chosen: list[Mirror], as_json: bool) -> None:
    """Fetch *chosen* and say what came of each; raises Failed where one failed."""
    mirrors.ours(state)
    known = origins.read(config)
    worker = work.Worker(config, state)
    rows: list[Row] = []
    with click.progressbar(
        chosen, label="mirrors", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for one in bar:
            origin = known.get(one.webhook)
            if origin is None:
                error = f"no webhook '{one.webhook}' with mirror = true is configured"
                rows.append(_row(one, [], error))
                continue
            turn = worker.turn(
                origin, one.repository, all_moves=True, patience=_PATIENCE
            )
            told = [event._asdict() for event in turn.told]
            rows.append(_row(one, told, turn.error))
    if as_json:
        show_json(rows)
    for row in [] if as_json else rows:
        for event in row["told"]:
            what = event["why"] or counted(event["commits"], "commit")
            show_line(f"{row['repository']}: {what} ({event['id'][:8]})")
        if row["error"]:
            show_line(f"{row['repository']}: {row['error']}", err=True)
        elif not row["told"]:
            show_line(f"{row['repository']}: nothing new")
    failed = sum(bool(row["error"]) for row in rows)
    if failed:
        raise Failed(f"{counted(failed, 'mirror')} could not be fetched")
