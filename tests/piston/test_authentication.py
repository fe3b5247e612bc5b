"""Authenticators, each by itself: who is let in, and what the others hear."""

import base64
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.test import RequestFactory, override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.piston import (
    BadCredentials,
    BearerAuthentication,
    HttpBasicAuthentication,
    HttpBasicSimple,
    NoAuthentication,
    Principal,
    Problem,
    SessionAuthentication,
)

SIMPLE = HttpBasicSimple("API", "ann", "pass:wörd")


def sent(authorization: str | None = None, **more: Any) -> HttpRequest:
    if authorization is not None:
        more["HTTP_AUTHORIZATION"] = authorization
    return RequestFactory().get("/", **more)


def basic(text: str | bytes, scheme: str = "Basic") -> HttpRequest:
    raw = text if isinstance(text, bytes) else text.encode()
    return sent(f"{scheme} {base64.b64encode(raw).decode()}")


def verify(token: str) -> Principal | None:
    return Principal("ann") if token == "t0ken" else None


async def verify_later(token: str) -> Principal | None:
    return verify(token)


class VerifyLater:
    """A verifier that is an object with state, as one with a client of HTTP is."""

    async def __call__(self, token: str) -> Principal | None:
        return verify(token)


def test_no_authentication_lets_everybody_in() -> None:
    authenticator = NoAuthentication()
    assert authenticator.is_authenticated(sent()) is True
    assert authenticator.challenge() is None
    assert authenticator.vary == ()


def test_a_principal_is_a_user_without_a_database() -> None:
    user = Principal("ann")
    assert user.is_authenticated and not user.is_anonymous
    assert user.get_username() == str(user) == "ann"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic  "])
def test_basic_takes_utf_8_and_colons_in_passwords(scheme: str) -> None:
    request = basic("ann:pass:wörd", scheme)
    assert SIMPLE.is_authenticated(request) is True
    assert request.user.get_username() == "ann"


@pytest.mark.parametrize(
    "request_",
    [
        basic("ann:wrong"),
        basic("bob:pass:wörd"),
        basic("ann"),
        basic(""),
        basic("ann:pass:wörd\0"),
        basic("ann\n:pass"),
        basic("ann:pass:wörd".encode("latin-1")),
        sent("Basic"),
        sent("Basic "),
        sent("Basic ===="),
        sent("Basic YW5u OnA="),
        sent("Basic YW5uOnBhc3M6d8O2cmQ"),
        sent("Basic \xff\xfe"),
    ],
    ids=[
        "password",
        "name",
        "no colon",
        "nothing",
        "nul",
        "control",
        "latin-1",
        "scheme only",
        "blank",
        "padding",
        "blanks inside",
        "no padding",
        "bytes",
    ],
)
def test_basic_refuses_wrong_and_malformed_credentials(request_: HttpRequest) -> None:
    for authenticator in (
        SIMPLE,
        HttpBasicAuthentication(lambda username, password: None),
    ):
        with pytest.raises(BadCredentials):
            authenticator.is_authenticated(request_)


def test_basic_asks_a_function_by_keywords() -> None:
    def check(*, username: str, password: str) -> Principal | None:
        return Principal(username) if password == "p" else None

    authenticator = HttpBasicAuthentication(check)
    request = basic("ann:p")
    assert authenticator.is_authenticated(request)
    assert request.user.get_username() == "ann"
    with pytest.raises(BadCredentials):
        authenticator.is_authenticated(basic("ann:q"))


def test_basic_takes_a_function_that_only_says_yes_or_no() -> None:
    authenticator = HttpBasicAuthentication(
        lambda username, password: (username, password) == ("ann", "p")
    )
    request = basic("ann:p")
    assert authenticator.is_authenticated(request)
    assert request.user == Principal("ann")
    with pytest.raises(BadCredentials):
        authenticator.is_authenticated(basic("ann:q"))


def test_basic_asks_djangos_backends(db: None) -> None:
    User.objects.create_user("ann", password="p")
    User.objects.create_user("gone", password="p", is_active=False)
    request = basic("ann:p")
    assert HttpBasicAuthentication().is_authenticated(request)
    assert request.user == User.objects.get(username="ann")
    for wrong in ("ann:q", "gone:p", "nobody:p"):
        with pytest.raises(BadCredentials):
            HttpBasicAuthentication().is_authenticated(basic(wrong))


@pytest.mark.parametrize(("name", "password"), [("", "p"), ("n", ""), ("", "")])
def test_an_empty_name_or_password_is_refused(name: str, password: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        HttpBasicSimple("API", name, password)


def test_the_challenge_quotes_the_realm() -> None:
    challenge = HttpBasicAuthentication(realm='The "API" \\').challenge()
    assert challenge == 'Basic realm="The \\"API\\" \\\\", charset="UTF-8"'
    for realm in ("a\r\nSet-Cookie: b", "é"):
        with pytest.raises(ImproperlyConfigured):
            BearerAuthentication(verify, realm)


def test_bearer_lets_in_whom_the_token_belongs_to() -> None:
    request = sent("bearer t0ken")
    assert BearerAuthentication(verify).is_authenticated(request) is True
    assert request.user.get_username() == "ann"


@pytest.mark.parametrize(
    "value", ["wrong", "", "t0ken t0ken", "t0ken,", "t=0", "\xe9", "=", "a\tb"]
)
def test_bearer_says_invalid_token_for_wrong_and_malformed_ones(value: str) -> None:
    with pytest.raises(BadCredentials) as caught:
        BearerAuthentication(verify).is_authenticated(sent(f"Bearer {value}"))
    assert caught.value.challenge == 'Bearer realm="API", error="invalid_token"'


def test_bearer_without_a_token_has_no_error_in_its_challenge() -> None:
    authenticator = BearerAuthentication(verify)
    assert authenticator.is_authenticated(sent()) is False
    assert authenticator.challenge() == 'Bearer realm="API"'


def test_bearer_never_takes_a_token_from_the_query_string() -> None:
    request = RequestFactory().get("/?access_token=t0ken")
    assert BearerAuthentication(verify).is_authenticated(request) is False


@pytest.mark.parametrize("later", [verify_later, VerifyLater()], ids=["def", "object"])
def test_bearer_awaits_an_async_verifier(later: Any) -> None:
    authenticator = BearerAuthentication(later)
    assert iscoroutinefunction(authenticator.is_authenticated)
    ask: Any = async_to_sync(authenticator.is_authenticated)
    request = sent("Bearer t0ken")
    assert ask(request) is True
    assert request.user.get_username() == "ann"
    assert ask(sent()) is False
    with pytest.raises(BadCredentials):
        ask(sent("Bearer wrong"))


def test_a_coroutine_that_nobody_awaits_lets_nobody_in() -> None:
    async def check(username: str, password: str) -> None:
        return None

    for authenticator, request in (
        (HttpBasicAuthentication(check), basic("ann:p")),
        (BearerAuthentication(lambda token: verify_later(token)), sent("Bearer x")),
    ):
        with pytest.raises(ImproperlyConfigured, match="async"):
            authenticator.is_authenticated(request)
        assert not hasattr(request, "user")


def test_no_secret_is_in_the_text_of_a_refusal() -> None:
    for authenticator in (SIMPLE, BearerAuthentication(verify)):
        for request in (basic("ann:hunter2"), sent("Bearer hunter2")):
            try:
                authenticator.is_authenticated(request)
            except BadCredentials as error:
                assert "hunter2" not in f"{error} {error.detail} {error.challenge}"


@settings(deadline=None)
@given(
    st.sampled_from(["Basic ", "Bearer ", "basic", "bearer\t", "", "Digest "]),
    st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_any_authorization_header_is_a_refusal_and_no_error(
    scheme: str, text: str
) -> None:
    for authenticator in (SIMPLE, BearerAuthentication(verify)):
        with suppress(BadCredentials):
            assert authenticator.is_authenticated(sent(scheme + text)) is False


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_in_base64_are_a_refusal_and_no_error(raw: bytes) -> None:
    with pytest.raises(BadCredentials):
        SIMPLE.is_authenticated(basic(raw))


def logged_in(user: User, method: str = "get", **more: Any) -> HttpRequest:
    request: HttpRequest = getattr(RequestFactory(), method)("/", **more)
    request.user = user
    return request


@pytest.fixture
def ann(db: None) -> User:
    user: User = User.objects.create_user("ann", password="p")
    return user


def with_token(request: HttpRequest, token: str | None = None) -> HttpRequest:
    made = get_token(request)
    request.COOKIES["csrftoken"] = request.META["CSRF_COOKIE"]
    request.META["HTTP_X_CSRFTOKEN"] = made if token is None else token
    return request


def test_a_session_lets_read_without_a_csrf_token(ann: User) -> None:
    request = logged_in(ann)
    assert SessionAuthentication().is_authenticated(request) is True
    assert request.user == ann


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_session_writes_with_a_csrf_token_only(ann: User, method: str) -> None:
    with pytest.raises(PermissionDenied):
        SessionAuthentication().is_authenticated(logged_in(ann, method))
    wrong = with_token(logged_in(ann, method), "x" * 32)
    with pytest.raises(PermissionDenied):
        SessionAuthentication().is_authenticated(wrong)
    right = with_token(logged_in(ann, method))
    assert SessionAuthentication().is_authenticated(right) is True


def test_a_session_takes_the_csrf_token_of_a_form(ann: User) -> None:
    request = logged_in(ann, "post")
    token = get_token(request)
    cookie = request.META["CSRF_COOKIE"]
    data = {"csrfmiddlewaretoken": token, "a": "1"}
    request = logged_in(ann, "post", data=data)
    request.COOKIES["csrftoken"] = cookie
    assert SessionAuthentication().is_authenticated(request) is True
    assert b"csrfmiddlewaretoken" in request.body


def test_the_body_of_a_form_stays_readable_beside_a_token_in_the_header(
    ann: User,
) -> None:
    request = with_token(logged_in(ann, "post", data={"a": "1"}))
    assert SessionAuthentication().is_authenticated(request) is True
    assert b'name="a"' in request.body


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10)
def test_a_form_that_is_too_long_to_look_for_a_token_is_413(ann: User) -> None:
    with pytest.raises(Problem) as caught:
        SessionAuthentication().is_authenticated(
            logged_in(ann, "post", data={"a": "1" * 100})
        )
    assert caught.value.status == 413


def test_who_is_not_logged_in_has_no_credentials_of_a_session() -> None:
    request = RequestFactory().post("/")
    request.user = AnonymousUser()
    assert SessionAuthentication().is_authenticated(request) is False


def test_a_session_needs_its_middleware() -> None:
    with pytest.raises(ImproperlyConfigured, match="AuthenticationMiddleware"):
        SessionAuthentication().is_authenticated(sent())


def test_each_authenticator_says_what_it_reads_and_is_in_openapi() -> None:
    session = SessionAuthentication()
    assert session.challenge() is None
    assert session.vary == ("Cookie",)
    assert session.openapi["name"] == "sessionid"
    assert SIMPLE.openapi == {"type": "http", "scheme": "basic"}
    assert BearerAuthentication.openapi == {"type": "http", "scheme": "bearer"}
