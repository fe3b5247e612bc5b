"""What becomes of a delivery, as a function (P5, P7, P8, P13)."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oberonc import policy
from oberonc.policy import EndingKind, Fate, Spent

numbers = st.integers(0, 10**6)
times = st.integers(0, 10**15)
chances = st.floats(0, 1)
kinds = st.sampled_from(get_args(EndingKind))
budgets = st.builds(
    Spent, st.integers(0, 9), st.integers(0, 9), st.integers(0, 19), times, times
)


def _delay(tries: int, after_ms: int | None = None, chance: float = 0.5) -> int:
    """Milliseconds until the next try after this many failures."""
    ended = policy.fate("retry", Spent(tries=tries), after_ms=after_ms, chance=chance)
    assert ended.state == "ready"
    return ended.delay_ms


@given(numbers, chances)
def test_backoff_stays_within_its_jitter_and_its_cap(tries: int, chance: float) -> None:
    plain = min(3_600_000, 5000 * 2 ** min(max(tries, 1) - 1, 40))
    assert (
        0.8 * plain - 1
        <= _delay(tries, None, chance)
        <= min(1.2 * plain + 1, policy.LONGEST_MS)
    )


@given(st.integers(1, 10**4), chances, chances)
def test_backoff_grows_until_the_cap(tries: int, first: float, later: float) -> None:
    """Doubling outruns jitter: two tries later is never sooner."""
    if _delay(tries + 2, None, later) < 0.8 * policy.CAP_MS:
        assert _delay(tries, None, first) <= _delay(tries + 2, None, later)


def test_jitter_spreads_what_failed_together() -> None:
    chances = [number / 50 for number in range(50)]
    assert len({_delay(5, None, chance) for chance in chances}) == 50
    assert len({_delay(1, 60_000, chance) for chance in chances}) == 50


@given(st.integers(-(10**15), 10**15), chances)
def test_retry_after_is_honoured_within_bounds(after_ms: int, chance: float) -> None:
    kept = max(policy.SHORTEST_MS, min(after_ms, policy.ASKED_MS))
    assert kept <= _delay(1, after_ms, chance) <= kept * (1 + policy.JITTER) + 1


@given(kinds, budgets)
def test_a_delivery_is_given_up_when_a_budget_is_used_up_and_says_which(
    kind: EndingKind, spent: Spent
) -> None:
    over = (
        spent.waited_ms >= 72 * 3_600_000 or spent.crashes >= 5 or spent.orphans >= 10
    )
    assert bool(policy.exhausted(spent)) == over
    ended = policy.fate(kind, spent)
    if kind in ("retry", "crash", "progress"):
        assert (ended.state == "dead") == over == bool(ended.reason)
    else:
        assert ended.reason == ""


def test_number_of_tries_alone_gives_nothing_up() -> None:
    assert policy.exhausted(Spent(tries=10**6)) == ""


def test_crashes_have_a_budget_of_five() -> None:
    ended = [policy.fate("crash", Spent(crashes=number)) for number in range(1, 6)]
    assert [one.delay_ms for one in ended] == [30_000, 60_000, 120_000, 240_000, 0]
    assert [one.state for one in ended] == ["ready"] * 4 + ["dead"]


@given(st.none() | st.integers(-(10**12), 10**12))
def test_progress_goes_on_soon_but_not_at_once(after_ms: int | None) -> None:
    ended = policy.fate("progress", Spent(), after_ms=after_ms)
    granted = max(policy.SHORTEST_MS, min(after_ms or 0, policy.ASKED_MS))
    assert ended.delay_ms == granted


@given(budgets, st.booleans())
def test_done_rejected_and_interrupted_are_no_question_of_budgets(
    spent: Spent, parked: bool
) -> None:
    def ended(kind: EndingKind) -> Fate:
        return policy.fate(kind, spent, parked=parked, hold_ms=0)

    assert ended("done") == Fate("done", 0, parked)
    assert ended("dead") == Fate("dead", 0, parked)
    assert ended("interrupted") == Fate("ready", 0, parked)


@given(st.integers(0, 10), st.integers(0, 4), times)
def test_a_lane_is_never_held_longer_than_allowed(
    tries: int, crashes: int, blocked: int
) -> None:
    spent = Spent(tries=tries, crashes=crashes, blocked_ms=blocked)
    hold = 15 * 60_000
    ended = policy.fate("crash", spent, hold_ms=hold)
    assert ended.parked == (tries + crashes >= 6 or blocked + ended.delay_ms >= hold)
    assert not policy.fate("crash", spent).parked
    assert policy.fate("crash", spent, parked=True).parked


@given(st.integers(-(10**15), 10**15), times, times, st.booleans())
def test_no_leap_of_the_clock_counts_more_than_one_step(
    now: int, since: int, due: int, excused: bool
) -> None:
    spent = policy.after_wait(Spent(1, 1, 1, 5, 7), now, since, due, excused=excused)
    counted = spent.blocked_ms - 7
    assert 0 <= counted <= max(0, due - since) + policy.SLACK_MS
    assert counted <= max(0, now - since)
    assert spent == Spent(1, 1, 1, 5 if excused else 5 + counted, 7 + counted)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("retry", Spent(2, 1, 1, 15, 17)),
        ("crash", Spent(1, 2, 1, 15, 17)),
        ("progress", Spent(1, 1, 1, 15, 17)),
        ("interrupted", Spent(1, 1, 1, 5, 7)),
        ("dead", Spent(1, 1, 1, 5, 7)),
    ],
)
def test_an_attempt_is_charged_by_how_it_ended(
    kind: EndingKind, expected: Spent
) -> None:
    spent = Spent(1, 1, 1, 5, 7)
    assert policy.after_attempt(spent, kind, 10, excused=False) == expected


@given(kinds, st.integers(-(10**15), 10**15))
def test_an_attempt_counts_an_hour_at_most_and_no_age_while_the_destination_is_down(
    kind: EndingKind, took_ms: int
) -> None:
    spent = policy.after_attempt(Spent(), kind, took_ms, excused=True)
    assert spent.waited_ms == 0
    assert 0 <= spent.blocked_ms <= 3_600_000
