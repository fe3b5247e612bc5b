"""`Idempotency-Key`: what is sent twice is answered twice and done once.

The header is that of draft-ietf-httpapi-idempotency-key-header, its text taken as it
is. The answer lasts as long as Django's cache keeps it, and no longer than *timeout*;
two requests at once are told apart by `cache.add`. Should the process die while the
handler runs, the key stays taken until *timeout*: nobody knows how far the handler
came.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from django.core.cache import caches
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from oberonc.piston.authentication import identity
from oberonc.piston.conf import setting
from oberonc.piston.handler import declare
from oberonc.piston.problems import Problem

F = TypeVar("F", bound=Callable[..., Any])


class Reservation(NamedTuple):
    """What a running request has taken: where its answer goes, what was asked."""

    key: str
    fingerprint: str


@dataclass(frozen=True)
class Idempotency:
    """Answers kept for *timeout* seconds: see `idempotent`.

    The cache holds under the hashed key (fingerprint of the request, answer); the
    answer is None as long as there is none, else (status, headers, content).
    """

    timeout: int
    required: bool

    def begin(self, request: Any, handler_class: type) -> HttpResponse | None:
        """The stored answer; None: run the handler, then call `finish` or `abandon`.

        Raises Problem 400 for a missing or empty key, 409 while the first request runs,
        422 for a key that was sent with another request.
        """
        request.idempotency = None
        sent = request.headers.get("Idempotency-Key")
        if sent is None and not self.required:
            return None
        if sent is None or not sent.strip():
            raise Problem(400, "The header Idempotency-Key is missing or empty.")
        name = f"{handler_class.__module__}.{handler_class.__qualname__}"
        taken = Reservation(
            "piston:idempotency:"
            + _hash(name, request.method, request.path, *identity(request), sent),
            _fingerprint(request),
        )
        cache = caches[setting("CACHE")]
        if cache.add(taken.key, (taken.fingerprint, None), self.timeout):
            request.idempotency = taken
            return None
        fingerprint, answer = cache.get(taken.key, ("", None))
        if fingerprint and fingerprint != taken.fingerprint:
            raise Problem(422, "This Idempotency-Key was sent with another request.")
        if answer is None:
            raise Problem(
                409,
                "The first request with this Idempotency-Key has no answer yet.",
                headers={"Retry-After": "1"},
            )
        status, headers, content = answer
        return HttpResponse(content, status=status, headers=dict(headers))

    def finish(self, request: Any, response: HttpResponseBase) -> None:
        """Keep *response*, unless it is a 5xx: then the next request runs the handler.

        A stream is not kept; its key stays taken, since the handler has run. Cookies
        are not kept either: they belong to the first client.
        """
        taken = request.idempotency
        if taken is None or response.streaming:
            return
        if response.status_code >= 500:
            self.abandon(request)
            return
        answer = response.status_code, list(response.items()), response.content
        caches[setting("CACHE")].set(
            taken.key, (taken.fingerprint, answer), self.timeout
        )

    def abandon(self, request: Any) -> None:
        """The handler raised: the next request with this key runs it."""
        if request.idempotency is not None:
            caches[setting("CACHE")].delete(request.idempotency.key)


def _fingerprint(request: Any) -> str:
    """Equal for requests that ask for the same; a multipart boundary is random."""
    body = request.body
    boundary = request.content_params.get("boundary", "")
    if boundary and request.content_type.startswith("multipart/"):
        body = body.replace(boundary.encode(), b"")
    digest = sha256(body).hexdigest()
    return _hash(request.content_type, request.META.get("QUERY_STRING", ""), digest)


def _hash(*parts: str) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()


def idempotent(timeout: int = 86400, required: bool = False) -> Callable[[F], F]:
    """Run the handler once for each `Idempotency-Key` of a user, method and path.

    *timeout* is in seconds; without *required*, a request without the header just runs.

    Raises ValueError for a *timeout* below 1.
    """
    if timeout < 1:
        raise ValueError(f"idempotent(timeout={timeout}) keeps nothing")
    return lambda function: declare(
        function, "idempotent", Idempotency(timeout, required)
    )
