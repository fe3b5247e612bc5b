"""Who makes way when the clients of a socket hold too much: the flood, and of it the
slowest.
"""

import time
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from oberonc.daemon.front import quota
from oberonc.daemon.front.quota import Quota

MIB = 1 << 20


@dataclass(eq=False)
class Client:
    """A connection as the quota sees it."""

    uid: int
    held: int = 0
    waiting: bool = True
    since: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=time.monotonic)
    why: str = ""

    def make_way(self, why: str) -> None:
        self.why, self.held, self.waiting = why, 0, False


def crowd(books: Quota, uid: int, count: int, held: int) -> list[Client]:
    """*count* clients of *uid*, each of which sent *held* bytes."""
    made = [Client(uid, held) for _ in range(count)]
    for client in made:
        books.enter(client)
        books.weigh(client, client.held)
    return made


def test_many_bytes_of_one_user_cost_only_that_user() -> None:
    books = Quota()
    flood = crowd(books, 7, 20, 8 * MIB)
    [honest] = crowd(books, 8, 1, 8 * MIB)
    assert not honest.why
    assert (
        sum(client.held for client in flood)
        <= quota.MOST_BYTES_PER_USER + 20 * quota.FREE
    )


def test_of_one_users_clients_the_slowest_pays() -> None:
    books = Quota()
    slow, quick = Client(7, 8 * MIB), Client(7, 8 * MIB)
    slow.began -= 60
    for client in (slow, quick):
        books.enter(client)
        books.weigh(client, client.held)
    books.weigh(quick, quick.held)
    [late] = crowd(books, 7, 1, MIB)
    assert "slowest" in slow.why
    assert not quick.why
    assert not late.why


def test_small_pushes_get_in_whatever_others_hold() -> None:
    books = Quota()
    for uid in range(50):
        for client in crowd(books, uid, 2, 9 * MIB):
            client.waiting = False  # all of it is being answered
    [small] = crowd(books, 99, 1, quota.FREE)
    assert not small.why


def test_the_connection_that_waited_longest_makes_way_for_a_new_one() -> None:
    books = Quota()
    flood = crowd(books, 7, quota.MOST_PER_USER, 0)
    oldest = flood[3]
    oldest.since -= 10
    crowd(books, 7, 1, 0)
    assert "waited longest" in oldest.why
    assert [client for client in flood if client.why] == [oldest]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 4), st.integers(0, 9 * MIB), st.booleans(), st.booleans()
        ),
        max_size=60,
    )
)
def test_the_books_are_right_whatever_comes_and_goes(
    steps: list[tuple[int, int, bool, bool]],
) -> None:
    books, there = Quota(), []
    for uid, held, waiting, goes in steps:
        client = Client(uid, held, waiting)
        there.append(client)
        books.enter(client)
        books.weigh(client, client.held)
        if goes:
            books.leave(there.pop(len(there) // 2))
    beyond = {
        uid: sum(max(c.held - quota.FREE, 0) for c in there if c.uid == uid)
        for uid in range(1, 5)
    }
    assert sum(beyond.values()) <= quota.MOST_BYTES
    assert max(beyond.values()) <= quota.MOST_BYTES_PER_USER
    for client in there:
        books.leave(client)
    assert not books.clients
    assert not books._bytes
    assert not books._connections
    assert not books._counted
