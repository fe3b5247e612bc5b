"""The commands, one file each, and what they
share: the session and the one way to print.
"""

import functools
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from oberonc import config as configuration
from oberonc import layers
from oberonc.admin.finding import Finding
from oberonc.errors import BadInput, ConfigError
from oberonc.payload.check import loads
from oberonc.payload.schema import Payload
from oberonc.text import one_line, utc, visible

#: Bytes that are read from stdin; what is longer is neither message nor payload.
LONGEST = 64 * 1024 * 1024


class Session:
    """What one run of the command knows: which configuration was named, and that
    configuration once asked for.
    """

    def __init__(self, config_path: str | None = None) -> None:
        self.config_path = config_path

    @cached_property
    def config(self) -> configuration.Config:
        """The effective configuration; raises ConfigError."""
        return configuration.load(self.config_path)

    @cached_property
    def reach(self) -> configuration.Config:
        """The part of it that says where the daemon is, which is enough to ask it; what
        is broken is said once.

        Raises ConfigError where nothing can be learnt from the file that was named:
        another daemon is not meant.
        """
        found = configuration.learn(self.config_path, asks=True)
        if found.fault:
            if (
                self.config_path
                and str(Path(self.config_path).absolute()) not in found.sources.values()
            ):
                raise ConfigError(found.fault)
            show(f"oberonc: the configuration is broken: {found.fault}", err=True)
        return found


def not_counting(layer: layers.Layer) -> str:
    """That a file of the configuration does not count, and why."""
    return f"{layer.file} does not count for you: {layer.left_out}"


pass_session = click.make_pass_decorator(Session, ensure=True)

#: What every command has that prints rows: given to it as `as_json`.
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


#: That the command that runs `finishes`, in what click keeps for it.
_FINISHES = "oberonc.finishes"


def finishes(work: Callable[..., None]) -> Callable[..., None]:
    """Mark a command whose work and exit code count more than what it prints: where its
    reader goes away (`oberonc hook install | head -1`) it goes on. Others end there.
    """

    @functools.wraps(work)
    def run(*args: Any, **kwargs: Any) -> None:
        click.get_current_context().meta[_FINISHES] = True
        work(*args, **kwargs)

    return run


def _echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print *text*; every line that is printed comes through here."""
    try:
        click.echo(text, err=err, nl=nl)
    except BrokenPipeError:
        if _FINISHES not in click.get_current_context().meta:
            raise
        # What the stream still holds goes there too.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
        os.close(nowhere)


def show(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print *text* of ours, or a whole document; what would steer the terminal is shown
    instead of obeyed.
    """
    _echo(visible(text), err=err, nl=nl)


def show_line(text: str, *, err: bool = False, state: str = "") -> None:
    """Print a row, whoever wrote what is in it: it stays one line, and what aligns in
    it is ours alone. *state*, a word of ours in it, stands out where a terminal can.
    """
    line = " ".join(visible(text).replace("\t", " ").splitlines())
    if state:
        line = line.replace(state, painted(state), 1)
    _echo(line, err=err)


#: The colours of what is well, what is not, and what may be.
_COLOURS = {
    **dict.fromkeys(("ok", "done", "installed", "run by"), "green"),
    **dict.fromkeys(("FAIL", "dead", "crash", "broken"), "red"),
    **dict.fromkeys(("?", "retry", "waits", "runs", "not installed"), "yellow"),
}


def painted(word: str) -> str:
    """*word* in bold and its colour; click takes that off for what is no terminal."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return word
    return click.style(word, fg=_COLOURS.get(word), bold=True)


def show_text(text: str, mark: str = "    ") -> None:
    """Print *text* of somebody else that has lines, each behind *mark*, so that none
    looks like a row of ours.
    """
    for line in visible(text).splitlines():
        _echo(f"{mark}{line}")


def show_finding(finding: Finding) -> None:
    """Print what was found of one thing, and below it what mends it where it is wrong."""
    mark = {True: "ok  ", False: "FAIL", None: "?   "}[finding.ok]
    for line in _at_words(f"{mark}  {finding.what}"):
        show_line(line, state=mark.strip() if line.startswith(mark) else "")
    if finding.ok is False and finding.mend:
        show_line(f"      mend: {finding.mend}")


def _at_words(text: str) -> list[str]:
    """*text* in lines as wide as the terminal; whole where there is none."""
    if not sys.stdout.isatty():
        return [text]
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.wrap(
        text, width, subsequent_indent="      ", break_on_hyphens=False
    )


def show_time(milliseconds: int) -> str:
    """Wall-clock *milliseconds* as people read them: UTC, and it says so."""
    return utc(milliseconds / 1000)


def show_json(value: Any, *, line: bool = False) -> None:
    """Print *value* for programs: JSON in ASCII, one document; *line*: on one line, as
    one of many.
    """
    _echo(json.dumps(value) if line else json.dumps(value, indent=2))


def read_message() -> str:
    """The commit message on stdin; raises BadInput."""
    if sys.stdin.isatty():
        show(
            "oberonc: reading a message from the terminal; end it with Ctrl-D", err=True
        )
    try:
        return sys.stdin.buffer.read(LONGEST).decode("utf-8", "replace")
    except OSError as error:
        raise BadInput(f"cannot read the message on stdin: {error.strerror}") from None


def read_payload(name: str) -> Payload:
    """The payload in the file *name*, or on stdin for `-`; raises BadInput."""
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(name).open("rb") as stream:
                raw = stream.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"cannot read the payload {name}: {getattr(error, 'strerror', error)}"
        ) from None
    if len(raw) > LONGEST:
        raise BadInput(f"the payload {name} is larger than {LONGEST} bytes")
    return loads(raw, "the payload on stdin" if name == "-" else name)


def offer(
    what: str,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What the shell offers for a parameter: a key of `oberonc.complete.KINDS`."""

    def complete(
        ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from oberonc.complete import offers  # only a shell that asks pays for it

        found = offers(what, ctx.find_root().params.get("config_path"))
        # Shells take what they are given line by line, and fish what follows a tab for
        # the help.
        return [
            CompletionItem(value, help=one_line(help_text, 80) or None)
            for value, help_text in found.items()
            if value.startswith(incomplete) and value.isprintable()
        ]

    return complete


def example(*lines: str) -> str:
    """The examples under a command's help, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def submitter(row: dict[str, Any]) -> str:
    """Whose process handed in what *row* is about: `, from ann (uid 1001)`; empty where
    that is not known.
    """
    known = row.get("submitter")
    return (
        f", from {known['name'] or 'an account without a name'} (uid {known['uid']})"
        if known
        else ""
    )
