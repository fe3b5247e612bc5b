"""Whose turn it is, where only one can be served: users in turn, so that many requests
of one delay no other's.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock that is fair to users. Owned by the event loop."""

    def __init__(self) -> None:
        self._taken = False
        #: Per user who waits, the user whose turn is next first.
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, uid: int) -> AsyncIterator[None]:
        """The turn of *uid*, once it comes, and until the block ends."""
        if self._taken:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(uid, deque()).append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._pass_on()  # it had come already
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            uid = next(iter(self._waiting))
            line = self._waiting.pop(uid)
            following = line.popleft()
            if line:
                self._waiting[uid] = line
            if not following.done():
                following.set_result(None)
                return
        self._taken = False
