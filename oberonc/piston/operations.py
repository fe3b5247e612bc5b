"""What a handler can do at a URL, by the signatures of its functions."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from oberonc.piston.construct import check_fields
from oberonc.piston.handler import (
    FUNCTIONS,
    AnonymousBaseHandler,
    BaseHandler,
    declared,
)


class Operation(NamedTuple):
    """A function that answers one method at one URL, and what was declared on it."""

    name: str
    throttle: Any
    mimes: Collection[str] | None
    idempotency: Any
    validations: tuple[Any, ...]


class Route(NamedTuple):
    """What a handler can do at a URL with these arguments."""

    operations: Mapping[str, Operation]
    #: The value of the header `Allow`.
    allow: str
    authorizes: bool
    #: Whether the handler has `etag` or `last_modified`.
    tells_version: bool


def find_route(handler: type[BaseHandler], count: int, names: Collection[str]) -> Route:
    """What a handler can do at a URL with arguments of these names, `count` others."""
    operations = {}
    for method, name in FUNCTIONS.items():
        function = getattr(handler, name, None)
        allowed = handler.allowed_methods is None or method in handler.allowed_methods
        if not (callable(function) and allowed and _takes(handler, name, count, names)):
            continue
        notes = declared(function)
        operations[method] = Operation(
            name,
            notes.get("throttle"),
            notes.get("require_mime"),
            notes.get("idempotent"),
            tuple(notes.get("validate", ())),
        )
        if method == "GET":
            operations["HEAD"] = operations["GET"]
    return Route(
        operations,
        allow=", ".join((*operations, "OPTIONS")),
        authorizes=hasattr(handler, "authorize"),
        tells_version=hasattr(handler, "etag") or hasattr(handler, "last_modified"),
    )


def _takes(
    handler: type[BaseHandler], name: str, count: int, names: Collection[str]
) -> bool:
    """Whether a function can be called with a request and these arguments."""
    function = getattr(handler(), name)
    if "of_one" in declared(function) and not (count or names):
        return False  # it takes any lookups, but not none
    signature = inspect.signature(function)
    try:
        signature.bind(None, *[None] * count, **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def check_handler(handler: type[BaseHandler]) -> None:
    """Raise ImproperlyConfigured for what cannot be meant."""
    methods = handler.allowed_methods
    if methods is not None and methods is not AnonymousBaseHandler.allowed_methods:
        for method in methods:
            name = FUNCTIONS.get("GET" if method == "HEAD" else method)
            if method == "OPTIONS" or callable(getattr(handler, name or "", None)):
                continue
            missing = f"the function {name!r}" if name else "a function for it"
            raise ImproperlyConfigured(
                f"{handler.__name__}.allowed_methods has {method!r}, "
                f"but the handler has not {missing}."
            )
    for attribute in ("fields", "list_fields"):
        try:
            check_fields(getattr(handler, attribute), f"{handler.__name__}.{attribute}")
        except TypeError as error:
            raise ImproperlyConfigured(str(error)) from error
