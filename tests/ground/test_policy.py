"""The retry policy, as a function (P5, P7, P8, P13)."""

import random

from hypothesis import given
from hypothesis import strategies as st

from oberonc import policy
from oberonc.policy import Spent

numbers = st.integers(0, 10**6)
times = st.integers(0, 10**15)
seeds = st.integers(0, 2**32)


def _delay(tries: int, after_ms: int | None = None, seed: int = 0) -> int:
    delay = policy.after_failure(
        Spent(tries=tries), after_ms, random.Random(seed)
    ).delay_ms
    assert delay is not None
    return delay


@given(numbers, seeds)
def test_backoff_stays_within_its_jitter_and_its_cap(tries: int, seed: int) -> None:
    plain = min(3_600_000, 5000 * 2 ** min(max(tries, 1) - 1, 40))
    assert (
        0.8 * plain - 1
        <= _delay(tries, None, seed)
        <= min(1.2 * plain + 1, policy.LONGEST_MS)
    )


@given(st.integers(1, 10**4), seeds)
def test_backoff_grows_until_the_cap(tries: int, seed: int) -> None:
    """Doubling outruns jitter: two tries later is never sooner."""
    if _delay(tries + 2, None, seed) < 0.8 * policy.CAP_MS:
        assert _delay(tries, None, seed) <= _delay(tries + 2, None, seed)


def test_jitter_spreads_what_failed_together() -> None:
    assert len({_delay(5, None, seed) for seed in range(50)}) > 40
    assert len({_delay(1, 60_000, seed) for seed in range(50)}) > 40


@given(st.integers(-(10**15), 10**15), seeds)
def test_retry_after_is_honoured_within_bounds(after_ms: int, seed: int) -> None:
    delay = _delay(1, after_ms, seed)
    kept = max(policy.SHORTEST_MS, min(after_ms, policy.ASKED_MS))
    assert kept <= delay <= kept * (1 + policy.JITTER) + 1


@given(numbers, times, st.none() | st.integers(0, 10**9), seeds)
def test_a_transient_failure_is_final_by_age_alone(
    tries: int, waited: int, after: int | None, seed: int
) -> None:
    verdict = policy.after_failure(
        Spent(tries=tries, waited_ms=waited), after, random.Random(seed)
    )
    assert (verdict.delay_ms is None) == (waited >= 72 * 3_600_000)
    assert (verdict.delay_ms is None) == bool(verdict.reason)


def test_crashes_have_a_budget_of_five() -> None:
    delays = [
        policy.after_crash(Spent(crashes=crashes)).delay_ms for crashes in range(1, 6)
    ]
    assert delays == [30_000, 60_000, 120_000, 240_000, None]


@given(st.none() | st.integers(-(10**12), 10**12), times)
def test_progress_goes_on_soon_but_not_at_once_and_not_for_ever(
    after_ms: int | None, waited: int
) -> None:
    verdict = policy.after_progress(Spent(waited_ms=waited), after_ms)
    assert (
        (verdict.delay_ms is None) == (waited >= 72 * 3_600_000) == bool(verdict.reason)
    )
    assert verdict.delay_ms in (
        None,
        max(policy.SHORTEST_MS, min(after_ms or 0, policy.ASKED_MS)),
    )


@given(numbers, numbers, times, times)
def test_a_lane_is_never_held_longer_than_allowed(
    tries: int, crashes: int, blocked: int, delay: int
) -> None:
    spent = Spent(tries=tries, crashes=crashes, blocked_ms=blocked)
    hold = 15 * 60_000
    assert policy.parks(spent, delay, hold) == (
        tries + crashes >= 6 or blocked + delay >= hold
    )
    assert not policy.parks(spent, delay, None)


@given(st.integers(-(10**15), 10**15), times, times)
def test_no_leap_of_the_clock_counts_more_than_one_step(
    now: int, since: int, due: int
) -> None:
    counted = policy.observed(now, since, due)
    assert 0 <= counted <= max(0, due - since) + policy.SLACK_MS
    assert counted <= max(0, now - since)
