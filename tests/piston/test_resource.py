"""Sections 3 and 4: handlers, results, allowed methods, and the order of steps."""

import dataclasses
import datetime
import enum
import inspect
import json
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils.functional import lazystr

from oberonc.piston import (
    AnonymousBaseHandler,
    BadCredentials,
    BaseHandler,
    Resource,
    computed,
    idempotent,
    rc,
    require_mime,
    throttle,
    validate,
)
from tests.piston.conftest import Serve

ROOT = "/things/"
ONE = "/things/7/"


class Thing:
    """An object that knows more than it should tell."""

    def __init__(self, name: str, **more: Any) -> None:
        self.name = name
        self.secret = "secret"
        self.__dict__.update(more)

    def shout(self) -> str:
        return self.name.upper()

    def plus(self, suffix: str) -> str:
        return self.name + suffix

    def destroy(self) -> None:
        raise AssertionError("called")

    destroy.alters_data = True  # type: ignore[attr-defined]


class Crud(BaseHandler):
    """The list and its members, by one handler."""

    def read(self, request: HttpRequest, id: int | None = None) -> Any:
        return ["a"] if id is None else {"id": id}

    def create(self, request: HttpRequest) -> Any:
        return request.data

    def update(self, request: HttpRequest, id: int) -> Any:
        return {"updated": id}

    def patch(self, request: HttpRequest, id: int) -> Any:
        return {"patched": id}

    def delete(self, request: HttpRequest, id: int) -> None:
        return None


def reading(result: Any, **attributes: Any) -> Resource:
    """A resource whose `read` gives this; a function is called for it."""

    def read(self: BaseHandler, request: HttpRequest, **arguments: Any) -> Any:
        return result() if inspect.isfunction(result) else result

    return Resource(type("Handler", (BaseHandler,), {"read": read, **attributes}))


def got(client: Client, url: str = ROOT, **options: Any) -> Any:
    response = client.get(url, **options)
    assert response.status_code == 200, response.content
    return json.loads(response.content)


# -- methods and what is allowed at a URL ----------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "status", "body"),
    [
        ("get", ROOT, 200, ["a"]),
        ("get", ONE, 200, {"id": 7}),
        ("post", ROOT, 201, {"x": 1}),
        ("put", ONE, 200, {"updated": 7}),
        ("patch", ONE, 200, {"patched": 7}),
    ],
    ids=["get-list", "get-one", "post", "put", "patch"],
)
def test_each_method_has_its_function(
    serve: Serve, method: str, url: str, status: int, body: Any
) -> None:
    send = getattr(serve(Resource(Crud)), method)
    response = send(url, {"x": 1}, content_type="application/json")
    assert (response.status_code, response.json()) == (status, body)


def test_none_is_204_without_a_body_and_null_when_read(serve: Serve) -> None:
    response = serve(Resource(Crud)).delete(ONE)
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Type" not in response
    assert got(serve(reading(None))) is None


def test_what_is_allowed_depends_on_the_arguments_of_the_url(serve: Serve) -> None:
    client = serve(Resource(Crud))
    at_the_list = client.put(ROOT)
    assert at_the_list.status_code == 405
    assert at_the_list["Allow"] == "GET, HEAD, POST, OPTIONS"
    at_a_member = client.post(ONE)
    assert at_a_member.status_code == 405
    assert at_a_member["Allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"


def test_allowed_methods_only_narrow(serve: Serve) -> None:
    class Narrow(Crud):
        allowed_methods = ("GET",)

    client = serve(Resource(Narrow))
    assert client.post(ROOT).status_code == 405
    assert client.options(ROOT)["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("methods", [("GET", "POST"), ("BREW",), "GET"])
def test_allowed_methods_naming_a_missing_function_is_improperly_configured(
    methods: Any,
) -> None:
    with pytest.raises(ImproperlyConfigured, match="allowed_methods"):
        reading(1, allowed_methods=methods)


def test_an_anonymous_handler_allows_only_get(serve: Serve) -> None:
    class Anonymous(AnonymousBaseHandler):
        def read(self, request: HttpRequest) -> Any:
            return 1

        def create(self, request: HttpRequest) -> Any:
            return 2

    client = serve(Resource(Anonymous))
    assert (client.get(ROOT).status_code, client.post(ROOT).status_code) == (200, 405)


def test_an_instance_serves_one_request_and_has_it(serve: Serve) -> None:
    seen: list[Any] = []

    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            assert self.request is request
            seen.append(self)

    client = serve(Resource(Handler))
    client.get(ROOT)
    client.get(ROOT)
    assert seen[0] is not seen[1]


def test_a_type_error_in_a_handler_is_500_and_no_400_or_405(serve: Serve) -> None:
    def fail() -> Any:
        return len(5)  # type: ignore[arg-type]

    assert serve(reading(fail)).get(ROOT).status_code == 500


# -- results ---------------------------------------------------------------------------


def test_a_response_passes_untouched(serve: Serve) -> None:
    response = serve(reading(lambda: HttpResponse("<b>", "text/html", 418))).get(ROOT)
    assert (response.status_code, response.content) == (418, b"<b>")
    assert dict(response.items()) == {"Content-Type": "text/html"}


def test_created_has_the_location_that_resource_uri_gives_of_the_result(
    serve: Serve,
) -> None:
    class Handler(Crud):
        fields = ("name",)

        def create(self, request: HttpRequest) -> Thing:
            return Thing("new")

        @classmethod
        def resource_uri(cls, thing: Thing) -> Any:
            return "thing", {"id": len(thing.name)}

    response = serve(Resource(Handler)).post(ROOT)
    assert response["Location"] == "/things/3/"
    assert response.json() == {"name": "new"}


@pytest.mark.parametrize(
    ("uri", "path_"),
    [
        (("thing", {"id": 1}), "/things/1/"),
        (("thing", [2]), "/things/2/"),
        ("/else/where", "/else/where"),
        (None, None),
    ],
    ids=["kwargs", "args", "text", "none"],
)
def test_resource_uri_is_an_absolute_path(
    serve: Serve, uri: Any, path_: str | None
) -> None:
    handler: dict[str, Any] = {
        "resource_uri": classmethod(lambda cls, thing: uri),
        "fields": ("resource_uri",),
    }
    assert got(serve(reading(Thing("x"), **handler))) == {"resource_uri": path_}


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (lambda: rc.ALL_OK, 200, b""),
        (lambda: rc.ALL_OK({"a": 1}), 200, b'{"a":1}'),
        (lambda: rc.ACCEPTED({"id": 1}), 202, b'{"id":1}'),
        (lambda: rc.CREATED("text"), 201, b'"text"'),
        (lambda: rc.DELETED, 204, b""),
        (lambda: rc.ALL_OK(None), 200, b"null"),
    ],
    ids=["ok", "ok-data", "accepted", "created-text", "deleted", "ok-null"],
)
def test_a_reply_below_400_emits_its_data(
    serve: Serve, reply: Callable[[], Any], status: int, body: bytes
) -> None:
    response = serve(reading(reply)).get(ROOT)
    assert (response.status_code, response.content) == (status, body)


def test_a_reply_has_its_location_headers_and_cookies(serve: Serve) -> None:
    def reply() -> Any:
        made = rc.CREATED({"id": 1}, location="/x/", headers={"X-A": "b"})
        made.set_cookie("c", "d")
        return made

    response = serve(reading(reply)).get(ROOT)
    assert (response["Location"], response["X-A"]) == ("/x/", "b")
    assert response.cookies["c"].value == "d"


def test_a_reply_from_400_on_is_a_problem_document(serve: Serve) -> None:
    response = serve(reading(lambda: rc.DUPLICATE_ENTRY("taken"))).get(ROOT)
    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "taken",
    }
    members = serve(reading(lambda: rc.FORBIDDEN({"detail": "no", "hint": 1})))
    document = members.get(ROOT).json()
    assert (document["detail"], document["hint"]) == ("no", 1)


def test_content_that_was_assigned_is_emitted(serve: Serve) -> None:
    def reply() -> Any:
        made = rc.ALL_OK
        made.content = {"a": [1]}
        return made

    assert got(serve(reading(reply))) == {"a": [1]}


# -- fields ----------------------------------------------------------------------------


def test_fields_name_all_that_is_shown_and_keep_their_order(serve: Serve) -> None:
    response = serve(reading(Thing("x", id=1), fields=("name", "id"))).get(ROOT)
    assert response.content == b'{"name":"x","id":1}'


def test_list_fields_replace_fields_in_a_list(serve: Serve) -> None:
    things = [Thing("x", id=1)]
    fields = {"fields": ("id", "name"), "list_fields": ("id",)}
    assert got(serve(reading(things, **fields))) == [{"id": 1}]
    assert got(serve(reading(things[0], **fields))) == {"id": 1, "name": "x"}


def test_a_method_is_called_where_it_takes_nothing_and_alters_nothing(
    serve: Serve,
) -> None:
    assert got(serve(reading(Thing("x"), fields=("shout",)))) == {"shout": "X"}
    for name in ("plus", "destroy"):
        assert serve(reading(Thing("x"), fields=(name,))).get(ROOT).status_code == 500


def test_a_missing_field_is_an_error(serve: Serve) -> None:
    assert serve(reading(Thing("x"), fields=("nope",))).get(ROOT).status_code == 500


def test_an_object_without_fields_is_an_error_and_never_a_dump(serve: Serve) -> None:
    for result in (Thing("x"), {"a": [Thing("x")]}, Thing):
        response = serve(reading(result)).get(ROOT)
        assert response.status_code == 500
        assert b"secret" not in response.content


def test_only_a_computed_method_of_the_handler_is_a_field(serve: Serve) -> None:
    class Handler(BaseHandler):
        fields = ("name", "age", "read")

        def read(self, request: HttpRequest) -> Any:
            return Thing("x")

        @computed
        def age(self, thing: Thing) -> int:
            return len(thing.name) + len(self.request.path)

        @computed("read")
        def was_read(self, thing: Thing) -> bool:
            return True

        def name(self, thing: Thing) -> str:
            raise AssertionError("not marked as computed")

    expected = {"name": "x", "age": 1 + len(ROOT), "read": True}
    assert got(serve(Resource(Handler))) == expected


class AuthorHandler(BaseHandler):
    fields = ("name", "resource_uri")

    @classmethod
    def resource_uri(cls, thing: Thing) -> str:
        return f"/authors/{thing.name}/"


def test_a_nested_spec_says_what_is_shown_of_a_field(serve: Serve) -> None:
    book = Thing("book", author=Thing("ann"), tags=[Thing("t")])
    by_names = reading(
        book, fields=("name", ("author", ("name",)), ("tags", ("name",)))
    )
    assert got(serve(by_names)) == {
        "name": "book",
        "author": {"name": "ann"},
        "tags": [{"name": "t"}],
    }
    by_handler = reading(book, fields=(("author", AuthorHandler),))
    assert got(serve(by_handler)) == {
        "author": {"name": "ann", "resource_uri": "/authors/ann/"}
    }


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_mappings_and_dataclasses_are_whole_unless_a_nested_spec_picks(
    serve: Serve,
) -> None:
    thing = Thing("x", point=Point(1, 2), map={"a": 1, "b": 2})
    assert got(serve(reading([{"k": 1}, Point(1, 2)], fields=("x",)))) == [
        {"k": 1},
        {"x": 1, "y": 2},
    ]
    whole = got(serve(reading(thing, fields=("point", "map"))))
    assert whole == {"point": {"x": 1, "y": 2}, "map": {"a": 1, "b": 2}}
    picked = got(serve(reading(thing, fields=(("point", ("y",)), ("map", ("b",))))))
    assert picked == {"point": {"y": 2}, "map": {"b": 2}}
    missing = serve(reading(thing, fields=(("map", ("c",)),)))
    assert missing.get(ROOT).status_code == 500


@pytest.mark.parametrize("fields", ["name", ("a", ("b",), "c"), (("a", "b"),), (1,)])
def test_fields_that_are_no_fields_are_improperly_configured(fields: Any) -> None:
    if fields == ("a", ("b",), "c"):
        fields = (("a", ("b",), "c"),)
    with pytest.raises(ImproperlyConfigured, match="fields"):
        reading(1, fields=fields)


def test_an_object_met_again_below_itself_becomes_its_link_or_its_key(
    serve: Serve,
) -> None:
    ann = Thing("ann", pk=5)
    ann.book = Thing("book", author=ann)  # type: ignore[attr-defined]
    fields = ("name", ("book", ("name", "author")))
    below = {"name": "ann", "book": {"name": "book", "author": 5}}
    assert got(serve(reading(ann, fields=fields))) == below
    linked = reading(ann, fields=fields, resource_uri=AuthorHandler.resource_uri)
    below["book"]["author"] = "/authors/ann/"  # type: ignore[index]
    assert got(serve(linked)) == below
    del ann.pk  # type: ignore[attr-defined]
    assert serve(reading(ann, fields=fields)).get(ROOT).status_code == 500


def test_a_list_or_dict_inside_itself_is_500_in_each_format(serve: Serve) -> None:
    endless: list[Any] = []
    endless.append({"again": endless})
    client = serve(reading(endless))
    for name in ("json", "yaml", "xml", "csv", "jsonl"):
        assert client.get(ROOT, {"format": name}).status_code == 500


def test_equal_and_shared_values_are_all_emitted(serve: Serve) -> None:
    shared = {"a": []}  # type: ignore[var-annotated]
    assert got(serve(reading([shared, shared, {"a": []}]))) == [{"a": []}] * 3
    thing = Thing("x")
    assert got(serve(reading([thing, thing], fields=("name",)))) == [{"name": "x"}] * 2


# -- values ----------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    PAIR = ("a", 1)


class Money:
    def __emittable__(self) -> Any:
        return {"amount": Decimal("1.50")}


class Text(str):
    """A text of another class."""

    __slots__ = ()


UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=2))
VALUES: list[tuple[str, Any, Any]] = [
    ("text", "ä\u2028", "ä\u2028"),
    ("text-subclass", Text("a"), "a"),
    ("int-of-any-size", 10**40, 10**40),
    ("nan", float("nan"), None),
    ("inf", [float("-inf"), 1.5], [None, 1.5]),
    ("decimal", Decimal("1.50"), "1.50"),
    ("decimal-exponent", Decimal("1E+3"), "1000"),
    ("decimal-small", Decimal("1E-10"), "0.0000000001"),
    ("decimal-nan", Decimal("NaN"), None),
    (
        "datetime-utc",
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        "2026-01-02T03:04:05.678901Z",
    ),
    (
        "datetime-east",
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=EAST),
        "2026-01-02T03:04:05+02:00",
    ),
    ("datetime-naive", datetime.datetime(2026, 1, 2), "2026-01-02T00:00:00"),
    ("date", datetime.date(2026, 1, 2), "2026-01-02"),
    ("time", datetime.time(3, 4, 5, 6), "03:04:05.000006"),
    ("timedelta", datetime.timedelta(1, 7384, 500000), "P1DT02H03M04.500000S"),
    ("timedelta-negative", datetime.timedelta(seconds=-1), "-P0DT00H00M01S"),
    ("uuid", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("path", Path("/a/b"), "/a/b"),
    ("lazy", lazystr("lazy"), "lazy"),
    ("bytes", b"\xff\x00", "/wA="),
    ("enum", Colour.RED, "red"),
    ("enum-pair", Colour.PAIR, ["a", 1]),
    ("tuple", (1, (2,)), [1, [2]]),
    ("set", {1}, [1]),
    ("iterator-inside", lambda: {"a": iter([1, 2])}, {"a": [1, 2]}),
    ("range", range(2), [0, 1]),
    ("keys", {1: 1, True and 2.5: 2, None: 3, False: 4}, None),
    ("enum-key", {Colour.RED: 1}, {"red": 1}),
    ("dataclass", Point(1, 2), {"x": 1, "y": 2}),
    ("emittable", [Money()], [{"amount": "1.50"}]),
]


@pytest.mark.parametrize(
    ("value", "plain"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES]
)
def test_values_have_the_forms_of_section_5(
    serve: Serve, value: Any, plain: Any
) -> None:
    if isinstance(value, dict) and None in value:
        plain = {"1": 1, "2.5": 2, "null": 3, "false": 4}
    assert got(serve(reading(value))) == plain


def test_an_int_of_thousands_of_digits_is_emitted_in_each_format(serve: Serve) -> None:
    client = serve(reading({"n": 10**6000}))
    digits = b"1" + b"0" * 6000
    for name in ("json", "yaml", "xml", "csv", "jsonl"):
        assert digits in client.get(ROOT, {"format": name}).content


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        {(1, 2): 3},
        lambda: 1,
        Decimal("1E+999999999"),
        {1: 1, "1": 2, 3: 1j},
    ],
    ids=["object", "complex", "tuple-key", "function", "decimal", "same-key"],
)
def test_anything_else_is_an_error_and_never_its_str(serve: Serve, value: Any) -> None:
    client = serve(reading([value]))
    for name in ("json", "yaml", "xml"):
        assert client.get(ROOT, {"format": name}).status_code == 500


# -- the order of steps ----------------------------------------------------------------


class Known:
    """An authenticator that goes by a parameter, and notes that it was asked."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def is_authenticated(self, request: HttpRequest) -> bool:
        self.log.append("authentication")
        if "wrong" in request.GET:
            raise BadCredentials("wrong")
        return "unknown" not in request.GET

    def challenge(self) -> str:
        return 'Test realm="x"'


@dataclasses.dataclass
class Named:
    name: str


STEPS = [
    # what is wrong with the request, the answer, and what ran before it
    ("method", 501, []),
    ("emitter_format", 404, []),
    ("not_allowed", 405, []),
    ("wrong", 401, ["authentication"]),
    ("unknown", 401, ["authentication"]),
    ("format", 406, ["authentication"]),
    ("authorize", 403, ["authentication", "authorize"]),
    ("throttle", 429, ["authentication", "authorize"]),
    ("too_large", 413, ["authentication", "authorize"]),
    ("type", 415, ["authentication", "authorize"]),
    ("malformed", 400, ["authentication", "authorize"]),
    ("precondition", 412, ["authentication", "authorize", "etag"]),
    ("missing", 428, ["authentication", "authorize"]),
    ("invalid", 422, ["authentication", "authorize", "etag"]),
    ("result", 500, ["authentication", "authorize", "etag", "handler"]),
]


@pytest.mark.parametrize("first", range(len(STEPS)), ids=[step[0] for step in STEPS])
def test_section_4_the_earliest_step_refuses_and_nothing_later_runs(
    serve: Serve, first: int
) -> None:
    log: list[str] = []
    name, status, ran = STEPS[first]
    # Everything from this step on is wrong at once, where one request can be all that.
    wrong = {step[0] for step in STEPS[first:]}

    class Handler(BaseHandler):
        require_match = True
        max_body = 100

        def authorize(self, request: HttpRequest) -> bool:
            log.append("authorize")
            return "authorize" not in wrong

        def etag(self, request: HttpRequest) -> str:
            log.append("etag")
            return "v1"

        @throttle(1, extra=f"step {first}")
        @validate(Named)
        def update(self, request: HttpRequest) -> Any:
            log.append("handler")
            return object()

        def delete(self, request: HttpRequest, id: int) -> None:
            log.append("handler")

    resource = Resource(Handler, authentication=Known(log))
    client = serve(
        path("x/", resource), path("x.<emitter_format>", resource), path("2/", resource)
    )
    if "throttle" in wrong:
        log_before = list(wrong)
        wrong.discard("authorize")
        client.put("/x/")
        wrong |= set(log_before)
        log.clear()
    query: list[str] = [word for word in ("wrong", "unknown") if word in wrong]
    if "format" in wrong:
        query.append("format=nope")
    url = ("/x.nope" if "emitter_format" in wrong else "/x/") + "?" + "&".join(query)
    body = b'{"name": 1' if "malformed" in wrong else b'{"name": 1}'
    if "invalid" not in wrong:
        body = b'{"name": "a"}'
    if "too_large" in wrong:
        body += b" " * 100
    kind = "text/x-odd" if "type" in wrong else "application/json"
    headers = {}
    if name != "missing":
        tag = '"other"' if "precondition" in wrong else None
        headers = {"If-Match": tag or _tag_of("v1")}
    method = "PUT"
    if "not_allowed" in wrong:
        method = "DELETE"
    if "method" in wrong:
        method = "BREW"
    response = client.generic(method, url, body, kind, headers=headers)
    assert (response.status_code, log) == (status, ran)


def _tag_of(version: str) -> str:
    from oberonc.piston.conditional import version_tag

    return version_tag(version, "json")


def test_options_is_answered_without_credentials_and_after_501_and_404(
    serve: Serve,
) -> None:
    log: list[str] = []
    resource = Resource(Crud, authentication=Known(log))
    client = serve(path("x/", resource), path("x.<emitter_format>", resource))
    response = client.options("/x/?unknown")
    assert (response.status_code, response.content, log) == (204, b"", [])
    assert response["Allow"] == "GET, HEAD, POST, OPTIONS"
    assert client.options("/x.nope").status_code == 404


@pytest.mark.parametrize("turned", [False, True], ids=["one-way", "the-other"])
def test_the_order_of_declarations_does_not_matter(serve: Serve, turned: bool) -> None:
    def create(self: BaseHandler, request: HttpRequest) -> Any:
        return request.cleaned.name

    declarations: list[Any] = [
        validate(Named),
        throttle(2, extra=str(turned)),
        require_mime("json"),
        idempotent(),
    ]
    for declaration in reversed(declarations) if turned else declarations:
        assert declaration(create) is create
    client = serve(Resource(type("Handler", (BaseHandler,), {"create": create})))
    assert (
        client.post(ROOT, "name=a", "application/x-www-form-urlencoded").status_code
        == 415
    )
    assert client.post(ROOT, {"name": "a"}, "application/json").json() == "a"
    assert client.post(ROOT, {"name": "a"}, "application/json").status_code == 429


@pytest.mark.parametrize(
    ("said", "status"),
    [(True, 200), (None, 200), (False, 403), (0, 403), ("", 403)],
    ids=["true", "none", "false", "zero", "empty"],
)
def test_authorize_that_says_no_is_403(serve: Serve, said: Any, status: int) -> None:
    client = serve(reading(1, authorize=lambda self, request, **more: said))
    assert client.get(ONE).status_code == status


def test_authorize_has_the_arguments_of_the_url(serve: Serve) -> None:
    allow = {"authorize": lambda self, request, id=None: id == 7}
    client = serve(reading(1, **allow))
    assert client.get(ONE).status_code == 200
    assert client.get("/things/8/").status_code == 403


# -- a view among Django's -------------------------------------------------------------


def test_a_resource_is_csrf_exempt_and_needs_no_login_page(serve: Serve) -> None:
    middleware = ("django.middleware.csrf.CsrfViewMiddleware",)
    patterns = [path("things/", Resource(Crud))]
    serve(*patterns, middleware=middleware)
    client = Client(enforce_csrf_checks=True)
    response = client.post(ROOT, {"a": 1}, content_type="application/json")
    assert response.status_code == 201
    assert Resource(Crud).login_required is False


def test_request_user_exists_without_authentication(serve: Serve) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            return [request.user.is_authenticated, request.user.get_username()]

    assert got(serve(Resource(Handler))) == [False, ""]


def test_requests_at_once_do_not_meet(serve: Serve) -> None:
    both = threading.Barrier(2, timeout=60)

    class Handler(BaseHandler):
        def read(self, request: HttpRequest, id: int) -> Any:
            both.wait()
            return [id, self.request.path]

    client = serve(Resource(Handler))
    found: dict[int, Any] = {}

    def get(id: int) -> None:
        found[id] = client.get(f"/things/{id}/").json()

    threads = [threading.Thread(target=get, args=(id,)) for id in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: [1, "/things/1/"], 2: [2, "/things/2/"]}
