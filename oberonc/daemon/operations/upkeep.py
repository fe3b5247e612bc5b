"""Operations that change the daemon or copy its queue: reload, backup."""

import os
from pathlib import Path

from oberonc.accounts import person
from oberonc.daemon.journal import Say
from oberonc.daemon.operations.answers import Answer
from oberonc.daemon.operations.request import Request, text
from oberonc.daemon.queue_link import QueueLink
from oberonc.daemon.reload import Reloader
from oberonc.errors import BadInput


class Upkeep:
    """What can be asked to be done to the daemon; *state* is its folder."""

    def __init__(
        self, queue: QueueLink, reloader: Reloader, state: Path, say: Say
    ) -> None:
        self._queue = queue
        self._reloader = reloader
        self._state = state
        self._say = say

    async def reload(self, request: Request, _uid: int) -> Answer:
        """`reload`: the verdict on new code and configuration, and unless `check` the
        swap when it is good.
        """
        if request.get("check"):
            report = await self._reloader.check()
        else:
            report = await self._reloader.reload(partial=bool(request.get("partial")))
        return {"ok": True, "report": report._asdict()}

    async def backup(self, request: Request, uid: int) -> Answer:
        """`backup`: a consistent copy of the queue, written by the daemon."""
        target = Path(text(request, "path") or "")
        if not target.is_absolute():
            raise BadInput("backup needs an absolute path")
        try:
            await self._queue.call(lambda queue: queue.backup(target), alone=True)
        except BadInput as error:
            if os.path.lexists(target):
                raise
            # A service is kept from most of the file system, whatever the folder's mode
            # says to who asks.
            raise BadInput(
                f"{error}; the daemon can write below {self._state}"
            ) from None
        self._say(f"{person(uid)} made a backup: {target}")
        return {"ok": True, "path": str(target), "bytes": target.stat().st_size}
