"""Whether what a request says of the thing still holds (RFC 9110 section 13).

A handler that has `etag` or `last_modified` is asked before anything runs. Otherwise
the tags of a write are those of what `read` gives in each format, and those of a read
are known with its body. The comparison is no lock.
"""

from typing import Any, Final

from django.http import Http404, HttpRequest

from oberonc.piston import answers, conditional
from oberonc.piston.answers import Exchange
from oberonc.piston.driver import NO_ARGUMENTS, Steps
from oberonc.piston.operations import Route
from oberonc.piston.problems import Problem
from oberonc.piston.replies import Reply

_WRITES: Final = ("PUT", "PATCH", "DELETE")
_ABSENT: Final = (404, 410)


def preconditions(exchange: Exchange, route: Route) -> Steps:
    """The 304, or None to go on; raises Problem 412, or 428 where one is missing."""
    writes = exchange.method in _WRITES
    if exchange.handler.require_match and writes and not _protects(exchange):
        raise Problem(428, "Send If-Match with the ETag of what you change.")
    if not exchange.conditional and not exchange.reading:
        return None
    try:
        version = yield from _told(exchange, "etag")
        exchange.last_modified = yield from _told(exchange, "last_modified")
    except Http404:
        return None if exchange.reading else _absent(exchange)
    if version is not None:
        tags = tuple(conditional.version_tag(version, name) for name in exchange.names)
        exchange.etag = tags[exchange.names.index(str(exchange.format))]
        return answers.check(exchange, tags, exchange.etag)
    if exchange.last_modified is not None and not _names_tags(exchange.request):
        return answers.check(exchange, (), None)
    if not writes:
        return None
    found = yield from _tags_of_read(exchange, route)
    return _absent(exchange) if found is None else answers.check(exchange, found, None)


def _protects(exchange: Exchange) -> bool:
    """Whether a write has a precondition that counts: a date does where there is one."""
    return _names_tags(exchange.request) or (
        "HTTP_IF_UNMODIFIED_SINCE" in exchange.request.META
        and hasattr(exchange.handler, "last_modified")
    )


def _told(exchange: Exchange, name: str) -> Steps:
    """What the handler says of the thing; None where it has no such function."""
    ask: Any = getattr(exchange.handler, name, None)
    if ask is None:
        return None
    return (yield ask, (exchange.request, *exchange.args), exchange.kwargs)


def _tags_of_read(exchange: Exchange, route: Route) -> Steps:
    """The tags of what `read` gives, in each format; None if there is nothing."""
    operation = route.operations.get("GET")
    if operation is None:
        return ()
    request = exchange.request
    for validation in operation.validations:
        yield validation.apply, (request,), NO_ARGUMENTS
    read = getattr(exchange.handler, operation.name)
    try:
        result = yield read, (request, *exchange.args), exchange.kwargs
    except Http404:
        return None
    except Problem as problem:
        if problem.status in _ABSENT:
            return None
        raise
    if isinstance(result, Reply) and result.status_code in _ABSENT:
        return None
    return (yield answers.tags, (exchange, result), NO_ARGUMENTS)


def _absent(exchange: Exchange) -> None:
    answers.check(exchange, (), None, exists=False)


def _names_tags(request: HttpRequest) -> bool:
    return "HTTP_IF_MATCH" in request.META or "HTTP_IF_NONE_MATCH" in request.META
