"""`oberonc send`: a message, commits or a payload, to the services."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from oberonc.broker.budget import Budget
from oberonc.commands import (
    Session,
    example,
    finishes,
    json_flag,
    pass_session,
    read_message,
    read_payload,
    show,
    show_json,
    show_line,
)
from oberonc.config import Config
from oberonc.delivery import deliver, handover
from oberonc.delivery.report import Report
from oberonc.errors import Failed, UsageError
from oberonc.payload import schema as payloads
from oberonc.source import repository, revisions
from oberonc.source.frame import submitter

Row = TypeVar("Row")

#: Seconds `send` waits for the daemon; a hook waits less.
BUDGET = 10.0


@click.command(
    "send",
    epilog=example(
        'echo "great, all done, fixes #42" | oberonc send',
        "oberonc send --rev main~3..main --dry-run",
        "oberonc send --payload push.json --daemon",
    ),
)
@click.option(
    "--rev", metavar="REV|A..B", help="The commit REV, or the commits of a range."
)
@click.option(
    "--message", metavar="TEXT", help="This commit message, without a commit."
)
@click.option(
    "--payload", "file", metavar="FILE", help="A payload of schema 1; - for stdin."
)
@click.option(
    "--spooled",
    is_flag=True,
    help="What is in the spool: deliveries that did not end yet, or pushes that another"
    " machine has not taken.",
)
@click.option(
    "--here/--daemon",
    "here",
    default=None,
    help="Run the brokers here, or let the daemon (default: `delivery`).",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the payload, and per service whether it would act and why.",
)
@json_flag
@pass_session
@finishes
def command(
    session: Session,
    rev: str | None,
    message: str | None,
    file: str | None,
    spooled: bool,
    here: bool | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Give a commit message on stdin, or what is named, to the services.

    What publish refs reach counts as published, and so does a message without a commit.
    A range that is longer than one payload may be is sent in portions. Exit 1 when a
    broker failed.
    """
    if sum(value is not None for value in (rev, message, file)) + spooled > 1:
        raise UsageError("give only one of --rev, --message, --payload and --spooled")
    config = session.config
    runs_here = config.delivery == "here" if here is None else here
    budget = Budget()
    if spooled:
        if "://" in config.delivery and not here:
            _spooled_away(config, dry_run, as_json)
            return
        if not runs_here:
            raise UsageError(
                "the daemon takes in the spool by itself; --here --spooled works it off without one"
            )
        if dry_run:
            _waiting(config, as_json)
        else:
            _spooled(config, budget, as_json)
        return
    rows: list[dict[str, Any]] = []
    failed = ""
    for payload in _payloads(config, rev, message, file):
        if dry_run:
            rows.append(_dry_run(config, payload, as_json))
            continue
        if runs_here:
            report = deliver.here(config, payload, budget)
        else:
            report = handover.deliver(config, payload, BUDGET)
        services = {name: row.as_json() for name, row in report.services.items()}
        rows.append({"id": report.id, "services": services})
        if not as_json:
            _show_report(report)
        if report.failed and not failed:
            failed = report.id[:8]
    if as_json:
        show_json(rows if len(rows) > 1 else rows[0])
    _exit_if_interrupted(budget)
    if failed:
        raise Failed(f"a broker failed; `oberonc log {failed}` tells more")


def _payloads(
    config: Config, rev: str | None, message: str | None, file: str | None
) -> Iterable[payloads.Payload]:
    """What is to be sent: one payload, or the portions of a long range."""
    if file is not None:
        return [read_payload(file) | {"submitter": submitter()}]
    repo = repository.describe(repository.find_git_dir(), config.publish)
    if rev is not None:
        return revisions.revisions(repo, rev, config)
    text = read_message() if message is None else message
    return [revisions.message(repo, text, config)]


def _dry_run(
    config: Config, payload: payloads.Payload, as_json: bool
) -> dict[str, Any]:
    """What is shown of *payload*; for people it is printed."""
    from oberonc.admin import preview

    services = preview.plan(config, payload)
    if as_json:
        rows = {name: planned._asdict() for name, planned in services.items()}
        return {"payload": payload, "services": rows}
    show_json(payload)
    for name, planned in services.items():
        would = "would get this" if planned.matches else "nothing"
        show_line(f"{name}: {would}: {planned.why}", err=True)
        for line in planned.plan:
            show_line(f"  {line}", err=True)
    return {}


def _spooled(config: Config, budget: Budget, as_json: bool) -> None:
    from oberonc.delivery import local

    found = local.retry_all(config, budget, shown=_with_bar)
    results = [
        {"id": event, "service": name, **result.as_json()}
        for (event, name), result in found.items()
    ]

    def line(row: dict[str, Any]) -> str:
        ended = (row.get("outcome", "nothing"), row.get("note") or row["why"])
        return f"{row['id'][:8]} {row['service']}: {': '.join(filter(None, ended))}"

    _show_spooled(results, as_json, line)
    _exit_if_interrupted(budget)
    ended = ("done", "expired", "collapsed")
    if any(row.get("outcome", "done") not in ended for row in results):
        raise Failed(
            "some deliveries did not end; what can be tried again stays in the spool"
        )


def _spooled_away(config: Config, dry_run: bool, as_json: bool) -> None:
    """Send what waits for another machine."""
    from oberonc.delivery import sending, spool

    sender = sending.Sender(config)
    waiting = [path.name for path in spool.listing(config.spool)]
    if dry_run:
        would = f"would be sent to {config.delivery}"
        _show_spooled(waiting, as_json, lambda name: f"{name}: {would}")
        return
    rows = [
        sent._asdict()
        for sent in _with_bar(sender.everything(), "pushes", len(waiting))
    ]
    sender.close()

    def line(row: dict[str, Any]) -> str:
        why = f": {row['why']}" if row["why"] else ""
        return f"{row['id'][:8]} {row['repository']}: {row['status']}{why}"

    _show_spooled(rows, as_json, line)
    if any(row["status"] != "accepted" for row in rows):
        raise Failed("not all of it was taken; what was not stays in the spool")


def _with_bar(
    rows: Iterable[Row], label: str = "repositories", length: int | None = None
) -> Iterator[Row]:
    """The same, with a progress bar on a terminal."""
    with click.progressbar(
        rows,
        length,
        label,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        yield from bar


def _exit_if_interrupted(budget: Budget) -> None:
    if budget.interrupted:
        show(
            "oberonc: interrupted; what did not end is kept, and `oberonc send --spooled` goes on",
            err=True,
        )
        raise click.exceptions.Exit(130)


def _waiting(config: Config, as_json: bool) -> None:
    """What `--spooled` would try, in order."""
    from oberonc.delivery import kept

    def line(row: dict[str, Any]) -> str:
        error = f", tried {row['attempts']} times: {row['error']}"
        tried = error if row["attempts"] else ""
        return f"{row['id'][:8]} {row['service']}: would be tried{tried}"

    _show_spooled(kept.waiting(config), as_json, line)


def _show_spooled(rows: list[Row], as_json: bool, line: Callable[[Row], str]) -> None:
    """*rows* of what is in the spool, for people each as its *line*."""
    if as_json:
        show_json(rows)
        return
    for row in rows:
        show_line(line(row))
    if not rows:
        show("the spool is empty", err=True)


def _show_report(report: Report) -> None:
    if report.line:
        show_line(report.line)
        return
    why = "; ".join(
        f"{name}: {(row.note or row.why).removeprefix('nothing: ')}"
        for name, row in report.services.items()
    )
    show_line(f"nothing to do: {why or 'no service is configured'} ({report.id[:8]})")
