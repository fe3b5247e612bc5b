"""Section 12: OpenAPI, the page for people, the test client, and checks of URLs."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import run_checks
from django.http import HttpRequest
from django.test import override_settings
from django.urls import (
    clear_url_caches,
    include,
    path,
    re_path,
    register_converter,
)
from openapi_spec_validator import OpenAPIV31SpecValidator

from oberonc.piston import (
    BaseHandler,
    BearerAuthentication,
    HttpBasicSimple,
    ModelHandler,
    Resource,
    SessionAuthentication,
    documentation_view,
    generate_doc,
    idempotent,
    openapi_view,
    require_mime,
    throttle,
    validate,
)
from oberonc.piston.test import Client, TestCase
from tests.piston.conftest import Serve
from tests.piston.project import handlers
from tests.piston.project.models import Book

PROJECT = "tests.piston.project.urls"


@dataclass
class Line:
    """A line of an order."""

    sku: str
    count: int = 1


@dataclass
class Order:
    """An order."""

    lines: list[Line] = field(default_factory=list)
    next: "Order | None" = None


@dataclass
class Search:
    """What to look for."""

    word: str
    limit: int = 5


class Orders(BaseHandler):
    """Orders of <b>customers</b>."""

    require_match = True
    formats = ("json", "yaml")

    @validate(Search, operation="GET")
    def read(self, request: Any, customer: str) -> Any:
        """Find orders.

        By <script>alert(1)</script> or by hand.
        """

    @validate(Order)
    @throttle(5)
    @idempotent(required=True)
    @require_mime("json")
    def create(self, request: Any, customer: str) -> Any:
        """Order something."""

    @validate(Order, partial=True)
    def patch(self, request: Any, customer: str, number: int) -> Any:
        """Change an order."""

    def delete(self, request: Any, customer: str, number: int) -> None:
        """Forget an order."""


orders = Resource(
    Orders,
    authentication=[
        HttpBasicSimple("API", "ann", "x"),
        BearerAuthentication(lambda token: None),
        SessionAuthentication(),
    ],
)
urlpatterns = [
    path("c/<slug:customer>/orders/", orders, name="orders"),
    path("c/<slug:customer>/orders/<int:number>/", orders),
    re_path(r"^old/(?P<customer>[a-z]+)(?:\.(?P<emitter_format>\w+))?/$", orders),
    path("project/", include((PROJECT, "library"))),
    path("openapi.json", openapi_view),
    path("", documentation_view),
]


def described() -> Any:
    return generate_doc(__name__, title="Shop", version="3")


def operation(path: str, method: str) -> Any:
    return described()["paths"][path][method]


def test_12_a_validator_accepts_it() -> None:
    OpenAPIV31SpecValidator(described()).validate()
    json.dumps(described(), allow_nan=False)


def test_12_every_url_of_a_resource_is_there_with_the_methods_it_allows() -> None:
    found = {
        path: sorted(set(item) - {"parameters"})
        for path, item in described()["paths"].items()
    }
    assert found["/c/{customer}/orders/"] == ["get", "post"]
    assert found["/c/{customer}/orders/{number}/"] == ["delete", "patch"]
    assert found["/old/{customer}.{emitter_format}/"] == ["get", "post"]
    assert found["/project/books/"] == ["get", "post"]
    assert found["/project/books/{id}/"] == ["delete", "get", "patch", "put"]
    assert found["/project/shelves/"] == ["get", "post"]
    assert found["/project/authors/"] == ["get"]
    assert len(found) == 14


def test_12_title_version_and_names_are_those_that_were_given() -> None:
    assert described()["info"] == {"title": "Shop", "version": "3"}
    with override_settings(PISTON={"TITLE": "T", "VERSION": "9"}):
        assert generate_doc(__name__)["info"] == {"title": "T", "version": "9"}
    ids = [
        each["operationId"]
        for item in described()["paths"].values()
        for name, each in item.items()
        if name != "parameters"
    ]
    assert len(set(ids)) == len(ids)
    assert {"orders_read", "library:book_update"} <= set(ids)


def test_12_the_types_of_url_arguments_are_those_of_the_converters() -> None:
    item = described()["paths"]["/c/{customer}/orders/{number}/"]
    kinds = {each["name"]: each["schema"]["type"] for each in item["parameters"]}
    assert kinds == {"customer": "string", "number": "integer"}
    item = described()["paths"]["/old/{customer}.{emitter_format}/"]
    assert item["parameters"][1]["schema"]["enum"] == ["json", "yaml"]


def test_12_the_summary_is_the_first_sentence_of_the_docstring() -> None:
    found = operation("/c/{customer}/orders/", "get")
    assert found["summary"] == "Find orders."
    assert found["description"].startswith("By <script>")


class Verbs:
    """A converter of a project's own."""

    regex = "open|shut"

    def to_python(self, value: str) -> str:
        return value

    to_url = to_python


class Door(BaseHandler):
    """A door."""

    @classmethod
    def openapi(cls, method: str, arguments: Collection[str]) -> dict[str, Any]:
        return {"statuses": (200, 503)}

    def create(self, request: HttpRequest, verb: str) -> Any:
        """Open it, or shut it, as the
        address says. It may be stuck.

        Then push.
        """


def test_12_what_a_handler_tells_of_itself_is_what_is_documented() -> None:
    register_converter(Verbs, "verbs")
    urls: Any = ModuleType("doors")
    urls.urlpatterns = [path("door/<verbs:verb>", Resource(Door))]
    item = generate_doc(urls)["paths"]["/door/{verb}"]
    schema = {"type": "string", "pattern": "^(open|shut)$"}
    assert item["parameters"][0]["schema"] == schema
    assert item["post"]["summary"] == "Open it, or shut it, as the address says."
    assert item["post"]["description"] == "It may be stuck.\n\nThen push."
    assert {"200", "503"} <= set(item["post"]["responses"])
    assert "201" not in item["post"]["responses"]


def test_12_the_query_string_is_parameters() -> None:
    found = {
        each["name"]: each
        for each in operation("/c/{customer}/orders/", "get")["parameters"]
    }
    assert found["word"]["in"] == "query"
    assert found["word"]["required"]
    assert not found["limit"]["required"]
    assert found["limit"]["schema"]["type"] == "integer"


def test_12_a_body_has_its_types_and_its_schema() -> None:
    document = described()
    body = document["paths"]["/c/{customer}/orders/"]["post"]["requestBody"]
    assert list(body["content"]) == ["application/json"]
    assert body["required"]
    assert document["components"]["schemas"]["Line"]["required"] == ["sku"]
    body = operation("/project/books/", "post")["requestBody"]
    assert {"application/json", "application/yaml", "multipart/form-data"} <= set(
        body["content"]
    )
    schema = body["content"]["application/json"]["schema"]
    assert schema["required"] == ["title", "author"]
    assert schema["additionalProperties"] is False
    body = operation("/project/books/{id}/", "patch")["requestBody"]
    assert "required" not in body["content"]["application/json"]["schema"]


def test_12_the_statuses_are_those_that_are_possible() -> None:
    post = operation("/c/{customer}/orders/", "post")["responses"]
    assert {"201", "400", "401", "403", "409", "413", "415", "422", "429"} <= set(post)
    delete = operation("/c/{customer}/orders/{number}/", "delete")["responses"]
    assert {"204", "404", "412", "428"} <= set(delete)
    assert "422" not in delete
    get = operation("/project/authors/", "get")["responses"]
    assert set(get) == {"200", "304", "400", "406", "500"}


def test_12_headers_that_count_are_parameters() -> None:
    found = operation("/c/{customer}/orders/", "post")["parameters"]
    key = next(each for each in found if each["name"] == "Idempotency-Key")
    assert key["required"]
    found = operation("/c/{customer}/orders/{number}/", "patch")["parameters"]
    match = next(each for each in found if each["name"] == "If-Match")
    assert match["required"]


def test_12_answers_have_the_formats_of_the_handler() -> None:
    get = operation("/c/{customer}/orders/", "get")["responses"]["200"]["content"]
    assert list(get) == ["application/json", "application/yaml"]
    get = operation("/project/authors/", "get")["responses"]["200"]["content"]
    assert len(get) >= 5
    schema = get["application/json"]["schema"]
    assert schema["items"]["properties"]["name"]["type"] == "string"


def test_12_who_may_ask_is_told_by_security_schemes() -> None:
    found = operation("/c/{customer}/orders/", "get")["security"]
    assert [next(iter(each)) for each in found] == [
        "HttpBasicSimple",
        "BearerAuthentication",
        "SessionAuthentication",
    ]
    schemes = described()["components"]["securitySchemes"]
    assert schemes["BearerAuthentication"] == {"type": "http", "scheme": "bearer"}
    # Public is its anonymous handler, which only reads.
    assert {} in operation("/project/private/", "get")["security"]
    assert {} not in operation("/project/private/", "put")["security"]


def test_12_the_view_serves_the_urlconf_of_the_request() -> None:
    with override_settings(ROOT_URLCONF=__name__):
        clear_url_caches()
        answer = Client().get("/openapi.json")
        assert answer["Content-Type"] == "application/json"
        assert answer.data["paths"].keys() == described()["paths"].keys()
    clear_url_caches()


class Outline(HTMLParser):
    """Tags, ids and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.links.append(str(value))


@pytest.fixture
def page() -> Any:
    with override_settings(ROOT_URLCONF=__name__, TEMPLATES=[]):
        clear_url_caches()
        yield Client().get("/")
    clear_url_caches()


def test_12_the_page_has_no_script_and_asks_no_other_host(page: Any) -> None:
    outline = Outline(page.content.decode())
    assert not {"script", "iframe", "img", "link", "object"} & set(outline.tags)
    assert all(link.startswith("#") for link in outline.links)
    assert page["Content-Security-Policy"].startswith("default-src 'none'; ")


def test_12_everything_on_the_page_is_escaped(page: Any) -> None:
    text = page.content.decode()
    assert "By &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "Orders of &lt;b&gt;customers&lt;/b&gt;." in text


def test_12_links_of_the_page_lead_to_each_operation(page: Any) -> None:
    outline = Outline(page.content.decode())
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert {"orders_read", "library:book_update"} <= set(outline.ids)


def test_12_the_page_shows_what_the_document_says(page: Any) -> None:
    text = re.sub(r"<[^>]+>", "", page.content.decode())
    for words in (
        "Find orders.",
        "lines[].sku",
        "Idempotency-Key",
        "HTTP bearer",
        "curl -X POST -H",
        "http://testserver/c/{customer}/orders/",
        "As it stands on the cover",
        "at most so long: 80",
    ):
        assert words in text, words


def test_12_the_style_of_the_page_is_the_only_one_that_is_allowed(page: Any) -> None:
    import base64
    import hashlib

    style = re.search(r"<style>(.*?)</style>", page.content.decode(), re.S)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page["Content-Security-Policy"]


def test_12_a_schema_that_contains_itself_is_shown_to_some_depth(page: Any) -> None:
    assert b"next.lines[].sku" in page.content


# The test client.


class Mirror(BaseHandler):
    """What was sent, and how it was asked for."""

    def read(self, request: Any) -> Any:
        return dict(request.headers)

    def create(self, request: Any) -> Any:
        return {"data": request.data, "type": request.content_type}

    update = patch = create

    def delete(self, request: Any) -> Any:
        return None


@pytest.fixture
def mirror(serve: Serve) -> Client:
    serve(Resource(Mirror))
    return Client()


@pytest.mark.parametrize("accept", ["json", "yaml", "xml"])
@pytest.mark.parametrize("format", ["json", "yaml", "xml"])
def test_12_the_client_speaks_every_format(
    mirror: Client, format: str, accept: str
) -> None:
    for send in (mirror.post, mirror.put, mirror.patch):
        answer = send("/things/", {"a": ["x", "y"]}, format=format, accept=accept)
        assert answer.data["data"] == {"a": ["x", "y"]}
        assert answer.data["type"] == f"application/{format}"
        assert answer["Content-Type"].startswith(f"application/{accept}")
    assert mirror.delete("/things/").data is None


def test_12_the_client_sends_forms_and_raw_bytes(mirror: Client) -> None:
    assert mirror.post("/things/", {"a": 1}, format="form").data["data"] == {"a": "1"}
    answer = mirror.put("/things/", {"a": 1}, format="multipart")
    assert answer.data["data"] == {"a": "1"}
    assert mirror.post("/things/", b"{", format="json").status_code == 400
    answer = mirror.post("/things/", b"[1]", format="application/vnd.x+json")
    assert answer.data["data"] == [1]


def test_12_the_client_has_credentials(serve: Serve) -> None:
    serve(Resource(Mirror))
    basic = Client(basic=("ann", "a:b")).get("/things/").data["Authorization"]
    assert basic == "Basic YW5uOmE6Yg=="
    bearer = Client(bearer="t0ken").get("/things/").data["Authorization"]
    assert bearer == "Bearer t0ken"


def test_12_the_client_parses_problems_streams_and_tables(serve: Serve) -> None:
    class Rows(BaseHandler):
        def read(self, request: Any) -> Any:
            return ({"n": n} for n in range(3))

    serve(Resource(Rows))
    client = Client()
    assert client.post("/things/", {}).data["status"] == 405
    assert client.post("/things/", {}, accept="yaml").data["title"]
    answer = client.get("/things/", accept="jsonl")
    assert answer.data == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert b"".join(answer.streaming_content).count(b"\n") == 3
    assert client.get("/things/", accept="csv").data[2] == {"n": "2"}


def test_12_the_test_case_has_the_client() -> None:
    assert TestCase.client_class is Client


# System checks.


def messages(*patterns: Any) -> dict[str, str]:
    """What the checks say of a URLconf, by id."""
    from types import ModuleType

    urls: Any = ModuleType("urls")
    urls.urlpatterns = list(patterns)
    with override_settings(ROOT_URLCONF=urls):
        clear_url_caches()
        found = run_checks()
    clear_url_caches()
    return {each.id: each.msg for each in found if each.id.startswith("piston")}


def test_12_a_method_that_no_url_reaches_is_warned_of() -> None:
    class Lost(BaseHandler):
        def read(self, request: Any) -> Any: ...

        def update(self, request: Any, id: int) -> Any: ...

    found = messages(path("lost/", Resource(Lost)))
    assert "Lost.update" in found["piston.W101"]
    resource = Resource(Lost)
    assert not messages(path("l/", resource), path("l/<int:id>/", resource))


def test_12_a_format_that_no_emitter_has_is_an_error() -> None:
    class Odd(BaseHandler):
        formats = ("json", "yml")

        def read(self, request: Any) -> Any: ...

    resource = path("odd/", Resource(Odd))
    assert "'yml'" in messages(resource)["piston.E104"]
    with override_settings(PISTON={"FORMATS": ["jsno"]}):
        assert "'jsno'" in messages()["piston.E104"]


@pytest.mark.parametrize("backend", ["db.DatabaseCache", "filebased.FileBasedCache"])
def test_12_a_cache_without_an_atomic_incr_is_warned_of(
    backend: str, tmp_path: Path
) -> None:
    odd = {
        "BACKEND": f"django.core.cache.backends.{backend}",
        "LOCATION": str(tmp_path),
    }
    atomic = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with override_settings(CACHES={"default": odd, "atomic": atomic}):
        assert "'default'" in messages()["piston.W004"]
        with override_settings(PISTON={"CACHE": "atomic"}):
            assert not messages()
        with override_settings(PISTON={"CACHE": "none"}):
            assert "'none'" in messages()["piston.E003"]


def test_12_model_fields_that_do_not_exist_are_errors() -> None:
    class Wrong(ModelHandler):
        model = Book
        fields = ("title", "titel", ("author", ("nam",)))
        writable = ("pagse", "author_id")

    found = run_checks_of(Wrong)
    assert any("'titel'" in text for text in found)
    assert any("'author.nam'" in text for text in found)
    assert any("'pagse'" in text for text in found)
    assert any("'author_id'" in text for text in found)
    assert not run_checks_of(handlers.Books)


def run_checks_of(handler: Any) -> list[str]:
    from types import ModuleType

    urls: Any = ModuleType("urls")
    urls.urlpatterns = [path("x/", Resource(handler))]
    with override_settings(ROOT_URLCONF=urls):
        clear_url_caches()
        found = [each.msg for each in run_checks() if "piston.E1" in str(each.id)]
    clear_url_caches()
    return found


def test_12_a_field_that_a_queryset_may_annotate_is_only_warned_of() -> None:
    class Annotated(ModelHandler):
        model = Book
        fields = ("title", "length")

        def queryset(self, request: Any) -> Any:
            raise NotImplementedError

    assert "length" in messages(path("x/", Resource(Annotated)))["piston.W102"]


class Silent(BaseHandler):
    def read(self, request: Any) -> Any:
        return {}


def test_a_handler_without_a_description_gets_none() -> None:
    urls = (path("silent/", Resource(Silent)),)
    assert generate_doc(urls)["tags"] == [{"name": "Silent", "description": ""}]
