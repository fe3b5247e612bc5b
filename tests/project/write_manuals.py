"""Writes docs/man from the commands' own help: one page a command, its subcommands in
it.

click-man, the usual tool, sees only commands that are loaded: of ours it writes one
page; and its pages carry the day they were written on, so that no test could hold them
to the commands. `python -m tests.project.write_commands` runs this too.
"""

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from oberonc.cli import COMMANDS, group
from tests.project import write_commands

FOLDER = Path(__file__).parents[2] / "docs" / "man"


def pages() -> dict[str, str]:
    """{file name: text} of every page."""
    top = click.Context(group, info_name="oberonc")
    found = {"oberonc.1": "\n".join([*_overview(top), ""])}
    for name, line in COMMANDS.items():
        command = group.get_command(top, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=top)
        found[f"oberonc-{name}.1"] = "\n".join([*_page(command, context, line), ""])
    return found


def write() -> None:
    """Renew the folder."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


def _overview(context: click.Context) -> Iterator[str]:
    yield from _head("oberonc", (group.help or "").rstrip("."))
    yield from _body(group, context, ".SH")
    yield ".SH COMMANDS"
    for name, line in COMMANDS.items():
        yield from (".TP", rf"\fBoberonc\-{_plain(name)}\fR(1)", *_lines(line))
    yield ".SH EXIT STATUS"
    for code, meaning in write_commands.exit_codes().items():
        yield from (".TP", rf"\fB{code}\fR", *_lines(meaning))


def _page(command: click.Command, context: click.Context, line: str) -> Iterator[str]:
    yield from _head(f"oberonc-{context.info_name}", line.rstrip("."))
    yield from _body(command, context, ".SH")
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield f'.SS "{_plain(context.command_path)} {_plain(name)}"'
            yield from _body(
                found, click.Context(found, info_name=name, parent=context), ""
            )
    yield from (".SH SEE ALSO", r"\fBoberonc\fR(1)")


def _head(name: str, line: str) -> Iterator[str]:
    # Without a date: a page is as old as the oberonc it came with.
    yield f'.TH "{_plain(name.upper())}" 1 "" "oberonc" "oberonc"'
    yield from (".SH NAME", rf"{_plain(name)} \- {_plain(line)}")


def _body(
    command: click.Command, context: click.Context, heading: str
) -> Iterator[str]:
    """What is said of *command*; with a *heading* macro each part has its own, without
    one the parts follow.
    """
    if heading:
        yield f"{heading} SYNOPSIS"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield rf"\fB{_plain(context.command_path)}\fR {_plain(pieces)}"
    yield f"{heading} DESCRIPTION" if heading else ".PP"
    yield from _text(command.help or "")
    records = [
        record
        for param in command.get_params(context)
        if (record := param.get_help_record(context))
    ]
    options = [(declared, said) for declared, said in records if said]
    if heading and options:
        yield f"{heading} OPTIONS"
    for declared, said in options:
        yield from (".TP", rf"\fB{_plain(declared)}\fR", *_lines(said))
    if command.epilog:
        yield f"{heading} EXAMPLES" if heading else ".PP"
        lines = inspect.cleandoc(command.epilog).splitlines()
        yield from (
            ".EX",
            *(_plain(line) for line in lines if line.startswith("  ")),
            ".EE",
        )


def _text(said: str) -> Iterator[str]:
    """Paragraphs; one that begins with a backspace keeps its lines."""
    for index, paragraph in enumerate(inspect.cleandoc(said).split("\n\n")):
        if index:
            yield ".PP"
        lines = paragraph.splitlines()
        if lines and lines[0] == "\b":
            yield from (".EX", *map(_plain, lines[1:]), ".EE")
        else:
            yield from _lines(" ".join(line.strip() for line in lines))


def _lines(text: str) -> list[str]:
    return [
        _plain(line)
        for line in textwrap.wrap(
            text, 70, break_long_words=False, break_on_hyphens=False
        )
    ]


def _plain(text: str) -> str:
    """*text* without meaning to roff."""
    escaped = (
        text.replace("\\", r"\e")
        .replace("-", r"\-")
        .replace('"', r"\(dq")
        .replace("'", r"\(aq")
        .replace("`", r"\(ga")
        .replace("|", r"|\:")  # a list of choices may go on in the next line
    )
    escaped = escaped.replace("\N{HORIZONTAL ELLIPSIS}", "...")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped
