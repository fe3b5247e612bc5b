"""Section 10: iterators as results, and handlers that are async."""

import asyncio
import json
import logging
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import AsyncClient, AsyncRequestFactory, RequestFactory

from oberonc.piston import (
    BadCredentials,
    BaseHandler,
    Emitter,
    Resource,
    idempotent,
    throttle,
)
from oberonc.piston.mimers import load_xml
from tests.piston.conftest import Serve

ROOT = "/things/"
FORMATS = ("json", "yaml", "xml", "jsonl", "csv")


async def a_turn() -> None:
    """Let the loop do something else."""
    loop = asyncio.get_running_loop()
    turned = loop.create_future()
    loop.call_soon(turned.set_result, None)
    await turned


class Source:
    """Items, and how many of them were asked for."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.drawn = 0
        self.closed = False
        self.count = count
        self.fails_at = fails_at

    def items(self) -> Iterator[Any]:
        try:
            for number in range(self.count):
                if number == self.fails_at:
                    raise RuntimeError("no more")
                self.drawn += 1
                yield {"n": number}
        finally:
            self.closed = True

    async def later(self) -> AsyncIterator[Any]:
        try:
            for item in self.items():
                await a_turn()
                yield item
        finally:
            self.closed = True


def streaming(source: Source, later: bool) -> Resource:
    class Handler(BaseHandler):
        def read(self, request: HttpRequest) -> Any:
            return source.items()

    class Later(BaseHandler):
        async def read(self, request: HttpRequest) -> Any:
            return source.later()

    return Resource(Later if later else Handler)


async def _received(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)
    return b"".join([chunk async for chunk in response])


def ask(resource: Resource, asgi: bool, url: str = ROOT, method: str = "GET") -> Any:
    """Status, headers and body, as a server of this kind gets them."""
    if not asgi:
        response = RequestFactory().generic(method, url)
        answer = resource(response)
        if iscoroutinefunction(resource):
            answer = async_to_sync(_await)(answer)
        return answer.status_code, dict(answer.items()), answer.getvalue()

    async def whole() -> Any:
        request = AsyncRequestFactory().generic(method, url)
        if iscoroutinefunction(resource):
            answer = await resource(request)
        else:
            answer = await sync_to_async(resource)(request)
        return answer.status_code, dict(answer.items()), await _received(answer)

    return async_to_sync(whole)()


async def _await(value: Any) -> Any:
    return await value


SERVERS = pytest.mark.parametrize("asgi", [False, True], ids=["wsgi", "asgi"])
SOURCES = pytest.mark.parametrize("later", [False, True], ids=["iterator", "async"])


@SERVERS
@SOURCES
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_stream_is_the_document_that_a_list_is(
    asgi: bool, later: bool, name: str, count: int
) -> None:
    source = Source(count)
    status, headers, body = ask(streaming(source, later), asgi, f"{ROOT}?format={name}")
    assert status == 200
    assert not {"ETag", "Content-Length"} & set(headers)
    expected = [{"n": number} for number in range(count)]
    if name == "json":
        assert json.loads(body) == expected
    elif name == "yaml":
        assert yaml.safe_load(body) == expected
    elif name == "xml":
        assert load_xml(body) == ([{"n": str(n)} for n in range(count)] or "")
    elif name == "jsonl":
        assert [json.loads(line) for line in body.splitlines()] == expected
    else:
        lines = ["n", *(str(number) for number in range(count))] if count else []
        assert body.decode().split() == lines
    assert source.closed or count == 0


@SERVERS
@SOURCES
def test_an_error_before_the_first_item_is_a_proper_500(
    asgi: bool, later: bool
) -> None:
    status, headers, body = ask(streaming(Source(3, fails_at=0), later), asgi)
    assert (status, headers["Content-Type"]) == (500, "application/problem+json")
    assert json.loads(body)["instance"].startswith("urn:uuid:")


@SERVERS
@SOURCES
def test_a_later_error_is_logged_and_breaks_the_connection(
    asgi: bool, later: bool, caplog: Any
) -> None:
    caplog.set_level(logging.ERROR, "django.request")
    with pytest.raises(RuntimeError, match="no more"):
        ask(streaming(Source(3, fails_at=2), later), asgi)
    assert any(record.exc_info for record in caplog.records)


@SERVERS
@SOURCES
def test_head_draws_at_most_one_item(asgi: bool, later: bool) -> None:
    source = Source(1000)
    status, headers, body = ask(streaming(source, later), asgi, method="HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"] == "application/json"
    assert source.drawn <= 1
    assert source.closed


def test_an_error_in_the_first_item_of_an_object_is_a_proper_500(serve: Serve) -> None:
    class Handler(BaseHandler):
        fields = ("missing",)

        def read(self, request: HttpRequest) -> Any:
            return iter([Source(1)])

    assert serve(Resource(Handler)).get(ROOT).status_code == 500


def test_items_of_a_stream_have_the_fields_of_a_list(serve: Serve) -> None:
    class Handler(BaseHandler):
        fields = ("nothing",)
        list_fields = ("count",)

        def read(self, request: HttpRequest) -> Any:
            return iter([Source(1), Source(2)])

    response = serve(Resource(Handler)).get(ROOT)
    assert response.getvalue() == b'[{"count":1},{"count":2}]'


@SERVERS
@SOURCES
def test_a_client_that_leaves_closes_the_source(asgi: bool, later: bool) -> None:
    source = Source(5000)
    resource = streaming(source, later)

    async def leave() -> None:
        request = AsyncRequestFactory().get(ROOT)
        if later:
            response = await resource(request)
        else:
            response = await sync_to_async(resource)(request)
        chunks = aiter(response)
        await anext(chunks)
        await anext(chunks)
        await sync_to_async(response.close)()

    if asgi:
        async_to_sync(leave)()
    else:
        answer = resource(RequestFactory().get(ROOT))
        if later:
            answer = async_to_sync(_await)(answer)
        chunks = iter(answer)
        next(chunks)
        next(chunks)
        answer.close()
    assert source.closed
    assert source.drawn <= 600  # some are made ahead, twice where two were asked for


@SERVERS
@SOURCES
def test_an_answer_that_nobody_draws_closes_the_source(asgi: bool, later: bool) -> None:
    source = Source(1000)
    resource = streaming(source, later)

    async def refuse() -> None:
        request = AsyncRequestFactory().get(ROOT)
        made = resource if later else sync_to_async(resource)
        response = await made(request)
        await sync_to_async(response.close)()

    if asgi:
        async_to_sync(refuse)()
    else:
        answer = resource(RequestFactory().get(ROOT))
        if later:
            answer = async_to_sync(_await)(answer)
        answer.close()
    assert (source.closed, source.drawn) == (True, 1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_long_stream_takes_constant_memory(name: str) -> None:
    resource = streaming(Source(5_000), later=False)
    tracemalloc.start()
    response = resource(RequestFactory().get(f"{ROOT}?format={name}"))
    for _ in zip(range(100), response, strict=False):
        pass
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    sent = sum(len(chunk) for chunk in response)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent > 20_000
    assert peak - before < 50_000


# -- async -----------------------------------------------------------------------------


def test_only_a_resource_with_an_async_method_is_async() -> None:
    class Sync(BaseHandler):
        def read(self, request: HttpRequest) -> Any: ...

    class Async(Sync):
        async def create(self, request: HttpRequest) -> Any: ...

    class Generator(BaseHandler):
        async def read(self, request: HttpRequest) -> AsyncIterator[int]:
            yield 1

    class Anonymous(Sync):
        anonymous = Async

    found = [iscoroutinefunction(Resource(one)) for one in (Sync, Async, Generator)]
    assert found == [False, True, True]
    assert iscoroutinefunction(Resource(Anonymous))


@SERVERS
def test_an_async_generator_is_a_stream(asgi: bool) -> None:
    class Handler(BaseHandler):
        async def read(self, request: HttpRequest) -> AsyncIterator[int]:
            yield 1
            yield 2

    assert ask(Resource(Handler), asgi)[2] == b"[1,2]"


class Knows:
    """An async authenticator."""

    async def is_authenticated(self, request: HttpRequest) -> bool:
        await a_turn()
        if "wrong" in request.GET:
            raise BadCredentials("wrong")
        return True

    def challenge(self) -> str:
        return "Knows"


class Everything(BaseHandler):
    """Async methods among plain ones, each noting the thread that it ran in."""

    ran_in: list[Any] = []  # noqa: RUF012

    async def authorize(self, request: HttpRequest) -> bool:
        self.ran_in.append(("authorize", threading.get_ident()))
        await a_turn()
        return "denied" not in request.GET

    async def etag(self, request: HttpRequest) -> str:
        return "v1"

    async def read(self, request: HttpRequest) -> Any:
        self.ran_in.append(("read", threading.get_ident()))
        await a_turn()
        if "fail" in request.GET:
            raise RuntimeError
        return {"a": 1}

    @idempotent()
    @throttle(100)
    def create(self, request: HttpRequest) -> Any:
        self.ran_in.append(("create", threading.get_ident()))
        return User.objects.count()


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 200), ("wrong", 401), ("denied", 403), ("format=nope", 406), ("fail", 500)],
)
@SERVERS
def test_the_steps_are_the_same(query: str, status: int, asgi: bool) -> None:
    resource = Resource(Everything, authentication=Knows())
    assert ask(resource, asgi, f"{ROOT}?{query}")[0] == status


@pytest.mark.usefixtures("db")
def test_async_methods_run_in_the_loop_and_others_in_a_thread(serve: Serve) -> None:
    serve(Resource(Everything, authentication=Knows()))
    Everything.ran_in.clear()

    async def both() -> tuple[int, Any, Any]:
        client = AsyncClient()
        got = await client.get(ROOT)
        first = await client.post(ROOT, headers={"idempotency-key": "k"})
        again = await client.post(ROOT, headers={"idempotency-key": "k"})
        assert first.content == again.content
        unchanged = await client.get(ROOT, headers={"if-none-match": got["ETag"]})
        assert unchanged.status_code == 304
        return threading.get_ident(), got, first

    loop, got, first = async_to_sync(both)()
    assert (got.json(), first.status_code) == ({"a": 1}, 201)
    threads = dict(Everything.ran_in)
    assert threads["read"] == threads["authorize"] == loop
    assert threads["create"] != loop
    assert [name for name, _ in Everything.ran_in].count("create") == 1


def test_an_async_resource_answers_under_wsgi(serve: Serve) -> None:
    client = serve(Resource(Everything, authentication=Knows()))
    assert client.get(ROOT).json() == {"a": 1}


@pytest.mark.usefixtures("db")
def test_objects_of_an_async_method_may_ask_the_database(serve: Serve) -> None:
    class Handler(BaseHandler):
        fields = ("username",)

        async def read(self, request: HttpRequest) -> Any:
            return User.objects.filter(username="ann")

    User.objects.create(username="ann")
    serve(Resource(Handler))

    async def get() -> Any:
        return await AsyncClient().get(ROOT)

    assert async_to_sync(get)().json() == [{"username": "ann"}]


def test_a_key_is_free_again_when_its_request_is_cancelled() -> None:
    begun = threading.Event()

    class Handler(BaseHandler):
        wait = True

        @idempotent()
        async def create(self, request: HttpRequest) -> Any:
            if Handler.wait:
                begun.set()
                await asyncio.Event().wait()
            return "done"

    resource = Resource(Handler)

    def request() -> Any:
        made = AsyncRequestFactory().post(ROOT, headers={"idempotency-key": "k"})
        return resource(made)

    async def leave() -> Any:
        task = asyncio.create_task(request())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        Handler.wait = False
        return await request()

    assert async_to_sync(leave)().content == b'"done"'


class Doubled(Emitter):
    def stream_render(self, request: HttpRequest | None) -> Iterator[str]:
        items = list(self.construct())  # draws all before its first chunk
        yield f"{len(items)}:"
        yield str(items)


@SERVERS
@SOURCES
def test_an_own_emitter_may_draw_as_it_likes(asgi: bool, later: bool) -> None:
    Emitter.register("doubled", Doubled, "text/x-doubled")
    try:
        body = ask(streaming(Source(2), later), asgi, f"{ROOT}?format=doubled")[2]
    finally:
        Emitter.unregister("doubled")
    assert body == b"2:[{'n': 0}, {'n': 1}]"
