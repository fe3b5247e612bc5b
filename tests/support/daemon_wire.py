"""Raw connections to the daemon, for what no client of ours would send."""

import socket
from pathlib import Path
from typing import Any

from oberonc.delivery import frames


class Raw:
    """One connection."""

    def __init__(self, path: Path) -> None:
        self.channel = socket.socket(socket.AF_UNIX)
        self.channel.settimeout(30)
        self.channel.connect(str(path))

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def send(self, raw: bytes) -> None:
        """Bytes, as they are."""
        self.channel.sendall(raw)

    def body(self, raw: bytes) -> None:
        """A frame around *raw*."""
        self.send(frames.frame(raw))

    def answer(self) -> dict[str, Any]:
        """The next frame of the daemon."""
        return frames.decode(
            self._read(frames.body_length(self._read(frames.HEADER.size), 1 << 30))
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request, one answer."""
        self.send(frames.encode(request))
        return self.answer()

    def closed(self) -> bool:
        """Whether the daemon closes the connection."""
        try:
            return self.channel.recv(1) == b""
        except ConnectionError:
            return True

    def _read(self, count: int) -> bytes:
        raw = b""
        while len(raw) < count:
            part = self.channel.recv(count - len(raw))
            if not part:
                raise ConnectionResetError("closed")
            raw += part
        return raw
