"""Where a URLconf has Resources, and with which arguments."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from oberonc.piston.resource import Resource


class Route(NamedTuple):
    """A URL at which a Resource answers."""

    path: str  #: with its arguments in braces: `/books/{id}/`
    arguments: dict[str, Any]  #: name to converter; None where a regular expression is
    fixed: dict[str, Any]  #: arguments that the URLconf gives, not the URL
    resource: Resource
    name: str  #: with its namespaces; empty where the URL has none

    def names(self) -> frozenset[str]:
        """The arguments that a function is called with."""
        return frozenset({*self.arguments, *self.fixed} - {"emitter_format"})


def routes(urlconf: Any = None) -> list[Route]:
    """Every URL of a Resource in `urlconf` (default: the project's), in its order.

    A Resource that is wrapped in a decorator is found if the decorator uses
    `functools.wraps`.
    """
    return list(_walk(get_resolver(urlconf).url_patterns, "/", {}, {}, ""))


def _walk(
    patterns: Any,
    before: str,
    arguments: dict[str, Any],
    fixed: dict[str, Any],
    names: str,
) -> Iterator[Route]:
    for entry in patterns:
        path, own = _template(entry.pattern)
        path, own = before + path, arguments | own
        if isinstance(entry, URLResolver):
            inner = names + entry.namespace + ":" if entry.namespace else names
            extra = fixed | entry.default_kwargs
            yield from _walk(entry.url_patterns, path, own, extra, inner)
        elif isinstance(entry, URLPattern):
            resource = inspect.unwrap(entry.callback)
            if isinstance(resource, Resource):
                name = names + entry.name if entry.name else ""
                yield Route(path, own, fixed | entry.default_args, resource, name)


def _template(pattern: Any) -> tuple[str, dict[str, Any]]:
    """A URL pattern with its arguments in braces, and their converters."""
    text = str(pattern)
    if not isinstance(pattern, RegexPattern):
        path = re.sub(r"<(?:[^<>:]+:)?([^<>]+)>", r"{\1}", text)
        return path, dict(getattr(pattern, "converters", {}))
    names: dict[str, Any] = {}
    path, at = "", 0
    while at < len(text):
        group = re.compile(r"\(\?P<(\w+)>").match(text, at)
        if group:
            names[group[1]] = None
            path += "{" + group[1] + "}"
            at = _end(text, at)
        elif text[at] == "\\":
            path += "" if text[at + 1 : at + 2] in "AZbB" else text[at + 1 : at + 2]
            at += 2
        elif text.startswith("(?:", at):
            at += 3
        else:
            path += "" if text[at] in "^$?)" else text[at]
            at += 1
    return path, names


def _end(text: str, at: int) -> int:
    """The place behind the parenthesis that opens at `at`."""
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "()":
            depth += 1 if text[at] == "(" else -1
            if depth == 0:
                return at + 1
        at += 1
    return at
