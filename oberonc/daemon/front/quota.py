"""What the clients of one socket may hold, connections and bytes, and who makes way
when it is too much.

A flood costs the user it comes from, and of that user's clients the one that is
slowest. What counts is what came, never what a header announces. The submit and the
control socket have a quota each, so that whatever those who push do, an administrator
is heard.
"""

import time
from collections import Counter
from typing import Final, Protocol

from oberonc.daemon.front.turns import Turns

#: Connections in all, and of one user.
MOST_CONNECTIONS: Final = 256
MOST_PER_USER: Final = 128
#: Bytes of frames that came and are not answered, in all, and of one user.
MOST_BYTES: Final = 32 << 20
MOST_BYTES_PER_USER: Final = MOST_BYTES // 2
#: Bytes of each connection that are not counted, since the connections are: most pushes
#: never come near a limit.
FREE: Final = 64 << 10


class Client(Protocol):
    """One connection, as its quota sees it. Times are those of `time.monotonic`."""

    uid: int
    #: When it was last answered, or came; when the frame that is on its way began.
    since: float
    began: float

    @property
    def waiting(self) -> bool:
        """Whether it is we who wait for it."""

    def make_way(self, why: str) -> None:
        """Give its place to another."""


class Quota:
    """The books of one socket."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        #: For requests of which only one is read at a time.
        self.turns = Turns()
        self._connections: Counter[int] = Counter()
        #: Bytes beyond the free ones, by user and by client.
        self._bytes: Counter[int] = Counter()
        self._counted: dict[Client, int] = {}

    def enter(self, client: Client) -> bool:
        """Count *client*, which has just come; who has said nothing for longest makes
        way. False: nobody can.
        """
        self.clients.add(client)
        self._connections[client.uid] += 1
        heaviest, count = self._connections.most_common(1)[0]
        if self._connections[client.uid] > MOST_PER_USER:
            heaviest = client.uid
        elif len(self.clients) <= MOST_CONNECTIONS and count <= MOST_PER_USER:
            return True
        waiting = self._waiting(heaviest)
        if not waiting:
            return False
        longest = min(waiting, key=lambda other: other.since)
        longest.make_way("too many connections: this one waited longest")
        return True

    def weigh(self, client: Client, held: int) -> None:
        """Count that *client* holds *held* bytes now, which came and are not answered;
        when it is too much, the slowest of the heaviest user makes way.
        """
        self._count(client, max(held - FREE, 0))
        while client in self._counted:
            heaviest, _ = self._bytes.most_common(1)[0]
            if self._bytes[client.uid] > MOST_BYTES_PER_USER:
                heaviest = client.uid
            elif self._bytes.total() <= MOST_BYTES:
                return
            now = time.monotonic()
            slowest = min(
                [c for c in self._waiting(heaviest) if c in self._counted] or [client],
                key=lambda c: (FREE + self._counted[c]) / max(now - c.began, 1e-3),
            )
            slowest.make_way("too many bytes are waiting, and these came slowest")
            self._count(slowest, 0)

    def leave(self, client: Client) -> None:
        """*client* has gone, if it ever came in."""
        if client in self.clients:
            self.clients.remove(client)
            self._count(client, 0)
            self._connections -= Counter([client.uid])

    def _waiting(self, uid: int) -> list[Client]:
        return [
            client for client in self.clients if client.uid == uid and client.waiting
        ]

    def _count(self, client: Client, bytes_beyond: int) -> None:
        before = self._counted.pop(client, 0)
        if bytes_beyond:
            self._counted[client] = bytes_beyond
        if bytes_beyond != before:
            self._bytes += Counter({client.uid: bytes_beyond})
            self._bytes -= Counter({client.uid: before})
