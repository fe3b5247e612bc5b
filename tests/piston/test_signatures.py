"""Signed requests: forges' webhooks."""

import hashlib
import hmac
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.test import RequestFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.piston import BadCredentials, SignatureAuthentication

BODY = b'{"zen": "\xc3\xa9"}'
HEADER = "X-Hub-Signature-256"


def signed(key: bytes, digest: str = "sha256", body: bytes = BODY) -> str:
    return hmac.new(key, body, digest).hexdigest()


def sent(header: str, value: str) -> HttpRequest:
    factory = RequestFactory()
    return factory.post("/", BODY, "application/json", headers={header: value})


def passes(authenticator: SignatureAuthentication, request: HttpRequest) -> bool:
    try:
        return authenticator.is_authenticated(request) is True
    except BadCredentials:
        return False


def test_the_example_of_github_is_right() -> None:
    # docs.github.com, "Validating webhook deliveries", testing the verification
    request = RequestFactory().post(
        "/",
        b"Hello, World!",
        "text/plain",
        headers={
            HEADER: "sha256="
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        },
    )
    assert SignatureAuthentication("It's a Secret to Everybody").is_authenticated(
        request
    )
    assert request.user.get_username() == "webhook"
    assert request.user.is_authenticated


@pytest.mark.parametrize(
    ("arguments", "header", "value"),
    [
        ({}, HEADER, "sha256=" + signed(b"key")),
        (
            {"header": "X-Gitea-Signature", "prefix": ""},
            "X-Gitea-Signature",
            signed(b"key"),
        ),
        ({"header": "X-Hub-Signature"}, "X-Hub-Signature", "sha256=" + signed(b"key")),
        ({"header": "X-Gitlab-Token", "digest": None}, "X-Gitlab-Token", "key"),
        (
            {"digest": "sha1", "prefix": "sha1="},
            HEADER,
            "sha1=" + signed(b"key", "sha1"),
        ),
    ],
    ids=["github", "gitea", "bitbucket", "gitlab", "sha1"],
)
def test_each_forge_signs_in_its_way(
    arguments: dict[str, Any], header: str, value: str
) -> None:
    authenticator = SignatureAuthentication("key", **arguments)
    assert passes(authenticator, sent(header, value))
    assert not passes(authenticator, sent(header, value[:-1]))
    assert not passes(authenticator, sent(header, value + "0"))
    assert not passes(authenticator, sent(header, ""))
    assert authenticator.challenge() is None
    assert authenticator.vary == (header,)


def test_without_the_header_there_are_no_credentials_of_its_kind() -> None:
    request = RequestFactory().post("/", BODY, "application/json")
    assert SignatureAuthentication("key").is_authenticated(request) is False


@pytest.mark.parametrize(
    "secret",
    [["old", "new"], lambda: ["old", b"new"], lambda request: "new", ("new",)],
    ids=["several", "callable", "by request", "tuple"],
)
def test_a_secret_is_exchanged_while_both_are_right(secret: Any) -> None:
    authenticator = SignatureAuthentication(secret)
    assert passes(authenticator, sent(HEADER, "sha256=" + signed(b"new")))
    assert not passes(authenticator, sent(HEADER, "sha256=" + signed(b"other")))


@pytest.mark.parametrize("secret", ["", b"", [], ["key", ""], None], ids=repr)
def test_an_empty_secret_is_refused(secret: Any) -> None:
    with pytest.raises(ImproperlyConfigured):
        SignatureAuthentication(secret)


@pytest.mark.parametrize("secret", ["", None, [], [""]], ids=repr)
@pytest.mark.parametrize("digest", ["sha256", None])
def test_an_empty_secret_of_a_callable_lets_nobody_in(
    secret: Any, digest: str | None
) -> None:
    authenticator = SignatureAuthentication(lambda: secret, digest=digest)
    for value in ("sha256=" + signed(b""), signed(b""), ""):
        assert not passes(authenticator, sent(HEADER, value))


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="sha257"):
        SignatureAuthentication("key", digest="sha257")


def test_a_secret_beyond_ascii_is_compared_by_its_utf_8() -> None:
    authenticator = SignatureAuthentication("clé", digest=None)
    assert passes(authenticator, sent(HEADER, "clé".encode().decode("latin-1")))


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_header_is_no_error(value: str) -> None:
    for digest in ("sha256", None):
        authenticator = SignatureAuthentication("key of the test", digest=digest)
        assert not passes(authenticator, sent(HEADER, value))


def test_the_body_stays_readable_and_is_signed_as_it_came() -> None:
    request = sent(HEADER, "sha256=" + hashlib.sha256(BODY).hexdigest())
    assert not passes(SignatureAuthentication("key"), request)
    assert request.body == BODY
