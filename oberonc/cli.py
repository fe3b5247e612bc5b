"""The command: loads a subcommand only when it is asked for, and turns exceptions into
exit codes.
"""

import io
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

import oberonc
from oberonc import exits
from oberonc.errors import ConfigError
from oberonc.process import open_standard_streams
from oberonc.text import clean, nearest

#: Name and help line of every command, so that `oberonc --help` loads none of them.
COMMANDS = {
    "send": "Give a commit message, commits or a payload to the services.",
    "brokers": "Brokers and services: where from, state, settings; run or test one.",
    "stats": "What the daemon did and has to do.",
    "reload": "New broker code and configuration, without disrupting service.",
    "daemon": "Run the daemon in the foreground.",
    "web": "Run the HTTP face in the foreground: webhooks of forges.",
    "mirror": "Copies of hosted repositories, by which their pushes are read.",
    "queue": "List, show, retry and drop deliveries; pause and resume services.",
    "log": "What happened to a push, per service, and why.",
    "hook": "Install, show and remove the hooks of a repository.",
    "parse": "What the grammar sees in a commit message, and why.",
    "issues": "The embedded issue tracker.",
    "rename": "Let issues and waiting work follow a repository that has another name.",
    "demo": "A real repository, hook, issue and push, step by step.",
    "init": "Write a configuration.",
    "config": "The effective configuration, and where each value came from.",
    "doctor": "What is wrong with this installation, and what mends it.",
    "backup": "A copy of the queue while the daemon runs.",
}


#: What people try first, and where it is.
_MEANT = {
    "install": "hook install",
    "uninstall": "hook uninstall",
    "status": "hook status",
    "run": "send",
    "test": "brokers test",
    "retry": "queue retry",
    "start": "daemon",
    "serve": "daemon",
    "help": "--help",
    "version": "--version",
}


class LazyGroup(click.Group):
    """A group that imports `oberonc.commands.NAME` when NAME is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"oberonc.commands.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (
            args
            and args[0] not in COMMANDS
            and args[0][:1] != "-"
            and not ctx.resilient_parsing
        ):
            meant = {word: f"oberonc {words}" for word, words in _MEANT.items()}
            near = nearest(args[0], COMMANDS, meant)
            ctx.fail(f"there is no command '{args[0]}'{near}")
        return super().resolve_command(ctx, args)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Complete from the table above: loading every command for its help line would
        take a second.
        """
        found = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return (
            found
            if incomplete[:1] != "-"
            else click.Command.shell_complete(self, ctx, incomplete)
        )

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"oberonc {oberonc.__version__}")
        ctx.exit()


_CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    # 80 where the help goes into a file
    "max_content_width": shutil.get_terminal_size().columns
    if sys.stdout is not None and sys.stdout.isatty()
    else 80,
}


@click.group(cls=LazyGroup, context_settings=_CONTEXT)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Read this configuration as the last layer.",
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
@click.pass_context
def group(ctx: click.Context, config_path: str | None) -> None:
    """A push moves the work that hangs on it: commit messages in, brokers out."""
    from oberonc.commands import Session

    ctx.obj = Session(config_path)
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        ctx.color = True  # also where it goes through a pager


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with its documented code."""
    _reopen_closed_streams()
    if os.environ.get("_OBERONC_COMPLETE", "").endswith("_complete"):
        # A shell asks what it may offer: whatever is wrong, nothing is written between
        # somebody's keys.
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    code = _run([_text(word) for word in (sys.argv[1:] if argv is None else argv)])
    _drop_unwritten()
    sys.exit(code)


def _text(word: str) -> str:
    """A word of the command line, as UTF-8 unless it names a file."""
    names = (word, word.partition("=")[2])
    return word if any(map(os.path.lexists, names)) else clean(word)


def _drop_unwritten() -> None:
    # Python writes at exit what is left, and complains when the reader is gone or the
    # disk is full.
    for stream, fd in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


def _reopen_closed_streams() -> None:
    open_standard_streams()
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal that knows no UTF-8 still gets every line
            stream.reconfigure(errors="backslashreplace")


def _run(argv: list[str]) -> int:
    try:
        _refuse_archives()
        code: Any = group.main(argv, prog_name="oberonc", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        exits.complain(_with_hint(error))
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as end:
        # click puts a wrapper there when the reader went away (`oberonc log | head`):
        # nothing is wrong
        return int(end.code or 0) if isinstance(sys.stdout, io.TextIOWrapper) else 0
    except Exception as error:  # noqa: BLE001  here a bug becomes an exit code
        return exits.code_of(error)


def _refuse_archives() -> None:
    """A zipapp, and what shiv and pex make, begins in a zip file. Hooks, brokers and
    units are files, and children of this interpreter could not import oberonc.
    """
    loader = getattr(sys.modules["__main__"], "__loader__", None)
    if type(loader).__name__ == "zipimporter":
        raise ConfigError(
            f"{sys.argv[0]} is an archive, from which hooks and brokers cannot run; "
            "install it (`pipx install oberonc`, `uv tool install oberonc`)"
        )


def _with_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see '{context.command_path} --help')" if context else ""
    return error.format_message() + hint
