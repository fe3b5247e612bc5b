"""Intake: payloads become events, whether they come by the socket or lie in the spool.

The order barrier: what a client spooled came before what is submitted now. So whenever the spool changed, its
files are taken in first, and a submission waits until they are events.
"""

import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from oberonc import spool
from oberonc.config import Config
from oberonc.daemon.faults import crash_point
from oberonc.daemon.journal import Say
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.ref_order import Kept, in_ref_order, kept
from oberonc.daemon.submissions import Sender, submission
from oberonc.errors import BadInput, NotAccepted
from oberonc.queue.base import Answer, Queue, Submission
from oberonc.text import one_line

#: Spool files, and bytes of them, committed together.
SLICE: Final = 64
SLICE_BYTES: Final = 4 << 20
#: How many of them are taken again with the next ones, to be put into order with those.
OVERLAP: Final = 8
#: Errors that say nothing about a file: it is read again.
PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
#: Seconds between looks at the spool, and before a refused slice is tried again.
LOOK: Final = 1.0
#: Nanoseconds in which two changes of a folder may carry the same time.
TICK: Final = 50_000_000
#: No folder's time: the next look reads the folder.
UNSURE: Final = -2


def _accept_in_order(requests: list[Submission], queue: Queue) -> list[Answer | BadInput]:
    """The answers, up to the first for which there is no room: nothing may overtake it."""
    answers: list[Answer | BadInput] = []
    for request in requests:
        try:
            answer = queue.accept(now_ms(), request)
        except BadInput as error:
            answers.append(error)
            continue
        if answer.status == "storage_low":
            break
        answers.append(answer)
    return answers


class Intake:
    """Turns payloads into events in the right order. Owned by the event loop."""

    def __init__(self, config: Config, queue: QueueLink, say: Say) -> None:
        self.config = config
        self._queue = queue
        self._say = say
        self._new = os.fspath(config.spool / "new")
        self._seen = UNSURE
        self._unreadable: set[str] = set()
        self._taking: asyncio.Task[None] | None = None
        #: Called with the services of an event that was asked for, so that its lease can share its commit.
        self.on_accept: Callable[[list[str]], None] = lambda services: None

    async def submit(self, payload: Any, peer_uid: int) -> Answer:
        """Accept one payload, after everything that is in the spool. Raises BadInput."""
        wanted = submission(self.config, payload, Sender(peer_uid))
        if self._changed():
            self.look()
        if self._taking:
            await asyncio.shield(self._taking)
        answer = self._queue.accept(wanted)
        if wanted.routes:
            self.on_accept([route.service for route in wanted.routes])
        return await answer

    def look(self) -> None:
        """Take in what the spool holds, unless that is under way."""
        if self._taking is None:
            self._taking = asyncio.get_running_loop().create_task(self._take())
            self._taking.add_done_callback(self._taken)

    async def watch(self) -> None:
        """Look whenever the spool changed; for ever."""
        while True:
            if self._changed():
                self.look()
            await asyncio.sleep(LOOK)

    @property
    def unreadable(self) -> int:
        """How many spool files cannot be read, or not be removed."""
        return len(self._unreadable)

    async def settled(self) -> None:
        """Returns when no files are being taken in."""
        if self._taking:
            await asyncio.shield(self._taking)

    def _taken(self, _task: "asyncio.Task[None]") -> None:
        self._taking = None

    def _changed(self) -> bool:
        """Whether the spool's folder is not as it was when it was last found empty."""
        return self._stamp() != self._seen

    def _stamp(self) -> int:
        try:
            return os.stat(self._new).st_mtime_ns  # noqa: PTH116  once per submission
        except OSError:
            return -1

    async def _take(self) -> None:
        """Everything in the spool; whatever goes wrong there, those who wait for it go on."""
        try:
            await self._take_all()
        except Exception as error:  # noqa: BLE001  the next look begins anew
            self._seen = UNSURE
            self._say(f"the spool could not be taken in: {type(error).__name__}: {error}")

    async def _take_all(self) -> None:
        """Oldest first, a slice at a time; a full disk ends the turn."""
        while True:
            stamp = self._stamp()
            files = [path for path in spool.listing(self.config.spool) if path.name not in self._unreadable]
            left = deque(files)
            while left:
                if not await self._take_slice(left):
                    self._seen = UNSURE
                    return
            if not files:
                self._seen = stamp if time.time_ns() - stamp > TICK else UNSURE
                return

    async def _take_slice(self, left: deque[Path]) -> bool:
        """Take in the first of *left*; False when the queue has no room now."""
        pushes: list[Kept] = []
        size = 0
        while left and len(pushes) < SLICE and size < SLICE_BYTES:
            try:
                push = self._read(left.popleft())
            except NotAccepted as error:
                self._say(str(error))
                return False
            if push:
                pushes.append(push)
                size += len(push.submission.body)
        pushes = in_ref_order(pushes)
        if left:
            # What comes next may belong before the last ones. Half of them at least are taken now: else large
            # files, of which few are read at once, would be put back for ever.
            keep = len(pushes) - min(OVERLAP, len(pushes) // 2)
            left.extendleft(sorted((push.file for push in pushes[keep:]), reverse=True))
            del pushes[keep:]
        answers = self._queue.call(partial(_accept_in_order, [push.submission for push in pushes]))
        self.on_accept([route.service for push in pushes for route in push.submission.routes])
        try:
            for push, answer in zip(pushes, await answers, strict=False):
                self._settle(push.file, answer)
            return len(answers.result()) == len(pushes)
        except NotAccepted:
            return False

    def _read(self, path: Path) -> Kept | None:
        try:
            entry, uid, proven = spool.look(path)
            payload, sender = entry["payload"], Sender(uid, "spool", proven)
            return kept(path, submission(self.config, payload, sender, entry.get("services")), payload)
        except FileNotFoundError:
            return None
        except (spool.Damaged, BadInput) as error:
            self._reject(path, str(error))
        except OSError as error:
            if error.errno in PASSING:
                raise NotAccepted(f"the spool cannot be read now: {error.strerror}") from None
            self._unreadable.add(path.name)
            self._say(f"the spool file {path} cannot be read: {error.strerror}")
        except Exception as error:  # noqa: BLE001  whatever it is, one file must not stop the others
            self._reject(path, f"it cannot be taken in: {type(error).__name__}: {error}")
        return None

    def _settle(self, path: Path, answer: Answer | BadInput) -> None:
        if isinstance(answer, BadInput):
            self._reject(path, str(answer))
        elif answer.status == "conflict":
            self._reject(path, "another payload has the same id")
        else:
            crash_point("spooled")
            # A crash before the file is gone makes it a duplicate at the next start, and then it is gone too.
            try:
                spool.remove(path)
            except OSError as error:
                self._unreadable.add(path.name)
                self._say(f"the spool file {path} was taken in and cannot be removed: {error.strerror}")

    def _reject(self, path: Path, why: str) -> None:
        self._say(f"the spool file {path.name} is put aside in bad/: {one_line(why)}")
        with suppress(OSError):
            spool.reject(path, why)
            return
        self._unreadable.add(path.name)
