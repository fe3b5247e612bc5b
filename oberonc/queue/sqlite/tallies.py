"""How many deliveries are in which state, and what else is counted."""

import sqlite3
from typing import Final

#: delivery.state
READY: Final = 0
LEASED: Final = 1
DONE: Final = 2
DEAD: Final = 3
CANCELLED: Final = 4
EXPIRED: Final = 5
COLLAPSED: Final = 6
STATES: Final = (
    "ready",
    "leased",
    "done",
    "dead",
    "cancelled",
    "expired",
    "collapsed",
)

#: The tally of deliveries in a state now; the other tallies only grow.
NOW: Final = "now."
_IN_STATE: Final = tuple(NOW + name for name in STATES)


class Tallies:
    """Counters per service, kept in memory and written with the batch that changed
    them.
    """

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con
        self._kept: dict[tuple[str, str], int] = {
            (service, name): n
            for service, name, n in con.execute("SELECT service, name, n FROM tally")
        }
        self._changed: dict[tuple[str, str], int] = {}

    def add(self, service: str, name: str, n: int = 1) -> None:
        """Count *n* more."""
        key = (service, name)
        self._changed[key] = self._changed.get(key, 0) + n

    def place(self, service: str, state: int, parked: int, n: int = 1) -> None:
        """*n* more deliveries are in *state*; `parked` counts those among the ready
        ones.
        """
        self.add(service, _IN_STATE[state], n)
        if state == READY and parked:
            self.add(service, NOW + "parked", n)

    def get(self, service: str, name: str) -> int:
        """The count, changes of this batch included."""
        key = (service, name)
        return self._kept.get(key, 0) + self._changed.get(key, 0)

    def by_service(self) -> dict[str, dict[str, int]]:
        """{service: {name: count}}."""
        table: dict[str, dict[str, int]] = {}
        for service, name in self._kept | self._changed:
            table.setdefault(service, {})[name] = self.get(service, name)
        return table

    def write(self) -> None:
        """Put the changes into the transaction."""
        rows = [(*key, n) for key, n in self._changed.items() if n]
        self._con.executemany(
            "INSERT INTO tally VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            rows,
        )

    def settle(self, *, committed: bool) -> None:
        """The transaction is over: the changes count, or never happened."""
        if committed:
            for key, n in self._changed.items():
                self._kept[key] = self._kept.get(key, 0) + n
        self._changed.clear()
