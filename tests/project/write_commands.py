"""Writes docs/commands.md and docs/man from the commands' own help, and what shells
load for completion: `python -m tests.project.write_commands`.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from oberonc import errors
from oberonc.cli import group

TOP = Path(__file__).parents[2]
FILE = TOP / "docs" / "commands.md"
#: What each shell loads from its folder of completions, under the name it looks for.
COMPLETIONS = {
    shell: TOP / "contrib" / "completions" / shell / name
    for shell, name in (
        ("bash", "oberonc"),
        ("zsh", "_oberonc"),
        ("fish", "oberonc.fish"),
    )
}

HEAD = """\
# Commands

Written from the commands' own help by `python -m tests.project.write_commands`; a test holds it to that.

## Exit codes

| code | means |
|---|---|
"""

CODES = {
    0: "Done.",
    130: "Interrupted.",
}


def exit_codes() -> dict[int, str]:
    """{code: meaning}, from the classes of `oberonc.errors`."""
    found = dict(CODES)
    for thing in vars(errors).values():
        if inspect.isclass(thing) and issubclass(thing, errors.OberoncError):
            found[thing.exit_code] = _first_sentence(thing)
    found[3] = (
        "Unexpected: a fault of oberonc; the message names a file with the details."
    )
    return dict(sorted(found.items()))


def _first_sentence(thing: object) -> str:
    """The first paragraph of the docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def commands() -> Iterator[tuple[str, str]]:
    """(full name, help text) of every command and subcommand."""
    yield from _walk(group, "oberonc", None)


def _walk(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, info_name=name.rpartition(" ")[2], parent=parent, terminal_width=100
    )
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from _walk(found, f"{name} {sub}", context)


def text() -> str:
    """The whole page."""
    rows = "".join(
        f"| {code} | {meaning} |\n" for code, meaning in exit_codes().items()
    )
    sections = (f"\n## {name}\n\n```text\n{said}\n```\n" for name, said in commands())
    return (
        HEAD
        + rows
        + "\nIn a hook every one of these is one line on stderr and exit 0.\n"
        + "".join(sections)
    )


def completion(shell: str) -> str:
    """What click has *shell* load."""
    found = get_completion_class(shell)
    assert found is not None
    return found(group, {}, "oberonc", "_OBERONC_COMPLETE").source()


if __name__ == "__main__":
    from tests.project import write_manuals  # it takes the exit codes from here

    FILE.write_text(text())
    for name, file in COMPLETIONS.items():
        file.write_text(completion(name))
    write_manuals.write()
