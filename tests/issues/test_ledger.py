"""The ledger: every step once, whoever does it, and doubt where nobody knows."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.errors import NotAllowed
from oberonc.issues.ledger import CLAIM_LIMIT, Claim, Ledger, Step

STEP = Step("github https://api.github.com", "octo/hello", "42", "comment", "c" * 40)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    made = Ledger(tmp_path, clock)
    yield made
    made.close()


def test_a_step_is_fresh_once_and_then_done(ledger: Ledger) -> None:
    assert ledger.claim(STEP, "mark").verdict == "fresh"
    ledger.done(STEP)
    assert ledger.is_done(STEP)
    assert ledger.claim(STEP, "mark").verdict == "done"


@pytest.mark.parametrize("field", Step._fields)
def test_every_field_of_the_key_tells_steps_apart(ledger: Ledger, field: str) -> None:
    ledger.claim(STEP, "mark")
    ledger.done(STEP)
    assert ledger.claim(STEP._replace(**{field: "another"}), "mark").verdict == "fresh"


def test_a_step_another_worker_of_this_process_has_is_busy(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    other = Ledger(tmp_path, clock)
    ledger.claim(STEP, "mark")
    assert other.claim(STEP, "mark").verdict == "busy"
    other.close()


def test_a_claim_left_by_a_finished_worker_is_doubtful_with_its_first_mark(
    tmp_path: Path, clock: Clock
) -> None:
    first = Ledger(tmp_path, clock)
    first.claim(STEP, "first")
    first.close()
    clock.now += 60
    claim = Ledger(tmp_path, clock).claim(STEP, "second")
    assert claim == ("doubtful", "first", 1_000_000.0)


def test_a_doubtful_step_stays_doubtful_for_the_next(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    ledger.claim(STEP, "mark")
    ledger.doubt(STEP)
    other = Ledger(tmp_path, clock)
    assert other.claim(STEP, "mark").verdict == "doubtful"
    assert ledger.claim(STEP, "mark").verdict == "busy"
    other.close()


def test_a_released_step_is_fresh_again(ledger: Ledger) -> None:
    ledger.claim(STEP, "mark")
    ledger.release(STEP)
    assert ledger.claim(STEP, "other").verdict == "fresh"


def test_a_claim_nobody_finishes_is_doubtful_after_the_limit(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    ledger.claim(STEP, "mark")
    clock.now += CLAIM_LIMIT + 1
    assert Ledger(tmp_path, clock).claim(STEP, "mark").verdict == "doubtful"


def test_who_lost_a_claim_cannot_end_it(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    ledger.claim(STEP, "mark")
    clock.now += CLAIM_LIMIT + 1
    other = Ledger(tmp_path, clock)
    other.claim(STEP, "mark")
    ledger.release(STEP)
    ledger.done(STEP)
    assert not other.is_done(STEP)
    assert Ledger(tmp_path, clock).claim(STEP, "mark").verdict == "busy"


def test_a_killed_process_leaves_a_doubtful_step(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from oberonc.issues.ledger import Ledger, Step\n"
        "Ledger(Path(sys.argv[1])).claim(Step(*sys.argv[2:]), 'mark'); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *STEP], check=False
    )
    assert ended.returncode == -9
    assert Ledger(tmp_path).claim(STEP, "mark").verdict == "doubtful"


def _race(state: str, count: int, results: "multiprocessing.Queue[int]") -> None:
    ledger = Ledger(Path(state))
    won = 0
    for number in range(count):
        step = STEP._replace(issue=str(number))
        if ledger.claim(step, "mark").verdict == "fresh":
            won += 1
            ledger.done(step)
    results.put(won)


def test_processes_that_race_win_every_step_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    workers = [
        context.Process(target=_race, args=(str(tmp_path), 40, results))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    won = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sum(won) == 40


def test_threads_that_race_win_every_step_once(tmp_path: Path) -> None:
    won: list[str] = []

    def work() -> None:
        ledger = Ledger(tmp_path)
        for number in range(20):
            step = STEP._replace(issue=str(number))
            if ledger.claim(step, "mark").verdict == "fresh":
                won.append(step.issue)
                ledger.done(step)
        ledger.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(won, key=int) == [str(number) for number in range(20)]


def test_pace_says_how_long_to_wait(ledger: Ledger, clock: Clock) -> None:
    for number in range(3):
        step = STEP._replace(issue=str(number))
        ledger.claim(step, "mark")
        ledger.done(step)
        clock.now += 10
    assert ledger.wait_for(STEP.tracker, 4, 60) == 0
    assert ledger.wait_for(STEP.tracker, 3, 60) == 30
    assert ledger.wait_for("another", 1, 60) == 0


@pytest.mark.parametrize(
    ("folder", "expected"), [(0o2770, 0o660), (0o700, 0o600), (0o755, 0o600)]
)
def test_the_group_may_write_where_it_may_write_the_folder(
    tmp_path: Path, folder: int, expected: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(folder)
    before = os.umask(0o077)
    try:
        Ledger(state).close()
    finally:
        os.umask(before)
    assert (state / "ledger.sqlite").stat().st_mode & 0o777 == expected


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_a_ledger_that_may_not_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(
        NotAllowed, match=r"you may not write .*ledger\.sqlite: .* chmod u\+rwX"
    ):
        Ledger(tmp_path)
    tmp_path.chmod(0o700)  # or pytest could not take it away


def test_what_an_import_was_held_back_from_is_done_unless_it_is_asked_for_by_hand(
    tmp_path: Path, clock: Clock
) -> None:
    first, hand = Ledger(tmp_path, clock), Ledger(tmp_path, clock, by_hand=True)
    first.hold([STEP, STEP._replace(step="close")])
    assert first.is_done(STEP)
    assert first.claim(STEP, "mark").verdict == "done"
    assert not hand.is_done(STEP)
    assert hand.claim(STEP, "mark") == Claim("fresh", "mark", clock.now)
    hand.done(STEP)
    assert (
        hand.claim(STEP, "mark").verdict == first.claim(STEP, "mark").verdict == "done"
    )
    first.close()
    hand.close()


def test_holding_back_changes_nothing_that_is_known(ledger: Ledger) -> None:
    done, begun = STEP, STEP._replace(step="close")
    ledger.claim(done, "mark")
    ledger.done(done)
    ledger.claim(begun, "mark")
    ledger.hold([done, begun])
    assert ledger.claim(done, "mark").verdict == "done"
    assert ledger.claim(begun, "mark").verdict == "busy"


def test_what_was_held_back_does_not_count_as_written(ledger: Ledger) -> None:
    ledger.hold([STEP])
    assert ledger.wait_for(STEP.tracker, 1, 3600.0) == 0
