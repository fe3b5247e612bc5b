"""Section 13: what went wrong in 0.2.3, and what people complain of elsewhere.

Each row has a test here, the shortest that would have failed; what it takes to hold is
tested where the feature is.
"""

import dataclasses
import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import path

from oberonc.piston import (
    BaseHandler,
    Emitter,
    HttpBasicSimple,
    ModelHandler,
    Resource,
    SignatureAuthentication,
    paginate,
    rc,
    throttle,
    validate,
)
from tests.piston.conftest import Serve

ROOT = "/things/"
ONE = "/things/7/"
JSON = "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclasses.dataclass
class Named:
    name: str
    size: int | None = None


class Counted(BaseHandler):
    """Counts how often it is run, and gives back what it was sent."""

    runs: list[Any] = []  # noqa: RUF012

    def read(self, request: HttpRequest, id: int | None = None) -> Any:
        self.runs.append("read")
        return {"id": id}

    @validate(Named)
    def create(self, request: HttpRequest) -> Any:
        self.runs.append("create")
        return dataclasses.asdict(request.cleaned)

    def update(self, request: HttpRequest, id: int) -> Any:
        return [request.data, request.body.decode(), sorted(request.files)]


@pytest.fixture(autouse=True)
def runs() -> list[Any]:
    Counted.runs.clear()
    return Counted.runs


def test_defect_1_a_handler_runs_after_the_format_is_known(
    serve: Serve, runs: list[Any]
) -> None:
    response = serve(Resource(Counted)).get(ROOT, headers={"accept": "image/png"})
    assert (response.status_code, runs) == (406, [])


def test_defect_2_a_type_error_is_500_and_arguments_decide_about_405(
    serve: Serve,
) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            raise TypeError("read() takes 2 positional arguments but 3 were given")

    client = serve(Resource(Handler))
    assert (client.get(ROOT).status_code, client.get(ONE).status_code) == (500, 405)


def test_defect_3_a_throttle_lets_exactly_so_many_pass_per_method(
    serve: Serve,
) -> None:
    class Handler(BaseHandler):
        @throttle(2)
        def read(self, request: HttpRequest) -> Any: ...

        @throttle(2)
        def create(self, request: HttpRequest) -> Any: ...

    client = serve(Resource(Handler))
    assert [client.get(ROOT).status_code for _ in range(3)] == [200, 200, 429]
    assert client.post(ROOT).status_code == 204


def test_defect_4_forbidden_is_403() -> None:
    assert rc.FORBIDDEN.status_code == 403
    assert rc.THROTTLED.status_code == 429


def test_defect_5_a_nested_spec_is_obeyed_whatever_other_handlers_exist(
    serve: Serve, db: None
) -> None:
    class Users(ModelHandler):  # once, this would have leaked its fields everywhere
        model = User
        fields = ("username", "password")

    class Handler(BaseHandler):
        fields = (("user", ("username",)),)

        def read(self, request: HttpRequest) -> Any:
            return type("Thing", (), {"user": User(username="ann", password="hash")})()

    client = serve(path("users/", Resource(Users)), path("things/", Resource(Handler)))
    assert client.get(ROOT).json() == {"user": {"username": "ann"}}


def test_defect_6_what_is_below_itself_becomes_a_link(serve: Serve) -> None:
    class Handler(BaseHandler):
        fields = ("name", ("parent", ("name", "child")))

        def read(self, request: HttpRequest) -> Any:
            child = type("Thing", (), {"name": "child"})()
            child.parent = type("Thing", (), {"name": "parent", "child": child})()
            return child

        @classmethod
        def resource_uri(cls, thing: Any) -> str:
            return f"/{thing.name}"

    assert serve(Resource(Handler)).get(ROOT).json() == {
        "name": "child",
        "parent": {"name": "parent", "child": "/child"},
    }


def test_defect_7_accept_patch_head_options_etag_paging_and_location(
    serve: Serve,
) -> None:
    class Handler(Counted):
        def read(self, request: HttpRequest, id: int | None = None) -> Any:
            return paginate(request, [1, 2, 3])

        def patch(self, request: HttpRequest, id: int) -> Any: ...

        @classmethod
        def resource_uri(cls, thing: Any) -> Any:
            return "thing", [1]

    client = serve(Resource(Handler))
    got = client.get(ROOT, {"limit": 2}, headers={"accept": "application/yaml"})
    assert (got["Content-Type"], "ETag" in got) == ("application/yaml", True)
    assert 'rel="next"' in got["Link"]
    assert [client.patch(ONE).status_code, client.options(ONE).status_code] == [
        204,
        204,
    ]
    assert client.head(ROOT).status_code == 200
    assert client.post(ROOT, {"name": "a"}, JSON)["Location"] == "/things/1/"


def test_defect_8_every_format_is_validated_and_errors_are_for_machines(
    serve: Serve,
) -> None:
    client = serve(Resource(Counted))
    for kind, body in (
        (JSON, b'{"size": 1}'),
        ("application/yaml", b"size: 1"),
        ("application/xml", b"<r><size>1</size></r>"),
        ("application/x-www-form-urlencoded", b"size=1"),
    ):
        response = client.post(ROOT, body, kind)
        assert response.status_code == 422
        assert response["Content-Type"] == "application/problem+json"
        assert [one["pointer"] for one in response.json()["errors"]] == ["#/name"]


def test_defect_9_no_traceback_and_nothing_open_that_nobody_wrote(
    serve: Serve, db: None
) -> None:
    class Users(ModelHandler):
        model = User
        fields = ("username",)

    class Nothing(BaseHandler):
        fields = ("x",)

    client = serve(path("users/", Resource(Users)), path("things/", Resource(Nothing)))
    assert client.options("/users/")["Allow"] == "GET, HEAD, OPTIONS"
    assert client.options(ROOT)["Allow"] == "OPTIONS"
    body = {"username": "eve", "is_superuser": True}
    assert client.post("/users/", body, JSON).status_code == 405


def test_defect_10_no_jsonp_and_xml_names_are_names(serve: Serve) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            return {"a><script>": 1}

    client = serve(Resource(Handler))
    plain = client.get(ROOT, {"callback": "alert"})
    assert (plain["Content-Type"], json.loads(plain.content)) == (
        JSON,
        {"a><script>": 1},
    )
    assert b"<script>" not in client.get(ROOT, {"format": "xml"}).content
    for name in Emitter.formats:
        assert client.get(ROOT, {"format": name}).status_code == 200


def test_complaint_36_files_of_a_put_are_there(serve: Serve) -> None:
    file = SimpleUploadedFile("a.txt", b"text")
    content = encode_multipart(BOUNDARY, {"file": file})
    response = serve(Resource(Counted)).put(ONE, content, MULTIPART_CONTENT)
    assert response.json()[2] == ["file"]


def test_complaint_99_a_type_is_not_known_by_its_beginning(serve: Serve) -> None:
    client = serve(Resource(Counted))
    for kind in ("application/jsonish", "text/yamlish", "application/xml-dtd"):
        assert client.post(ROOT, b"{}", kind).status_code == 415


def test_complaint_82_csrf_is_for_sessions_only(serve: Serve) -> None:
    known = HttpBasicSimple("x", "ann", "pw")
    middleware = ("django.middleware.csrf.CsrfViewMiddleware",)
    client = serve(
        path("things/", Resource(Counted, authentication=known)), middleware=middleware
    )
    client.handler.enforce_csrf_checks = True
    headers = {"authorization": "Basic YW5uOnB3"}
    response = client.post(ROOT, {"name": "a"}, JSON, headers=headers)
    assert response.status_code == 201


def test_complaint_173_only_public_names_of_django_are_used() -> None:
    """Each name that is imported from Django is without an underscore."""
    import oberonc.piston as package

    folder = inspect.getfile(package).rpartition("/")[0]
    script = f"grep -rnE 'from django[a-z.]* import .*\\b_[a-z]' {folder} || true"
    found = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert found.stdout == ""


def test_complaint_code_execution_and_deep_json_are_400(serve: Serve) -> None:
    client = serve(Resource(Counted))
    run = b"!!python/object/apply:os.system ['true']"
    assert client.post(ROOT, run, "application/yaml").status_code == 400
    assert client.post(ROOT, b"[" * 100_000, JSON).status_code == 400
    assert client.post(ROOT, b"x", "application/x-pickle").status_code == 415


def test_complaint_2774_the_body_is_readable_once_parsed(serve: Serve) -> None:
    response = serve(Resource(Counted)).put(ONE, {"a": 1}, JSON)
    assert response.json()[:2] == [{"a": 1}, '{"a": 1}']


@pytest.mark.parametrize("turned", [False, True], ids=["one-way", "the-other"])
def test_complaint_5968_the_order_of_authenticators_is_no_401_or_403(
    serve: Serve, turned: bool
) -> None:
    both: list[Any] = [HttpBasicSimple("x", "a", "b"), SignatureAuthentication("key")]
    resource = Resource(Counted, authentication=both[::-1] if turned else both)
    response = serve(resource).get(ROOT)
    assert (response.status_code, response["WWW-Authenticate"][:5]) == (401, "Basic")


def test_complaint_1734_unknown_input_is_422_and_absent_is_not_null(
    serve: Serve,
) -> None:
    class Handler(BaseHandler):
        @validate(Named, partial=True)
        def patch(self, request: HttpRequest, id: int) -> Any:
            return request.cleaned

    client = serve(Resource(Handler))
    assert client.patch(ONE, {"nmae": "a"}, JSON).status_code == 422
    assert client.patch(ONE, {"size": None}, JSON).json() == {"size": None}
    assert client.patch(ONE, {}, JSON).json() == {}


def test_complaint_3876_a_duplicate_row_is_409(serve: Serve, db: None) -> None:
    class Users(ModelHandler):
        model = User
        fields = writable = ("username",)

    client = serve(path("users/", Resource(Users)))
    statuses = [
        client.post("/users/", {"username": "a"}, JSON).status_code for _ in "12"
    ]
    assert statuses == [201, 409]


def test_complaint_7240_async_methods_and_streams(serve: Serve) -> None:
    class Handler(BaseHandler):
        async def read(self, request: HttpRequest) -> Any:
            return iter([1, 2])

    response = serve(Resource(Handler)).get(ROOT)
    assert (response.streaming, response.getvalue()) == (True, b"[1,2]")


def test_complaint_1319_there_are_several_formats_by_accept(serve: Serve) -> None:
    client = serve(Resource(Counted))
    kinds = {
        client.get(ROOT, headers={"accept": one.offer.media_type})["Content-Type"]
        for one in Emitter.formats.values()
    }
    assert len(kinds) == len(Emitter.formats) >= 5


def test_complaint_629_a_browser_gets_the_default(serve: Serve) -> None:
    response = serve(Resource(Counted)).get(ROOT, headers={"accept": BROWSER})
    assert response["Content-Type"] == JSON


# -- section 14: where others fail -----------------------------------------------------


def test_against_others_q_0_excludes_and_nan_is_null(serve: Serve) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            return [float("nan")]

    client = serve(Resource(Handler))
    refused = client.get(ROOT, headers={"accept": "application/json;q=0"})
    assert refused.status_code == 406
    for name, body in {"json": "[null]", "yaml": "- null\n", "csv": '""\r\n'}.items():
        assert client.get(ROOT, {"format": name}).content.decode() == body


def test_against_others_a_body_over_the_limit_is_a_413_problem(serve: Serve) -> None:
    client = serve(Resource(Counted), DATA_UPLOAD_MAX_MEMORY_SIZE=10)
    response = client.post(ROOT, b'{"name": "long"}', JSON)
    assert response.status_code == 413
    assert response["Content-Type"] == "application/problem+json"


# -- section 15: what an import costs --------------------------------------------------


def test_the_import_loads_few_modules_and_none_for_what_is_not_used() -> None:
    script = """
import django, sys
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"])
django.setup()
before = set(sys.modules)
from oberonc.piston import BaseHandler, Emitter, Mimer, Resource, rc, throttle, validate
new = set(sys.modules) - before
print(len(new), sorted(new & {"yaml", "defusedxml", "pydantic", "csv", "asyncio"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    count, loaded = done.stdout.split(maxsplit=1)
    assert int(count) <= 40, done.stderr
    assert loaded.strip() == "[]"


# -- what a stranger may try -----------------------------------------------------------


def test_a_date_that_counts_for_nothing_is_no_precondition(serve: Serve) -> None:
    class Handler(Counted):
        require_match = True

    client = serve(Resource(Handler))
    for name in ("if-modified-since", "if-unmodified-since"):
        headers = {name: "Wed, 21 Oct 2015 07:28:00 GMT"}
        assert client.put(ONE, {}, JSON, headers=headers).status_code == 428


def test_a_location_has_only_characters_of_a_url(serve: Serve) -> None:
    class Handler(BaseHandler):
        def create(self, request: HttpRequest) -> Any:
            return rc.CREATED(1, location="/ä b")

        def update(self, request: HttpRequest, id: int) -> Any:
            return rc.ALL_OK(1, location="/a\r\nSet-Cookie: b")

    client = serve(Resource(Handler))
    assert client.post(ROOT)["Location"] == "/%C3%A4%20b"
    assert "Set-Cookie" not in client.put(ONE).headers


def test_formats_that_nobody_has_registered_are_406(serve: Serve) -> None:
    class Handler(Counted):
        formats = ("nope",)

    response = serve(Resource(Handler)).get(ROOT)
    assert (response.status_code, response.json()["available"]) == (406, {})


def test_a_long_number_beside_half_a_character_is_json(serve: Serve) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            return {"\ud800": [10**5000, "\ud800"]}

    response = serve(Resource(Handler)).get(ROOT)
    assert response.content.startswith(b'{"\\ud800":[10000')
