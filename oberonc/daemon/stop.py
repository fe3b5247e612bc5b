"""Whether the daemon was told to stop, and to hurry."""

import asyncio


class Stop:
    """The order to stop. Owned by the event loop."""

    def __init__(self) -> None:
        self._ordered = asyncio.Event()
        self._hurried = asyncio.Event()

    @property
    def ordered(self) -> bool:
        """Whether nothing new is to begin."""
        return self._ordered.is_set()

    def order(self) -> None:
        """Finish what runs and go; ordered again: end what runs, and go."""
        if self.ordered:
            self._hurried.set()
        self._ordered.set()

    async def wait(self) -> None:
        """Returns when it was ordered."""
        await self._ordered.wait()

    async def wait_hurried(self) -> None:
        """Returns when it was ordered twice."""
        await self._hurried.wait()
