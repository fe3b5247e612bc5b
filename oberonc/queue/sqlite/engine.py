"""The engine for one machine: SQLite, one connection, every commit synced.

`database` is what all parts work on, each part a few of the queue's operations;
`schema.sql` says what the rows mean.
"""

import random
from pathlib import Path

from oberonc.queue.sqlite.accepting import Accepting
from oberonc.queue.sqlite.copying import Copying
from oberonc.queue.sqlite.counting import Counting
from oberonc.queue.sqlite.database import Database
from oberonc.queue.sqlite.finishing import Finishing
from oberonc.queue.sqlite.generations import Generations
from oberonc.queue.sqlite.leasing import Leasing
from oberonc.queue.sqlite.reading import Reading
from oberonc.queue.sqlite.recovering import Recovering
from oberonc.queue.sqlite.reporting import Reporting
from oberonc.queue.sqlite.retention import Retention
from oberonc.queue.sqlite.space import BALLAST_BYTES
from oberonc.queue.sqlite.steering import Steering


class SqliteQueue:
    """The queue in the file *path*, made when it is missing; `Queue` says what its
    operations promise.

    *low_space* is the space in bytes below which no new events are taken, *ballast* the
    size of the file that is given up for endings on a full disk. *force* and
    *synchronous* are for tests: a file system that is not to be trusted, and what a
    weaker sync loses. Raises what `open_database` raises.
    """

    def __init__(
        self,
        path: Path,
        *,
        low_space: int = 0,
        ballast: int = BALLAST_BYTES,
        force: bool = False,
        synchronous: str = "FULL",
        rng: random.Random | None = None,
    ) -> None:
        database = Database(path, low_space, ballast, force, synchronous)
        self.database = database
        self.batch = database.batch
        self.maintain = database.maintain
        self.close = database.close
        self.room = database.room
        self.keep_free = database.space.keep_free

        accepting = Accepting(database)
        self.accept = accepting.accept
        self.accept_all = accepting.accept_all

        self.lease = Leasing(database).lease

        finishing = Finishing(database, rng or random.Random())  # noqa: S311 - jitter, not secrets
        self.end = finishing.end
        self.end_all = finishing.end_all

        reading = Reading(database)
        self.event = reading.event
        self.events_of_commit = reading.events_of_commit
        self.recent_events = reading.recent_events
        self.log_events = reading.log_events
        self.list_events = reading.list_events
        self.delivery = reading.delivery
        self.deliveries = reading.deliveries

        counting = Counting(database)
        self.stats = counting.stats
        self.periods = counting.periods
        self.unclaimed = counting.unclaimed
        self.paused_lanes = counting.paused_lanes

        recovering = Recovering(database, reading)
        self.recover = recovering.recover
        self.tick = recovering.tick

        steering = Steering(database, reading)
        self.pause = steering.pause
        self.resume = steering.resume
        self.retry = steering.retry
        self.drop = steering.drop
        self.rename = steering.rename

        generations = Generations(database)
        self.new_generation = generations.new_generation
        self.reject_generation = generations.reject_generation
        self.commit_generation = generations.commit_generation
        self.retire_generation = generations.retire_generation
        self.generations = generations.generations

        self.sweep = Retention(database, reading, counting).sweep

        reporting = Reporting(database, reading)
        self.unreported = reporting.unreported
        self.mark_reported = reporting.mark_reported

        self.backup = Copying(database).backup
