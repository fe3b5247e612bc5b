"""`oberonc log`: what happened to a push, per service, and why nothing happened where nothing did."""

from typing import Any

import click

from oberonc import client, log
from oberonc.commands import Session, example, pass_session, show, show_json, show_line, submitter
from oberonc.config import Config
from oberonc.errors import BadInput, OberoncError
from oberonc.git import Git, null_oid

#: Runs shown when no id is given, and characters an id must have at least.
RECENT = 20
#: The latest runs among which a push that no service wanted is looked for by its commits.
UNREAD = 500
SHORTEST = 4


@click.command("log", epilog=example("oberonc log", "oberonc log 1f2e3d4c", "oberonc log --json 5f0c1a52"))
@click.argument("key", metavar="[ID|COMMIT]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_session
def command(session: Session, key: str | None, as_json: bool) -> None:
    """Show what happened to the push or commit whose id begins with ID or COMMIT; without one, the latest runs."""
    config = session.config
    found = _find(config, _checked(key)) if key is not None else log.recent(config, RECENT)
    if key is not None and not found:
        where = f"the log of {config.state / 'log'}{' or known to the daemon' if config.delivery == 'daemon' else ''}"
        raise BadInput(f"no push or commit beginning with '{key}' is in {where}")
    if as_json:
        show_json(found)
    for entry in [] if as_json else found:
        _print(entry)


def _checked(key: str) -> str:
    if len(key) < SHORTEST or not all(c in "0123456789abcdef" for c in key.lower()):
        raise BadInput(f"'{key}' is not an id: give at least {SHORTEST} hex digits of a push or commit")
    return key.lower()


def _find(config: Config, key: str) -> list[dict[str, Any]]:
    found = [*log.find(config, key), *_from_daemon(config, key)] or _within(config, key)
    return sorted(found, key=lambda entry: str(entry["time"]))


def _within(config: Config, key: str) -> list[dict[str, Any]]:
    """Pushes that no service wanted and that brought commit *key*.

    A hook does not list the commits of such a push, so that it costs next to nothing: its repository knows them.
    """
    unread = [entry for entry in log.recent(config, UNREAD) if entry["via"] == "nowhere"]
    return [entry for entry in unread if _is_in(key, entry)]


def _is_in(key: str, entry: dict[str, Any]) -> bool:
    door = Git(entry["git_dir"])
    try:
        oid = door.peel(key)
        return bool(oid) and any(_brought(door, oid, update) for update in entry["updates"])
    except OberoncError:
        return False  # the repository has gone


def _brought(door: Git, oid: str, update: dict[str, str]) -> bool:
    old, new = update["old"], update["new"]
    is_in = not null_oid(new) and door.is_ancestor(oid, new)
    return is_in and (null_oid(old) or not door.is_ancestor(oid, old))


def _from_daemon(config: Config, key: str) -> list[dict[str, Any]]:
    if config.delivery != "daemon" and not config.daemon.control.exists():
        return []
    try:
        events: list[dict[str, Any]] = client.call(config, "log", key=key)["events"]
    except OberoncError as error:
        show(f"oberonc: the daemon's part is missing: {error}", err=True)
        return []
    return events


def _print(entry: dict[str, Any]) -> None:
    refs = ", ".join(update["ref"] for update in entry.get("updates", []))
    count = f"{len(entry.get('commits', []))} commits, " if entry["via"] != "nowhere" else ""
    what = f"{entry['event']} {entry['repository']} {refs} ({count}{entry['via']}{submitter(entry)})"
    show_line(f"{entry['time']} {entry['id'][:8]} {what}")
    for name, row in entry["services"].items():
        show_line(f"  {name}: {_row(row)}")


def _row(row: dict[str, Any]) -> str:
    if not row.get("outcome"):
        return f"nothing: {row.get('why', '')}"
    attempt = f", attempt {row['attempt']}" if row.get("attempt") else ""
    took = f", {row['took_ms']} ms" if row.get("took_ms") is not None else ""
    left = str(row.get("why") or "").partition("matches; ")[2]
    said = "; ".join(filter(None, (row.get("note"), left)))
    return f"{row['outcome']}{attempt}{took}{': ' if said else ''}{said}"
