"""Idempotency: a key, the answer that is kept under it, and whose it is."""

from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from oberonc.piston import Principal, Problem, idempotent
from oberonc.piston.handler import declared
from oberonc.piston.idempotency import Idempotency


class Handler:
    pass


def declaration(**arguments: Any) -> Idempotency:
    def create() -> None:
        pass

    kept: Idempotency = declared(idempotent(**arguments)(create))["idempotent"]
    return kept


def post(
    key: str | None,
    body: Any = b"{}",
    path: str = "/a/",
    user: str = "",
    method: str = "POST",
    content_type: str = "application/json",
) -> HttpRequest:
    headers = {} if key is None else {"Idempotency-Key": key}
    request = RequestFactory().generic(
        method, path, body, content_type=content_type, headers=headers
    )
    if user:
        request.user = Principal(user)
    return request


def begin(kept: Idempotency, request: HttpRequest) -> HttpResponse | None:
    return kept.begin(request, Handler)


def refusal(kept: Idempotency, request: HttpRequest) -> int:
    with pytest.raises(Problem) as caught:
        begin(kept, request)
    return caught.value.status


def answered(kept: Idempotency, request: HttpRequest, response: Any) -> None:
    assert begin(kept, request) is None
    kept.finish(request, response)


def test_the_same_key_and_body_get_the_stored_answer() -> None:
    kept = declaration()
    first = HttpResponse(b"made", status=201, headers={"Location": "/a/7/"})
    first.set_cookie("session", "of the first")
    answered(kept, post("k"), first)
    again = begin(kept, post("k"))
    assert again is not None
    assert (again.status_code, again.content) == (201, b"made")
    assert again["Location"] == "/a/7/"
    assert not again.cookies


def test_another_body_or_query_under_the_same_key_is_422() -> None:
    kept = declaration()
    answered(kept, post("k"), HttpResponse())
    assert refusal(kept, post("k", b'{"a":1}')) == 422
    assert refusal(kept, post("k", path="/a/?dry=1")) == 422
    assert refusal(kept, post("k", content_type="application/yaml")) == 422


def test_while_the_first_runs_it_is_409() -> None:
    kept = declaration()
    assert begin(kept, post("k")) is None
    assert refusal(kept, post("k")) == 409


def test_a_key_that_is_missing_though_required_is_400() -> None:
    assert refusal(declaration(required=True), post(None)) == 400


def test_without_a_key_the_handler_runs_each_time() -> None:
    kept = declaration()
    for _ in range(2):
        answered(kept, post(None), HttpResponse())
    kept.abandon(post_begun(kept))


def post_begun(kept: Idempotency) -> HttpRequest:
    request = post(None)
    assert begin(kept, request) is None
    return request


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_400_and_not_everybodys(key: str) -> None:
    assert refusal(declaration(), post(key)) == 400


def test_keys_belong_to_a_user_a_method_and_a_path() -> None:
    kept = declaration()
    answered(kept, post("k", user="ann"), HttpResponse(b"of ann"))
    assert begin(kept, post("k", user="bob")) is None
    assert begin(kept, post("k")) is None
    assert begin(kept, post("k", user="ann", path="/b/")) is None
    assert begin(kept, post("k", user="ann", method="PUT")) is None
    again = begin(kept, post("k", user="ann"))
    assert again is not None and again.content == b"of ann"


def test_strangers_at_two_addresses_have_no_key_in_common() -> None:
    kept = declaration()
    answered(kept, post("k"), HttpResponse(b"private"))
    other = post("k")
    other.META["REMOTE_ADDR"] = "192.0.2.9"
    assert begin(kept, other) is None


@pytest.mark.parametrize("status", [500, 503])
def test_answers_from_500_on_are_not_kept(status: int) -> None:
    kept = declaration()
    answered(kept, post("k"), HttpResponse(status=status))
    assert begin(kept, post("k")) is None


def test_a_refusal_by_the_handler_is_kept() -> None:
    kept = declaration()
    answered(kept, post("k"), HttpResponse(status=409))
    again = begin(kept, post("k"))
    assert again is not None and again.status_code == 409


def test_after_a_handler_that_raised_the_next_request_runs() -> None:
    kept = declaration()
    request = post("k")
    assert begin(kept, request) is None
    kept.abandon(request)
    assert begin(kept, post("k")) is None


def test_a_stream_is_not_kept_and_its_handler_does_not_run_again() -> None:
    kept = declaration()
    answered(kept, post("k"), StreamingHttpResponse([b"a"]))
    assert refusal(kept, post("k")) == 409


def multipart(boundary: str, value: str) -> HttpRequest:
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        f"{value}\r\n--{boundary}--\r\n"
    )
    return post("k", body, content_type=f"multipart/form-data; boundary={boundary}")


def test_a_form_that_is_sent_again_with_another_boundary_is_the_same() -> None:
    kept = declaration()
    answered(kept, multipart("one", "1"), HttpResponse(b"made"))
    assert begin(kept, multipart("another", "1")) is not None
    assert refusal(kept, multipart("another", "2")) == 422


@pytest.mark.parametrize(
    "key", ["a b\n", "é" * 100_000, '"quoted"'], ids=["blanks", "huge", "quoted"]
)
def test_a_key_of_any_text_is_hashed(key: str) -> None:
    kept = declaration()
    answered(kept, post(key), HttpResponse())
    assert begin(kept, post(key)) is not None
    (stored,) = cache._cache
    assert key not in stored and stored.isascii() and len(stored) < 200


def test_what_is_kept_has_neither_the_key_nor_the_request_in_it() -> None:
    kept = declaration()
    answered(kept, post("k" * 40, b'{"password": "hunter2"}'), HttpResponse())
    (value,) = cache._cache.values()
    assert b"hunter2" not in value and b"k" * 40 not in value


def test_a_timeout_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        idempotent(timeout=0)
