"""`oberonc stats`: what the daemon did and has to do."""

import time
from typing import Any

import click

from oberonc import client
from oberonc.commands import Session, example, pass_session, show, show_json
from oberonc.config import Config
from oberonc.errors import UsageError

#: Seconds between two looks of --watch.
INTERVAL = 1.0
_COLUMNS = ("service", "ready", "running", "done", "dead", "parked", "behind", "state", "last error")


@click.command(epilog=example("oberonc stats", "oberonc stats --watch", "oberonc stats --prometheus"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one document a line.")
@click.option("--prometheus", "as_metrics", is_flag=True, help="Print Prometheus' text format.")
@click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C.")
@pass_session
def command(session: Session, as_json: bool, as_metrics: bool, watch: bool) -> None:
    """Show what the daemon accepted, what waits, runs, is done and is dead, per service.

    Exit codes: 0 shown; 69 no daemon; 77 not allowed to ask it.
    """
    if as_json and as_metrics:
        raise UsageError("choose --json or --prometheus")
    while True:
        _show_once(session.config, as_json, as_metrics, watch)
        if not watch:
            return
        time.sleep(INTERVAL)


def _show_once(config: Config, as_json: bool, as_metrics: bool, watch: bool) -> None:
    value = client.call(config, "stats")["stats"]
    if as_json:
        show_json(value)
    elif as_metrics:
        from oberonc.daemon.stats import prometheus

        show(prometheus(value), nl=False)
    else:
        if watch:
            click.clear()
        show(_text(value))


def _text(value: dict[str, Any]) -> str:
    events, workers = value["events"], value["workers"]
    lines = [
        f"generation {value['generation']}, up {_span(value['uptime'])}, "
        f"{workers['running']} of {workers['limit']} workers busy",
        f"events: {events['accepted']} accepted, {events['duplicates']} duplicates, {value['spool']} in the spool",
        *_alarms(value),
        "",
        *_table([_COLUMNS, *(_row(name, row) for name, row in value["services"].items())]),
    ]
    return "\n".join(lines)


def _alarms(value: dict[str, Any]) -> list[str]:
    lines = [f"nobody serves {name}: {count} wait" for name, count in value["unclaimed"].items()]
    if value["storage_low"]:
        lines.append("the disk is nearly full: new pushes are refused, and spooled by their senders")
    if value["draining"]:
        lines.append(f"generation {value['draining']} is draining")
    if value["late_results"]:
        lines.append(f"{value['late_results']} late results were ignored")
    return lines


def _row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(row[key]) for key in ("ready", "leased", "done", "dead", "parked"))
    problem = row["problem"] or row["last_error"]
    return (name, *counts, _span(row["oldest"] or 0), _state(row), problem[:60])


def _state(row: dict[str, Any]) -> str:
    """A service's state in a word or two: what keeps it from working first."""
    if row["paused"]:
        return "paused"
    if row["broker"] is None:
        return "not configured"
    if row["problem"]:
        return "unavailable"
    return "ok" if row["breaker"] == "closed" else f"breaker {row['breaker']}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
