"""The values that go into and come out of the queue: plain, immutable, the same for
every engine.
"""

import json
import re
from typing import Final, Literal, NamedTuple, get_args

from oberonc import jsontext
from oberonc.errors import BadInput, NotAccepted
from oberonc.payload.schema import renamed
from oberonc.policy import DAY, HOUR, MINUTE, EndingKind
from oberonc.queue.breaker import BreakerState

Order = Literal["bounded", "strict", "none"]
State = Literal["ready", "leased", "done", "dead", "cancelled", "expired", "collapsed"]
Span = Literal["minute", "hour"]
GenerationState = Literal["probing", "active", "draining", "retired", "rejected"]

#: Milliseconds of what is counted by.
SPANS: Final[dict[Span, int]] = {"minute": MINUTE, "hour": HOUR}
#: The same id with the same bytes is answered `duplicate` for at least this long,
#: whatever `keep` says.
DEDUPE_MS: Final = 7 * DAY
#: The deliveries of a service that left the configuration become dead letters after
#: this long.
UNCLAIMED_GRACE_MS: Final = 7 * DAY
#: One attempt keeps at most this much of what the broker printed.
OUTPUT_LIMIT: Final = 64 * 1024


class StorageFull(NotAccepted):
    """The disk has no room for this batch: nothing of it was kept, and the disk has not
    failed.
    """


class Route(NamedTuple):
    """A service that wants an event, and how its lane is ordered.

    `bounded`: oldest first, but a head that blocked the lane for `hold_ms` (or for six
    tries) is parked: it keeps retrying, never at the same time as its lane. `strict`:
    never parked. `none`: no order at all.
    """

    service: str
    order: Order = "bounded"
    hold_ms: int = 15 * MINUTE
    #: For how long it waits for others of its lane that are handed over with it.
    gather_ms: int = 0
    #: The refs that its push moves, for a service that collapses what waits.
    refs: tuple[str, ...] = ()


class Decision(NamedTuple):
    """What the filters of one configured service said about an event: why it got it, or
    why not.
    """

    service: str
    matched: bool
    reason: str


class Submission(NamedTuple):
    """A payload asking to become an event. `id` is the sender's 16 bytes; `body` is
    what is kept.
    """

    id: bytes
    body: bytes
    repo: str
    kind: str = "push"
    origin: str = "socket"
    peer_uid: int = -1
    routes: tuple[Route, ...] = ()
    #: One for every configured service, matched or not.
    decisions: tuple[Decision, ...] = ()
    #: Full hex ids of the commits the payload speaks of, so that a commit finds its
    #: events.
    commits: tuple[str, ...] = ()
    #: The bytes that came, by which the same submission is known again; empty where
    #: they are the body.
    came: bytes = b""


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
    for what, text in (
        ("repository", submission.repo),
        ("kind", submission.kind),
        ("origin", submission.origin),
    ):
        if len(text) > _TEXT_LIMIT or _UNSTORABLE.search(text):
            raise BadInput(
                f"the {what} of an event is too long or holds characters that cannot be kept"
            )
    services = {route.service for route in submission.routes}
    if len(services) < len(submission.routes):
        raise BadInput("an event is routed twice to one service")
    for route in submission.routes:
        if route.order not in get_args(Order):
            raise BadInput(f"order must be one of {', '.join(get_args(Order))}")
        if any(map(_UNSTORABLE.search, route.refs)):
            raise BadInput("a ref holds characters that cannot be kept")
    if not all(map(_OID.fullmatch, submission.commits)):
        raise BadInput("a commit id is 40 or 64 hex digits")


class Answer(NamedTuple):
    """`accepted` and `duplicate`: the event is durable once the batch is. The others:
    nothing was kept.

    `conflict` is the same id with other bytes: never to be sent again. `storage_low`
    (the disk is nearly full) and `busy` (too many requests wait): spool it and try
    again.
    """

    status: Literal["accepted", "duplicate", "conflict", "storage_low", "busy"]
    #: The event's place in the order of acceptance (of the first one, for `duplicate`).
    seq: int | None = None


class Rules(NamedTuple):
    """What a service wants of its deliveries: not all at once, and not all of them.
    None of it by default.
    """

    #: From one lease to the next at least.
    apart_ms: int = 0
    #: What is older is not leased any more.
    max_age_ms: int = 0
    #: Of what waits in a lane only the newest of each ref is leased.
    collapse: bool = False
    #: What waits in a lane is leased together, up to so many, and bytes of them.
    together: int = 1
    together_bytes: int = 0


class Slot(NamedTuple):
    """A service that could start `free` more deliveries, on workers of `generation`."""

    service: str
    free: int
    generation: int
    rules: Rules = Rules()


class Token(NamedTuple):
    """The proof of a lease: a delivery and the number of the attempt it was leased for."""

    delivery: int
    attempt: int


class Member(NamedTuple):
    """A delivery that is handed over together with another."""

    event: bytes
    body: bytes


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
    #: True when an earlier delivery of the lane was passed over: it is parked or a dead
    #: letter.
    gap: bool
    #: `seq` of the earlier deliveries that are parked and will still come (at most 20).
    behind: tuple[int, ...]
    #: Those that are handed over with it and end as it does, oldest first; the same
    #: over all its attempts.
    members: tuple[Member, ...] = ()


class Passed(NamedTuple):
    """A delivery that ended without being leased, and why."""

    delivery: int
    event: bytes
    service: str
    repo: str
    state: Literal["expired", "collapsed"]
    note: str


def body_under(repo: str, body: bytes) -> bytes:
    """The *body* of an event whose repository has had the name *repo* since. It is kept
    as it came: its digest tells duplicates.
    """
    return jsontext.canonical(renamed(json.loads(body), repo))


class Round(NamedTuple):
    """What one `lease` call granted, and when to call again though nothing else
    happens.

    `next_due_ms` is when the first delivery that was not granted is due: now, where
    more are due than there were slots. None: only an accept, an end, a resume or a
    redrive can make work for these slots.
    """

    leases: tuple[Lease, ...]
    next_due_ms: int | None
    #: What the rules of its service ended instead.
    passed: tuple[Passed, ...] = ()


class Ending(NamedTuple):
    """How an attempt ended.

    `done`; `retry` a transient failure (`after_ms`: the server's Retry-After); `crash`
    the worker died, hung or broke the protocol; `dead` the broker rejected it for ever;
    `interrupted` our own stop or reload took the worker away, charged to nothing;
    `progress` a turn that did part of the work (`after_ms`): no failed try, but its
    time counts, so that nobody can hold up a lane for ever by saying so.
    """

    kind: EndingKind
    note: str = ""
    after_ms: int | None = None
    took_ms: int = 0
    output: str = ""


class Ended(NamedTuple):
    """What an ending made of its delivery. `late`: the lease was no longer held,
    nothing changed.
    """

    state: Literal["ready", "done", "dead", "late"]
    due_ms: int | None = None
    parked: bool = False
    #: Why, in words, where the queue decided it (a budget that is spent).
    reason: str = ""


class Recovered(NamedTuple):
    """What `recover` found: how many deliveries were running, and those whose budget of
    daemon deaths was spent.
    """

    orphaned: int
    dead: tuple["Delivery", ...]


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
    #: Failed tries, worker deaths, daemon deaths, and the waiting charged to the 72
    #: hours.
    tries: int
    crashes: int
    orphans: int
    waited_ms: int
    #: The last error or note; for a cancelled one, who did it.
    note: str
    #: The delivery of its lane that must end, or be parked, before this one runs.
    behind: int | None
    #: The account the event came from.
    peer_uid: int
    #: The delivery that it is, or was, handed over with.
    joined: int | None
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


class LogQuery(NamedTuple):
    """Which events a log is to show.

    Those that *key*, the beginning of an event's or a commit's id, stands for; else
    those with *ids* and those after *after*; else the newest. *cut*: only those whose
    payload was cut to the limits. *uid*: only what this account submitted, and only
    among the newest: whoever asks for that may be anybody.
    """

    key: str = ""
    ids: tuple[bytes, ...] = ()
    after: int | None = None
    cut: bool = False
    uid: int | None = None
    limit: int = 20


class EventQuery(NamedTuple):
    """Which events a list is to have, the newest first: of *repo*, of a commit or an
    event that *key* is the beginning of, whose payload names *issue* (`#12`, `KEY-12`),
    accepted from *since_ms* on and before *until_ms*, with `seq` below *before*.
    """

    repo: str | None = None
    key: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    before: int | None = None
    limit: int = 20
    issue: str = ""


class Listed(NamedTuple):
    """Events, the newest first, and the *before* of the query that goes on from there;
    None: there are no more. Whoever asks for a repository or an issue may get few, or
    none, and more with the next query.
    """

    events: list[Event]
    next: int | None


class ServiceStats(NamedTuple):
    """One service now. Counts of states are of the deliveries kept; `counters` only
    ever grow.
    """

    ready: int
    leased: int
    done: int
    dead: int
    cancelled: int
    expired: int
    collapsed: int
    #: Of the ready ones, how many are parked.
    parked: int
    paused: bool
    breaker: BreakerState
    #: Transient failures in a row.
    failures: int
    probe_due_ms: int | None
    #: Its rate lets no other delivery start before; None: it never had one.
    next_ms: int | None
    #: When the oldest delivery that has not ended was accepted; paused, parked and
    #: unclaimed ones count too.
    oldest_ms: int | None
    #: When the most overdue lane was due; now minus this is how far behind the service
    #: is.
    oldest_due_ms: int | None
    #: Of the last attempt that ended, where it failed; empty after a success.
    last_error: str
    last_error_ms: int | None
    #: accepted, done, retry, crash, dead, interrupted, progress, orphaned, cancelled,
    #: expired, collapsed, redriven, pruned
    counters: dict[str, int]


class Period(NamedTuple):
    """What happened in a minute or an hour, to *service* or (where that is empty) to
    all; nothing is kept of one in which nothing did.
    """

    began_ms: int
    service: str
    #: Deliveries; of all services, pushes.
    accepted: int
    done: int
    #: Attempts that ended, and are not the last.
    retried: int
    dead: int
    #: Of all that are done: how long since they were accepted, or asked for again.
    took_ms: int


class Room(NamedTuple):
    """Space beside the database, in bytes. `low`: new events are refused; what was
    accepted still ends.
    """

    free: int
    threshold: int
    low: bool


class Unreported(NamedTuple):
    """Dead letters that were not reported yet: how many, and the first few, without
    attempts.
    """

    total: int
    first: tuple["Delivery", ...]
    #: Observed time since some were reported; None: never.
    since_ms: int | None


class Stats(NamedTuple):
    """The whole queue now: `services` by name, `counters` of everything that belongs to
    no service.

    Counters: accepted, duplicates, conflicts, storage_low, late_results, pruned_events,
    pruned_dead.
    """

    services: dict[str, ServiceStats]
    counters: dict[str, int]
    paused_lanes: int
    room: Room


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
    buried: tuple[Delivery, ...] = ()
    more: bool = False
