"""The breaker of a service, as a value: what opens it, what a probe's end decides."""

from oberonc.policy import EndingKind
from oberonc.queue.breaker import (
    PROBE_FIRST_MS,
    PROBE_LAST_MS,
    STREAK,
    Breaker,
    BreakerState,
)

NOW = 1_700_000_000_000


def _after(breaker: Breaker, *kinds: EndingKind, lanes: int = 2) -> Breaker:
    """*breaker* after attempts that ended so, in turns of *lanes* lanes."""
    for number, kind in enumerate(kinds):
        breaker = breaker.ended(NOW, kind, number, number % lanes, f"note {number}")
    return breaker


def _opened() -> Breaker:
    failures: list[EndingKind] = ["retry"] * STREAK
    return _after(Breaker(), *failures)


def test_failures_in_a_row_over_two_lanes_open_it() -> None:
    before = _after(Breaker(), "retry", "retry", "retry", "retry")
    assert (before.state, before.failures) == (BreakerState.CLOSED, 4)
    breaker = _opened()
    assert breaker.state is BreakerState.OPEN
    assert breaker.probe_due_ms == NOW + PROBE_FIRST_MS
    assert breaker.excuses(before.changes), "its destination was known to be down"


def test_failures_of_one_lane_do_not() -> None:
    failures: list[EndingKind] = ["retry"] * 20
    assert _after(Breaker(), *failures, lanes=1).state is BreakerState.CLOSED


def test_any_answer_ends_the_row() -> None:
    answers: tuple[EndingKind, ...] = ("done", "dead", "progress")
    for answer in answers:
        row: list[EndingKind] = ["retry", "retry", "retry", "retry", answer, "retry"]
        assert _after(Breaker(), *row).failures == 1
    assert _after(Breaker(), "retry", "crash", "interrupted").failures == 1


def test_while_it_is_open_one_probe_may_start_when_that_is_due() -> None:
    breaker = _opened()
    due = breaker.probe_due_ms or 0
    assert breaker.allows(due - 1, 9) == 0
    assert breaker.allows(due, 9) == 1
    assert breaker.wakes(NOW) == due
    probing = breaker.probed(7)
    assert probing.state is BreakerState.PROBING
    assert probing.allows(due + 10**9, 9) == 0
    assert probing.wakes(NOW) is None


def test_a_failed_probe_waits_twice_as_long_up_to_a_limit() -> None:
    breaker = _opened()
    waits = []
    for _ in range(8):
        breaker = breaker.probed(7).ended(NOW, "retry", 7, 0, "")
        assert breaker.state is BreakerState.OPEN
        waits.append((breaker.probe_due_ms or 0) - NOW)
    assert waits[:2] == [2 * PROBE_FIRST_MS, 4 * PROBE_FIRST_MS]
    assert waits[-1] == PROBE_LAST_MS


def test_a_probe_that_we_interrupted_is_replaced_at_once() -> None:
    breaker = _opened().probed(7).ended(NOW, "interrupted", 7, 0, "")
    assert (breaker.state, breaker.probe_due_ms) == (BreakerState.OPEN, NOW)


def test_the_end_of_another_delivery_leaves_the_probe_alone() -> None:
    breaker = _opened().probed(7)
    assert breaker.ended(NOW, "crash", 8, 0, "").probe == 7


def test_an_answer_closes_it_and_what_waited_meanwhile_is_excused() -> None:
    opened = _opened()
    closed = opened.probed(7).ended(NOW, "done", 7, 0, "")
    assert (closed.state, closed.failures, closed.last_error) == (
        BreakerState.CLOSED,
        0,
        "",
    )
    assert closed.excuses(opened.changes)
    assert not closed.excuses(closed.changes)


def test_closing_it_by_hand_keeps_what_went_wrong_last() -> None:
    closed = _opened().closed()
    assert closed.state is BreakerState.CLOSED
    assert closed.last_error == f"note {STREAK - 1}"
    assert Breaker().closed() == Breaker()
