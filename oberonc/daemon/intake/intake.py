"""Intake: payloads become events, whether they come by the socket or lie in the spool.

The order barrier: what a client spooled came before what is submitted now. So whenever
the spool changed, it is looked at first, and a submission waits until the files of its
repository are events; those of others cost it nothing. A file that cannot be read now
holds nobody up: it is told of, tried again, and whoever goes before it is told of too.
"""

import asyncio
import errno
import os
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from oberonc import jsontext
from oberonc.accounts import person
from oberonc.config import Config
from oberonc.daemon.faults import crash_point
from oberonc.daemon.intake.backlog import Backlog, File
from oberonc.daemon.intake.ref_order import Kept, in_ref_order, kept
from oberonc.daemon.intake.sender import Sender
from oberonc.daemon.intake.submissions import submission
from oberonc.daemon.journal import Say
from oberonc.daemon.queue_link import QueueLink, now_ms
from oberonc.daemon.sparing import Sparing
from oberonc.daemon.threads import in_a_thread
from oberonc.delivery import frames, spool
from oberonc.errors import BadInput, NotAccepted
from oberonc.queue.contract import Queue
from oberonc.queue.values import Answer, Submission
from oberonc.text import one_line

#: Spool files, and bytes of them, committed together.
SLICE: Final = 64
SLICE_BYTES: Final = 4 << 20
#: How many of them are taken again with the next ones, to be put into order with those.
OVERLAP: Final = 8
#: Errors that say nothing about a file, only that we can read none now.
PASSING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
#: Files that could not be read, of which so many are tried again at each look.
AGAIN: Final = 64
#: Files of one account that are put aside, of
#: which so many are told one by one in a minute.
LOSSES: Final = 20
#: Seconds of reading after which what was read is taken in.
SLICE_TIME: Final = 0.1
#: While files are taken in the folder is looked at again, for at most one part in so
#: many of the time.
PARTS: Final = 10
#: Seconds between looks at the spool, and before a refused slice is tried again.
LOOK: Final = 1.0
#: Nanoseconds in which two changes of a folder may carry the same time.
TICK: Final = 50_000_000
#: No folder's time: the next look reads the folder.
UNSURE: Final = -2


class Intake:
    """Turns payloads into events in the right order. Owned by the event loop."""

    def __init__(self, config: Config, queue: QueueLink, say: Say) -> None:
        self.config = config
        self._queue = queue
        self._say = say
        self._sparing = Sparing(say)
        self._losses = Sparing(say, burst=LOSSES)
        self._new = os.fspath(config.spool / "new")
        self._seen = UNSURE
        self._backlog = Backlog()
        #: The files that are becoming events right now.
        self._current: list[File] = []
        #: {name: mark} of the files that cannot be read now, how many of each
        #: repository, and what cannot be removed.
        self._unreadable: dict[str, str] = {}
        self._held: Counter[str] = Counter()
        self._done: set[str] = set()
        self._taking: asyncio.Task[None] | None = None
        self._step = asyncio.Event()

    @property
    def files(self) -> int:
        """How many files of the spool were not taken in when it was last looked at."""
        return (
            len(self._backlog)
            + len(self._current)
            + len(self._unreadable)
            + len(self._done)
        )

    @property
    def unreadable(self) -> int:
        """How many of them cannot be read, or not be removed."""
        return len(self._unreadable) + len(self._done)

    async def submit(self, payload: Any, peer_uid: int) -> Answer:
        """Accept one payload, after what the spool
        holds of its repository. Raises BadInput.
        """
        sender = Sender(peer_uid)
        # What takes time with the payload, checks and filters, is done beside the loop
        # where it is large.
        if isinstance(payload, jsontext.Received) and len(payload.raw) <= frames.SMALL:
            wanted = submission(self.config, payload, sender)
        else:
            wanted = await in_a_thread(submission, self.config, payload, sender)
        del payload  # it is not needed while its commit is waited for
        await self.catch_up(wanted.repo)
        self._tell_overtaken(wanted.repo)
        return await self._queue.accept(wanted)

    async def catch_up(self, repository: str) -> None:
        """Returns when what is in the spool of *repository* now is events, or cannot
        become any now.
        """
        if self._stamp() != self._seen:
            self.take_spooled()
        if self._taking is None:
            return
        names = await in_a_thread(self._names, spool.mark(repository))
        while self._taking and names:
            name = names[-1]
            if (
                name in self._unreadable
                or name in self._done
                or not os.path.lexists(f"{self._new}/{name}")
            ):
                names.pop()
            else:
                await self._step.wait()

    def _names(self, mark: str) -> list[str]:
        """The files that can be of the repository with *mark*, the newest last."""
        try:
            names = os.listdir(self._new)  # noqa: PTH208  no path for each: there may be any number
        except OSError:
            return []
        return sorted(
            name
            for name in names
            if spool.mark_in(name) in ("", mark) and name.endswith(".ob")
        )

    def _tell_overtaken(self, repository: str) -> None:
        if self._held and self._held[mark := spool.mark(repository)]:
            text = f"a push of {repository} goes before a spool file of it that cannot be read"
            self._sparing.say(("overtaken", mark), text)

    async def watch(self) -> None:
        """Look whenever the spool changed, or holds what could not be read; for ever."""
        while True:
            if self._stamp() != self._seen or self._unreadable:
                self.take_spooled()
            await asyncio.sleep(LOOK)

    def take_spooled(self) -> None:
        """Take in what the spool holds, unless that is under way."""
        if self._taking is None:
            self._taking = asyncio.get_running_loop().create_task(self._take())

    def _stamp(self) -> int:
        """When the spool's folder changed last."""
        try:
            return os.stat(self._new).st_mtime_ns  # noqa: PTH116  once per submission
        except OSError:
            return -1

    async def _take(self) -> None:
        """Everything in the spool, a slice at a time, until the folder is empty; a full
        disk ends it. Whatever goes wrong there, those who wait for it go on.
        """
        try:
            for name in list(self._unreadable)[:AGAIN]:
                self._forget(name)
            while True:
                stamp, began = self._stamp(), time.monotonic()
                await self._backlog.fill(self._new, {*self._unreadable, *self._done})
                if not self._backlog:
                    is_sure = time.time_ns() - stamp > TICK
                    self._seen = stamp if is_sure else UNSURE
                    return
                ended = time.monotonic()
                until = ended + PARTS * (ended - began)
                while self._backlog:
                    if not await self._take_slice():
                        self._seen = UNSURE
                        return
                    self._wake()
                    if time.monotonic() > until:
                        break
        except Exception as error:  # noqa: BLE001  the next look begins anew
            self._seen = UNSURE
            self._say(
                f"the spool could not be taken in: {type(error).__name__}: {error}"
            )
        finally:
            self._taking = None
            self._wake()

    def _wake(self) -> None:
        """Whoever waits looks again."""
        self._step.set()
        self._step = asyncio.Event()

    async def _take_slice(self) -> bool:
        """Take in the next files; False when the queue has no room now."""
        self._current = sorted(self._backlog.take(SLICE))
        files = {file.name: file for file in self._current}
        try:
            read, unread = await in_a_thread(self._read_some, files)
            self._backlog.put_back(unread)
            pushes = self._put_off_last(in_ref_order(read), files)
            answers = await self._queue.call(
                partial(_accept_in_order, [push.submission for push in pushes])
            )
        except NotAccepted as error:
            self._sparing.say("not now", str(error))
            self._backlog.put_back(files.values())
            return False
        finally:
            self._current = []
        self._queue.expect(
            [route.service for push in pushes for route in push.submission.routes]
        )
        for push, answer in zip(pushes, answers, strict=False):
            self._tell_overtaken(push.submission.repo)
            self._settle(push.file, answer)
        self._backlog.put_back(files[push.file.name] for push in pushes[len(answers) :])
        return len(answers) == len(pushes)

    def _read_some(self, files: dict[str, File]) -> tuple[list[Kept], list[File]]:
        """What *files* hold, oldest first, up to what one commit takes; and the files
        that were not read for that.

        Beside the loop: strangers choose what is in them.
        """
        by_mark: defaultdict[str, list[File]] = defaultdict(list)
        for file in files.values():
            by_mark[spool.mark_in(file.name)].append(file)
        pushes: list[Kept] = []
        unread: list[File] = []
        size, until = 0, time.monotonic() + SLICE_TIME
        for of_one in by_mark.values():
            count = 0
            for file in of_one:
                # Of one push alone nothing is put off (`_put_off_last`), and what belongs
                # before it came after it: on a slow disk, or where the two are large.
                is_late = time.monotonic() > until and not 0 < count <= OVERLAP
                is_large = size >= SLICE_BYTES and count != 1
                if pushes and (is_late or is_large):
                    unread.append(file)
                elif push := self._read(Path(self._new, file.name), file.uid):
                    pushes.append(push)
                    count += 1
                    size += len(push.submission.body)
        return sorted(pushes, key=lambda push: push.file.name), unread

    def _put_off_last(self, pushes: list[Kept], files: dict[str, File]) -> list[Kept]:
        """*pushes* but the last ones of each repository of which more waits: what comes
        may belong before them.

        Half of a repository's at least are taken now: else large files, of which few
        are read at once, would be put back for ever.
        """
        counts = Counter(spool.mark_in(push.file.name) for push in pushes)
        to_put_off = {
            mark: min(OVERLAP, count // 2)
            for mark, count in counts.items()
            if self._backlog.has(mark)
        }
        later = set()
        for push in reversed(pushes):
            mark = spool.mark_in(push.file.name)
            if to_put_off.get(mark):
                to_put_off[mark] -= 1
                later.add(push.file.name)
        self._backlog.put_back(files[name] for name in later)
        return [push for push in pushes if push.file.name not in later]

    def _read(self, path: Path, uid: int) -> Kept | None:
        try:
            entry, uid, proven = spool.look(path)
            payload, sender = entry["payload"], Sender(uid, "spool", proven)
            return kept(
                path,
                submission(self.config, payload, sender, entry.get("services")),
                payload,
            )
        except FileNotFoundError:
            return None
        except (spool.Damaged, BadInput) as error:
            self._reject(path, uid, str(error))
        except OSError as error:
            if error.errno in PASSING:
                raise NotAccepted(
                    f"the spool cannot be read now: {error.strerror}"
                ) from None
            self._remember(path, uid, f"cannot be read: {error.strerror}")
        except Exception as error:  # noqa: BLE001  whatever it is, one file must not stop the others
            self._reject(
                path, uid, f"it cannot be taken in: {type(error).__name__}: {error}"
            )
        return None

    def _settle(self, path: Path, answer: Answer | BadInput) -> None:
        if isinstance(answer, BadInput):
            self._reject(path, -1, str(answer))
        elif answer.status == "conflict":
            self._reject(path, -1, "another payload has the same id")
        else:
            crash_point("spooled")
            # A crash before the file is gone makes it a duplicate at the next start,
            # and then it is gone too.
            try:
                spool.remove(path)
            except OSError as error:
                self._done.add(path.name)
                self._say(
                    f"the spool file {path} was taken in and cannot be removed: {error.strerror}"
                )

    def _reject(self, path: Path, uid: int, why: str) -> None:
        try:
            spool.reject(path, why)
        # another account's folder, for one, can be moved by nobody else
        except OSError as error:
            self._remember(
                path,
                uid,
                f"is no good ({one_line(why)}) and cannot be put aside in bad/: {error.strerror}",
            )
        else:
            self._losses.say(
                uid, f"the spool file {path.name} is put aside in bad/: {one_line(why)}"
            )

    def _remember(self, path: Path, uid: int, why: str) -> None:
        """The file stays where it is; it is told of, and tried again."""
        self._unreadable[path.name] = mark = spool.mark_in(path.name)
        self._held[mark] += 1
        text = f"the spool file {path.name} of {person(uid)} {why}; it is tried again, and later pushes go before it"
        self._sparing.say(("unreadable", uid), text)

    def _forget(self, name: str) -> None:
        mark = self._unreadable.pop(name)
        self._held[mark] -= 1
        if not self._held[mark]:
            del self._held[mark]


def _accept_in_order(
    requests: list[Submission], queue: Queue
) -> list[Answer | BadInput]:
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
