"""Answers of any length in constant memory: iterators and async iterators, sent on
under WSGI and under ASGI as the server wants them."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Any, Final

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, StreamingHttpResponse

from oberonc.piston.emitters import Emitter, to_bytes
from oberonc.piston.handler import BaseHandler

logger: Final = logging.getLogger("django.request")
_END: Final = object()
#: Chunks that are made before the client has taken those before them.
_AHEAD: Final = 256


def is_stream(data: Any) -> bool:
    """Whether a result is an iterator or an async iterator."""
    return hasattr(type(data), "__next__") or hasattr(type(data), "__anext__")


def drawn(data: Any, request: HttpRequest) -> Iterator[Any]:
    """A stream as an ordinary iterator; to be used outside of the event loop."""
    if hasattr(type(data), "__next__"):
        return data  # type: ignore[no-any-return]
    return _in_the_loop(data) if under_asgi(request) else _in_a_loop(data)


def under_asgi(request: HttpRequest) -> bool:
    """Whether an event loop sends the answer."""
    return hasattr(request, "scope")


def _in_the_loop(items: AsyncIterator[Any]) -> Iterator[Any]:
    """Draw in the loop that runs in the thread this one was started from."""

    async def draw() -> Any:
        return await anext(items, _END)

    async def close() -> None:
        if hasattr(items, "aclose"):
            await items.aclose()

    try:
        while (item := async_to_sync(draw)()) is not _END:
            yield item
    finally:
        async_to_sync(close)()


def _in_a_loop(items: AsyncIterator[Any]) -> Iterator[Any]:
    """Draw in a loop of our own, the same for all items."""

    async def draw() -> Any:
        return await anext(items, _END)

    loop = asyncio.new_event_loop()
    try:
        while (item := loop.run_until_complete(draw())) is not _END:
            yield item
    finally:
        if hasattr(items, "aclose"):
            loop.run_until_complete(items.aclose())
        loop.close()


def first(items: Iterator[Any]) -> tuple[Iterator[Any], bool]:
    """The iterator with its first item drawn, and whether there is one.

    What goes wrong before the first item does so here, while there is time for a proper
    answer.
    """
    item = next(items, _END)
    return (iter(()), False) if item is _END else (chain([item], items), True)


def close(items: Iterator[Any]) -> None:
    """Let a generator clean up."""
    if hasattr(items, "close"):
        items.close()


def response(
    emitter: type[Emitter],
    items: Iterator[Any],
    handler: BaseHandler,
    request: HttpRequest,
) -> StreamingHttpResponse:
    """The answer that `emitter` writes of `items`, of which one was drawn."""
    begun, _ = first(items)
    writer: Any = emitter(begun, handler, request, streamed=True)
    chunks, _ = first(iter(writer.stream_render(request)))
    return sent(_watched(chunks, items, request), request)


def sent(chunks: Iterator[bytes], request: HttpRequest) -> StreamingHttpResponse:
    """An answer of these chunks, whatever server sends it."""
    if under_asgi(request):
        return StreamingHttpResponse(_sent_by_the_loop(chunks))
    return StreamingHttpResponse(chunks)


def _watched(
    chunks: Iterator[str | bytes], items: Iterator[Any], request: HttpRequest
) -> Iterator[bytes]:
    """Bytes; an error is logged and breaks the connection, which says so the client."""
    try:
        for chunk in chunks:
            yield to_bytes(chunk)
    except Exception:
        logger.exception(
            "A streamed answer broke off: %s", request.path, extra={"request": request}
        )
        raise
    finally:
        close(items)


async def _sent_by_the_loop(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, made in a thread, as what makes them may ask a database.

    To go there and back for each would cost many times what a chunk costs. So the
    thread works ahead, as far as there is room, and what is ready goes out together.
    """
    loop, wake = asyncio.get_running_loop(), asyncio.Event()
    ready: deque[bytes] = deque()
    room = threading.Semaphore(_AHEAD)
    stopped = False

    def make() -> None:
        try:
            for chunk in chunks:
                room.acquire()
                if stopped:
                    break
                ready.append(chunk)
                if not wake.is_set():
                    loop.call_soon_threadsafe(wake.set)
        finally:
            close(chunks)
            loop.call_soon_threadsafe(wake.set)

    making = asyncio.ensure_future(sync_to_async(make)())
    making.add_done_callback(lambda _: wake.set())
    try:
        while ready or not making.done():
            await wake.wait()
            wake.clear()
            together = [ready.popleft() for _ in range(len(ready))]
            if together:
                room.release(len(together))
                yield b"".join(together)
        await making  # raises what went wrong
    finally:
        stopped = True
        room.release()
        await asyncio.wait([making])
        making.exception()  # it was raised above, or nobody is there to hear it
