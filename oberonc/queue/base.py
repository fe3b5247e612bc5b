"""The queue's contract: values and guarantees, free of any engine.

An *event* is an accepted payload, a *delivery* one event for one service, a *lane* the deliveries of one
(service, repository). Every method takes `now`, wall-clock milliseconds, where time matters: the queue never
looks at a clock, and no jump of that clock loses, expires or stalls anything.

Durability: what a method changed is durable when the `batch` around it has ended without an exception; a
method called outside a batch is a batch of its own. An exception of class `DiskFailed` means *unknown*: the
change may or may not be found after a restart, so nobody may be told either, and the process must exit.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from oberonc.errors import BadInput, NotAccepted

Order = Literal["bounded", "strict", "none"]
State = Literal["ready", "leased", "done", "dead", "cancelled"]
Breaker = Literal["closed", "open", "probing"]
GenerationState = Literal["probing", "active", "draining", "retired", "rejected"]

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: The same id with the same bytes is answered `duplicate` for at least this long, whatever `keep` says.
DEDUPE_MS: Final = 7 * DAY
#: The deliveries of a service that left the configuration become dead letters after this long.
UNCLAIMED_GRACE_MS: Final = 7 * DAY
#: One attempt keeps at most this much of what the broker printed.
OUTPUT_LIMIT: Final = 64 * 1024


class StorageFull(NotAccepted):
    """The disk has no room for this batch; nothing of it was kept. Not a failure of the disk."""


class Route(NamedTuple):
    """A service that wants an event, and how its lane is ordered.

    `bounded`: oldest first, but a head that blocked the lane for `hold_ms` (or for six tries) is parked: it
    keeps retrying, never at the same time as its lane. `strict`: never parked. `none`: no order at all.
    """

    service: str
    order: Order = "bounded"
    hold_ms: int = 15 * MINUTE


class Decision(NamedTuple):
    """What the filters of one configured service said about an event: why it got it, or why not."""

    service: str
    matched: bool
    reason: str


class Submission(NamedTuple):
    """A payload asking to become an event. `id` is the sender's 16 bytes, `body` kept as received."""

    id: bytes
    body: bytes
    repo: str
    kind: str = "push"
    origin: str = "socket"
    peer_uid: int = -1
    routes: tuple[Route, ...] = ()
    #: One for every configured service, matched or not.
    decisions: tuple[Decision, ...] = ()
    #: Full hex ids of the commits the payload speaks of, so that a commit finds its events.
    commits: tuple[str, ...] = ()


_TEXT_LIMIT: Final = 512
#: Databases stop reading text at NUL, and a lone surrogate is no text at all.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_OID: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


def check(submission: Submission) -> None:
    """Raise BadInput for a submission no queue could hold."""
    if len(submission.id) != 16:
        raise BadInput("an event id has 16 bytes")
    if not submission.repo:
        raise BadInput("an event needs a repository")
    for what, text in (("repository", submission.repo), ("kind", submission.kind), ("origin", submission.origin)):
        if len(text) > _TEXT_LIMIT or _UNSTORABLE.search(text):
            raise BadInput(f"the {what} of an event is too long or holds characters that cannot be kept")
    if len(submission.routes) > 1 and len({route.service for route in submission.routes}) < len(submission.routes):
        raise BadInput("an event is routed twice to one service")
    for route in submission.routes:
        if route.order not in get_args(Order):
            raise BadInput(f"order must be one of {', '.join(get_args(Order))}")
    if not all(map(_OID.fullmatch, submission.commits)):
        raise BadInput("a commit id is 40 or 64 hex digits")


class Answer(NamedTuple):
    """`accepted` and `duplicate`: the event is durable once the batch is. The others: nothing was kept.

    `conflict` is the same id with other bytes: never to be sent again. `storage_low` (the disk is nearly
    full) and `busy` (too many requests wait): spool it and try again.
    """

    status: Literal["accepted", "duplicate", "conflict", "storage_low", "busy"]
    #: The event's place in the order of acceptance (of the first one, for `duplicate`).
    seq: int | None = None


class Slot(NamedTuple):
    """A service that could start `free` more deliveries, on workers of `generation`."""

    service: str
    free: int
    generation: int


class Token(NamedTuple):
    """The proof of a lease: a delivery and the number of the attempt it was leased for."""

    delivery: int
    attempt: int


class Lease(NamedTuple):
    """A worker's exclusive right to one attempt of a delivery."""

    token: Token
    #: Stays the same over all attempts, for brokers that want to be idempotent.
    delivery_id: str
    event: bytes
    seq: int
    service: str
    repo: str
    body: bytes
    generation: int
    #: True when an earlier delivery of the lane was passed over: it is parked or a dead letter.
    gap: bool
    #: `seq` of the earlier deliveries that are parked and will still come (at most 20).
    behind: tuple[int, ...]


class Round(NamedTuple):
    """What one `lease` call granted, and when to call again though nothing else happens.

    `next_due_ms` None: only an accept, an end, a resume or a redrive can make work for these slots.
    """

    leases: tuple[Lease, ...]
    next_due_ms: int | None


class Ending(NamedTuple):
    """How an attempt ended.

    `done`; `retry` a transient failure (`after_ms`: the server's Retry-After); `crash` the worker died, hung
    or broke the protocol; `dead` the broker rejected it for ever; `interrupted` our own stop or reload took
    the worker away; `progress` a turn that did part of the work (`after_ms`). The last two are charged to no
    budget and park nothing.
    """

    kind: Literal["done", "retry", "crash", "dead", "interrupted", "progress"]
    note: str = ""
    after_ms: int | None = None
    took_ms: int = 0
    output: str = ""


class Ended(NamedTuple):
    """What an ending made of its delivery. `late`: the lease was no longer held, nothing changed."""

    state: Literal["ready", "done", "dead", "late"]
    due_ms: int | None = None
    parked: bool = False
    #: Why, in words, where the queue decided it (a budget that is spent).
    reason: str = ""


class Recovered(NamedTuple):
    """What `recover` found: deliveries given back, and those whose budget of daemon deaths was spent."""

    orphaned: int
    dead: int


class Attempt(NamedTuple):
    """One call of `handle`, recorded before it began. `outcome` None: it runs now."""

    number: int
    generation: int
    worker: str
    began_ms: int
    took_ms: int | None
    #: An `Ending.kind`, or `orphaned`: the daemon died while it ran.
    outcome: str | None
    note: str
    output: str


class Delivery(NamedTuple):
    """One event for one service, as `queue list` and `log` show it."""

    id: int
    delivery_id: str
    event: bytes
    seq: int
    service: str
    repo: str
    state: State
    parked: bool
    #: Its lane or its whole service is paused.
    paused: bool
    accepted_ms: int
    due_ms: int
    ended_ms: int | None
    #: Failed tries, worker deaths, daemon deaths, and the waiting charged to the 72 hours.
    tries: int
    crashes: int
    orphans: int
    waited_ms: int
    #: The last error or note; for a cancelled one, who did it.
    note: str
    #: Filled by `delivery` and by events, empty in lists.
    attempts: tuple[Attempt, ...] = ()


class Event(NamedTuple):
    """An accepted payload with everything that happened to it."""

    seq: int
    id: bytes
    repo: str
    kind: str
    origin: str
    peer_uid: int
    accepted_ms: int
    #: None once retention has removed it (the row then only answers duplicates).
    body: bytes | None
    decisions: tuple[Decision, ...]
    deliveries: tuple[Delivery, ...]


class ServiceStats(NamedTuple):
    """One service now. Counts of states are of the deliveries kept; `counters` only ever grow."""

    ready: int
    leased: int
    done: int
    dead: int
    cancelled: int
    #: Of the ready ones, how many are parked.
    parked: int
    paused: bool
    breaker: Breaker
    #: Transient failures in a row.
    failures: int
    probe_due_ms: int | None
    #: When the most overdue lane was due; now minus this is how far behind the service is.
    oldest_due_ms: int | None
    last_error: str
    last_error_ms: int | None
    #: accepted, done, retry, crash, dead, interrupted, progress, orphaned, cancelled, redriven, pruned
    counters: dict[str, int]


class Stats(NamedTuple):
    """The whole queue now: `services` by name, `counters` of everything that belongs to no service.

    Counters: accepted, duplicates, conflicts, storage_low, late_results, pruned_events, pruned_dead.
    """

    services: dict[str, ServiceStats]
    counters: dict[str, int]
    paused_lanes: int
    storage_low: bool


class Generation(NamedTuple):
    """One snapshot of broker code, as the queue remembers it."""

    number: int
    digest: str
    created_ms: int
    state: GenerationState
    #: What verification said, as given to `reject_generation` or `commit_generation`.
    report: str


class Swept(NamedTuple):
    """What one slice of retention removed. `more`: call again soon."""

    events: int = 0
    dead: int = 0
    #: Deliveries of services no longer configured, now dead letters.
    buried: int = 0
    more: bool = False


class Queue(ABC):
    """A durable queue. Not thread-safe: one thread calls it (`writer.Writer`)."""

    @abstractmethod
    def batch(self) -> AbstractContextManager[None]:
        """Everything done inside becomes durable together when the block ends, or none of it does.

        Raises `StorageFull` (nothing kept) or `DiskFailed` (unknown; every later call raises it too).
        """

    @abstractmethod
    def accept(self, now: int, submission: Submission) -> Answer:
        """Keep an event with one delivery per route, at the end of each lane; see `Answer`.

        Raises BadInput, keeping nothing, for a submission no queue could hold.
        """

    @abstractmethod
    def accept_all(self, now: int, submissions: Sequence[Submission]) -> list[Answer]:
        """`accept` for several, in this order, for less than they cost one by one."""

    @abstractmethod
    def recover(self, now: int) -> Recovered:
        """Call once after opening: give back every delivery that was leased when the process died.

        Their leases are void from then on. A delivery that was running at ten daemon deaths becomes a dead
        letter; one that was running at two or more is a suspect and will be leased alone. Half-made
        generations are marked rejected, draining ones retired.
        """

    @abstractmethod
    def lease(self, now: int, slots: Sequence[Slot], worker: str) -> Round:
        """Lease due deliveries, at most `free` per slot, oldest lanes first.

        At most one delivery of a lane is leased at any time, and of those not parked always the oldest.
        The attempt is recorded in the same commit: start its code only after the batch is durable. A
        service whose breaker is open gets nothing but a single probe when that is due; a suspect is leased
        only while nothing else is, and nothing beside it.
        """

    @abstractmethod
    def end(self, now: int, token: Token, ending: Ending) -> Ended:
        """End an attempt. With a token no longer held it changes nothing but the counter `late_results`."""

    @abstractmethod
    def tick(self, now: int) -> int:
        """Call at least every minute or so, and when wall and monotonic clock have parted.

        Pulls every retry that lies beyond the longest back-off (the clock was set back) to within it, and
        returns how many that were. Retention counts the time seen here, never a leap.
        """

    @abstractmethod
    def pause(self, service: str, repo: str | None = None) -> None:
        """Lease nothing more of a lane, or (without *repo*) of a whole service, also after a restart."""

    @abstractmethod
    def resume(self, service: str, repo: str | None = None) -> None:
        """Undo `pause` of the same lane or service; on a service it also closes the breaker."""

    @abstractmethod
    def paused_lanes(self) -> list[tuple[str, str]]:
        """(service, repository) of the lanes paused by themselves."""

    @abstractmethod
    def event(self, id: bytes) -> Event | None:
        """The event with this id, its deliveries and all their attempts."""

    @abstractmethod
    def events_of_commit(self, prefix: str, limit: int = 50) -> list[Event]:
        """Events whose payload speaks of a commit beginning with these hex digits, newest first."""

    @abstractmethod
    def recent_events(self, limit: int = 20, before: int | None = None) -> list[Event]:
        """The newest events (with `seq` below *before*), without bodies and attempts."""

    @abstractmethod
    def delivery(self, id: int) -> Delivery | None:
        """One delivery with its attempts."""

    @abstractmethod
    def deliveries(
        self,
        state: State | None = None,
        service: str | None = None,
        repo: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> list[Delivery]:
        """Deliveries with ids above *after*, by id, without attempts."""

    @abstractmethod
    def retry(self, now: int, delivery: int, by: str) -> Delivery:
        """Make a delivery due now. An ended one (dead, cancelled, even done) comes back with fresh budgets
        and parked, so that it can neither block nor reorder its lane. Raises BadInput when it is leased,
        unknown or no longer kept."""

    @abstractmethod
    def drop(self, now: int, delivery: int, by: str) -> Delivery:
        """Cancel a ready or dead delivery in the name of a person. Raises BadInput otherwise."""

    @abstractmethod
    def stats(self, now: int) -> Stats:
        """Counts and states; the cost does not depend on how much is queued."""

    @abstractmethod
    def new_generation(self, now: int, digest: str) -> int:
        """Remember a generation being verified; returns its number, higher than any before."""

    @abstractmethod
    def reject_generation(self, number: int, report: str) -> None:
        """It failed verification."""

    @abstractmethod
    def commit_generation(self, number: int, report: str = "") -> None:
        """The one durable point of a reload: *number* is active, the one before draining."""

    @abstractmethod
    def retire_generation(self, number: int) -> None:
        """It has drained."""

    @abstractmethod
    def generations(self, limit: int = 20) -> list[Generation]:
        """The newest generations, newest first; the active one is always among them."""

    @abstractmethod
    def unclaimed(self, configured: Collection[str]) -> dict[str, int]:
        """Services with waiting deliveries that nobody is configured to serve, and how many wait."""

    @abstractmethod
    def sweep(self, now: int, configured: Collection[str], keep_ms: int, limit: int = 500) -> Swept:
        """One slice of retention: forget events that ended more than `keep_ms` of observed time ago, bury
        deliveries left unclaimed for `UNCLAIMED_GRACE_MS`. What is not ended is never removed."""

    @abstractmethod
    def fsck(self) -> list[str]:
        """Violations of the queue's own rules, one sentence each; empty when all is well. Slow."""

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Write a consistent, durable copy readable by its owner only. Raises BadInput if *target* exists.
        Never inside a batch."""

    @abstractmethod
    def checkpoint(self, *, idle: bool = False) -> None:
        """Call after each batch was answered: bounds the log the engine writes ahead. `idle`: shrink it."""

    @property
    @abstractmethod
    def storage_low(self) -> bool:
        """New events are refused for want of space; what was accepted still ends."""

    @abstractmethod
    def release_reserve(self) -> None:
        """Give the space kept for endings back to the file system, so that endings fit on a full disk. It
        is taken again by itself when there is room."""

    @abstractmethod
    def close(self) -> None:
        """Mark the stop as clean and let go of the files."""
