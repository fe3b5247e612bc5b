"""The commands, one file each, and what they share: the session and the one way to print."""

import json
from functools import cached_property
from typing import Any

import click

from oberonc import config as configuration
from oberonc.text import visible


class Session:
    """What one run of the command knows: which configuration was named, and that configuration once asked for."""

    def __init__(self, config_path: str | None = None) -> None:
        self.config_path = config_path

    @cached_property
    def config(self) -> configuration.Config:
        """The effective configuration; raises ConfigError."""
        return configuration.load(self.config_path)


pass_session = click.make_pass_decorator(Session, ensure=True)


def show(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print *text*; what would steer the terminal is shown instead of obeyed."""
    click.echo(visible(text), err=err, nl=nl)


def show_json(value: Any) -> None:
    """Print *value* for programs: JSON in ASCII, one document."""
    click.echo(json.dumps(value, indent=2))


def example(*lines: str) -> str:
    """The examples under a command's help, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
