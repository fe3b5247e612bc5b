"""Section 7: each error is a problem document, and none says more than it should."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from defusedxml import ElementTree
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    SuspiciousOperation,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.piston import BaseHandler, Problem, Resource
from oberonc.piston.answers import problem_response
from tests.piston.conftest import Serve

ROOT = "/things/"
PROBLEM = "application/problem+json"


def raising(error: Any, resource: type[Resource] = Resource) -> Resource:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            raise error

    return resource(Handler)


ERRORS = [
    ("not-found", Http404("no such thing"), 404, "no such thing"),
    ("denied", PermissionDenied("not yours"), 403, "not yours"),
    ("denied-silent", PermissionDenied(), 403, None),
    ("suspicious", SuspiciousOperation("secret"), 400, None),
    ("bad-request", BadRequest("secret"), 400, None),
    ("problem", Problem(418, "short and stout"), 418, "short and stout"),
]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [one[1:] for one in ERRORS],
    ids=[one[0] for one in ERRORS],
)
def test_what_is_raised_has_its_answer(
    serve: Serve, error: Exception, status: int, detail: str | None
) -> None:
    response = serve(raising(error)).get(ROOT)
    assert (response.status_code, response["Content-Type"]) == (status, PROBLEM)
    document = response.json()
    assert (document["type"], document["status"]) == ("about:blank", status)
    assert document.get("detail") == detail


def test_a_validation_error_of_django_is_422_with_all_errors(serve: Serve) -> None:
    error = ValidationError({"name": ["too long", "too odd"], "__all__": ["no"]})
    response = serve(raising(error)).get(ROOT)
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert [(one["pointer"], one["detail"]) for one in errors] == [
        ("#/name", "too long"),
        ("#/name", "too odd"),
        ("#", "no"),
    ]


@pytest.fixture
def signals() -> Iterator[list[Any]]:
    seen: list[Any] = []

    def note(sender: Any, **more: Any) -> None:
        seen.append(more["request"].path)

    got_request_exception.connect(note)
    yield seen
    got_request_exception.disconnect(note)


@pytest.mark.parametrize(
    "error",
    [TypeError("secret"), KeyError("secret"), RecursionError("secret")],
    ids=repr,
)
def test_anything_else_is_500_with_the_number_under_which_it_is_logged(
    serve: Serve, error: Exception, caplog: Any, signals: list[Any]
) -> None:
    caplog.set_level(logging.ERROR, "django.request")
    response = serve(raising(error)).get(ROOT)
    assert response.status_code == 500
    assert b"secret" not in response.content
    assert b"Traceback" not in response.content
    instance = response.json()["instance"]
    assert instance.startswith("urn:uuid:")
    record = next(one for one in caplog.records if instance in one.getMessage())
    assert (record.name, record.levelname) == ("django.request", "ERROR")
    assert record.exc_info[1] is error
    assert record.request.path == ROOT
    assert signals == [ROOT]


def test_with_debug_and_a_browser_the_error_goes_on_to_djangos_page(
    serve: Serve,
) -> None:
    client = serve(raising(RuntimeError("shown")), DEBUG=True)
    page = client.get(ROOT, headers={"accept": "text/html,*/*"})
    assert page.status_code == 500
    assert b"RuntimeError" in page.content
    assert client.get(ROOT)["Content-Type"] == PROBLEM
    with override_settings(DEBUG=False):
        hidden = client.get(ROOT, headers={"accept": "text/html,*/*"})
    assert hidden["Content-Type"] == PROBLEM
    expected = serve(raising(Http404()), DEBUG=True)
    answer = expected.get(ROOT, headers={"accept": "text/html,*/*"})
    assert (answer.status_code, answer["Content-Type"]) == (404, PROBLEM)


def test_a_problem_has_a_type_a_title_headers_and_members(serve: Serve) -> None:
    problem = Problem(
        503,
        "later",
        title="Busy",
        type="https://example.com/busy",
        headers={"Retry-After": "7"},
        queue=3,
        instance="urn:x",
    )
    response = serve(raising(problem)).get(ROOT)
    assert response["Retry-After"] == "7"
    assert response.json() == {
        "type": "https://example.com/busy",
        "title": "Busy",
        "status": 503,
        "detail": "later",
        "queue": 3,
        "instance": "urn:x",
    }


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", PROBLEM),
        ("application/xml", "application/problem+xml"),
        ("application/yaml", "application/problem+yaml"),
        ("text/csv", PROBLEM),
        ("application/x-ndjson", PROBLEM),
        ("image/png", PROBLEM),
    ],
    ids=["json", "xml", "yaml", "csv", "jsonl", "unknown"],
)
def test_a_problem_is_in_what_is_nearest_to_the_format(
    serve: Serve, accept: str, kind: str
) -> None:
    client = serve(raising(Problem(409, "ä<", items=[1, {"a": None}])))
    for answer in (
        client.get(ROOT, headers={"accept": accept}),
        client.post(ROOT, headers={"accept": accept}),  # 405, before a format is chosen
    ):
        assert answer.status_code in (409, 405, 406)
        assert answer["Content-Type"] == kind
        assert answer["Vary"] == "Accept"


def test_the_look_of_a_problem_in_xml_and_yaml(serve: Serve) -> None:
    client = serve(raising(Problem(409, "ä<", items=[1, {"a": None}])))
    root = ElementTree.fromstring(client.get(ROOT, {"format": "xml"}).content)
    space = "{urn:ietf:rfc:7807}"
    assert root.tag == f"{space}problem"
    assert root.findtext(f"{space}detail") == "ä<"
    assert [one.tag for one in root.iterfind(f"{space}items/*")] == [f"{space}i"] * 2
    document = yaml.safe_load(client.get(ROOT, {"format": "yaml"}).content)
    assert document["items"] == [1, {"a": None}]


def test_error_handler_can_be_overridden_and_does_the_rest(serve: Serve) -> None:
    class Polite(Resource):
        def error_handler(
            self,
            error: Exception,
            request: HttpRequest,
            method: str,
            format: str | None,
        ) -> Any:
            if isinstance(error, KeyError):
                return HttpResponse(f"{method} {format}", status=404)
            if isinstance(error, ValueError):
                error = Problem(409, "sorry")
            return super().error_handler(error, request, method, format)

    answer = serve(raising(KeyError(), Polite)).get(ROOT, {"format": "yaml"})
    assert (answer.status_code, answer.content) == (404, b"GET yaml")
    assert serve(raising(ValueError(), Polite)).get(ROOT).json()["detail"] == "sorry"
    assert serve(raising(TypeError(), Polite)).get(ROOT).status_code == 500


@pytest.mark.parametrize(
    "problem",
    [
        Problem(400, member=object()),
        Problem(400, headers={"X-A": "a\r\nX-B: b"}),
        Problem(400, items=[{(1,): 2}]),
    ],
    ids=["member", "header", "key"],
)
def test_a_problem_that_cannot_be_sent_is_a_500(serve: Serve, problem: Problem) -> None:
    response = serve(raising(problem)).get(ROOT)
    assert (response.status_code, response["Content-Type"]) == (500, PROBLEM)
    assert "X-B" not in response


@settings(deadline=None)
@given(st.text(st.characters()), st.sampled_from(["json", "yaml", "xml", None]))
def test_any_detail_can_be_sent(detail: str, format: str | None) -> None:
    response = problem_response(Problem(400, detail, member=detail), format)
    assert response.status_code == 400
    response.content.decode()


def test_what_breaks_before_the_handler_is_a_problem_too(serve: Serve) -> None:
    class Broken:
        def is_authenticated(self, request: HttpRequest) -> bool:
            raise RuntimeError("secret")

        def challenge(self) -> None:
            return None

    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any: ...

    response = serve(Resource(Handler, authentication=Broken())).get(ROOT)
    assert (response.status_code, b"secret" in response.content) == (500, False)
    assert json.loads(response.content)["title"] == "Internal Server Error"
