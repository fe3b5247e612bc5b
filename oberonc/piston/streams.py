"""Answers of any length in constant memory: iterators and async iterators, sent on
under WSGI and under ASGI as the server wants them."""

import asyncio
import logging
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
    return StreamingHttpResponse(_chunks_for(request)(chunks, items, request))


def empty_response(request: HttpRequest) -> StreamingHttpResponse:
    """An answer without a body, whose length nobody has counted."""
    return StreamingHttpResponse(_chunks_for(request)(iter(()), iter(()), request))


class _Chunks:
    """What a WSGI server draws. `close` is called even where nothing was drawn."""

    def __init__(
        self,
        chunks: Iterator[str | bytes],
        items: Iterator[Any],
        request: HttpRequest,
    ) -> None:
        self._chunks = chunks
        self._items = items
        self._request = request

    def __iter__(self) -> "_Chunks":
        return self

    def __next__(self) -> bytes:
        chunk = self._draw()
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Let the emitter and the source of the items clean up."""
        close(self._chunks)
        close(self._items)

    def _draw(self) -> bytes | None:
        """The next chunk, None after the last; what is raised breaks the connection."""
        try:
            chunk = next(self._chunks, None)
            if chunk is not None:
                return to_bytes(chunk)
        except Exception:
            path = self._request.path
            more = {"request": self._request}
            logger.exception("A streamed answer broke off: %s", path, extra=more)
            self.close()
            raise
        self.close()
        return None


class _AsyncChunks(_Chunks):
    """What an ASGI server draws: made in a thread, as it may ask a database.

    To go there and back for each chunk would cost many times what a chunk costs. So the
    thread makes some ahead, and what is ready goes out together.
    """

    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, wake = asyncio.get_running_loop(), asyncio.Event()
        ready: deque[bytes] = deque()
        wanted = True

        def make() -> bool:
            """Whether there may be more; never waits for the client."""
            for _ in range(_AHEAD):
                if not wanted or (chunk := self._draw()) is None:
                    return False
                ready.append(chunk)
                if not wake.is_set():
                    loop.call_soon_threadsafe(wake.set)
            return True

        def made(making: asyncio.Future[bool]) -> None:
            wake.set()
            if not making.cancelled():
                making.exception()  # raised below, if anybody is still there

        try:
            more = True
            while more:
                making = asyncio.ensure_future(sync_to_async(make)())
                making.add_done_callback(made)
                while ready or not making.done():
                    await wake.wait()
                    wake.clear()
                    together = [ready.popleft() for _ in range(len(ready))]
                    if together:
                        yield b"".join(together)
                more = await making  # raises what went wrong
        finally:
            wanted = False


def _chunks_for(request: HttpRequest) -> type[_Chunks]:
    return _AsyncChunks if under_asgi(request) else _Chunks
