"""The queue's contract: values and guarantees, free of any engine.

An *event* is an accepted payload, a *delivery* one event for one service, a *lane* the
deliveries of one (service, repository). Every method takes `now`, wall-clock
milliseconds, where time matters: the queue never looks at a clock, and no jump of that
clock loses, expires or stalls anything.

Durability: what a method changed is durable when the `batch` around it has ended
without an exception; a method called outside a batch is a batch of its own. An
exception of class `DiskFailed` means *unknown*: the change may or may not be found
after a restart, so nobody may be told either, and the process must exit.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from oberonc.queue.values import (
    Answer,
    Delivery,
    Ended,
    Ending,
    Event,
    EventQuery,
    Generation,
    Listed,
    LogQuery,
    Period,
    Recovered,
    Room,
    Round,
    Slot,
    Span,
    State,
    Stats,
    Submission,
    Swept,
    Token,
    Unreported,
)


class Queue(Protocol):
    """A durable queue. Not thread-safe: one thread calls it (`writer.Writer`)."""

    def batch(self) -> AbstractContextManager[None]:
        """Everything done inside becomes durable together when the block ends, or none
        of it does.

        Raises `StorageFull` (nothing kept) or `DiskFailed` (unknown; every later call
        raises it too).
        """

    def accept(self, now: int, submission: Submission) -> Answer:
        """Keep an event with one delivery per route, at the end of each lane; see
        `Answer`.

        Raises BadInput, keeping nothing, for a submission no queue could hold.
        """

    def accept_all(self, now: int, submissions: Sequence[Submission]) -> list[Answer]:
        """`accept` for several that were `check`ed, in this order, for less than they
        cost one by one.
        """

    def recover(self, now: int) -> Recovered:
        """Call once after opening: give back every delivery that was leased when the
        process died.

        Their leases are void from then on. A delivery that was running at ten daemon
        deaths becomes a dead letter; one that was running at two or more is a suspect
        and will be leased alone. Half-made generations are marked rejected, draining
        ones retired.
        """

    def lease(self, now: int, slots: Sequence[Slot], worker: str) -> Round:
        """Lease due deliveries, at most `free` per slot, oldest lanes first.

        At most one delivery of a lane is leased at any time, and of those not parked
        always the oldest. The attempt is recorded in the same commit: start its code
        only after the batch is durable. A service whose breaker is open gets nothing
        but a single probe when that is due; a suspect is leased only while nothing else
        is, and nothing beside it, but a minute of either is enough.

        A slot's `rules` end what is too old or overtaken instead of leasing it, and
        join what goes together: never what is leased, and never what was tried to
        something else. They count from this call on, whatever they were before.
        """

    def end(self, now: int, token: Token, ending: Ending) -> Ended:
        """End an attempt. With a token no longer held it changes nothing but the
        counter `late_results`.
        """

    def end_all(self, now: int, endings: Sequence[tuple[Token, Ending]]) -> list[Ended]:
        """`end` for several, in this order, for less than they cost one by one."""

    def tick(self, now: int) -> int:
        """Call at least every minute or so, and when wall and monotonic clock have
        parted.

        Pulls every retry that lies beyond the longest back-off (the clock was set back)
        to within it, and returns how many that were. Retention counts the time seen
        here, never a leap.
        """

    def pause(self, service: str, repo: str | None = None) -> None:
        """Lease nothing more of a lane, or (without *repo*) of a whole service, also
        after a restart.
        """

    def resume(self, service: str, repo: str | None = None) -> None:
        """Undo `pause` of the same lane or service; on a service it also closes the
        breaker.
        """

    def paused_lanes(self) -> list[tuple[str, str]]:
        """(service, repository) of the lanes paused by themselves."""

    def event(self, id: bytes) -> Event | None:
        """The event with this id, its deliveries and all their attempts."""

    def events_of_commit(self, prefix: str, limit: int = 50) -> list[Event]:
        """Events whose payload speaks of a commit beginning with these hex digits,
        newest first.
        """

    def recent_events(self, limit: int = 20, before: int | None = None) -> list[Event]:
        """The newest events (with `seq` below *before*), without bodies and attempts."""

    def log_events(self, query: LogQuery) -> list[Event]:
        """The events *query* is for, oldest first: with their attempts where a key is
        given by an administrator, else with the last of each delivery, without what it
        printed.

        In place of the body stands what a log tells of it: who, refs, commit ids, and
        whether it was cut. Raises BadInput for a key that is no beginning of an id.
        """

    def list_events(self, query: EventQuery) -> Listed:
        """The events *query* is for, as `log_events` tells of them; what a query costs
        does not grow with what is kept, but for one with a key. Where the clock was set
        back, times are those of neighbours. Raises BadInput for a key that is none.
        """

    def delivery(self, id: int) -> Delivery | None:
        """One delivery with its attempts."""

    def deliveries(
        self,
        state: State | None = None,
        service: str | None = None,
        repo: str | None = None,
        limit: int = 100,
        after: int = 0,
        *,
        before: int | None = None,
        since: int = 0,
    ) -> list[Delivery]:
        """Deliveries with ids above *after*, by id, or below *before*, the newest
        first; without attempts.

        *since*: only those accepted at that time or later.
        """

    def retry(self, now: int, delivery: int, by: str) -> Delivery:
        """Make a delivery due now. An ended one (dead, cancelled, even done) comes back
        with fresh budgets and parked, so that it can neither block nor reorder its
        lane. Raises BadInput when it is leased, unknown or no longer kept.
        """

    def drop(self, now: int, delivery: int, by: str) -> Delivery:
        """Cancel a ready or dead delivery in the name of a person. Raises BadInput
        otherwise.
        """

    def rename(
        self, old: str, new: str, beside: Callable[[], None] = lambda: None
    ) -> int:
        """The lanes of repository *old* become those of *new*, what waits in *old*
        before what came in *new* if it is older; returns how many deliveries wait
        there. What is leased from now on is of *new*. *beside* runs when nothing of
        either can start. Raises NotAccepted while something of either runs.
        """

    def stats(self, now: int) -> Stats:
        """Counts and states; the cost does not depend on how much is queued."""

    def periods(
        self, now: int, span: Span, last: int, service: str | None
    ) -> list[Period]:
        """What happened in each of the *last* minutes (a day of them is kept) or hours
        (as long as events are), oldest first; of *service*, '' for all together, or
        None for each.
        """

    def new_generation(self, now: int, digest: str) -> int:
        """Remember a generation being verified; returns its number, higher than any
        before.
        """

    def reject_generation(self, number: int, report: str) -> None:
        """It failed verification."""

    def commit_generation(self, number: int, report: str = "") -> None:
        """The one durable point of a reload: *number* is active, the one before
        draining.
        """

    def retire_generation(self, number: int) -> None:
        """It has drained."""

    def generations(self, limit: int = 20) -> list[Generation]:
        """The newest generations, newest first; the active one is always among them."""

    def unclaimed(self, configured: Collection[str]) -> dict[str, int]:
        """Services with waiting deliveries that nobody is configured to serve, and how
        many wait.
        """

    def sweep(
        self, now: int, configured: Collection[str], keep_ms: int, limit: int = 500
    ) -> Swept:
        """One slice of retention: forget events that ended more than `keep_ms` of
        observed time ago, bury deliveries left unclaimed for `UNCLAIMED_GRACE_MS`. What
        is not ended is never removed.
        """

    def unreported(self, now: int, limit: int) -> Unreported:
        """What was given up since `mark_reported`, those of events of kind `dead`,
        which report others, left out.
        """

    def mark_reported(self, now: int) -> None:
        """All that `unreported` counts is reported; in the same batch, so that nothing
        is left out.
        """

    def backup(self, target: Path) -> None:
        """Write a consistent, durable copy readable by its owner only. Raises BadInput
        if *target* exists. Never inside a batch.
        """

    def maintain(self, *, idle: bool = False) -> None:
        """Call after each batch was answered, outside any: the engine does what can
        wait until then, such as keeping its files short. *idle*: nobody waits.
        """

    def room(self) -> Room:
        """The space there was at the beginning of the last batch."""

    def keep_free(self, threshold: int) -> None:
        """Refuse new events from now on when less than *threshold* bytes are free."""

    def close(self) -> None:
        """Mark the stop as clean and let go of the files."""
