"""Who asks: authenticators, which a Resource tries one after the other.

An authenticator has `is_authenticated(request)`, plain or async: True after it has set
`request.user`, False when the request has no credentials of its kind, BadCredentials
when they are wrong. `challenge()` is what it has to say in `WWW-Authenticate`, or None;
`vary` names the request headers it reads; `openapi` is its security scheme.
"""

import base64
import hmac
import re
from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass
from inspect import iscoroutine, iscoroutinefunction
from typing import Any, ClassVar, Final, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.debug import sensitive_variables

from oberonc.piston import mimers
from oberonc.piston.conf import current, setting
from oberonc.piston.problems import Problem

#: Of the credentials after the scheme (RFC 9110, 11.2; RFC 6750, 2.1).
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
#: Neither in names nor in passwords (RFC 7617, 2); some databases choke on the first.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class BadCredentials(Exception):
    """Credentials that are wrong: refused at once, nobody else is asked.

    *challenge* stands in for the authenticator's own in this answer.
    """

    def __init__(self, detail: str = "", challenge: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.challenge = challenge


@dataclass(unsafe_hash=True)
class Principal:
    """A user without a database, known by *name*."""

    name: str
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    pk: ClassVar[None] = None

    def get_username(self) -> str:
        """The name."""
        return self.name

    def __str__(self) -> str:
        return self.name


@dataclass(unsafe_hash=True)
class Anonymous(Principal):
    """Nobody, where nothing has set `request.user`; needs no `django.contrib.auth`."""

    name: str = ""
    is_authenticated: ClassVar[bool] = False
    is_anonymous: ClassVar[bool] = True
    is_active: ClassVar[bool] = False


class Authenticator(Protocol):
    """What a Resource needs of an authenticator; `vary` and `openapi` are optional."""

    def is_authenticated(self, request: Any) -> bool | Awaitable[bool]:
        """See the module."""

    def challenge(self) -> str | None:
        """See the module."""


class NoAuthentication:
    """Everybody may, as nobody."""

    vary: ClassVar[tuple[str, ...]] = ()

    def is_authenticated(self, request: Any) -> bool:
        """True."""
        be_nobody(request)
        return True

    def challenge(self) -> str | None:
        """None."""
        return None


class HttpBasicAuthentication:
    """Name and password (RFC 7617), checked by Django's `authenticate` or by
    `auth_func(username=, password=)`, which returns a user, True for a Principal of
    that name, or what is false.
    """

    openapi: ClassVar[dict[str, Any]] = {"type": "http", "scheme": "basic"}

    def __init__(
        self, auth_func: Callable[..., Any] | None = None, realm: str = "API"
    ) -> None:
        self.auth_func = auth_func
        self.realm = _quoted(realm)

    @sensitive_variables()
    def is_authenticated(self, request: Any) -> bool:
        """Raises BadCredentials for a malformed header and for a wrong password."""
        credentials = _credentials(request, "basic")
        if credentials is None:
            return False
        try:
            text = base64.b64decode(credentials, validate=True).decode()
        except ValueError:
            raise BadCredentials("The credentials are not base64 of UTF-8.") from None
        username, colon, password = text.partition(":")
        if not colon or _CONTROLS.search(text):
            raise BadCredentials("The credentials are not a name, a colon, a password.")
        user = self.user(request, username, password)
        if not _found(user):
            raise BadCredentials("Wrong name or password.")
        request.user = Principal(username) if user is True else user
        return True

    def user(self, request: Any, username: str, password: str) -> Any:
        """Whom name and password belong to, or None."""
        if self.auth_func is not None:
            return self.auth_func(username=username, password=password)
        from django.contrib.auth import authenticate  # wants its app to be installed

        return authenticate(request, username=username, password=password)

    def challenge(self) -> str:
        """Tells clients to encode as UTF-8 (RFC 7617, 2.1)."""
        return f'Basic realm="{self.realm}", charset="UTF-8"'


class HttpBasicSimple(HttpBasicAuthentication):
    """One name and one password, compared in constant time; the user is a Principal.

    Raises ImproperlyConfigured for an empty name or password.
    """

    def __init__(self, realm: str, username: str, password: str) -> None:
        super().__init__(realm=realm)
        if not username or not password:
            raise ImproperlyConfigured("HttpBasicSimple needs a name and a password.")
        self._expected = username.encode(), password.encode()

    @sensitive_variables()
    def user(self, request: Any, username: str, password: str) -> Principal | None:
        """The Principal, if both are right."""
        name_is_right = hmac.compare_digest(username.encode(), self._expected[0])
        password_is_right = hmac.compare_digest(password.encode(), self._expected[1])
        if name_is_right & password_is_right:
            return Principal(username)
        return None


class BearerAuthentication:
    """A token (RFC 6750) in the `Authorization` header, never in the query string,
    which ends up in logs. `verify(token)` returns a user or None, and may be async.
    """

    openapi: ClassVar[dict[str, Any]] = {"type": "http", "scheme": "bearer"}

    def __init__(self, verify: Callable[[str], Any], realm: str = "API") -> None:
        self.verify = verify
        self.realm = _quoted(realm)
        if iscoroutinefunction(verify) or iscoroutinefunction(type(verify).__call__):
            self.is_authenticated = self._is_authenticated_async

    @sensitive_variables()
    def is_authenticated(self, request: Any) -> bool:
        """Raises BadCredentials for a malformed and for a wrong token."""
        token = self._token(request)
        return token is not None and self._is_user(request, self.verify(token))

    @sensitive_variables()
    async def _is_authenticated_async(self, request: Any) -> bool:
        token = self._token(request)
        return token is not None and self._is_user(request, await self.verify(token))

    def _token(self, request: Any) -> str | None:
        token = _credentials(request, "bearer")
        if token is not None and not _TOKEN68.fullmatch(token):
            raise self._bad("The token is malformed.")
        return token

    def _is_user(self, request: Any, user: Any) -> bool:
        if not _found(user):
            raise self._bad("The token is not valid.")
        request.user = user
        return True

    def _bad(self, detail: str) -> BadCredentials:
        return BadCredentials(detail, f'{self.challenge()}, error="invalid_token"')

    def challenge(self) -> str:
        """Without an error code where there was no token (RFC 6750, 3.1)."""
        return f'Bearer realm="{self.realm}"'


class SessionAuthentication:
    """The user who is logged in by Django's sessions.

    A browser sends the cookie with what other sites make it send, so unsafe methods
    need Django's CSRF token as well, in the header `X-CSRFToken` or in a form.
    """

    vary: ClassVar[tuple[str, ...]] = ("Cookie",)

    @property
    def openapi(self) -> dict[str, Any]:
        """The session cookie."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}

    def is_authenticated(self, request: Any) -> bool:
        """Raises PermissionDenied for a missing or wrong CSRF token, Problem 413 for a
        form that is too long, 400 for a malformed one, ImproperlyConfigured where no
        middleware has set `request.user`.
        """
        if not hasattr(request, "user"):
            raise ImproperlyConfigured(
                "SessionAuthentication needs AuthenticationMiddleware in MIDDLEWARE."
            )
        if not request.user.is_authenticated:
            return False
        _require_csrf_token(request)
        return True

    def challenge(self) -> str | None:
        """None: no scheme of HTTP logs in to a session."""
        return None


def _require_csrf_token(request: Any) -> None:
    probe = request
    if settings.CSRF_HEADER_NAME in request.META and request.method == "POST":
        # Django would look into the form first, and take the body away from the parser.
        # For any other method it looks at the header alone.
        probe = copy(request)
        probe.method = "PUT"
    if probe.method == "POST":
        raw_body(request)  # read now, it stays readable after the form
    middleware = CsrfViewMiddleware(_nothing)
    middleware.process_request(probe)
    try:
        refusal = middleware.process_view(probe, _nothing, (), {})
    except MultiPartParserError as error:
        raise Problem(400, error) from None
    if refusal is not None:
        raise PermissionDenied("The CSRF token is missing or wrong.")


def _nothing(request: Any) -> HttpResponse:
    return HttpResponse()


def identity(request: Any) -> tuple[str, str]:
    """Whom a request is counted for: its user, else the address it comes from.

    Behind `PISTON["PROXIES"]` = n proxies, each of which adds to `X-Forwarded-For` whom
    it was asked by, the n-th entry from the end was written by the outermost of them,
    and what stands before that by anybody. A request with fewer entries did not pass
    them all.
    """
    user: Any = getattr(request, "user", None)
    if getattr(user, "is_authenticated", False):
        if getattr(user, "pk", None) is not None:
            return "user", str(user.pk)
        return "name", user.get_username()
    address = request.META.get("REMOTE_ADDR", "")
    proxies = setting("PROXIES")
    if proxies > 0:
        entries = request.headers.get("X-Forwarded-For", "").split(",")
        if len(entries) >= proxies:
            address = entries[-proxies].strip() or address
    return "address", address


def be_nobody(request: Any) -> None:
    """Set `request.user` to Anonymous where nothing but a session says who it is.

    A session's user counts only for SessionAuthentication, which looks at the CSRF token:
    else a form on another site could make a browser act as whoever is logged in.
    """
    if hasattr(request, "session") or not hasattr(request, "user"):
        request.user = Anonymous()


def raw_body(request: Any) -> bytes:
    """The body as it came, which stays readable; raises Problem 413 for a long one."""
    if hasattr(request, "body_limit"):  # a Resource knows that of its handler
        limit = request.body_limit
    else:
        limit = mimers.body_limit(None, current())
    return mimers.read(request, limit) or b""


def _found(user: Any) -> bool:
    """Whether there is a user; a coroutine that nobody awaits is none, though it is true.

    Raises ImproperlyConfigured for one.
    """
    if iscoroutine(user):
        user.close()
        raise ImproperlyConfigured(
            "Only `verify` of BearerAuthentication may be async, as `async def`."
        )
    return bool(user)


def _credentials(request: Any, scheme: str) -> str | None:
    """What follows *scheme* in `Authorization`; None where it has another scheme."""
    given, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip(" ") if given.lower() == scheme else None


def _quoted(realm: str) -> str:
    """The inside of a quoted string (RFC 9110, 5.6.4)."""
    if not realm.isascii() or not realm.isprintable():
        raise ImproperlyConfigured(f"The realm {realm!r} is not printable ASCII.")
    return realm.replace("\\", "\\\\").replace('"', '\\"')
