"""A connection, and what is refused on it before anybody sees a request: the parser is
quick, and lets pass what some proxy before us may read otherwise, and heads of any
length.
"""

import sys
from typing import Final

from httptools import HttpParserInvalidMethodError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from oberonc.web.edge import MALFORMED, UNKNOWN
from oberonc.web.journal import say

#: Bytes of a request's head, or of what stands behind a body that comes in pieces.
HEAD: Final = 64 << 10


class Connection(HttpToolsProtocol):
    """One connection."""

    #: Bytes that came since the last part of a body.
    _head = 0

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self._head += len(data)
        super().data_received(data)
        if self._head > HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        """A head came whole. What is raised here is answered with 400."""
        hosts, size = 0, len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            hosts += name == b"host"
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise ValueError("the length of the body can be read in two ways")
        if hosts > 1 or size > HEAD:
            raise ValueError("it has two hosts, or a head that is too long")
        if not self.url.startswith(b"/") or self.url.startswith(b"//"):
            # For a proxy, or of another host: here it is an address like any other.
            self.url = b"/./" + self.url
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body came."""
        self._head = max(0, self._head - len(body))
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """A piece of a body begins."""
        self._head = 0

    def on_message_complete(self) -> None:
        """A request came whole."""
        self._head = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read is refused, and nothing that follows it is read. Where an
        answer is under way already, it is the last one.
        """
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            unknown = isinstance(sys.exception(), HttpParserInvalidMethodError)
            self.transport.write(UNKNOWN if unknown else MALFORMED)
        who = (self.client or [""])[0] or "a local socket"
        say(f"what {who} sent is no request of HTTP")
        if cycle is not None:
            cycle.disconnected = True  # what is still said goes nowhere
        self.transport.close()
