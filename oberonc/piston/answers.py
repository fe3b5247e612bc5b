"""Answers made of what a handler gave back or raised."""

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.encoding import iri_to_uri
from django.utils.http import http_date

from oberonc.piston import conditional, streams
from oberonc.piston.conf import current
from oberonc.piston.construct import Construction, link
from oberonc.piston.emitters import Emitter, problem_body, to_bytes
from oberonc.piston.handler import BaseHandler
from oberonc.piston.paging import Page
from oberonc.piston.problems import Problem
from oberonc.piston.replies import Reply

logger: Final = logging.getLogger("django.request")
_NOTHING: Final = object()
_BODILESS: Final = (204, 304)


def asks_condition(request: HttpRequest) -> bool:
    """Whether a request has a precondition (RFC 9110 section 13.1)."""
    meta = request.META
    return (
        "HTTP_IF_NONE_MATCH" in meta
        or "HTTP_IF_MATCH" in meta
        or "HTTP_IF_MODIFIED_SINCE" in meta
        or "HTTP_IF_UNMODIFIED_SINCE" in meta
    )


class Exchange:
    """One request on its way through the steps."""

    def __init__(
        self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.request = request
        self.method: str = request.method
        self.reading = request.method in ("GET", "HEAD")
        self.args = args
        self.kwargs = kwargs
        self.piston = current()
        self.handler: BaseHandler = BaseHandler()
        #: Of the formats of the handler, of which the answer has one.
        self.names: tuple[str, ...] = ()
        self.format: str | None = None
        self.conditional = asks_condition(request)
        #: Headers that decided about the answer.
        self.vary: tuple[str, ...] = ()
        #: What the handler said of the thing before it was asked for it.
        self.etag: str | None = None
        self.last_modified: datetime | None = None
        #: Whether the function of the handler was called.
        self.ran = False
        #: Whether the answer is a response of the handler's own.
        self.untouched = False


def answer(exchange: Exchange, result: Any) -> HttpResponseBase:
    """What is sent of a result: the emitted data with its headers.

    Raises the Problem of a reply from 400 on, and what emitting raises.
    """
    if isinstance(result, Reply):
        return _reply(exchange, result)
    if isinstance(result, HttpResponseBase):
        exchange.untouched = True
        return result
    if result is None and not exchange.reading:
        return empty(204, {})
    if exchange.method != "POST":
        return _emitted(exchange, result, 200)
    response = _emitted(exchange, result, 201)
    if hasattr(exchange.handler, "resource_uri"):
        location = link(exchange.handler, result)
        if location is not None:
            response["Location"] = iri_to_uri(location)
    return response


def _reply(exchange: Exchange, reply: Reply) -> HttpResponseBase:
    if reply.status_code >= 400:
        raise reply.problem()
    if reply.empty or reply.status_code in _BODILESS:
        response = empty(reply.status_code, {})
    else:
        response = _emitted(exchange, reply.content, reply.status_code)
    for name, value in reply.items():
        response[name] = value
    response.cookies.update(reply.cookies)
    return response


def _emitted(exchange: Exchange, data: Any, status: int) -> HttpResponseBase:
    headers: dict[str, str] = {}
    if isinstance(data, Page):
        headers, data = data.headers(), data.items
    if streams.is_stream(data):
        return _streamed(exchange, data, status, headers)
    name = str(exchange.format)
    emitter, content_type, _ = Emitter.formats[name]
    body = to_bytes(
        emitter(data, exchange.handler, exchange.request).render(exchange.request)
    )
    headers["Content-Type"] = content_type
    headers["Content-Length"] = str(len(body))
    if exchange.reading and status == 200:
        tag = exchange.etag or conditional.entity_tag(body, name)
        if exchange.conditional:
            refused = check(exchange, (tag,), tag)
            if refused is not None:
                return refused
        headers["ETag"] = tag
        if exchange.last_modified is not None:
            headers["Last-Modified"] = http_date(exchange.last_modified.timestamp())
    return HttpResponse(body, status=status, headers=headers)


def _streamed(
    exchange: Exchange, data: Any, status: int, headers: dict[str, str]
) -> HttpResponseBase:
    request = exchange.request
    emitter, content_type, _ = Emitter.formats[str(exchange.format)]
    items = streams.drawn(data, request)
    if exchange.method == "HEAD":
        streams.first(items)
        streams.close(items)
        response = streams.empty_response(request)
    elif emitter.streams():
        response = streams.response(emitter, items, exchange.handler, request)
    else:
        return _emitted(exchange, list(items), status)
    response.status_code = status
    for name, value in {**headers, "Content-Type": content_type}.items():
        response[name] = value
    return response


def empty(status: int, headers: Mapping[str, str]) -> HttpResponse:
    """An answer without a body, and without a type for it."""
    response = HttpResponse(status=status, headers=headers)
    del response["Content-Type"]
    if status not in _BODILESS:
        response["Content-Length"] = "0"
    return response


def check(
    exchange: Exchange, tags: tuple[str, ...], tag: str | None, exists: bool = True
) -> HttpResponse | None:
    """None where the preconditions hold, else the 304; raises Problem 412."""
    status = conditional.check(
        exchange.request, tags, tag, exchange.last_modified, exists
    )
    if status == 412:
        raise Problem(412, "It is not, or not any more, what the precondition says.")
    if status is None:
        return None
    headers = {"ETag": tag} if tag else {}
    if exchange.last_modified is not None:
        headers["Last-Modified"] = http_date(exchange.last_modified.timestamp())
    return empty(status, headers)


def as_problem(error: Exception) -> Problem | None:
    """What an exception says to a client; None for one that is a bug."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Http404):
        said = error.args[0] if error.args else ""
        return Problem(404, said if isinstance(said, str) else "")
    if isinstance(error, PermissionDenied):
        return Problem(403, error)
    if isinstance(error, RequestDataTooBig):
        return Problem(413)
    if isinstance(error, (SuspiciousOperation, BadRequest)):
        return Problem(400)
    if isinstance(error, ValidationError):
        from oberonc.piston.faults import django_faults, unprocessable

        return unprocessable(django_faults(error))
    return None


def bug(error: Exception, request: HttpRequest) -> Problem:
    """Tell the log and the signal of an error, and a client where to find it."""
    instance = uuid.uuid4().urn
    logger.error(
        "%s: %s %s",
        instance,
        request.method,
        request.path,
        exc_info=error,
        extra={"status_code": 500, "request": request},
    )
    got_request_exception.send(sender=None, request=request)
    return Problem(500, "The error is logged under `instance`.", instance=instance)


def problem_response(problem: Problem, format: str | None) -> HttpResponse:
    """A problem document in what is nearest to a format."""
    document = Construction().plain(problem.document())
    body, content_type = problem_body(document, format)
    headers = {
        **problem.headers,
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
    }
    return HttpResponse(body, status=problem.status, headers=headers)


def shows_debug_page(request: HttpRequest) -> bool:
    """Whether a person looks at an error while developing."""
    return settings.DEBUG and "text/html" in request.META.get("HTTP_ACCEPT", "").lower()


def tags(exchange: Exchange, result: Any) -> tuple[str, ...]:
    """The entity tags of a result of `read` in each format."""
    if isinstance(result, Reply):
        result = result.content
    if isinstance(result, HttpResponseBase):
        return (result["ETag"],) if "ETag" in result else ()
    if isinstance(result, Page):
        result = result.items
    if streams.is_stream(result):
        result = list(streams.drawn(result, exchange.request))
    found = []
    for name in exchange.names:
        emitter = Emitter.formats[name].emitter(
            result, exchange.handler, exchange.request
        )
        body = to_bytes(emitter.render(exchange.request))
        found.append(conditional.entity_tag(body, name))
    return tuple(found)
