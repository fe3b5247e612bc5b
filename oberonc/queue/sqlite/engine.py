"""The engine for one machine: SQLite, one connection, every commit synced.

Each part adds its operations to the part before: `store` (connection, batches,
counters), `accepting`, `leasing`, `ending`, `reading`, `steering`, `upkeep`,
`checking`. `schema.sql` says what the rows mean.
"""

from oberonc.queue.sqlite.accepting import Accepting
from oberonc.queue.sqlite.checking import violations
from oberonc.queue.sqlite.store import durable
from oberonc.queue.sqlite.upkeep import Upkeep


class SqliteQueue(Accepting, Upkeep):
    """The queue in the file *path*; see `Store` for the arguments and `base.Queue` for
    the guarantees.
    """

    @durable
    def fsck(self) -> list[str]:
        return violations(self.con, self.tallies.by_service())
