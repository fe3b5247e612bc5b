"""What commits change, for services that have `diffs`: one `git diff-tree` for all new
commits of a payload, ended when the bounds are reached.

A stranger chooses what is compared. So nothing is kept beyond the bounds, git gets so
much time and no more, and what cannot be had is left out and flagged: a push is never
lost for its diff.
"""

import os
import select
import time
from collections.abc import Iterable

from oberonc.config import Service
from oberonc.payload import filters
from oberonc.payload.schema import Payload
from oberonc.source.git import Git

#: Bytes of the diff of one commit, of all of one payload, and seconds git gets for it.
EACH, TOTAL, SECONDS = 256 * 1024, 4 * 1024 * 1024, 5.0
_CHUNK = 1 << 16


def add(git: Git, payload: Payload, services: Iterable[Service]) -> None:
    """Give the `commits` of *payload* their diffs, where one of *services* is to get
    them: `diff`, and `diff_truncated` where some of it is missing.
    """
    wanted = any(
        service.diffs and filters.choose(service, payload).payload
        for service in services
    )
    if not wanted or not payload["commits"]:
        return
    newest_first = payload["commits"][::-1]
    for commit in newest_first:
        commit |= {"diff": "", "diff_truncated": True}
    found = _read(git, [commit["raw_node"] for commit in newest_first])
    for commit, (text, whole) in zip(newest_first, found, strict=False):
        commit["diff"] = text
        if whole:
            del commit["diff_truncated"]


def _read(git: Git, oids: list[str]) -> list[tuple[str, bool]]:
    """(the diff, whether it is whole) of as many of *oids*, from the first on, as the
    bounds let.
    """
    child = git.start_diffs(oids)
    found: list[tuple[str, bool]] = []
    output = _Output(child.stdout.fileno(), time.monotonic() + SECONDS)
    try:
        output.until(oids[0], 0)
        room = TOTAL
        for following in [*oids[1:], ""]:
            raw, whole = output.until(following, min(EACH, room))
            found.append((_text(raw, whole), whole))
            room -= len(raw)
            if output.stopped or room <= 0:
                break
    finally:
        if not output.ended:
            child.kill()
        code, _ = child.wait()
    if code and len(found) == len(oids):
        found[-1] = found[-1][0], False
    return found


def _text(raw: bytes, whole: bool) -> str:
    """*raw* as text; what was cut ends with its last whole line."""
    lines = raw if whole else raw[: raw.rfind(b"\n") + 1]
    return lines.decode("utf-8", "replace").replace("\0", "\ufffd")


class _Output:
    """What git prints, until it ends or its time does."""

    def __init__(self, source: int, until: float) -> None:
        self._source, self._until = source, until
        self._ready = select.poll()
        self._ready.register(source, select.POLLIN)
        self._rest = b"\n"
        #: Whether git has printed all, and whether nothing more is to be had.
        self.ended = self.stopped = False

    def until(self, oid: str, cap: int) -> tuple[bytes, bool]:
        """What stands before the line *oid*, or to the end where it is empty: at most
        *cap* bytes, and whether that is all of it.

        The id of each commit has a line of its own. No line of a diff is one: each
        begins with a sign or a word.
        """
        mark = f"\n{oid}\n".encode() if oid else b""
        found, size, at = bytearray(), 0, -1
        while at < 0:
            at = self._rest.find(mark) if mark else -1
            # The line's end is of the text, and the mark may have come in part.
            end = at + 1 if at >= 0 else max(0, len(self._rest) - len(mark))
            size += end
            found += self._rest[: min(end, max(0, cap + 2 - len(found)))]
            self._rest = self._rest[end:]
            if at < 0:
                chunk = self._chunk()
                if not chunk:
                    found += self._rest[: max(0, cap + 2 - len(found))]
                    size += len(self._rest)
                    break
                self._rest += chunk
        if at >= 0:
            # The next text begins with the end of this line, as the first does.
            self._rest = self._rest[len(mark) - 2 :]
        whole = size - 1 <= cap and (at >= 0 if oid else self.ended)
        return bytes(found[1 : cap + 1]), whole

    def _chunk(self) -> bytes:
        left = self._until - time.monotonic()
        chunk = b""
        if left > 0 and self._ready.poll(left * 1000):
            chunk = os.read(self._source, _CHUNK)
            self.ended = not chunk
        self.stopped = not chunk
        return chunk
