"""What a service without rules pays for those of others: nothing."""

from collections.abc import Callable
from itertools import islice
from os import urandom
from pathlib import Path

import pytest

from oberonc.payload.schema import new_id
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import Ending, EventQuery, Lease, Route, Rules, Slot
from tests.support.store_values import NOW, submission, take_one

#: Statements of one accept, and of one lease or one ending, as many as without rules.
ACCEPT, EACH = 5, 6


@pytest.mark.parametrize(
    "others", [False, True], ids=["alone", "beside one with rules"]
)
@pytest.mark.parametrize("kind", ["done", "retry"])
def test_a_service_without_rules_costs_as_many_statements_as_ever(
    tmp_path: Path, kind: str, others: bool
) -> None:
    queue = SqliteQueue(tmp_path / "queue.sqlite")
    if others:
        route = Route("chat", gather_ms=1, refs=("refs/heads/main",))
        queue.accept(NOW, submission(90)._replace(routes=(route,)))
        rules = Rules(1000, 1000, True, 10, 10_000)
        queue.lease(NOW + 1, [Slot("chat", 1, 1, rules)], "worker")
    for number in range(3):  # what is known from the first time on
        queue.accept(NOW, submission(number))
        queue.end(NOW, take_one(queue).token, Ending("done"))
    with queue.batch():
        count = _counter(queue)
        count(lambda: queue.accept(NOW, submission(10)), ACCEPT)
        leases: list[Lease] = []
        count(lambda: leases.append(take_one(queue)))
        count(lambda: queue.end(NOW, leases[0].token, Ending(kind)))  # type: ignore[arg-type]
    queue.database.con.set_trace_callback(None)
    queue.close()


def test_events_with_ids_as_hooks_make_them_share_the_pages_of_their_index(
    tmp_path: Path,
) -> None:
    def pages(name: str, mint: Callable[[], str]) -> int:
        """What one commit of 64 events writes beside 3,000 others."""
        queue = SqliteQueue(tmp_path / name)
        made = (
            submission(number)._replace(id=bytes.fromhex(mint()))
            for number in range(3064)
        )
        queue.accept_all(NOW, [*islice(made, 3000)])
        queue.maintain(idle=True)
        queue.accept_all(NOW, [*made])
        size = (tmp_path / f"{name}-wal").stat().st_size
        queue.close()
        return size // 1024

    ours, at_random = pages("ours", new_id), pages("random", lambda: urandom(16).hex())
    assert ours < at_random - 30


def test_the_newest_events_cost_the_same_however_many_there_are(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "queue.sqlite")
    counts, made = [], list[str]()
    for first, last in ((0, 10), (10, 1000)):
        with queue.batch():
            for number in range(first, last):
                queue.accept(NOW, submission(number))
        queue.database.con.set_trace_callback(made.append)
        assert len(queue.list_events(EventQuery(limit=5)).events) == 5
        queue.database.con.set_trace_callback(None)
        counts.append(len(made))
        made.clear()
    assert counts[0] == counts[1], counts
    queue.close()


def _counter(queue: SqliteQueue) -> Callable[..., None]:
    made: list[str] = []
    queue.database.con.set_trace_callback(made.append)

    def count(call: Callable[[], object], wanted: int = EACH) -> None:
        made.clear()
        call()
        # what a trigger or a foreign key does is shown as a comment
        assert len([sql for sql in made if not sql.startswith("--")]) == wanted, made

    return count
