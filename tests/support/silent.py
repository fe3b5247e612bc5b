"""A tracker that takes connections and requests, and does not answer: the worst there
is for who waits.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: The beginning of an answer whose body never comes to its end.
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"


class Silent:
    """Accepts everybody and reads what they say; says nothing, or with *dribble* a byte
    now and then.
    """

    def __init__(self, dribble: bool = False) -> None:
        self.requests: list[bytes] = []
        self._dribble = dribble
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                channel, _ = self._listener.accept()
                self._threads.append(
                    threading.Thread(target=self._keep, args=[channel])
                )
                self._threads[-1].start()

    def _keep(self, channel: socket.socket) -> None:
        with suppress(OSError), channel:
            self.requests.append(channel.recv(65536))
            if self._dribble:
                channel.sendall(ENDLESS)
            while not self._over.wait(0.1):
                if self._dribble:
                    channel.sendall(b" ")

    def close(self) -> None:
        """Let everybody go."""
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def silent(dribble: bool = False) -> Iterator[Silent]:
    """One that is there for a while."""
    server = Silent(dribble)
    try:
        yield server
    finally:
        server.close()
