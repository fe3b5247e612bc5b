"""`oberonc issues`: the embedded tracker by hand."""

import os
from typing import TYPE_CHECKING, Any

import click

from oberonc import accounts
from oberonc.commands import (
    Session,
    example,
    json_flag,
    offer,
    pass_session,
    show,
    show_json,
    show_line,
    show_text,
)
from oberonc.config import Config
from oberonc.errors import BadInput
from oberonc.issues.embedded import IssueFile
from oberonc.text import one_line

_repository = click.option(
    "--repository",
    metavar="NAME",
    shell_complete=offer("repository"),
    help="The repository; default: the one you stand in.",
)


def _name(given: str | None) -> str:
    if given:
        return given
    from oberonc.source import repository  # only needed without --repository

    return repository.full_name()


if TYPE_CHECKING:
    NumberType = click.ParamType[int]
else:
    NumberType = click.ParamType  # generic from click 8.4 on


class Number(NumberType):
    """`42` or `#42`."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        digits = str(value).removeprefix("#")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise BadInput(f"'{value}' is no issue number; give one such as 42")
        return int(digits)


@click.group(
    epilog=example(
        "oberonc issues new 'crash on start'", "oberonc issues show 1 --json"
    )
)
def command() -> None:
    """The embedded issue tracker."""


@command.command(epilog=example("oberonc issues new 'crash on start'"))
@click.argument("title")
@_repository
@json_flag
@pass_session
def new(session: Session, title: str, repository: str | None, as_json: bool) -> None:
    """Open an issue and print its number."""
    name = _name(repository)
    number = IssueFile(session.config.state).new(name, title)
    if nobody := _nobody_acts(session.config):
        show_line(f"oberonc: {nobody}", err=True)
    if as_json:
        show_json({"repository": name, "number": number})
    else:
        show(f"#{number}")


def _nobody_acts(config: Config) -> str:
    """Why no commit message will ever touch an issue of the embedded tracker; empty
    where one may.
    """
    trackers = {
        name: str(service.settings.get("tracker", "local"))
        for name, service in config.services.items()
        if service.broker == "issues"
    }
    if "local" in trackers.values():
        return ""
    others = ", ".join(f"'{name}' acts on {kind}" for name, kind in trackers.items())
    return f"no service acts on the embedded tracker{': ' if others else ''}{others}"


@command.command("list", epilog=example("oberonc issues list --repository web/shop"))
@_repository
@json_flag
@pass_session
def list_issues(session: Session, repository: str | None, as_json: bool) -> None:
    """The issues of a repository, oldest first."""
    name = _name(repository)
    rows = IssueFile(session.config.state).issues(name)
    if as_json:
        show_json([row._asdict() for row in rows])
        return
    if not rows:
        show_line(f"{name} has no issue", err=True)
    for row in rows:
        show_line(f"#{row.number:<5} {row.state:<6}  {one_line(row.title)}")


@command.command(
    "show", epilog=example("oberonc issues show 1", "oberonc issues show 1 --json")
)
@click.argument("number", type=Number(), shell_complete=offer("issue"))
@_repository
@json_flag
@pass_session
def show_issue(
    session: Session, number: int, repository: str | None, as_json: bool
) -> None:
    """An issue with its comments."""
    issue = IssueFile(session.config.state).show(_name(repository), number)
    if as_json:
        show_json(issue)
        return
    show_line(f"#{number} {one_line(issue['title'])} ({issue['state']})")
    for comment in issue["comments"]:
        show("")
        show_line(f"{comment['author']}, {comment['time']}:")
        show_text(comment["text"])


@command.command(epilog=example("oberonc issues comment 1 'seen on Debian too'"))
@click.argument("number", type=Number(), shell_complete=offer("issue"))
@click.argument("text")
@_repository
@json_flag
@pass_session
def comment(
    session: Session, number: int, text: str, repository: str | None, as_json: bool
) -> None:
    """Comment on an issue."""
    if not text.strip():
        raise BadInput("a comment needs a text")
    name = _name(repository)
    tracker = IssueFile(session.config.state)
    tracker.comment(name, number, accounts.name(os.getuid()) or str(os.getuid()), text)
    _show_done(tracker, name, number, as_json, "commented on")


@command.command(epilog=example("oberonc issues close 1"))
@click.argument("number", type=Number(), shell_complete=offer("issue"))
@_repository
@json_flag
@pass_session
def close(session: Session, number: int, repository: str | None, as_json: bool) -> None:
    """Close an issue."""
    _set_state(session, number, repository, as_json, "closed", "closed")


@command.command(epilog=example("oberonc issues reopen 1"))
@click.argument("number", type=Number(), shell_complete=offer("issue"))
@_repository
@json_flag
@pass_session
def reopen(
    session: Session, number: int, repository: str | None, as_json: bool
) -> None:
    """Open an issue again."""
    _set_state(session, number, repository, as_json, "open", "reopened")


def _set_state(
    session: Session,
    number: int,
    repository: str | None,
    as_json: bool,
    state: str,
    done: str,
) -> None:
    name = _name(repository)
    tracker = IssueFile(session.config.state)
    tracker.set_state(name, number, state)
    _show_done(tracker, name, number, as_json, done)


def _show_done(
    tracker: IssueFile, repository: str, number: int, as_json: bool, done: str
) -> None:
    """What was done; as JSON the issue as it is now."""
    if as_json:
        show_json(tracker.show(repository, number))
    else:
        show(f"{done} #{number}")
