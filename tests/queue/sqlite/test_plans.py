"""No statement of the daily work reads more than it needs: cost must not grow with what
is queued.
"""

from collections.abc import Iterator

import pytest

from oberonc.queue.sqlite import (
    accepting,
    counting,
    finishing,
    leasing,
    periods,
    reading,
    recovering,
    retention,
    rows,
    thinning,
)
from oberonc.queue.sqlite.engine import SqliteQueue

DAILY = {
    name: getattr(module, name)
    for module, names in {
        accepting: (
            *("LAST", "FIND_LANE", "NEW_LANE", "JOIN_LANES", "SINCE", "MOVED"),
        ),
        leasing: (
            *("DUE_LANES", "HEAD", "TURNS", "SUSPECTS", "ANY_LEASED", "ONE", "CHARGE"),
            *("TAKE", "NEW_ATTEMPTS", "NEXT"),
        ),
        thinning: (
            *("WAITING", "PARKED", "ABOUT", "EVENT", "END_UNSENT", "JOIN", "LEAD"),
            "MEMBERS",
        ),
        rows: (
            *("SERVICE", "SAVE_BREAKER", "REFRESH_LANES", "CHANGE_LIVE", "TO_REPORT"),
            *("NOT_TO_REPORT", "MOVE_MEMBERS"),
        ),
        finishing: (
            *("HELD", "END", "END_ATTEMPT", "DONE_ALL", "ATTEMPTS_DONE", "SERVICES"),
        ),
        recovering: ("ORPHANS", "ORPHANED"),
        reading: ("ATTEMPTS", "LAST_ATTEMPT", "NEXT_TIME"),
        counting: ("NEXT_WAKE", "OLDEST"),
        periods: ("ADD", "FORGET"),
        retention: ("EXPIRED", "EXPIRED_STUBS", "OF_EVENT"),
    }.items()
    for name in names
}
DAILY["PERIODS"] = counting.PERIODS.format("AND service = :service")
DAILY["KNOWN"] = accepting.KNOWN.format("?, ?, ?, ?")
DAILY |= {
    table: accepting.insert_sql(table, 4)
    for table in (
        accepting.EVENTS,
        accepting.BODIES,
        accepting.COMMITS,
        accepting.DELIVERIES,
    )
}
#: Statements that must be served by this very index.
INDEX = {
    "DUE_LANES": "lane_runnable (service=? AND wake_ms>?)",
    "NEXT_WAKE": "lane_runnable (service=? AND wake_ms>?)",
    "OLDEST": "lane_oldest (service=? AND oldest>?)",
    "HEAD": "delivery_head (lane=?)",
    "TURNS": "delivery_parked (lane=?)",
    "SUSPECTS": "delivery_suspect",
    "ONE": "delivery_passed (lane=? AND seq<?)",
    "DONE_ALL": "delivery USING INTEGER PRIMARY KEY (rowid=?)",
    "EXPIRED": "event_ended (ended_age>? AND ended_age<?)",
    "EXPIRED_STUBS": "event_stub (ended_age<?)",
    "ORPHANS": "delivery_one_leased",
    "WAITING": "delivery_head (lane=? AND seq>?)",
    "PARKED": "delivery_parked (lane=? AND due_ms<?)",
    "MEMBERS": "delivery_joined (joined=?)",
    "MOVE_MEMBERS": "delivery_joined (joined=?)",
}
#: Partial indexes that hold next to nothing: walking one whole is cheap.
SMALL = (
    "delivery_suspect",
    "delivery_one_leased",
    "CONSTANT ROW",
    "-ROW VALUES CLAUSE",  # what is given
    "SCAN (subquery",
    "SCAN head",
    "SCAN parked",
    "VIRTUAL TABLE",  # json_each
    "sqlite_sequence",
)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteQueue]:
    queue = SqliteQueue(tmp_path_factory.mktemp("plans") / "queue.sqlite")
    yield queue
    queue.close()


def _plan(queue: SqliteQueue, sql: str) -> list[str]:
    count = sql.count("?")
    values = (None,) * count if count else dict.fromkeys(_names(sql))
    return [
        row[3]
        for row in queue.database.con.execute(f"EXPLAIN QUERY PLAN {sql}", values)
    ]


def _names(sql: str) -> set[str]:
    return {
        word.strip("(),;") for part in sql.split(":")[1:] for word in part.split()[:1]
    }


@pytest.mark.parametrize("name", DAILY)
def test_nothing_is_scanned_or_sorted(queue: SqliteQueue, name: str) -> None:
    for step in _plan(queue, DAILY[name]):
        if any(small in step for small in SMALL):
            continue
        assert not step.startswith("SCAN"), step
        # It sorts two rows.
        assert "TEMP B-TREE" not in step or name == "TURNS", step


@pytest.mark.parametrize("name", INDEX)
def test_the_index_made_for_it_is_used(queue: SqliteQueue, name: str) -> None:
    assert any(INDEX[name] in step for step in _plan(queue, DAILY[name])), _plan(
        queue, DAILY[name]
    )
