"""`oberonc send`: a message, commits or a payload, to the services."""

import sys
from typing import Any

import click

from oberonc import deliver, repository, sources
from oberonc import payload as payloads
from oberonc.commands import LONGEST, Session, example, pass_session, read_payload, show, show_json
from oberonc.config import Config
from oberonc.errors import Failed, UsageError

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
@click.option("--rev", metavar="REV|A..B", help="The commit REV, or the commits of a range.")
@click.option("--message", metavar="TEXT", help="This commit message, without a commit.")
@click.option("--payload", "file", metavar="FILE", help="A payload of schema 1; - for stdin.")
@click.option("--spooled", is_flag=True, help="What is in the spool: deliveries that did not end yet.")
@click.option(
    "--here/--daemon", "here", default=None, help="Run the brokers here, or let the daemon (default: `delivery`)."
)
@click.option("--dry-run", is_flag=True, help="Show the payload, and per service whether it would act and why.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_session
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

    What publish refs reach counts as published, and so does a message without a commit. Exit 1 when a broker failed.
    """
    if sum(value is not None for value in (rev, message, file)) + spooled > 1:
        raise UsageError("give only one of --rev, --message, --payload and --spooled")
    config = session.config
    if spooled:
        _spooled(config, as_json)
        return
    payload = _payload(config, rev, message, file)
    if dry_run:
        _dry_run(config, payload, as_json)
        return
    if config.delivery == "here" if here is None else here:
        report = deliver.here(config, payload)
    else:
        report = deliver.daemon(config, payload, BUDGET)
    _tell(report, as_json)


def _payload(config: Config, rev: str | None, message: str | None, file: str | None) -> payloads.Payload:
    if file is not None:
        return read_payload(file)
    repo = repository.describe(repository.find_git_dir(), config.publish)
    if rev is not None:
        return sources.revisions(repo, rev, config)
    return sources.message(repo, _stdin() if message is None else message, config)


def _stdin() -> str:
    if sys.stdin.isatty():
        show("reading the commit message from the terminal; end it with Ctrl-D", err=True)
    try:
        return sys.stdin.buffer.read(LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _dry_run(config: Config, payload: payloads.Payload, as_json: bool) -> None:
    from oberonc import plan

    services = plan.plan(config, payload)
    if as_json:
        show_json({"payload": payload, "services": services})
        return
    show_json(payload)
    for name, row in services.items():
        show(f"{name}: {'would get this' if row['matches'] else 'would not'}: {row['why']}", err=True)
        for line in row["plan"]:
            show(f"  {line}", err=True)


def _spooled(config: Config, as_json: bool) -> None:
    from oberonc import local_run

    results = [
        {"id": event, "service": name, **result} for (event, name), result in local_run.retry_all(config).items()
    ]
    if as_json:
        show_json(results)
    for row in [] if as_json else results:
        show(f"{row['id'][:8]} {row['service']}: {row['outcome']}{': ' if row['note'] else ''}{row['note']}")
    if not results and not as_json:
        show("the spool is empty", err=True)
    if any(row["outcome"] != "done" for row in results):
        raise Failed("some deliveries did not end; what can be tried again stays in the spool")


def _tell(report: deliver.Report, as_json: bool) -> None:
    rows: dict[str, Any] = report.services
    if as_json:
        show_json({"id": report.id, "services": rows})
    elif report.line:
        show(report.line)
    else:
        why = "; ".join(f"{name}: {row.get('note') or row['why']}" for name, row in rows.items())
        show(f"nothing to do: {why or 'no service is configured'} ({report.id[:8]})")
    if report.failed:
        raise Failed(f"a broker failed; `oberonc log {report.id[:8]}` tells more")
