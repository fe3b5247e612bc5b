"""The files of the spool that wait to be taken in: of one repository oldest first, and
the accounts in turn.

In a drop box anybody who may hand in can put any number of files. So each account gets
its turn, who has least first, and looking at the folder never holds the event loop for
long: who floods the spool waits for themselves.
"""

import asyncio
import os
from collections import deque
from collections.abc import Container, Iterable
from typing import Final, NamedTuple

from oberonc.delivery.spool import mark_in

#: Files of one repository that are taken before it is another account's turn.
TURN: Final = 8
#: Files of one account that are remembered, the oldest ones; the others are seen once
#: these were taken in.
MOST: Final = 20_000
#: Files looked at in one go.
_AT_ONCE: Final = 500


class File(NamedTuple):
    """A file of the spool, and the account that owns it."""

    name: str
    uid: int


class Backlog:
    """What waits. Between two awaits of the event loop it does not change."""

    def __init__(self) -> None:
        #: By the mark of a repository, oldest first.
        self._files: dict[str, deque[File]] = {}
        #: By account, in the order of their turns, the marks under which it has files:
        #: ordered sets.
        self._turns: dict[int, dict[str, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._files.values()))

    def has(self, mark: str) -> bool:
        """Whether a file with *mark* waits."""
        return mark in self._files

    async def fill(self, folder: str, without: Container[str]) -> None:
        """Look at *folder* anew; empty where it cannot be listed."""
        found = await _listed(folder, without)
        self._files.clear()
        self._turns.clear()
        fewest = sorted(found, key=lambda uid: (len(found[uid]), uid))
        self._turns |= {uid: {} for uid in fewest}
        for file in sorted(file for files in found.values() for file in files):
            mark = mark_in(file.name)
            self._files.setdefault(mark, deque()).append(file)
            self._turns.setdefault(file.uid, {})[mark] = None

    def take(self, most: int) -> list[File]:
        """The next files: *most*, and up to a turn more, because two that may be
        swapped are not parted.
        """
        taken: list[File] = []
        while self._turns and len(taken) < most:
            uid = next(iter(self._turns))
            marks = self._turns.pop(uid)
            # Files without a mark are older than those
            # with one, and can be of the same repository.
            mark = "" if "" in marks else next(iter(marks), None)
            if mark is None:
                continue
            del marks[mark]
            files = self._files.get(mark, deque())
            taken += [files.popleft() for _ in range(min(TURN, len(files)))]
            if files:
                marks[mark] = None
            else:
                self._files.pop(mark, None)
            self._turns[uid] = marks
        return taken

    def put_back(self, files: Iterable[File]) -> None:
        """*files* were taken and must wait: they
        are the first of their repositories again.
        """
        for file in sorted(files, reverse=True):
            mark = mark_in(file.name)
            self._files.setdefault(mark, deque()).appendleft(file)
            self._turns.setdefault(file.uid, {})[mark] = None


async def _listed(folder: str, without: Container[str]) -> dict[int, list[File]]:
    """By account the files in *folder*, in no order."""
    found: dict[int, list[File]] = {}
    try:
        with os.scandir(folder) as items:
            for count, item in enumerate(items, 1):
                if count % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                if not item.name.endswith(".ob") or item.name in without:
                    continue
                try:
                    uid = item.stat(follow_symlinks=False).st_uid
                except OSError:
                    continue  # its owner took it away
                files = found.setdefault(uid, [])
                files.append(File(item.name, uid))
                if len(files) >= 2 * MOST:
                    files.sort()
                    del files[MOST:]
    except OSError:
        return {}
    return found
