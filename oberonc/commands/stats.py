"""`oberonc stats`: what the daemon did and has to do."""

import json
import time
from typing import Any

import click

import oberonc
from oberonc.commands import Session, example, pass_session, show, show_json
from oberonc.config import Config
from oberonc.delivery import handover
from oberonc.errors import NotAccepted, Unreachable, UsageError
from oberonc.text import counted, one_line, span, utc
from oberonc.web.page import words

#: Seconds between two looks of --watch.
INTERVAL = 1.0
_COLUMNS = (
    "service",
    "ready",
    "running",
    "done",
    "dead",
    "parked",
    "oldest",
    "state",
    "last error",
)
_PERIOD = ("since", "accepted", "done", "retried", "dead", "latency")


@click.command(
    epilog=example(
        "oberonc stats", "oberonc stats --watch", "oberonc stats --prometheus"
    )
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON; with --watch one document a line.",
)
@click.option(
    "--prometheus", "as_metrics", is_flag=True, help="Print Prometheus' text format."
)
@click.option(
    "--minutes",
    type=click.IntRange(1, 1440),
    metavar="N",
    help="Show what happened in each of the last N minutes.",
)
@click.option(
    "--hours",
    type=click.IntRange(1),
    metavar="N",
    help="The same of hours, as far back as `daemon.keep`.",
)
@click.option("--service", metavar="NAME", help="With these: of this service alone.")
@click.option(
    "--watch",
    is_flag=True,
    help="Again every second, also over restarts of the daemon, until Ctrl-C.",
)
@pass_session
def command(
    session: Session,
    as_json: bool,
    as_metrics: bool,
    minutes: int | None,
    hours: int | None,
    service: str | None,
    watch: bool,
) -> None:
    """Show what the daemon accepted, what waits, runs, is done and is dead, per
    service.

    `oldest` is the age of the oldest delivery that has not ended. Times are UTC.

    With --minutes or --hours: what was accepted (pushes; of one service its
    deliveries), done, tried and to be tried again, and given up in each of them, and
    the mean time from being accepted to being done. They outlive the daemon.

    Exit codes: 0 shown; 69 no daemon; 77 not allowed to ask it.
    """
    if as_json and as_metrics:
        raise UsageError("choose --json or --prometheus")
    if minutes and hours:
        raise UsageError("choose --minutes or --hours")
    if service and not (minutes or hours):
        raise UsageError("--service needs --minutes or --hours")
    wanted = {"minutes": minutes or 0, "hours": hours or 0, "service": service}
    value = _ask(session.reach, wanted)
    if service and service not in value["services"]:
        raise UsageError(f"there is no service {one_line(service, 80)}")
    while True:
        _show(value, as_json, as_metrics, watch)
        if not watch:
            return
        time.sleep(INTERVAL)
        value = _wait(session.reach, wanted)


def _ask(config: Config, wanted: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = handover.call(config, "stats", **wanted)["stats"]
    return value | {"command_version": oberonc.__version__}


def _wait(config: Config, wanted: dict[str, Any]) -> dict[str, Any]:
    """The next look, as soon as a daemon answers."""
    waits = False
    while True:
        try:
            return _ask(config, wanted)
        except (Unreachable, NotAccepted) as error:
            if not waits:
                show(f"oberonc: {error}; waiting for it", err=True)
            waits = True
            time.sleep(INTERVAL)


def _show(value: dict[str, Any], as_json: bool, as_metrics: bool, watch: bool) -> None:
    if as_json and watch:
        click.echo(json.dumps(value))
    elif as_json:
        show_json(value)
    elif as_metrics:
        from oberonc.prometheus import exposition

        show(exposition(value), nl=False)
    else:
        if watch:
            click.clear()
        periods = value.get("minutes", value.get("hours"))
        show(_text(value) if periods is None else _history(periods))


def _text(value: dict[str, Any]) -> str:
    events, workers = value["events"], value["workers"]
    lines = [
        f"daemon {value['version']}, this command {value['command_version']}",
        f"generation {value['generation']}, up {span(value['uptime'])}, "
        f"{workers['running']} of {counted(workers['limit'], 'worker')} busy",
        f"{counted(events['accepted'], 'event')} accepted, {counted(events['duplicates'], 'duplicate')}, "
        f"{value['spool']} in the spool",
        *_alarms(value),
        "",
        *_table(
            [_COLUMNS, *(_row(name, row) for name, row in value["services"].items())]
        ),
    ]
    return "\n".join(lines)


def _history(periods: list[dict[str, Any]]) -> str:
    """A line for each minute or hour in which something happened."""
    rows: list[tuple[str, ...]] = [_PERIOD]
    for row in periods:
        counts = (str(row[key]) for key in _PERIOD[1:-1])
        latency = "-" if row["latency"] is None else f"{row['latency']:.3f} s"
        rows.append((utc(row["began"]), *counts, latency))
    return "\n".join(_table(rows))


def _alarms(value: dict[str, Any]) -> list[str]:
    lines = [one.text for one in words.alarms(value)]
    if refused := [
        f"{count} {reason}" for reason, count in value["refused"].items() if count
    ]:
        lines.append(f"requests refused: {', '.join(refused)}")
    if value["paused_lanes"]:
        lines.append(f"{counted(value['paused_lanes'], 'lane')} paused")
    for state, why in (
        ("expired", "older than `max_age`"),
        ("collapsed", "overtaken by later ones"),
    ):
        if count := value["deliveries"][state]:
            lines.append(f"{counted(count, 'delivery', 'deliveries')} {state}: {why}")
    if value["draining"]:
        lines.append(f"generation {value['draining']} is draining")
    if value["late_results"]:
        lines.append(f"{counted(value['late_results'], 'late result')} ignored")
    return lines


def _row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(row[key]) for key in ("ready", "leased", "done", "dead", "parked"))
    oldest = "-" if row["oldest"] is None else span(row["oldest"])
    return (name, *counts, oldest, words.state(row), one_line(_wrong(row), 80))


def _wrong(row: dict[str, Any]) -> str:
    """What keeps a service from working, or its last error and when that was."""
    if row["problem"] or row["last_error_ms"] is None:
        return str(row["problem"])
    return f"{utc(row['last_error_ms'] / 1000)} {row['last_error']}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
