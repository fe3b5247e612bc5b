"""Dead letters that are to be reported, and when some last were."""

from oberonc.queue.sqlite.database import Database, Part, durable
from oberonc.queue.sqlite.reading import Reading
from oberonc.queue.values import Unreported

FIRST = "SELECT delivery FROM untold ORDER BY delivery LIMIT :limit"


class Reporting(Part):
    """`unreported` and `mark_reported`."""

    def __init__(self, database: Database, reading: Reading) -> None:
        super().__init__(database)
        self._reading = reading

    @durable
    def unreported(self, now: int, limit: int) -> Unreported:
        """See `Queue.unreported`."""
        (count,) = self._database.row("SELECT count(*) FROM untold")
        first = self._database.rows(FIRST, limit=limit)
        reported = self._database.meta("told_age")
        since = None
        if reported:
            since = self._database.age_at(now) - reported + 1
        deliveries = self._reading.without_attempts(id for (id,) in first)
        return Unreported(count, deliveries, since)

    @durable
    def mark_reported(self, now: int) -> None:
        """See `Queue.mark_reported`."""
        self._con.execute("DELETE FROM untold")
        # One more, because 0 stands for never.
        self._database.set_meta("told_age", self._database.age_at(now) + 1)
