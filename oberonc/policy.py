"""What becomes of a delivery whose attempt has ended: tried again when, or given up why.

Pure functions of what the delivery has used up so far, the same for every queue and for
a hook that runs brokers itself: tested without a queue, changed without a migration.
Budgets are of two kinds: failures and progress have an age (an outage of a day costs
the same whether we looked ten times or a thousand), deaths of a worker and of what ran
it have a number.
"""

from typing import Final, Literal, NamedTuple

#: Milliseconds.
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: Milliseconds of observed waiting after which a delivery is given up.
GIVE_UP_MS: Final = 72 * HOUR
#: The longest back-off before jitter.
CAP_MS: Final = HOUR
#: The longest delay that a broker may ask for, a server's Retry-After among them.
ASKED_MS: Final = 24 * HOUR
FIRST_MS: Final = 5 * SECOND
JITTER: Final = 0.2
#: What nobody asked for never lies further ahead than this; after a leap of the clock,
#: nothing does.
LONGEST_MS: Final = round(CAP_MS * (1 + JITTER))
#: A broker that says "at once" again and again does not get a tight loop.
SHORTEST_MS: Final = 1 * SECOND
CRASHES: Final = 5
CRASH_MS: Final = 30 * SECOND
ORPHANS: Final = 10
#: Running at this many daemon deaths makes a delivery suspect of having caused them.
SUSPECT: Final = 2
#: A head that failed this often gives up its place in the lane.
PARK_TRIES: Final = 6
#: How much longer than planned a wait may count: more is a leap of the clock, or time
#: we were not there.
SLACK_MS: Final = MINUTE

#: How an attempt ends; what each means stands at `queue.values.Ending`.
EndingKind = Literal["done", "retry", "crash", "dead", "interrupted", "progress"]
#: Endings whose time counts: that of the attempt and that of the wait for the next one.
#: A wait that we caused ourselves is charged to nothing.
CHARGED: Final = ("retry", "crash", "progress")


class Spent(NamedTuple):
    """What a delivery has used up."""

    #: Transient failures, worker deaths, and deaths of the process around the worker.
    tries: int = 0
    crashes: int = 0
    orphans: int = 0
    #: Time charged to the 72 hours.
    waited_ms: int = 0
    #: Time that held up the lane, breaker or not.
    blocked_ms: int = 0


class Fate(NamedTuple):
    """What an ending makes of a delivery: its state, when it is due again, whether it
    gives up its place in the lane, why it was given up.
    """

    state: Literal["ready", "done", "dead"]
    delay_ms: int = 0
    parked: bool = False
    reason: str = ""


def after_wait(spent: Spent, now: int, since: int, due: int, *, excused: bool) -> Spent:
    """*spent* after the wait from *since* to *now* that was planned to last until *due*.

    *excused*: the destination is or was known to be down, which is not this delivery's
    fault.
    """
    wait = max(0, min(now - since, max(0, due - since) + SLACK_MS))
    return spent._replace(
        waited_ms=spent.waited_ms + (0 if excused else wait),
        blocked_ms=spent.blocked_ms + wait,
    )


def after_attempt(
    spent: Spent, kind: EndingKind, took_ms: int, *, excused: bool
) -> Spent:
    """*spent* after an attempt that ended as *kind*. Running counts as waiting, by the
    worker's own clock; *excused* as for `after_wait`.
    """
    took = max(0, min(took_ms, CAP_MS)) if kind in CHARGED else 0
    return spent._replace(
        tries=spent.tries + (kind == "retry"),
        crashes=spent.crashes + (kind == "crash"),
        waited_ms=spent.waited_ms + (0 if excused else took),
        blocked_ms=spent.blocked_ms + took,
    )


def exhausted(spent: Spent) -> str:
    """Why a delivery that has used up this much is given up; empty: it is not."""
    if spent.crashes >= CRASHES:
        return f"its worker died {spent.crashes} times"
    if spent.orphans >= ORPHANS:
        return f"the daemon died {spent.orphans} times while it ran"
    if spent.waited_ms >= GIVE_UP_MS:
        return f"not done after {GIVE_UP_MS // HOUR} hours"
    return ""


def fate(
    kind: EndingKind,
    spent: Spent,
    *,
    after_ms: int | None = None,
    parked: bool = False,
    hold_ms: int | None = None,
    chance: float = 0.5,
) -> Fate:
    """What an attempt that ended as *kind* makes of its delivery.

    *spent* includes the attempt; *after_ms* is the delay its broker asked for. A lane
    waits for its head no longer than *hold_ms* (None: for ever). *chance*, from 0 to 1,
    spreads what failed together.
    """
    if kind in ("done", "dead"):
        return Fate(kind, parked=parked)
    if kind == "interrupted":
        return Fate("ready", parked=parked)
    if reason := exhausted(spent):
        return Fate("dead", parked=parked, reason=reason)
    if kind == "crash":
        delay = CRASH_MS * 2 ** (max(spent.crashes, 1) - 1)
    elif kind == "progress":
        delay = bounded(after_ms or 0)
    elif after_ms is not None:
        # Never before the time that was asked for, and not all at it.
        delay = round(bounded(after_ms) * (1 + JITTER * chance))
    else:
        # The exponent is bounded because 2**10000 is no float.
        plain = min(CAP_MS, FIRST_MS * 2 ** min(max(spent.tries, 1) - 1, 32))
        delay = round(plain * (1 - JITTER + 2 * JITTER * chance))
    held_up = hold_ms is not None and (
        spent.tries + spent.crashes >= PARK_TRIES or spent.blocked_ms + delay >= hold_ms
    )
    return Fate("ready", delay, parked or held_up)


def bounded(after_ms: int) -> int:
    """The delay that is granted to a broker that asks for *after_ms*."""
    return max(SHORTEST_MS, min(after_ms, ASKED_MS))
