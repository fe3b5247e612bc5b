"""Section 6: what becomes `request.data`, and what is refused before anything runs."""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any, ClassVar

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oberonc.piston import BaseHandler, Mimer, Resource, require_extended, require_mime
from oberonc.piston.mimers import load_json, load_xml, load_yaml
from tests.piston.conftest import Serve

ROOT = "/things/"
ONE = "/things/7/"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Echo(BaseHandler):
    """Gives back what it was sent."""

    max_body: ClassVar[int | None] = 3000

    def create(self, request: HttpRequest) -> Any:
        return request.data

    def update(self, request: HttpRequest, id: int) -> Any:
        files = {name: one.read().decode() for name, one in request.files.items()}
        return {"data": request.data, "files": files, "body": len(request.body)}

    patch = update

    def read(self, request: HttpRequest) -> Any:
        return [request.data, len(request.files)]


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve(Resource(Echo))


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        (JSON, b'{"a": [1, null, "\xc3\xa4"]}', {"a": [1, None, "ä"]}),
        ("APPLICATION/JSON; charset=latin-1", b'"\xc3\xa4"', "ä"),
        ("application/vnd.x+json", b"[]", []),
        (JSON, b"\xef\xbb\xbf1", 1),
        (
            "application/yaml",
            b"a: [1, ~, yes, 2020-01-01]",
            {"a": [1, None, "yes", "2020-01-01"]},
        ),
        ("text/x-yaml", b"1e3", 1000.0),
        ("application/xml", b"<r><a>1</a><b nil='true'/></r>", {"a": "1", "b": None}),
        ("text/xml", b"<r><resource>1</resource></r>", ["1"]),
        (FORM, b"a=1&a=2&b=%C3%A4", {"a": ["1", "2"], "b": ["ä"]}),
    ],
    ids=[
        "json",
        "json-case",
        "plus-json",
        "bom",
        "yaml",
        "x-yaml",
        "xml",
        "text-xml",
        "form",
    ],
)
def test_a_body_is_parsed_by_its_type(
    client: Client, kind: str, body: bytes, data: Any
) -> None:
    response = client.generic("POST", ROOT, body, kind)
    assert response.status_code == 201, response.content
    if kind == FORM:
        data = {key: values[-1] for key, values in data.items()}
    assert response.json() == data


def test_there_is_no_data_without_a_body(client: Client) -> None:
    assert client.get(ROOT).json() == [None, 0]
    assert client.generic("POST", ROOT).status_code == 204
    assert client.post(ROOT, b"", content_type=JSON).status_code == 204


@pytest.mark.parametrize("method", ["put", "patch"])
def test_forms_and_files_are_the_same_in_put_and_patch(
    client: Client, method: str
) -> None:
    upload = SimpleUploadedFile("a.txt", b"text")
    content = encode_multipart(BOUNDARY, {"a": "1", "file": upload})
    response = getattr(client, method)(ONE, content, content_type=MULTIPART_CONTENT)
    assert response.json() == {
        "data": {"a": "1"},
        "files": {"file": "text"},
        "body": len(content),
    }
    form = getattr(client, method)(ONE, b"a=1", content_type=FORM)
    assert form.json() == {"data": {"a": "1"}, "files": {}, "body": 3}


def test_a_multipart_post_has_its_files_and_its_body(serve: Serve) -> None:
    class Handler(BaseHandler):
        def create(self, request: HttpRequest) -> Any:
            file = request.files["file"]
            return [
                request.data["a"],
                file.name,
                file.read().decode(),
                request.POST["a"],
            ]

    upload = SimpleUploadedFile("a.txt", b"text")
    response = serve(Resource(Handler)).post(ROOT, {"a": "1", "file": upload})
    assert response.json() == ["1", "a.txt", "text", "1"]


def test_a_form_that_somebody_read_before_is_still_data(rf: RequestFactory) -> None:
    request = rf.post(ROOT, {"a": "1", "file": SimpleUploadedFile("a.txt", b"text")})
    assert request.POST["a"] == "1"
    response = Resource(Echo)(request)
    assert json.loads(response.content) == {"a": "1"}


# -- 415 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("text/plain", {}),
        ("application/jsonp", {}),
        ("application/json-seq", {}),
        ("", {}),
        (JSON, {"content-encoding": "gzip"}),
        (JSON, {"content-encoding": "identity"}),
    ],
    ids=["plain", "prefix", "longer", "none", "gzip", "identity"],
)
def test_other_types_and_encodings_are_415_with_accept(
    client: Client, kind: str, headers: Any
) -> None:
    response = client.generic("POST", ROOT, b"{}", kind, headers=headers)
    assert response.status_code == 415
    assert response["Accept"].startswith("application/json, application/yaml")
    assert response["Content-Type"] == "application/problem+json"


def test_require_mime_reads_only_what_it_names(serve: Serve) -> None:
    class Handler(BaseHandler):
        @require_mime("xml", "application/vnd.x+json")
        def create(self, request: HttpRequest) -> Any:
            return request.data

        @require_extended
        def update(self, request: HttpRequest, id: int) -> Any:
            return request.data

    client = serve(Resource(Handler))
    assert client.post(ROOT, b"<r>1</r>", "text/xml").json() == "1"
    assert client.post(ROOT, b"1", "application/vnd.x+json").json() == 1
    refused = client.post(ROOT, b"{}", JSON)
    assert refused.status_code == 415
    accepted = "application/xml, text/xml, application/vnd.x+json"
    assert refused["Accept"] == accepted
    assert client.put(ONE, b"1", "application/vnd.y+json").json() == 1
    assert client.put(ONE, b"a: 1", "text/yaml").json() == {"a": 1}
    assert client.put(ONE, b"a=1", FORM).status_code == 415
    with pytest.raises(ValueError, match="'pickle' is neither"):
        require_mime("pickle")


# -- 413 -------------------------------------------------------------------------------


def test_a_body_over_the_limit_of_the_handler_is_413(client: Client) -> None:
    assert client.post(ROOT, b'"' + b"a" * 2998 + b'"', JSON).status_code == 201
    response = client.post(ROOT, b'"' + b"a" * 2999 + b'"', JSON)
    assert response.status_code == 413
    assert response.json()["title"] == "Content Too Large"
    assert response["Content-Type"] == "application/problem+json"


class Unlimited(Echo):
    max_body = None


@pytest.mark.parametrize("method", ["post", "put"])
def test_the_limit_is_that_of_the_settings_then_of_django(
    serve: Serve, method: str
) -> None:
    client = serve(Resource(Unlimited))
    send = getattr(client, method)
    url = ROOT if method == "post" else ONE
    body = b'"' + b"a" * 98 + b'"'
    with override_settings(PISTON={"MAX_BODY": 99}):
        assert send(url, body, JSON).status_code == 413
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=99):
        assert send(url, body, JSON).status_code == 413
    with override_settings(PISTON={"MAX_BODY": 100}, DATA_UPLOAD_MAX_MEMORY_SIZE=9):
        assert send(url, body, JSON).status_code < 300
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=None):
        assert send(url, body, JSON).status_code < 300


@pytest.mark.parametrize("limit", [3, None], ids=["by-the-handler", "by-django"])
def test_a_body_of_unknown_length_is_413_while_it_is_read(limit: int | None) -> None:
    class Handler(Echo):
        max_body = limit

    request = AsyncRequestFactory().post(ROOT, b'"abc"', content_type=JSON)
    del request.META["CONTENT_LENGTH"]
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=4):
        assert Resource(Handler)(request).status_code == 413


def test_a_body_of_unknown_length_is_parsed() -> None:
    request = AsyncRequestFactory().put(ONE, b"a=1", content_type=FORM)
    del request.META["CONTENT_LENGTH"]
    response = Resource(Echo)(request, id=7)
    assert json.loads(response.content)["data"] == {"a": "1"}


def test_nothing_is_read_of_a_body_that_says_it_is_too_long(rf: RequestFactory) -> None:
    class Never(BytesIO):
        def read(self, *size: Any) -> bytes:
            raise AssertionError("read")

    request = rf.generic("POST", ROOT, b"", JSON, CONTENT_LENGTH="3001")
    request._stream = Never()
    assert Resource(Echo)(request).status_code == 413


# -- 400 -------------------------------------------------------------------------------

DEEP = 33
MALFORMED = [
    ("json-malformed", JSON, b'{"a": '),
    ("json-trailing", JSON, b"{} {}"),
    ("json-not-utf-8", JSON, b'"\xff"'),
    ("json-utf-16", JSON, '"a"'.encode("utf-16")),
    ("json-33-deep", JSON, b"[" * DEEP + b"]" * DEEP),
    ("json-far-too-deep", JSON, b"[" * 1400 + b"]" * 1400),
    ("json-deep-objects", JSON, b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    ("json-nan", JSON, b"[NaN]"),
    ("json-infinity", JSON, b"-Infinity"),
    ("json-too-large", JSON, b"1e999"),
    ("json-key-twice", JSON, b'{"a": 1, "a": 1}'),
    ("json-long-number", JSON, b"1" * 2000),
    ("json-long-float", JSON, b"0." + b"1" * 2000),
    ("yaml-malformed", "text/yaml", b"a: [1"),
    ("yaml-not-utf-8", "text/yaml", b"\xff"),
    ("yaml-python", "text/yaml", b"!!python/object/apply:os.system ['true']"),
    ("yaml-own-tag", "text/yaml", b"!own 1"),
    ("yaml-alias", "text/yaml", b"a: &x [1]\nb: *x"),
    ("yaml-anchor", "text/yaml", b"&x 1"),
    ("yaml-two-documents", "text/yaml", b"1\n---\n2"),
    ("yaml-key-twice", "text/yaml", b"a: 1\na: 1"),
    ("yaml-nan", "text/yaml", b"[.nan]"),
    ("yaml-infinity", "text/yaml", b"-.inf"),
    ("yaml-33-deep", "text/yaml", b"[" * DEEP + b"]" * DEEP),
    ("yaml-far-too-deep", "text/yaml", b"[" * 1400 + b"]" * 1400),
    ("yaml-long-number", "text/yaml", b"1" * 2000),
    ("yaml-list-as-key", "text/yaml", b"[1]: 1"),
    ("yaml-wrong-for-its-tag", "text/yaml", b"!!int abc"),
    ("yaml-no-date", "text/yaml", b"!!timestamp abc"),
    ("xml-malformed", "text/xml", b"<a>"),
    ("xml-not-utf-8", "text/xml", b"<a>\xff</a>"),
    ("xml-dtd", "text/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
    ("xml-external", "text/xml", b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'),
    ("xml-33-deep", "text/xml", b"<a>" * 34 + b"</a>" * 34),
    ("xml-far-too-deep", "text/xml", b"<a>" * 400 + b"</a>" * 400),
    ("xml-key-twice", "text/xml", b"<r><a/><a/></r>"),
    ("xml-mixed", "text/xml", b"<r>text<a/></r>"),
    ("xml-nil-with-content", "text/xml", b'<r nil="true">1</r>'),
    ("form-not-utf-8", FORM, b"a=%FF"),
    ("multipart-malformed", "multipart/form-data", b"--x"),
]


@pytest.mark.parametrize(
    ("kind", "body"), [one[1:] for one in MALFORMED], ids=[one[0] for one in MALFORMED]
)
@pytest.mark.parametrize("method", ["post", "put"])
def test_what_no_parser_takes_is_400_and_nothing_runs(
    client: Client, kind: str, body: bytes, method: str
) -> None:
    url = ROOT if method == "post" else ONE
    response = client.generic(method.upper(), url, body, kind)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert len(response.json()["detail"]) < 300


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"[" * 32 + b"]" * 32),
        ("text/yaml", b"[" * 32 + b"]" * 32),
        ("text/xml", b"<resource>" * 33 + b"1" + b"</resource>" * 33),
    ],
    ids=["json", "yaml", "xml"],
)
def test_32_deep_is_allowed(client: Client, kind: str, body: bytes) -> None:
    assert client.post(ROOT, body, content_type=kind).status_code == 201


def test_the_depth_is_that_of_the_settings(client: Client) -> None:
    with override_settings(PISTON={"MAX_DEPTH": 1}):
        for kind, body in [(JSON, b"[[]]"), ("text/yaml", b"[[]]")]:
            assert client.post(ROOT, body, kind).status_code == 400
            assert client.post(ROOT, b"[1]", kind).status_code == 201


def test_a_surrogate_is_what_json_allows_and_comes_back(client: Client) -> None:
    response = client.post(ROOT, b'"\\ud800"', JSON)
    assert response.content == b'"\\ud800"'
    as_xml = client.post(ROOT + "?format=xml", b'"\\ud800"', JSON)
    assert "<response>�</response>" in as_xml.content.decode()


# -- any bytes -------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b":", b",", b"a", b"1", b"- ", b"\n", b" ", b"&a ",
     b"*a", b"!!set", b"!!omap", b"!!binary", b"? ", b"| ", b"> ", b"%", b"<a>", b"</a>",
     b"<!--", b"&lt;", b"&#0;", b"<?x", b"<![CDATA[", b"\xff", b"\\u0000", b"\\ud800",
     b"=", b"&", b"%FF", b"0x", b".", b"e9", b"<<", b"~", b"-", b"\t", b"'"]
)  # fmt: skip
_BODIES = st.binary() | st.lists(_PIECES).map(b"".join)


@pytest.mark.parametrize(
    "kind",
    [
        JSON,
        "application/yaml",
        "application/xml",
        FORM,
        "multipart/form-data; boundary=a",
    ],
    ids=["json", "yaml", "xml", "form", "multipart"],
)
@settings(deadline=None)
@given(body=_BODIES)
@example(body=b"? [a]\n: b")
@example(body=b"--a\r\nContent-Disposition: form-data; name=x; filename=y\r\n\r\n")
@example(body=b"!!set {a, b}")
@example(body=b"!!timestamp 2020-13-45")
@example(body=b"<a xmlns='b'><c/></a>")
def test_any_bytes_to_any_parser_are_400_or_data_and_never_500(
    kind: str, body: bytes
) -> None:
    resource = Resource(Echo)
    for method, arguments in (("POST", {}), ("PUT", {"id": 7})):
        request = RequestFactory().generic(method, ROOT, body, kind)
        response = resource(request, **arguments)
        assert response.status_code in (200, 201, 204, 400), response.content


@settings(deadline=None)
@given(_BODIES)
def test_a_loader_raises_value_error_or_gives_data(body: bytes) -> None:
    for load in (load_json, load_yaml, load_xml):
        try:
            load(body)
        except (ValueError, RecursionError):
            continue


# -- a parser of one's own -------------------------------------------------------------


def load_lines(body: bytes) -> list[str]:
    if b"\0" in body:
        raise ValueError("a line with a NUL")
    return body.decode().split("\n")


@pytest.fixture
def lines() -> Iterator[None]:
    Mimer.register(load_lines, ("text/x-lines",))
    yield
    Mimer.unregister(load_lines)


@pytest.mark.usefixtures("lines")
def test_a_parser_of_ones_own_is_one_like_the_others(client: Client) -> None:
    assert client.post(ROOT, b"a\nb", "text/x-lines").json() == ["a", "b"]
    refused = client.post(ROOT, b"\0", "text/x-lines")
    assert (refused.status_code, "NUL" in refused.json()["detail"]) == (400, True)
    Mimer.unregister(load_lines)
    assert client.post(ROOT, b"a", "text/x-lines").status_code == 415
