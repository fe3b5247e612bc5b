"""When a failed delivery is tried again, and when it is given up.

Pure functions of what the delivery has used up so far: tested without a queue, changed
without a migration. Budgets are of three kinds: transient failures have an age (an
outage of a day costs the same whether we looked ten times or a thousand), worker deaths
and daemon deaths have a number.
"""

import random
from typing import Final, NamedTuple

#: Milliseconds.
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: Milliseconds of observed waiting after which a transient failure is final.
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


class Spent(NamedTuple):
    """What a delivery has used up, the attempt that just ended included."""

    tries: int = 0
    crashes: int = 0
    #: Waiting charged to the 72 hours.
    waited_ms: int = 0
    #: Waiting that held up the lane, breaker or not.
    blocked_ms: int = 0


class Verdict(NamedTuple):
    """`delay_ms` None: give up, for this reason."""

    delay_ms: int | None
    reason: str = ""


def after_failure(spent: Spent, after_ms: int | None, rng: random.Random) -> Verdict:
    """What follows a transient failure; *after_ms* is what its broker asked for."""
    if spent.waited_ms >= GIVE_UP_MS:
        return Verdict(None, f"still failing after {GIVE_UP_MS // HOUR} hours")
    if after_ms is not None:
        # Never before the time that was asked for, and not all at it.
        return Verdict(round(_bounded(after_ms) * rng.uniform(1, 1 + JITTER)))
    # The exponent is bounded because 2**10000 is no float.
    delay = min(CAP_MS, FIRST_MS * 2 ** min(max(spent.tries, 1) - 1, 32))
    return Verdict(round(delay * rng.uniform(1 - JITTER, 1 + JITTER)))


def after_crash(spent: Spent) -> Verdict:
    """What follows the death of a worker."""
    if spent.crashes >= CRASHES:
        return Verdict(None, f"its worker died {spent.crashes} times")
    return Verdict(CRASH_MS * 2 ** (max(spent.crashes, 1) - 1))


def after_progress(spent: Spent, after_ms: int | None) -> Verdict:
    """When a turn that did part of the work goes on. Whoever says so costs no try, but
    the time counts.
    """
    if spent.waited_ms >= GIVE_UP_MS:
        return Verdict(None, f"not done after {GIVE_UP_MS // HOUR} hours")
    return Verdict(_bounded(after_ms or 0))


def parks(spent: Spent, delay_ms: int, hold_ms: int | None) -> bool:
    """Whether waiting *delay_ms* more would hold up a lane longer than it may be (None:
    no limit).
    """
    if hold_ms is None:
        return False
    return (
        spent.tries + spent.crashes >= PARK_TRIES
        or spent.blocked_ms + delay_ms >= hold_ms
    )


def observed(now: int, since: int, due: int) -> int:
    """How much of the wait from *since* to *now*, planned to last until *due*, really
    counts.
    """
    return max(0, min(now - since, max(0, due - since) + SLACK_MS))


def _bounded(after_ms: int) -> int:
    return max(SHORTEST_MS, min(after_ms, ASKED_MS))
