"""The queue's own rules, each as a question to the database that must have no answer."""

from typing import Final

from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.sqlite.tallies import NOW, STATES

_HEAD: Final = (
    "(SELECT due_ms FROM delivery WHERE lane = l.id AND state = 0 AND parked = 0 "
    "AND joined IS NULL ORDER BY seq LIMIT 1)"
)
_PARKED: Final = (
    "(SELECT min(due_ms) FROM delivery WHERE lane = l.id AND state = 0 AND parked = 1 "
    "AND joined IS NULL)"
)

#: (what is wrong with the thing the row names, SELECT)
RULES: Final = (
    (
        "lane {}: `running` is not its leased delivery",
        "SELECT l.id FROM lane l WHERE l.running IS NOT (SELECT id FROM delivery WHERE lane = l.id AND state = 1)",
    ),
    (
        "lane {}: `wake_ms` is not when its next delivery is due",
        f"SELECT l.id FROM lane l WHERE l.wake_ms IS NOT coalesce(min({_HEAD}, {_PARKED}), {_HEAD}, {_PARKED})",
    ),
    (
        "lane {}: `oldest` is not its first delivery that has not ended",
        "SELECT l.id FROM lane l WHERE l.oldest IS NOT "
        "(SELECT min(seq) FROM delivery WHERE lane = l.id AND state IN (0, 1))",
    ),
    (
        "delivery {}: its lane is missing",
        "SELECT id FROM delivery WHERE lane NOT IN (SELECT id FROM lane)",
    ),
    (
        "delivery {}: its event's body is missing",
        "SELECT id FROM delivery WHERE seq NOT IN (SELECT seq FROM body)",
    ),
    (
        "event {}: `live` is not the number of its deliveries that have not ended",
        "SELECT seq FROM event e WHERE live <> "
        "(SELECT count(*) FROM delivery d WHERE d.seq = e.seq AND state IN (0, 1))",
    ),
    (
        "delivery {}: to be told of though it is no dead letter",
        "SELECT delivery FROM untold WHERE delivery NOT IN (SELECT id FROM delivery WHERE state = 3)",
    ),
    (
        "delivery {}: leased without an attempt that runs",
        "SELECT d.id FROM delivery d LEFT JOIN attempt a ON a.delivery = d.id AND a.number = d.attempt "
        "WHERE d.state = 1 AND (a.delivery IS NULL OR a.outcome IS NOT NULL)",
    ),
    (
        "delivery {}: not leased, and an attempt that runs",
        "SELECT d.id FROM delivery d JOIN attempt a ON a.delivery = d.id "
        "WHERE a.outcome IS NULL AND (d.state <> 1 OR a.number <> d.attempt)",
    ),
    (
        "delivery {}: more attempts than leases",
        "SELECT delivery FROM attempt a GROUP BY delivery "
        "HAVING count(*) <> (SELECT attempt FROM delivery WHERE id = a.delivery)",
    ),
    (
        "delivery {}: suspect though it has ended",
        "SELECT id FROM delivery WHERE suspect = 1 AND state NOT IN (0, 1)",
    ),
    (
        "delivery {}: joined to one that has ended, or is elsewhere",
        "SELECT d.id FROM delivery d LEFT JOIN delivery l ON l.id = d.joined "
        "WHERE d.state = 0 AND d.joined IS NOT NULL AND (l.id IS NULL OR l.state > 1 OR l.lane <> d.lane "
        "OR l.parked <> d.parked OR l.seq > d.seq)",
    ),
    (
        "delivery {}: leased, and joined to another",
        "SELECT id FROM delivery WHERE state = 1 AND joined IS NOT NULL",
    ),
    (
        "delivery {}: `members` is not how many are joined to it",
        "SELECT d.id FROM delivery d WHERE d.state IN (0, 1) AND d.members <> "
        "(SELECT count(*) FROM delivery WHERE joined = d.id AND state = 0)",
    ),
    (
        "delivery {}: what it moved is noted in another lane",
        "SELECT d.id FROM moved m JOIN delivery d ON d.id = m.delivery WHERE m.lane <> d.lane",
    ),
    (
        "service {}: its probe is not leased",
        "SELECT name FROM service WHERE probe IS NOT NULL AND probe NOT IN (SELECT id FROM delivery WHERE state = 1)",
    ),
)
STATE_COUNTS: Final = """
SELECT l.service, d.state, sum(d.state = 0 AND d.parked = 1), count(*)
FROM delivery d JOIN lane l ON l.id = d.lane GROUP BY 1, 2"""


def violations(queue: SqliteQueue) -> list[str]:
    """Violations of the queue's own rules, one sentence each; empty when all is well.
    Slow.
    """
    with queue.batch():
        con = queue.database.con
        found = [
            wrong.format(row[0]) for wrong, sql in RULES for row in con.execute(sql)
        ]
        found += [
            f"table {row[0]}: row {row[1]} refers to nothing"
            for row in con.execute("PRAGMA foreign_key_check")
        ]
        states = con.execute(STATE_COUNTS).fetchall()
    real: dict[str, dict[str, int]] = {}
    for service, state, parked, n in states:
        there = real.setdefault(service, {})
        there[STATES[state]] = n
        there["parked"] = there.get("parked", 0) + parked
    counted = queue.database.tallies.by_service()
    for service in sorted((counted.keys() | real.keys()) - {""}):
        found += _balance(service, counted.get(service, {}), real.get(service, {}))
    return found


def _balance(service: str, counted: dict[str, int], there: dict[str, int]) -> list[str]:
    """Counters against rows: every delivery accepted is in one state, or was pruned."""
    found = [
        f"service {service}: {there.get(name, 0)} deliveries {name}, counted {counted.get(NOW + name, 0)}"
        for name in (*STATES, "parked")
        if there.get(name, 0) != counted.get(NOW + name, 0)
    ]
    kept, pruned = (
        sum(there.get(state, 0) for state in STATES),
        counted.get("pruned", 0),
    )
    if counted.get("accepted", 0) != kept + pruned:
        found.append(
            f"service {service}: {counted.get('accepted', 0)} accepted, {kept} there, {pruned} pruned"
        )
    return found
