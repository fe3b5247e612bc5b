"""Section 8: the table of statuses, and the headers that caches go by."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from oberonc.piston import (
    BaseHandler,
    HttpBasicSimple,
    NoAuthentication,
    Page,
    Problem,
    Resource,
    rc,
    throttle,
)
from tests.piston.conftest import Serve

ROOT = "/things/"
ONE = "/things/7/"
ANN = "Basic YW5uOnB3"  # ann, pw


class Things(BaseHandler):
    """Does what the query string asks for."""

    def read(self, request: HttpRequest, id: int | None = None) -> Any:
        asked = request.GET.get("do", "")
        if asked == "bug":
            raise RuntimeError
        if asked:
            return getattr(rc, asked)
        return {"id": id}

    def create(self, request: HttpRequest) -> Any:
        if request.GET.get("do") == "later":
            return rc.ACCEPTED({"id": 7}, location=ONE)
        return {"id": 7}

    def delete(self, request: HttpRequest, id: int) -> None: ...

    @throttle(1, extra="http")
    def patch(self, request: HttpRequest, id: int) -> None: ...

    @classmethod
    def resource_uri(cls, thing: Any) -> str:
        return ONE


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve(Resource(Things))


def test_row_read_and_head(client: Client) -> None:
    got, head = client.get(ONE), client.head(ONE)
    assert (got.status_code, head.status_code) == (200, 200)
    assert (got.content, head.content) == (b'{"id":7}', b"")
    assert dict(got.items()) == dict(head.items())
    assert set(got.headers) == {"Content-Type", "Content-Length", "ETag", "Vary"}
    assert got["Content-Length"] == "8"


def test_row_created_and_accepted_have_a_location_and_the_thing(client: Client) -> None:
    for response, status in (
        (client.post(ROOT), 201),
        (client.post(ROOT + "?do=later"), 202),
    ):
        assert response.status_code == status
        assert (response["Location"], response.json()) == (ONE, {"id": 7})
        assert "ETag" not in response


def test_row_nothing_to_say(client: Client) -> None:
    response = client.delete(ONE)
    assert (response.status_code, response.content) == (204, b"")
    assert not {"Content-Type", "Content-Length"} & set(response.headers)


def test_row_options(client: Client) -> None:
    response = client.options(ONE)
    assert (response.status_code, response.content) == (204, b"")
    assert dict(response.items()) == {"Allow": "GET, HEAD, PATCH, DELETE, OPTIONS"}


def test_row_not_modified(client: Client) -> None:
    tag = client.get(ONE)["ETag"]
    response = client.get(ONE, headers={"if-none-match": tag})
    assert (response.status_code, response.content) == (304, b"")
    assert dict(response.items()) == {"ETag": tag, "Vary": "Accept"}
    other = client.get(ONE + "?format=yaml", headers={"if-none-match": tag})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("BAD_REQUEST", 400),
        ("FORBIDDEN", 403),
        ("NOT_FOUND", 404),
        ("DUPLICATE_ENTRY", 409),
        ("NOT_HERE", 410),
        ("UNPROCESSABLE", 422),
        ("NOT_IMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
    ],
)
def test_row_what_a_handler_knows(client: Client, name: str, status: int) -> None:
    response = client.get(ROOT, {"do": name})
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


def test_row_method_not_at_this_url(client: Client) -> None:
    response = client.put(ONE)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, PATCH, DELETE, OPTIONS"
    for method in ("TRACE", "CONNECT"):
        assert client.generic(method, ONE).status_code == 405


def test_row_method_unknown(client: Client) -> None:
    assert client.generic("BREW", ONE).status_code == 501


def test_row_throttled(client: Client) -> None:
    assert client.patch(ONE).status_code == 204
    response = client.patch(ONE)
    assert response.status_code == 429
    assert int(response["Retry-After"]) >= 1
    assert response["Cache-Control"] == "no-store"


def test_no_range_is_ever_served(client: Client) -> None:
    response = client.get(ONE, headers={"range": "items=0-1"})
    assert response.status_code == 200
    assert "Accept-Ranges" not in response


# -- caches ----------------------------------------------------------------------------


def test_without_authentication_nothing_is_said_of_caches(client: Client) -> None:
    assert "Cache-Control" not in client.get(ONE)
    assert "Cache-Control" not in client.get(ROOT, {"do": "NOT_FOUND"})


@pytest.mark.parametrize("status", [401, 403, 429, 500, 501, 503])
def test_refusals_and_failures_are_not_stored(serve: Serve, status: int) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            raise Problem(status)

    assert serve(Resource(Handler)).get(ROOT)["Cache-Control"] == "no-store"


def test_with_authentication_answers_are_private_and_vary_by_credentials(
    serve: Serve,
) -> None:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            asked = request.GET.get("do")
            if asked == "own":
                return HttpResponse("x")
            if asked == "public":
                return rc.ALL_OK(
                    1, headers={"Cache-Control": "public", "Vary": "Cookie"}
                )
            if asked == "missing":
                raise Problem(404)
            return 1

    client = serve(Resource(Handler, authentication=HttpBasicSimple("x", "ann", "pw")))
    known = {"authorization": ANN}
    plain = client.get(ROOT, headers=known)
    assert (plain["Cache-Control"], plain["Vary"]) == (
        "private",
        "Accept, Authorization",
    )
    own = client.get(ROOT, {"do": "own"}, headers=known)
    assert (own["Cache-Control"], own["Vary"]) == ("private", "Accept, Authorization")
    public = client.get(ROOT, {"do": "public"}, headers=known)
    assert public["Cache-Control"] == "public"
    assert public["Vary"] == "Cookie, Accept, Authorization"
    missing = client.get(ROOT, {"do": "missing"}, headers=known)
    assert missing["Cache-Control"] == "private"
    refused = client.get(ROOT)
    assert (refused.status_code, refused["Cache-Control"]) == (401, "no-store")
    assert refused["Vary"] == "Accept, Authorization"
    tag = plain["ETag"]
    same = client.get(ROOT, headers={**known, "if-none-match": tag})
    assert (same.status_code, same["Cache-Control"]) == (304, "private")


def test_no_authentication_is_the_same_as_none(serve: Serve) -> None:
    client = serve(Resource(Things, authentication=NoAuthentication()))
    assert client.get(ONE)["Vary"] == "Accept"


def test_a_page_is_a_plain_list_with_its_headers(serve: Serve) -> None:
    class Handler(BaseHandler):
        list_fields = ("real",)

        def read(self, request: HttpRequest) -> Any:
            items = iter([1]) if "stream" in request.GET else [1]
            return Page(items, total=9, links={"next": "?cursor=x"})

    client = serve(Resource(Handler))
    for query in ({}, {"stream": "1"}):
        response = client.get(ROOT, query)
        assert response.getvalue() == b"[1]"
        assert response["X-Total-Count"] == "9"
        assert response["Link"] == '<?cursor=x>; rel="next"'
