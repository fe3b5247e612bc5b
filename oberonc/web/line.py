"""A connection to the daemon that stays for the next push: to make one is much of what a
push costs.
"""

from _socket import socket
from pathlib import Path

from oberonc.delivery import frames, handover


class Line:
    """Used by one thread."""

    def __init__(self) -> None:
        self._kept: socket | None = None

    def exchange(
        self, path: str | Path, frame: bytes, connect_by: float, answer_by: float
    ) -> bytes:
        """The daemon's answer to *frame*. On a connection that it ended meanwhile the
        frame is sent again: a payload that it had taken is a duplicate then. Raises
        OSError and BadFrame.
        """
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                return self._converse(kept, frame, answer_by)
            except TimeoutError:
                raise
            except (OSError, frames.BadFrame):
                pass
        return self._converse(handover.connected(path, connect_by), frame, answer_by)

    def _converse(self, channel: socket, frame: bytes, deadline: float) -> bytes:
        try:
            answer = handover.converse(channel, frame, deadline)
        except BaseException:
            channel.close()
            raise
        self._kept = channel
        return answer
