"""What stands in a table of the configuration: is each key known, and its value what it
must be? Everything here raises ConfigError with file, key and mend.
"""

from __future__ import annotations

import os

from oberonc import paths
from oberonc.errors import ConfigError
from oberonc.text import nearest, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def check(
    table: dict[str, Any], known: Mapping[str, type], file: str, prefix: str
) -> None:
    """Raise ConfigError unless every key of *table* is *known*, and its value of that
    kind; *prefix* is what stands before the key.
    """
    for key, value in table.items():
        if key not in known:
            raise ConfigError(
                f"{file}: unknown key '{prefix}{key}'{nearest(key, list(known))}"
            )
        _check_type(value, known[key], f"{file}: '{prefix}{key}'")


def _check_type(value: Any, kind: type, where: str) -> None:
    good = isinstance(value, (int, float) if kind is float else kind)
    if not good or (kind in (int, float) and isinstance(value, bool)):
        names = {
            bool: "true or false",
            str: "text",
            list: "a list of texts",
            dict: "a table",
            int: "a whole number",
            float: "a number",
        }
        raise ConfigError(f"{where} must be {names[kind]}")
    if kind is list and not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where} must be a list of texts")


def folder(given: str | None, default: str, file: str, key: str) -> str:
    """The folder that *key* names, in full; *default* where nothing is *given*."""
    if given is None:
        return default
    path = given
    if given.startswith("~/"):
        path = os.path.join(paths.home(), given[2:])
    if not path.startswith("/") or not given.isprintable():
        raise ConfigError(
            f"{file}: '{key}' must be an absolute path or begin with ~/, not '{one_line(given)}'"
        )
    return path


def one_of(value: str, choices: tuple[str, ...], file: str, key: str) -> str:
    """*value*, which must be one of *choices*."""
    if value not in choices:
        raise ConfigError(
            f"{file}: '{key}' is '{value}'; it must be one of {', '.join(choices)}"
        )
    return value


def check_settings(value: Any, file: str, where: str) -> None:
    """Raise ConfigError for what JSON has not, as which settings travel: dates."""
    if isinstance(value, dict):
        for key, item in value.items():
            check_settings(item, file, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            check_settings(item, file, where)
    elif not isinstance(value, (str, int, float)):
        raise ConfigError(f"{file}: '{where}' is a date or time: write it in quotes")
