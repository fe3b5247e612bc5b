"""`oberonc queue`: list, show, retry and drop deliveries; pause and resume services."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from oberonc import accounts, pace
from oberonc.commands import (
    Session,
    example,
    finishes,
    json_flag,
    offer,
    pass_session,
    show,
    show_json,
    show_line,
    show_text,
    show_time,
    submitter,
)
from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import BadInput, Failed, UsageError
from oberonc.text import counted
from oberonc.web.page import words

if TYPE_CHECKING:
    from oberonc.delivery import by_hand

Row = dict[str, Any]
Command = Callable[..., None]

STATES = ("ready", "leased", "done", "dead", "cancelled", "expired", "collapsed")
#: What `list` shows of when no state is named: what has not ended well.
LIVE = ("leased", "ready", "dead")
#: Deliveries that are asked for, or steered, at once.
MOST = 1000

_service = click.argument("service", shell_complete=offer("service"))
_repository = click.option(
    "--repository",
    metavar="NAME",
    shell_complete=offer("repository"),
    help="Only this repository.",
)
_of_service = click.option(
    "--service",
    metavar="NAME",
    shell_complete=offer("service"),
    help="Only this service's.",
)


@click.group(
    epilog=example(
        "oberonc queue list --state dead",
        "oberonc queue show 17",
        "oberonc queue retry 17",
    )
)
def command() -> None:
    """Deliveries: what waits, what ran, what is dead. A delivery is one push for one
    service.

    Where brokers run without a daemon, these are the ones in the spool and the dead
    letters, called by the push and the service, as 5f0c1a52-issues; what is retried is
    tried at once.

    Exit codes: 0 done; 1 tried and not done; 65 no such delivery, or not
    in that state; 69 no daemon; 77 not allowed.
    """


@command.command(
    "list",
    epilog=example(
        "oberonc queue list", "oberonc queue list --state dead --since 2h --json"
    ),
)
@click.option(
    "--state",
    type=click.Choice(STATES),
    help="Only these; default: ready, leased and dead.",
)
@_of_service
@_repository
@click.option(
    "--since",
    metavar="WHEN",
    help="Accepted since 30m, 2h, 3d ago, or 2026-01-31 or 2026-01-31T10:00Z (UTC).",
)
@click.option("--oldest", is_flag=True, help="The oldest first.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="At most this many.",
)
@json_flag
@pass_session
def list_(
    session: Session,
    state: str | None,
    service: str | None,
    repository: str | None,
    since: str | None,
    oldest: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, the newest first: when the
    next try is due, and what each waits behind.
    """
    wanted: Row = {
        "service": service,
        "repository": repository,
        "since": _since(since) if since else 0,
    }
    found: list[Row] = []
    services: dict[str, Row] = {}
    if _is_here(session):
        found = _kept(session.config, state, **wanted)
        found.sort(key=lambda row: int(row["accepted_ms"]), reverse=not oldest)
    else:
        for one in (state,) if state else LIVE:
            wish = wanted | {"state": one}
            for page, more in _pages(session.reach, oldest, limit + 1, **wish):
                found += page
                services |= more
        found.sort(key=lambda row: int(row["id"]), reverse=not oldest)
    if as_json:
        show_json(found[:limit])
    else:
        for row in found[:limit]:
            show_line(_line(row, services.get(row["service"])))
        if not found:
            chosen = state or service or repository or since
            show(
                f"no delivery {'of these' if chosen else 'waits or is dead'}", err=True
            )
    if len(found) > limit:
        show(
            f"oberonc: only {counted(limit, 'delivery', 'deliveries')} shown, there are more: --limit",
            err=True,
        )


def _is_here(session: Session) -> bool:
    """Whether no daemon has the deliveries: brokers run in hooks, and none is there."""
    reach = session.reach
    return reach.delivery == "here" and not reach.daemon.control.exists()


def _kept(
    config: Config, state: str | None, since: int = 0, **wanted: Any
) -> list[Row]:
    """The rows of what is kept without a daemon."""
    from oberonc.delivery import by_hand  # it loads what runs brokers

    found = by_hand.find(config, state=state, **wanted)
    return [each.row for each in found if each.row["accepted_ms"] >= since]


def _number(name: str) -> int:
    """*name* as the number of a delivery of the daemon's; raises UsageError."""
    if not (name.isascii() and name.isdigit() and len(name) < 19):
        raise UsageError(f"'{name}' is no number of a delivery, such as 17")
    return int(name)


def _pages(
    config: Config, oldest: bool, count: int, **wanted: Any
) -> Iterator[tuple[list[Row], dict[str, Row]]]:
    """At most *count* deliveries, a page at a
    time, with what is known of their services.
    """
    place: dict[str, int] = {"after": 0} if oldest else {"before": 1 << 61}
    while count > 0:
        answer = handover.call(
            config, "delivery.list", at=None, **wanted, **place, limit=min(count, MOST)
        )
        page: list[Row] = answer["deliveries"]
        yield page, answer.get("services", {})
        if len(page) < min(count, MOST):
            return
        count -= len(page)
        place = {next(iter(place)): int(page[-1]["id"])}


def _since(given: str) -> int:
    """*given* as milliseconds of the clock; raises UsageError."""
    span = pace.seconds(given)
    if span is not None:
        return max(0, int((time.time() - span) * 1000))
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(
            f"--since wants 30m, 2h, 3d, 2026-01-31 or 2026-01-31T10:00Z, not '{given}'"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * 1000))


@command.command("show", epilog=example("oberonc queue show 17"))
@click.argument("delivery", shell_complete=offer("delivery"))
@json_flag
@pass_session
def show_one(session: Session, delivery: str, as_json: bool) -> None:
    """Show a delivery with every attempt and what it printed."""
    if _is_here(session):
        _show_kept(session.config, delivery, as_json)
        return
    number = _number(delivery)
    found = handover.call(session.reach, "dead.show", delivery=number)
    row = found["delivery"]
    if as_json:
        show_json(row)
        return
    show_line(_line(row, found["services"].get(row["service"])))
    tried = f"{counted(row['tries'], 'failed try', 'failed tries')}, {counted(row['crashes'], 'crash', 'crashes')}"
    show_line(f"push {row['event']}{submitter(row)}, {tried}")
    for attempt in row["attempts"]:
        took = "" if attempt["took_ms"] is None else f", {attempt['took_ms']} ms"
        head = f"  {show_time(attempt['began_ms'])} attempt {attempt['number']}, generation {attempt['generation']}"
        show_line(f"{head}: {attempt['outcome'] or 'runs'}{took}{_note(attempt)}")
        show_text(attempt["output"], "    | ")


def _show_kept(config: Config, name: str, as_json: bool) -> None:
    from oberonc.delivery import by_hand

    [found] = by_hand.named(config, (name,))
    row = found.row
    if as_json:
        show_json(row)
        return
    show_line(_line(row))
    show_line(f"push {row['event']}, {counted(row['tries'], 'try', 'tries')}")
    show_line(f"kept in {row['file']}; `oberonc log {row['event'][:8]}` has its tries")


def _choosing(*states: str) -> Callable[[Command], Command]:
    """The parameters that say which deliveries, in one of *states*, are meant."""

    def declare(command: Command) -> Command:
        for parameter in (
            json_flag,
            click.option(
                "--state", type=click.Choice(states), help="Only these; default: dead."
            ),
            _repository,
            _of_service,
            click.argument("deliveries", nargs=-1, shell_complete=offer("delivery")),
        ):
            command = parameter(command)
        return command

    return declare


@command.command(
    epilog=example(
        "oberonc queue retry 17 18", "oberonc queue retry --service chat --state dead"
    )
)
@_choosing("ready", "done", "dead", "cancelled", "expired", "collapsed")
@pass_session
@finishes
def retry(session: Session, /, **chosen: Any) -> None:
    """Make deliveries due now: waiting ones, dead ones, even done ones again.

    Give their numbers, or --service, --repository or --state for all that fit; one that
    fails stops no other.
    """
    if _is_here(session):
        _retry_kept(session.config, **chosen)
    else:
        _change(session.reach, "dead.retry", "retried", **chosen)


@command.command(
    epilog=example(
        "oberonc queue drop 17", "oberonc queue drop --service chat --state dead"
    )
)
@_choosing("ready", "dead")
@pass_session
@finishes
def drop(session: Session, /, **chosen: Any) -> None:
    """Cancel deliveries that wait or are dead, in your name.

    Give their numbers, or --service, --repository or --state for all that fit; one that
    fails stops no other.
    """
    if _is_here(session):
        _drop_kept(session.config, **chosen)
    else:
        _change(session.reach, "dead.drop", "dropped", **chosen)


def _check_choice(deliveries: tuple[str, ...], *filters: str | None) -> None:
    if bool(deliveries) == any(filters):
        raise UsageError(
            "give the numbers of deliveries, or --service, --repository or --state"
        )


def _chosen(
    config: Config,
    deliveries: tuple[str, ...],
    service: str | None,
    repository: str | None,
    state: str | None,
) -> "list[by_hand.Found]":
    """What is chosen of that which is kept without a daemon."""
    from oberonc.delivery import by_hand

    _check_choice(deliveries, service, repository, state)
    if deliveries:
        return by_hand.named(config, deliveries)
    wanted = {"service": service, "repository": repository}
    return list(by_hand.find(config, state=state or "dead", **wanted))


def _retry_kept(config: Config, *, as_json: bool, **which: Any) -> None:
    """Try what is chosen at once; raises Failed where one does not end well."""
    from oberonc.delivery import by_hand

    chosen = _chosen(config, **which)
    ended = by_hand.retry(config, chosen)
    rows = []
    for found in chosen:
        result = ended.get((found.event, found.service))
        row = result.as_json() if result else {"outcome": "retry", "note": "not tried"}
        rows.append({"id": found.row["id"], **row})
    if as_json:
        show_json(rows)
    for row in [] if as_json else rows:
        outcome = row.get("outcome") or "nothing"
        show_line(f"{row['id']}: {outcome}: {row.get('note') or row.get('why', '')}")
    good = ("done", "expired", "collapsed")
    if any(row.get("outcome", "done") not in good for row in rows):
        raise Failed("some deliveries did not end well")


def _drop_kept(config: Config, *, as_json: bool, **which: Any) -> None:
    from oberonc.delivery import by_hand

    who = accounts.person(os.getuid())
    results: list[Row] = []
    for found in _chosen(config, **which):
        try:
            by_hand.drop(config, found, who)
        except BadInput as error:
            results.append({"error": str(error)})
        else:
            results.append({"delivery": found.row | {"state": "cancelled"}})
    _tell(results, as_json)
    _sum_up(results, "dropped", as_json)


def _change(
    config: Config,
    op: str,
    done: str,
    *,
    deliveries: tuple[str, ...],
    service: str | None,
    repository: str | None,
    state: str | None,
    as_json: bool,
) -> None:
    """Do *op* with each delivery given, or each that fits, the oldest first; tell of
    each, and sum up. Raises BadInput where one could not be done.
    """
    _check_choice(deliveries, service, repository, state)
    numbers = list(dict.fromkeys(map(_number, deliveries)))
    if not numbers:
        wanted = {
            "service": service,
            "repository": repository,
            "state": state or "dead",
        }
        for page, _ in _pages(config, oldest=True, count=1 << 40, **wanted):
            numbers += [int(row["id"]) for row in page]
    results: list[Row] = []
    for start in range(0, len(numbers), MOST):
        part = numbers[start : start + MOST]
        answer = handover.call(config, op, deliveries=part)
        results += answer["results"]
        _tell(answer["results"], as_json)
    _sum_up(results, done, as_json)


def _tell(results: list[Row], as_json: bool) -> None:
    """What became of each, for people."""
    for result in [] if as_json else results:
        if "error" in result:
            show_line(f"oberonc: {result['error']}", err=True)
        else:
            show_line(_line(result["delivery"]))


def _sum_up(results: list[Row], done: str, as_json: bool) -> None:
    """Raises BadInput where one could not be *done*."""
    if as_json:
        show_json(results)
    failed = sum("error" in result for result in results)
    summary = f"{done} {counted(len(results) - failed, 'delivery', 'deliveries')}"
    if failed:
        raise BadInput(f"{summary}; {failed} could not be {done}")
    if len(results) != 1 and not as_json:
        show(f"oberonc: {summary}", err=True)


@command.command(
    epilog=example(
        "oberonc queue pause chat", "oberonc queue pause chat --repository web/shop"
    )
)
@_service
@_repository
@pass_session
def pause(session: Session, service: str, repository: str | None) -> None:
    """Start nothing more of a service; what comes in waits, also after a restart."""
    handover.call(session.reach, "lane.pause", service=service, repository=repository)


@command.command(epilog=example("oberonc queue resume chat"))
@_service
@_repository
@pass_session
def resume(session: Session, service: str, repository: str | None) -> None:
    """Undo `pause`; also try a service again whose failures had stopped it."""
    handover.call(session.reach, "lane.resume", service=service, repository=repository)


def _line(row: Row, service: Row | None = None) -> str:
    """A delivery, and what it waits for; *service* as the daemon tells of its service."""
    marks = "".join(f", {mark}" for mark in ("parked", "paused") if row[mark])
    line = f"{row['id']:>6}  {show_time(row['accepted_ms'])}  {row['state']}{marks}"
    line += f"  {row['service']}  {row['repository']}"
    if row["state"] == "ready":
        now = time.time_ns() // 1_000_000
        line += f"  ({words.waits(row, service, now)})"
    return line + _note(row)


def _note(row: Row) -> str:
    return f": {row['note']}" if row["note"] else ""
