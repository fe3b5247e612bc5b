"""`oberonc reload`: new broker code and configuration, without disrupting service."""

from typing import Any

import click

from oberonc.commands import (
    Session,
    example,
    finishes,
    json_flag,
    pass_session,
    show,
    show_json,
)
from oberonc.delivery import handover
from oberonc.errors import Failed


@click.command(
    epilog=example(
        "oberonc reload", "oberonc reload --check", "oberonc reload --partial"
    )
)
@click.option("--check", is_flag=True, help="Only verify; change nothing.")
@click.option(
    "--partial",
    is_flag=True,
    help="Keep the old code of what is broken, take the rest.",
)
@json_flag
@pass_session
@finishes
def command(session: Session, check: bool, partial: bool, as_json: bool) -> None:
    """Have the daemon take the brokers and the configuration as they are on disk now.

    Everything is verified beside what runs. When something is broken, nothing changes:
    the table names file and line, and the exit code is 1. What runs is finished by the
    code it began with.

    Exit codes: 0 taken (with --check: it would be); 1 something is broken; 69 no
    daemon; 75 a reload is under way, or the one before still drains.
    """
    report: dict[str, Any] = handover.call(
        session.reach, "reload", check=check, partial=partial
    )["report"]
    if as_json:
        show_json(report)
    else:
        _print(report)
    broken = [row["broker"] for row in report["brokers"] if row["verdict"] != "ok"]
    if broken or not report["accepted"]:
        raise Failed(_summary(report, broken))


def _summary(report: dict[str, Any], broken: list[str]) -> str:
    what = ", ".join(broken) or report["message"]
    if report["accepted"]:
        return f"generation {report['generation']} serves, with the old code or without: {what}"
    return f"nothing changed, generation {report['generation']} serves: {what}"


def _print(report: dict[str, Any]) -> None:
    for row in report["brokers"]:
        services = ", ".join(row["services"]) or "no service"
        show(f"{row['verdict']:<7} {row['broker']:<20} {row['why'] or services}")
        if row["verdict"] == "ok" and row["mode"] == "exec":
            show(
                f"{'':<7} {'':<20} starts threads when imported: each worker is a new interpreter"
            )
    if report["accepted"]:
        show(f"generation {report['generation']}")
