"""The rows of what Piston decides about a request, through whole Resources.

Conditional requests, paging, idempotency, throttle and validation are section 8 of the
specification, authentication is section 9; each name says its row.
"""

import base64
import hashlib
import hmac
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypedDict

import pytest
from asgiref.sync import async_to_sync
from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client, RequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import path
from hypothesis import given, settings
from hypothesis import strategies as st

from oberonc.piston import (
    AnonymousBaseHandler,
    BadCredentials,
    BaseHandler,
    BearerAuthentication,
    HttpBasicSimple,
    NoAuthentication,
    Page,
    Principal,
    Problem,
    Resource,
    SessionAuthentication,
    SignatureAuthentication,
    idempotent,
    paginate,
    throttle,
    validate,
)
from oberonc.piston.authentication import Authenticator
from tests.piston.conftest import Serve

#: A window whose end is years away.
LONG = 10**9
JSON = "application/json"


def told(response: Any) -> Any:
    """The body, parsed; of a refusal, a problem whose status is that of the answer."""
    body = json.loads(response.content)
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"
        assert body["status"] == response.status_code
    return body


class Shelf(BaseHandler):
    """Things by number, which remember how often they were asked for."""

    things: dict[int, dict[str, Any]]
    reads = 0

    def read(self, request: Any, id: int) -> Any:
        type(self).reads += 1
        if id not in self.things:
            raise Problem(404)
        return self.things[id]

    def update(self, request: Any, id: int) -> Any:
        self.things[id] = request.data
        return self.things[id]

    def patch(self, request: Any, id: int) -> Any:
        self.things[id] |= request.data
        return self.things[id]

    def delete(self, request: Any, id: int) -> None:
        del self.things[id]


@pytest.fixture
def shelf() -> type[Shelf]:
    return type("Shelf", (Shelf,), {"things": {1: {"a": 1}}, "reads": 0})


# -- section 8, conditional requests


def test_row_conditional_a_read_has_a_strong_tag_and_304_without_a_body(
    serve: Serve, shelf: type[Shelf]
) -> None:
    client = serve(Resource(shelf))
    first = client.get("/things/1/")
    tag = first["ETag"]
    assert not tag.startswith("W/")
    for method in (client.get, client.head):
        again = method("/things/1/", headers={"If-None-Match": f'"x", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == tag
        assert again["Vary"] == first["Vary"]
    assert client.get("/things/1/", headers={"If-None-Match": '"x"'}).status_code == 200


def test_row_conditional_each_format_has_a_tag_of_its_own(
    serve: Serve, shelf: type[Shelf]
) -> None:
    client = serve(Resource(shelf))
    tags = {
        client.get("/things/1/", {"format": name})["ETag"] for name in ("json", "yaml")
    }
    assert len(tags) == 2
    yaml = client.get("/things/1/", {"format": "yaml"})["ETag"]
    as_json = client.get("/things/1/", headers={"If-None-Match": yaml})
    assert as_json.status_code == 200


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_row_conditional_a_write_with_if_match_compares_with_what_read_gives(
    serve: Serve, shelf: type[Shelf], method: str
) -> None:
    client = serve(Resource(shelf))
    tag = client.get("/things/1/")["ETag"]
    write = getattr(client, method)
    for stale in ('"x"', f"W/{tag}", ""):
        refused = write("/things/1/", {"a": 2}, JSON, headers={"If-Match": stale})
        assert refused.status_code == 412
        assert told(refused)["title"] == "Precondition Failed"
        assert shelf.things == {1: {"a": 1}}
    done = write("/things/1/", {"a": 2}, JSON, headers={"If-Match": tag})
    assert done.status_code in (200, 204)
    assert shelf.things != {1: {"a": 1}}


@pytest.mark.parametrize("name", ["json", "yaml", "xml"])
def test_row_conditional_a_tag_of_any_format_of_the_handler_matches(
    serve: Serve, shelf: type[Shelf], name: str
) -> None:
    client = serve(Resource(shelf))
    tag = client.get("/things/1/", {"format": name})["ETag"]
    done = client.put("/things/1/", {"a": 2}, JSON, headers={"If-Match": tag})
    assert done.status_code == 200


def test_row_conditional_a_star_means_that_it_exists(
    serve: Serve, shelf: type[Shelf]
) -> None:
    client = serve(Resource(shelf))

    def put(id: int, header: str) -> int:
        url = f"/things/{id}/"
        return int(client.put(url, {"a": 2}, JSON, headers={header: "*"}).status_code)

    assert put(1, "If-Match") == 200
    assert put(2, "If-Match") == 412  # 404 from `read` means that it does not
    assert put(1, "If-None-Match") == 412
    assert put(2, "If-None-Match") == 200
    assert set(shelf.things) == {1, 2}


def test_row_conditional_a_version_is_asked_for_before_anything_runs(
    serve: Serve, shelf: type[Shelf]
) -> None:
    class Versioned(shelf):  # type: ignore[valid-type,misc]
        def etag(self, request: Any, id: int) -> Any:
            return 7 if id in self.things else None

        def last_modified(self, request: Any, id: int) -> datetime:
            return datetime(2026, 1, 31, 10, 0, 0, 5, UTC)

    client = serve(Resource(Versioned))
    first = client.get("/things/1/")
    assert first["Last-Modified"] == "Sat, 31 Jan 2026 10:00:00 GMT"
    assert Versioned.reads == 1
    again = client.get("/things/1/", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    since = {"If-Modified-Since": first["Last-Modified"]}
    assert client.get("/things/1/", headers=since).status_code == 304
    stale = {"If-Unmodified-Since": "Sat, 31 Jan 2026 09:59:59 GMT"}
    assert client.put("/things/1/", {}, JSON, headers=stale).status_code == 412
    assert Versioned.reads == 1
    right = {"If-Match": first["ETag"]}
    assert client.put("/things/1/", {}, JSON, headers=right).status_code == 200


def test_row_conditional_what_must_have_a_precondition_is_428_without(
    serve: Serve, shelf: type[Shelf]
) -> None:
    shelf.require_match = True
    client = serve(Resource(shelf))
    refused = client.put("/things/1/", {"a": 2}, JSON)
    assert told(refused)["status"] == 428
    assert shelf.things == {1: {"a": 1}}
    assert client.get("/things/1/").status_code == 200


def test_row_conditional_gzip_weakens_a_tag_which_then_reads_and_does_not_write(
    serve: Serve, shelf: type[Shelf]
) -> None:
    shelf.things[1] = {"a": "a" * 1000}
    gzip = "django.middleware.gzip.GZipMiddleware"
    client = serve(Resource(shelf), middleware=(gzip,))
    zipped = {"Accept-Encoding": "gzip"}
    tag = client.get("/things/1/", headers=zipped)["ETag"]
    assert tag.startswith("W/")
    again = client.get("/things/1/", headers={**zipped, "If-None-Match": tag})
    assert again.status_code == 304
    write = client.put("/things/1/", {}, JSON, headers={"If-Match": tag})
    assert write.status_code == 412


# -- section 8, paging


class Numbers(BaseHandler):
    def read(self, request: Any) -> Page:
        return paginate(request, range(95))


def test_row_paging_the_body_is_a_plain_list_with_links_and_a_total(
    serve: Serve,
) -> None:
    client = serve(path("numbers/", Resource(Numbers)))
    response = client.get("/numbers/?limit=10&offset=20&q=x")
    assert told(response) == list(range(20, 30))
    assert response["X-Total-Count"] == "95"
    links = dict(part.split("; ")[::-1] for part in response["Link"].split(", "))
    assert set(links) == {'rel="first"', 'rel="prev"', 'rel="next"', 'rel="last"'}
    assert told(client.get(links['rel="next"'].strip("<>")))[0] == 30
    assert told(client.get(links['rel="last"'].strip("<>"))) == list(range(90, 95))
    head = client.head("/numbers/")
    assert (head["X-Total-Count"], head.content) == ("95", b"")


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=0", "offset=-1", "limit=", "limit=²"]
)
def test_row_paging_a_malformed_parameter_is_400(serve: Serve, query: str) -> None:
    client = serve(path("numbers/", Resource(Numbers)))
    assert told(client.get(f"/numbers/?{query}"))["status"] == 400


def test_row_paging_beyond_the_end_is_an_empty_list(serve: Serve) -> None:
    client = serve(path("numbers/", Resource(Numbers)))
    assert told(client.get(f"/numbers/?offset={10**30}")) == []


def test_row_paging_by_cursor_sends_the_links_it_is_given(serve: Serve) -> None:
    class Cursor(BaseHandler):
        def read(self, request: Any) -> Page:
            return Page([1], links={"next": "/numbers/?after=1"})

    response = serve(path("numbers/", Resource(Cursor))).get("/numbers/")
    assert told(response) == [1]
    assert response["Link"] == '</numbers/?after=1>; rel="next"'
    assert "X-Total-Count" not in response


# -- section 8, idempotency


class Orders(BaseHandler):
    made: list[Any]

    @idempotent()
    def create(self, request: Any) -> Any:
        self.made.append(request.data)
        if request.data == {"fail": True}:
            raise RuntimeError
        return {"number": len(self.made)}

    @classmethod
    def resource_uri(cls, order: Any) -> str:
        return f"/orders/{order['number']}/"


@pytest.fixture
def orders() -> type[Orders]:
    return type("Orders", (Orders,), {"made": []})


def order(client: Client, data: Any, key: str = "k", **more: Any) -> Any:
    headers = {"Idempotency-Key": key, **more}
    return client.post("/things/", data, JSON, headers=headers)


def test_row_idempotency_the_same_key_and_body_run_once(
    serve: Serve, orders: type[Orders]
) -> None:
    client = serve(Resource(orders))
    first, again = (order(client, {"a": 1}) for _ in range(2))
    assert len(orders.made) == 1
    assert again.status_code == first.status_code == 201
    assert again.content == first.content
    assert again["Location"] == "/orders/1/"
    assert order(client, {"a": 1}, "another").json() == {"number": 2}


def test_row_idempotency_another_body_is_422(
    serve: Serve, orders: type[Orders]
) -> None:
    client = serve(Resource(orders))
    order(client, {"a": 1})
    assert told(order(client, {"a": 2}))["status"] == 422
    assert len(orders.made) == 1


def test_row_idempotency_a_key_that_is_required_is_400_without(serve: Serve) -> None:
    class Strict(BaseHandler):
        @idempotent(required=True)
        def create(self, request: Any) -> Any:
            raise AssertionError

    client = serve(Resource(Strict))
    assert told(client.post("/things/", {}, JSON))["status"] == 400


def test_row_idempotency_answers_from_500_on_are_not_kept(
    serve: Serve, orders: type[Orders]
) -> None:
    client = serve(Resource(orders))
    assert [order(client, {"fail": True}).status_code for _ in range(2)] == [500, 500]
    assert len(orders.made) == 2


def test_row_idempotency_the_same_key_twice_at_once_runs_the_handler_once(
    serve: Serve,
) -> None:
    running, go_on = threading.Event(), threading.Event()
    runs = []

    class Slow(BaseHandler):
        @idempotent()
        def create(self, request: Any) -> Any:
            runs.append(1)
            running.set()
            assert go_on.wait(60)
            return {"number": len(runs)}

    client = serve(Resource(Slow))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(order, client, {})
        assert running.wait(60)
        refused = order(client, {})
        go_on.set()
        assert first.result().status_code == 201
    assert told(refused)["status"] == 409
    assert order(client, {}).json() == {"number": 1}
    assert runs == [1]


def test_row_idempotency_of_many_at_once_one_runs(serve: Serve) -> None:
    runs = []

    class Quick(BaseHandler):
        @idempotent()
        def create(self, request: Any) -> Any:
            runs.append(1)
            return {"number": len(runs)}

    client = serve(Resource(Quick))
    with ThreadPoolExecutor(8) as pool:
        codes = {
            one.status_code for one in pool.map(lambda _: order(client, {}), range(40))
        }
    assert runs == [1]
    assert codes <= {201, 409}


def test_row_idempotency_a_key_of_another_user_is_another_key(
    serve: Serve, orders: type[Orders]
) -> None:
    client = serve(Resource(orders, [BearerAuthentication(Principal)]))
    for number, token in enumerate(("ann", "bob"), 1):
        response = order(client, {}, Authorization=f"Bearer {token}")
        assert response.json() == {"number": number}


def test_row_idempotency_what_is_not_valid_does_not_take_the_key(serve: Serve) -> None:
    class Note(TypedDict):
        text: str

    class Notes(BaseHandler):
        @idempotent()
        @validate(Note)
        def create(self, request: Any) -> Any:
            return request.cleaned

    client = serve(Resource(Notes))
    assert order(client, {}).status_code == 422
    assert order(client, {"text": "a"}).status_code == 201


# -- section 8, throttle


def limited(limit: Any, function: str = "read") -> type[BaseHandler]:
    def run(self: Any, request: Any) -> Any:
        return {}

    return type("Limited", (BaseHandler,), {function: limit(run)})


def test_row_throttle_exactly_that_many_pass_then_429_with_retry_after(
    serve: Serve,
) -> None:
    client = serve(path("a/", Resource(limited(throttle(3, LONG)))))
    answers = [client.get("/a/") for _ in range(5)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
    assert told(answers[-1])["title"] == "Too Many Requests"
    assert int(answers[-1]["Retry-After"]) >= 1
    assert "no-store" in answers[-1]["Cache-Control"]


def test_row_throttle_exactly_that_many_pass_from_sixteen_threads(serve: Serve) -> None:
    client = serve(path("a/", Resource(limited(throttle(50, LONG)))))
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: client.get("/a/").status_code, range(200)))
    assert codes.count(200) == 50


def test_row_throttle_users_have_counts_of_their_own(serve: Serve) -> None:
    resource = Resource(limited(throttle(1, LONG)), [BearerAuthentication(Principal)])
    client = serve(path("a/", resource))
    for token in ("ann", "bob"):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/a/", headers=headers).status_code == 200
        assert client.get("/a/", headers=headers).status_code == 429


def test_row_throttle_an_equal_extra_shares_a_bucket(serve: Serve) -> None:
    client = serve(
        path("a/", Resource(limited(throttle(1, LONG, "one")))),
        path("b/", Resource(limited(throttle(1, LONG, "one"), "create"))),
        path("c/", Resource(limited(throttle(1, LONG), "create"))),
    )
    assert client.get("/a/").status_code == 200
    assert client.post("/b/").status_code == 429
    assert client.post("/c/").status_code == 201


def test_row_throttle_a_refusal_runs_nothing_and_parses_nothing(serve: Serve) -> None:
    client = serve(path("a/", Resource(limited(throttle(1, LONG), "create"))))
    client.post("/a/", {}, JSON)
    assert client.post("/a/", "{", JSON).status_code == 429


# -- section 8, validation


@dataclass
class NewOrder:
    sku: str
    count: int = 1
    tags: list[str] = field(default_factory=list)


class OrderForm(forms.Form):
    sku = forms.CharField(max_length=5)
    count = forms.IntegerField(required=False)


class NewNote(TypedDict):
    sku: str
    count: int


def validating(schema: Any, **options: Any) -> type[BaseHandler]:
    class Handler(BaseHandler):
        @validate(schema, **options)
        def create(self, request: Any) -> Any:
            return request.cleaned

        patch = create

    return Handler


@pytest.mark.parametrize("schema", [NewOrder, OrderForm, NewNote])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"sku": "a", "count": 3}', JSON),
        ("sku: a\ncount: 3\n", "application/yaml"),
        ("<r><sku>a</sku><count>3</count></r>", "application/xml"),
        ("sku=a&count=3", "application/x-www-form-urlencoded"),
    ],
    ids=["json", "yaml", "xml", "form"],
)
def test_row_validation_takes_any_input_format(
    serve: Serve, schema: type, body: str, content_type: str
) -> None:
    client = serve(Resource(validating(schema)))
    response = client.post("/things/", body, content_type)
    assert response.status_code == 201
    assert told(response) | {"tags": []} == {"sku": "a", "count": 3, "tags": []}


@pytest.mark.parametrize("schema", [NewOrder, OrderForm, NewNote])
def test_row_validation_all_errors_come_at_once_with_pointers(
    serve: Serve, schema: type
) -> None:
    client = serve(Resource(validating(schema)))
    response = client.post("/things/", {"count": "x", "a/b": 1}, JSON)
    errors = told(response)["errors"]
    assert response.status_code == 422
    assert {one["pointer"] for one in errors} == {"#/sku", "#/count", "#/a~1b"}
    assert all(one["detail"] and one["code"] for one in errors)


@pytest.mark.parametrize("schema", [NewOrder, OrderForm, NewNote])
@pytest.mark.parametrize("body", ["[]", '"a"', "null", "7"])
def test_row_validation_a_body_that_is_no_object_is_422_at_the_whole(
    serve: Serve, schema: type, body: str
) -> None:
    response = serve(Resource(validating(schema))).post("/things/", body, JSON)
    assert [one["pointer"] for one in told(response)["errors"]] == ["#"]


def test_row_validation_partial_tells_absent_from_null(serve: Serve) -> None:
    client = serve(Resource(validating(NewOrder, operation="PATCH", partial=True)))
    assert told(client.patch("/things/", {"count": 2}, JSON)) == {"count": 2}
    assert client.patch("/things/", {"count": None}, JSON).status_code == 422


def test_row_validation_webhooks_ignore_what_they_do_not_know(serve: Serve) -> None:
    client = serve(Resource(validating(NewNote, extra="ignore")))
    response = client.post("/things/", {"sku": "a", "count": 1, "more": 2}, JSON)
    assert told(response) == {"sku": "a", "count": 1}


def test_row_validation_of_the_query_string_names_the_parameter(serve: Serve) -> None:
    class Search(BaseHandler):
        @validate(NewOrder, "GET")
        def read(self, request: Any) -> Any:
            return request.cleaned

    client = serve(Resource(Search))
    url = "/things/?sku=a&count=2&tags=x&tags=y&limit=3"
    assert told(client.get(url)) == {"sku": "a", "count": 2, "tags": ["x", "y"]}
    errors = told(client.get("/things/?count=x"))["errors"]
    assert {one["parameter"] for one in errors} == {"sku", "count"}


def test_row_validation_files_are_part_of_a_form(serve: Serve) -> None:
    class Upload(forms.Form):
        file = forms.FileField()

    class Uploads(BaseHandler):
        @validate(Upload)
        def create(self, request: Any) -> Any:
            assert request.form.is_valid()
            return {"length": request.cleaned["file"].size}

        update = create

    client = serve(Resource(Uploads))
    file = SimpleUploadedFile("a.txt", b"text")
    assert told(client.post("/things/", {"file": file})) == {"length": 4}
    file.seek(0)
    body = encode_multipart(BOUNDARY, {"file": file})
    assert told(client.put("/things/", body, MULTIPART_CONTENT)) == {"length": 4}


# -- section 9


class Whoami(BaseHandler):
    def read(self, request: Any) -> Any:
        return {"name": request.user.get_username()}

    create = read


class Greeting(AnonymousBaseHandler):
    def read(self, request: Any) -> Any:
        return {"name": "", "is_authenticated": request.user.is_authenticated}


def verify(token: str) -> Principal | None:
    return Principal("ann") if token == "t0ken" else None


async def verify_later(token: str) -> Principal | None:
    return verify(token)


SIMPLE = HttpBasicSimple("API", "ann", "sesame")
BEARER = BearerAuthentication(verify)
SIGNED = SignatureAuthentication("key")
RIGHT = "Basic " + base64.b64encode(b"ann:sesame").decode()
WRONG = "Basic " + base64.b64encode(b"ann:wrong").decode()
SESSIONS = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)


def test_row_no_authentication_lets_everybody_in_as_nobody(serve: Serve) -> None:
    for one in (None, [], [NoAuthentication()]):
        client = serve(Resource(Whoami, one))
        assert told(client.get("/things/")) == {"name": ""}
        assert "Cache-Control" not in client.get("/things/")


def test_row_basic_without_credentials_is_401_with_a_challenge(serve: Serve) -> None:
    client = serve(Resource(Whoami, SIMPLE))
    response = client.get("/things/")
    assert told(response)["status"] == 401
    assert response["WWW-Authenticate"] == 'Basic realm="API", charset="UTF-8"'
    assert "no-store" in response["Cache-Control"]
    right = client.get("/things/", headers={"Authorization": RIGHT})
    assert told(right) == {"name": "ann"}
    assert "private" in right["Cache-Control"]
    assert "Authorization" in right["Vary"]


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_row_bearer_asks_verify(serve: Serve, later: bool) -> None:
    bearer = BearerAuthentication(verify_later if later else verify)
    client = serve(Resource(Whoami, [bearer]))
    right = client.get("/things/", headers={"Authorization": "Bearer t0ken"})
    assert told(right) == {"name": "ann"}
    wrong = client.get("/things/", headers={"Authorization": "Bearer x"})
    assert wrong["WWW-Authenticate"] == 'Bearer realm="API", error="invalid_token"'
    assert told(client.get("/things/?access_token=t0ken"))["status"] == 401


def test_row_several_authenticators_send_all_challenges(serve: Serve) -> None:
    client = serve(Resource(Whoami, [SIMPLE, BEARER, SIGNED]))
    missing = client.get("/things/")["WWW-Authenticate"]
    assert missing == 'Basic realm="API", charset="UTF-8", Bearer realm="API"'
    wrong = client.get("/things/", headers={"Authorization": "Bearer x"})
    assert wrong["WWW-Authenticate"] == f'{missing}, error="invalid_token"'


@pytest.mark.parametrize("headers", [{}, {"X-Hub-Signature-256": "sha256=0"}], ids=str)
def test_row_the_order_never_changes_401_into_403(
    serve: Serve, headers: dict[str, str]
) -> None:
    orders: list[list[Authenticator]] = [[SIGNED, SIMPLE], [SIMPLE, SIGNED]]
    for one in orders:
        client = serve(Resource(Whoami, one))
        assert client.get("/things/", headers=headers).status_code == 401
    client = serve(Resource(Whoami, SIGNED))
    assert client.get("/things/", headers=headers).status_code == 403


def test_row_wrong_credentials_are_refused_at_once_and_never_anonymous(
    serve: Serve,
) -> None:
    class Never:
        def is_authenticated(self, request: Any) -> bool:
            raise AssertionError("asked after a refusal")

        def challenge(self) -> str | None:
            return None

    class Own(Whoami):
        anonymous = Greeting

    client = serve(Resource(Own, [SIMPLE, Never()]))
    wrong = client.get("/things/", headers={"Authorization": WRONG})
    assert told(wrong)["status"] == 401


def test_row_anonymous_serves_who_has_no_credentials_where_it_allows(
    serve: Serve,
) -> None:
    class Own(Whoami):
        anonymous = Greeting

    client = serve(Resource(Own, SIMPLE))
    nobody = {"name": "", "is_authenticated": False}
    assert told(client.get("/things/")) == nobody
    assert told(client.post("/things/"))["status"] == 401
    right = client.get("/things/", headers={"Authorization": RIGHT})
    assert told(right) == {"name": "ann"}


def signature_of(body: bytes) -> dict[str, str]:
    digest = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}"}


def test_row_signature_is_checked_on_the_raw_body_before_it_is_parsed(
    serve: Serve,
) -> None:
    client = serve(Resource(Whoami, SIGNED))
    body = b'{"a": '  # malformed, which only who knows the secret is told
    for signed, status in ((body, 400), (body + b" ", 403)):
        response = client.post("/things/", body, JSON, headers=signature_of(signed))
        assert told(response)["status"] == status


def test_row_session_needs_a_csrf_token_for_unsafe_methods_only(
    serve: Serve, db: None
) -> None:
    resource = Resource(Whoami, [BEARER, SessionAuthentication()])
    serve(resource, middleware=SESSIONS)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("sue"))
    assert told(client.get("/things/")) == {"name": "sue"}
    assert told(client.post("/things/"))["status"] == 403
    # A token is no cookie that a browser sends by itself.
    bearer = client.post("/things/", headers={"Authorization": "Bearer t0ken"})
    assert told(bearer) == {"name": "ann"}
    token = "a" * 32
    client.cookies["csrftoken"] = token
    assert told(client.post("/things/", headers={"X-CSRFToken": token}))
    assert told(client.post("/things/", {"csrfmiddlewaretoken": token}))
    assert Client().get("/things/").status_code == 401


def test_row_a_session_counts_only_where_sessions_are_asked_for(
    serve: Serve, db: None
) -> None:
    # Else a form on another site could act as whoever is logged in.
    client = serve(Resource(Whoami), middleware=SESSIONS)
    client.force_login(User.objects.create_user("sue"))
    for method in (client.get, client.post):
        assert told(method("/things/")) == {"name": ""}


def test_row_an_own_authenticator_may_say_little(serve: Serve) -> None:
    class Key:
        vary = ("X-Key",)

        async def is_authenticated(self, request: Any) -> bool:
            key = request.headers.get("X-Key")
            if key is None:
                return False
            if key != "k":
                raise BadCredentials("No such key.", challenge='Key realm="own"')
            request.user = Principal("key")
            return True

        def challenge(self) -> None:
            return None

    client = serve(Resource(Whoami, Key()))
    right = client.get("/things/", headers={"X-Key": "k"})
    assert told(right) == {"name": "key"}
    assert "X-Key" in right["Vary"]
    assert client.get("/things/").status_code == 403
    wrong = client.get("/things/", headers={"X-Key": "x"})
    assert told(wrong)["detail"] == "No such key."
    assert (wrong.status_code, wrong["WWW-Authenticate"]) == (401, 'Key realm="own"')


@pytest.fixture(scope="module")
def guarded() -> Resource:
    return Resource(Whoami, [SIMPLE, BEARER])


@settings(deadline=None)
@given(
    scheme=st.sampled_from(["", "Basic ", "Bearer ", "basic", "BEARER  "]),
    text=st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_row_any_authorization_header_of_any_bytes_is_401(
    guarded: Resource, scheme: str, text: str
) -> None:
    request = RequestFactory().get("/", HTTP_AUTHORIZATION=scheme + text)
    assert guarded(request).status_code == 401


def test_row_signature_of_a_body_as_long_as_the_handler_allows(serve: Serve) -> None:
    class Hook(Whoami):
        max_body = 1000

    client = serve(Resource(Hook, SIGNED), DATA_UPLOAD_MAX_MEMORY_SIZE=100)
    for length, status in ((1000, 201), (1001, 413)):
        body = json.dumps("a" * (length - 2)).encode()
        response = client.post("/things/", body, JSON, headers=signature_of(body))
        assert response.status_code == status


def test_row_session_with_a_malformed_form_is_400(serve: Serve, db: None) -> None:
    serve(Resource(Whoami, SessionAuthentication()), middleware=SESSIONS)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("sue"))
    client.cookies["csrftoken"] = "a" * 32
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=é"):
        response = client.post("/things/", b"--x\r\n", content_type)
        assert told(response)["status"] == 400


# -- the same in an event loop


def in_a_loop(
    client: AsyncClient, method: str, path: str, *args: Any, **more: Any
) -> Any:
    return async_to_sync(getattr(client, method))(path, *args, **more)


def test_rows_of_section_8_hold_for_async_handlers(serve: Serve) -> None:
    made: list[Any] = []

    class Later(BaseHandler):
        async def read(self, request: Any) -> Any:
            return paginate(request, range(9))

        @idempotent()
        @throttle(3, LONG)
        @validate(OrderForm)
        async def create(self, request: Any) -> Any:
            made.append(request.cleaned)
            return {"number": len(made)}

        async def update(self, request: Any) -> Any:
            made.clear()
            return {}

    serve(Resource(Later, [BearerAuthentication(verify_later)]))
    client = AsyncClient(raise_request_exception=False)

    def post(data: Any, key: str) -> Any:
        headers = {"Authorization": "Bearer t0ken", "Idempotency-Key": key}
        return in_a_loop(client, "post", "/things/", data, JSON, headers=headers)

    known = {"Authorization": "Bearer t0ken"}
    page = in_a_loop(client, "get", "/things/?limit=2", headers=known)
    assert told(page) == [0, 1]
    again = {**known, "If-None-Match": page["ETag"]}
    seen = in_a_loop(client, "get", "/things/?limit=2", headers=again)
    assert seen.status_code == 304
    stale = {**known, "If-Match": '"x"'}
    refused = in_a_loop(client, "put", "/things/", {}, JSON, headers=stale)
    assert told(refused)["status"] == 412
    assert (
        told(post({"sku": "a"}, "1")) == told(post({"sku": "a"}, "1")) == {"number": 1}
    )
    assert told(post({}, "2"))["errors"][0]["pointer"] == "#/sku"
    assert told(post({"sku": "a"}, "3"))["status"] == 429
    assert len(made) == 1
    wrong = in_a_loop(client, "get", "/things/", headers={"Authorization": "Bearer x"})
    assert told(wrong)["status"] == 401


def test_row_session_is_looked_up_beside_the_event_loop(serve: Serve, db: None) -> None:
    class Later(BaseHandler):
        async def read(self, request: Any) -> Any:
            return {"name": request.user.get_username()}

        create = read

    serve(Resource(Later, SessionAuthentication()), middleware=SESSIONS)
    client = AsyncClient(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("sue"))
    assert told(in_a_loop(client, "get", "/things/")) == {"name": "sue"}
    assert in_a_loop(client, "post", "/things/").status_code == 403
    client.cookies["csrftoken"] = "a" * 32
    token = {"X-CSRFToken": "a" * 32}
    done = in_a_loop(client, "post", "/things/", headers=token)
    assert told(done) == {"name": "sue"}
