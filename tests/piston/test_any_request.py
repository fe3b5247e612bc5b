"""Whatever a stranger sends: an answer below 500, and for a refusal a problem."""

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pydantic
import pytest
from django import forms
from django.http.response import HttpResponseBase
from django.test import RequestFactory, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from oberonc.piston import (
    BaseHandler,
    BearerAuthentication,
    HttpBasicSimple,
    NoAuthentication,
    Page,
    Principal,
    Resource,
    SignatureAuthentication,
    idempotent,
    paginate,
    throttle,
    validate,
)
from oberonc.piston.authentication import Authenticator


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclass
class Dog:
    kind: Literal["dog"]
    weight: float = 1.0


@dataclass
class Pets:
    name: str
    pets: list[Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]] = field(
        default_factory=list
    )
    notes: dict[str, int | str | list[int]] | None = None


class Note(TypedDict, total=False):
    text: str
    count: int
    tree: dict[str, "Note"]


class NoteForm(forms.Form):
    text = forms.CharField()
    count = forms.IntegerField(required=False)
    when = forms.DateTimeField(required=False)
    ident = forms.UUIDField(required=False)
    many = forms.MultipleChoiceField(choices=[("a", "A")], required=False)
    extra = forms.JSONField(required=False)
    file = forms.FileField(required=False)


def handler(schema: Any) -> type[BaseHandler]:
    class Handler(BaseHandler):
        def read(self, request: Any) -> Page:
            return paginate(request, range(7))

        @idempotent()
        @throttle(10**9)
        @validate(schema)
        def create(self, request: Any) -> Any:
            assert request.cleaned is not None
            return {"done": True}

        update = create

        @validate(NoteForm, "GET")
        @validate(schema, "PATCH", partial=True)
        def patch(self, request: Any) -> Any:
            assert isinstance(request.cleaned, dict)
            return {"done": True}

        def delete(self, request: Any) -> None:
            return None

    return Handler


KEYS: list[Authenticator] = [
    HttpBasicSimple("API", "ann", "sesame"),
    BearerAuthentication(lambda token: Principal(token) if len(token) > 2 else None),
    SignatureAuthentication("key"),
    NoAuthentication(),
]
RESOURCES = [Resource(handler(schema), KEYS) for schema in (Pets, Note, NoteForm)]

_LATIN = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30
)
_VALUES = st.one_of(
    _LATIN,
    st.sampled_from(
        [
            "Basic YW5uOnNlc2FtZQ==",
            "Bearer ann",
            "*",
            'W/"a", "b',
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "sha256=00",
            "1.2.3.4, 5.6.7.8",
            "text/html, */*;q=0.1",
            "application/xml",
        ]
    ),
)
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Authorization",
            "X-Hub-Signature-256",
            "If-Match",
            "If-None-Match",
            "If-Modified-Since",
            "If-Unmodified-Since",
            "Idempotency-Key",
            "X-Forwarded-For",
            "Accept",
        ]
    ),
    _VALUES,
    max_size=4,
)
_NAMES = ["name", "pets", "notes", "kind", "lives", "text", "tree", "count", "when"]
_NAMES += ["ident", "many", "extra", "file"]
_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    [
                        "name",
                        "pets",
                        "notes",
                        "kind",
                        "lives",
                        "text",
                        "tree",
                        "count",
                        "when",
                        "ident",
                        "many",
                        "extra",
                        "file",
                    ]
                ),
                st.text(max_size=3),
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=15,
)
_BODIES = st.one_of(st.binary(max_size=60), _JSON.map(lambda v: json.dumps(v).encode()))
_TYPES = st.sampled_from(
    [
        "application/json",
        "application/yaml",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
    ]
)


#: Examples are slow to make on a busy machine.
UNHURRIED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def is_proper(response: HttpResponseBase) -> None:
    assert response.status_code < 500
    if response.status_code >= 400:
        assert response["Content-Type"].startswith("application/problem+")


@UNHURRIED
@given(
    st.sampled_from(RESOURCES),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    st.dictionaries(st.sampled_from(["limit", "offset", "format", "text"]), _LATIN),
    _HEADERS,
    _TYPES,
    _BODIES,
)
def test_any_request_gets_an_answer_below_500(
    resource: Resource,
    method: str,
    query: dict[str, str],
    headers: dict[str, str],
    content_type: str,
    body: bytes,
) -> None:
    factory = RequestFactory(query_params=query)
    request = factory.generic(method, "/", body, content_type, headers=headers)
    with override_settings(PISTON={"PROXIES": 1}):
        is_proper(resource(request))


@UNHURRIED
@given(st.sampled_from(RESOURCES), st.sampled_from(["POST", "PATCH"]), _JSON)
def test_any_json_is_taken_or_refused(
    resource: Resource, method: str, value: Any
) -> None:
    body = json.dumps(value)
    request = RequestFactory().generic(method, "/?text=a", body, "application/json")
    response = resource(request)
    is_proper(response)
    assert response.status_code in (200, 201, 400, 422)


@pytest.mark.parametrize("name", ["json", "yaml", "xml"])
@pytest.mark.parametrize("body", [b"\0", b"\xff", b"a\x1f", b"\xef\xbf\xbe"], ids=repr)
def test_characters_that_a_format_does_not_have_are_400(name: str, body: bytes) -> None:
    request = RequestFactory().post("/", body, f"application/{name}")
    assert RESOURCES[0](request).status_code == 400


@pytest.mark.parametrize("depth", [30, 31, 32, 33, 1000])
def test_a_deep_body_is_taken_or_refused(depth: int) -> None:
    value = '{"tree": {"a": ' * (depth // 2) + "{}" + "}}" * (depth // 2)
    request = RequestFactory().post("/", value, "application/json")
    is_proper(RESOURCES[1](request))


def test_too_many_parameters_to_look_for_a_format_are_400() -> None:
    response = RESOURCES[0](RequestFactory().get("/?" + "a=1&" * 1001))
    assert response.status_code == 400
    is_proper(response)
