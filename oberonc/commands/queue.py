"""`oberonc queue`: list, show, retry and drop deliveries; pause and resume services."""

import time
from typing import Any

import click

from oberonc import client
from oberonc.commands import Session, example, pass_session, show, show_json, submitter

STATES = ("ready", "leased", "done", "dead", "cancelled")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_service = click.argument("service")
_repository = click.option("--repository", metavar="NAME", help="Only this repository.")


@click.group(epilog=example("oberonc queue list --state dead", "oberonc queue show 17", "oberonc queue retry 17"))
def command() -> None:
    """Deliveries: what waits, what ran, what is dead. A delivery is one push for one service.

    Exit codes: 0 done; 65 no such delivery, or not in that state; 69 no daemon; 77 not allowed.
    """


@command.command("list", epilog=example("oberonc queue list", "oberonc queue list --state dead --service chat --json"))
@click.option("--state", type=click.Choice(STATES), help="Only these; default: ready, leased and dead.")
@click.option("--service", metavar="NAME", help="Only this service's.")
@_repository
@click.option("--limit", default=100, show_default=True, help="At most this many of each state.")
@_json
@pass_session
def list_(
    session: Session, state: str | None, service: str | None, repository: str | None, limit: int, as_json: bool
) -> None:
    """List deliveries, oldest first."""
    found: list[dict[str, Any]] = []
    for wanted in (state,) if state else ("leased", "ready", "dead"):
        fields = {"state": wanted, "service": service, "repository": repository, "limit": limit}
        found += client.call(session.reach, "delivery.list", **fields)["deliveries"]
    if as_json:
        show_json(found)
        return
    for row in found:
        show(_line(row))


@command.command("show", epilog=example("oberonc queue show 17"))
@click.argument("delivery", type=int)
@_json
@pass_session
def show_one(session: Session, delivery: int, as_json: bool) -> None:
    """Show a delivery with every attempt and what it printed."""
    row = client.call(session.reach, "dead.show", delivery=delivery)["delivery"]
    if as_json:
        show_json(row)
        return
    show(f"{_line(row)}\npush {row['event']}{submitter(row)}, failed tries {row['tries']}, crashes {row['crashes']}")
    for attempt in row["attempts"]:
        show(_attempt(attempt))


@command.command(epilog=example("oberonc queue retry 17 18"))
@click.argument("deliveries", type=int, nargs=-1, required=True)
@pass_session
def retry(session: Session, deliveries: tuple[int, ...]) -> None:
    """Make deliveries due now: waiting ones, dead ones, even done ones again."""
    for delivery in deliveries:
        show(_line(client.call(session.reach, "dead.retry", delivery=delivery)["delivery"]))


@command.command(epilog=example("oberonc queue drop 17"))
@click.argument("deliveries", type=int, nargs=-1, required=True)
@pass_session
def drop(session: Session, deliveries: tuple[int, ...]) -> None:
    """Cancel deliveries that wait or are dead, in your name."""
    for delivery in deliveries:
        show(_line(client.call(session.reach, "dead.drop", delivery=delivery)["delivery"]))


@command.command(epilog=example("oberonc queue pause chat", "oberonc queue pause chat --repository web/shop"))
@_service
@_repository
@pass_session
def pause(session: Session, service: str, repository: str | None) -> None:
    """Start nothing more of a service; what comes in waits, also after a restart."""
    client.call(session.reach, "lane.pause", service=service, repository=repository)


@command.command(epilog=example("oberonc queue resume chat"))
@_service
@_repository
@pass_session
def resume(session: Session, service: str, repository: str | None) -> None:
    """Undo `pause`; also try a service again whose failures had stopped it."""
    client.call(session.reach, "lane.resume", service=service, repository=repository)


def _line(row: dict[str, Any]) -> str:
    marks = "".join(f", {mark}" for mark in ("parked", "paused") if row[mark])
    note = f": {row['note']}" if row["note"] else ""
    accepted = _time(row["accepted_ms"])
    return f"{row['id']:>6}  {accepted}  {row['state']}{marks}  {row['service']}  {row['repository']}{note}"


def _attempt(row: dict[str, Any]) -> str:
    took = "" if row["took_ms"] is None else f", {row['took_ms']} ms"
    head = f"  {_time(row['began_ms'])} attempt {row['number']}, generation {row['generation']}"
    told = f"{head}: {row['outcome'] or 'runs'}{took}: {row['note']}"
    return "\n".join([told, *(f"    | {line}" for line in row["output"].splitlines())])


def _time(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000))
