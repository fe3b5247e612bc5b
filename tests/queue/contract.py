"""What every engine must keep. An engine's test module derives a class from `QueueContract`."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oberonc.errors import BadInput
from oberonc.queue.base import DEDUPE_MS, OUTPUT_LIMIT, UNCLAIMED_GRACE_MS, Ending, Queue, Slot, Token
from oberonc.retry import GIVE_UP_MS, LONGEST_MS
from tests.support.store_values import DAY, HOUR, MINUTE, NOW, SECOND, YEARS, fail, submission, take, take_one

Opener = Callable[[], Queue]
DONE = Ending("done")
RETRY = Ending("retry", "connection refused")
CRASH = Ending("crash", "killed by signal 11")


class QueueContract:
    """Deriving classes give a fixture `opener`: a function that opens the same queue again each time."""

    @pytest.fixture
    def queue(self, opener: Opener) -> Iterator[Queue]:
        queue = opener()
        queue.recover(NOW)
        yield queue
        assert queue.fsck() == []
        queue.close()

    # Accept

    def test_accepts_once_whatever_is_sent_again(self, queue: Queue) -> None:
        assert queue.accept(NOW, submission(1)) == ("accepted", 1)
        assert queue.accept(NOW + HOUR, submission(1)) == ("duplicate", 1)
        assert len(queue.deliveries()) == 1
        assert queue.stats(NOW).counters["duplicates"] == 1

    def test_refuses_the_same_id_with_other_bytes(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        assert queue.accept(NOW, submission(1)._replace(body=b"other")).status == "conflict"
        assert take_one(queue).body == submission(1).body

    def test_keeps_two_pushes_with_the_same_bytes(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        assert queue.accept(NOW, submission(2)._replace(body=submission(1).body)).status == "accepted"

    def test_keeps_why_no_service_wanted_an_event(self, queue: Queue) -> None:
        said = submission(1).decisions[0]._replace(matched=False, reason="refs do not match")
        queue.accept(NOW, submission(1, services=())._replace(decisions=(said,)))
        event = queue.event(submission(1).id)
        assert event
        assert (event.decisions, event.deliveries) == ((said,), ())

    @pytest.mark.parametrize(
        "change",
        [
            {"id": b"short"},
            {"repo": ""},
            {"repo": "a\0b"},
            {"repo": "x" * 513},
            {"origin": "\ud800"},
            {"commits": ("xyz",)},
            {"routes": submission(1).routes * 2},
        ],
    )
    def test_refuses_what_it_cannot_hold(self, queue: Queue, change: dict[str, object]) -> None:
        with pytest.raises(BadInput):
            queue.accept(NOW, submission(1)._replace(**change))  # type: ignore[arg-type]
        assert queue.recent_events() == []

    def test_a_batch_is_all_or_nothing(self, queue: Queue) -> None:
        with pytest.raises(ZeroDivisionError), queue.batch():
            queue.accept(NOW, submission(1))
            raise ZeroDivisionError
        assert queue.recent_events() == []
        assert queue.stats(NOW).counters["accepted"] == 0

    # Lanes

    def test_a_lane_runs_one_at_a_time_oldest_first(self, queue: Queue) -> None:
        for number in (3, 1, 2):
            queue.accept(NOW, submission(number))
        order = []
        for _ in range(3):
            (lease,) = take(queue, free=5)
            assert take(queue, free=5) == []
            order.append(lease.event[-1])
            queue.end(NOW, lease.token, DONE)
        assert order == [3, 1, 2]

    def test_order_does_not_come_from_the_clock(self, queue: Queue) -> None:
        queue.accept(NOW + YEARS, submission(1))
        queue.accept(NOW, submission(2))
        assert take(queue, NOW) == []
        queue.tick(NOW + YEARS)
        queue.tick(NOW)
        assert take_one(queue, NOW + LONGEST_MS).event == submission(1).id

    def test_lanes_do_not_wait_for_each_other(self, queue: Queue) -> None:
        for number, repo in enumerate(("a", "b", "c")):
            queue.accept(NOW, submission(number, repo, ("tracker", "chat")))
        assert len(take(queue, free=2)) == 2
        assert len(take(queue, free=2)) == 1
        assert len(take(queue, free=9, services=("chat",))) == 3

    def test_a_failing_head_holds_its_lane_until_it_is_due(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        due = fail(queue)
        slots = [Slot("tracker", 1, 1)]
        assert queue.lease(due - 1, slots, "w") == ((), due)
        assert take_one(queue, due).event == submission(1).id

    def test_without_order_deliveries_run_side_by_side(self, queue: Queue) -> None:
        for number in range(3):
            queue.accept(NOW, submission(number, order="none"))
        assert len(take(queue, free=9)) == 3

    def test_a_head_is_parked_after_six_tries(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        due = fail(queue, times=6)
        second = take_one(queue, due)
        assert (second.event, second.gap, second.behind) == (submission(2).id, True, (1,))
        assert take(queue, due + HOUR) == [], "parked, but never beside its lane"
        queue.end(due, second.token, DONE)
        assert take_one(queue, due + HOUR).event == submission(1).id

    def test_a_head_is_parked_when_it_would_hold_too_long(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        lease = take_one(queue)
        assert queue.end(NOW, lease.token, RETRY._replace(after_ms=20 * MINUTE)).parked
        assert take_one(queue, NOW).event == submission(2).id

    def test_a_strict_lane_waits(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, order="strict"))
        queue.accept(NOW, submission(2, order="strict"))
        due = fail(queue, times=12)
        assert take_one(queue, due).event == submission(1).id

    def test_what_follows_a_dead_letter_is_told(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        first = take_one(queue)
        assert not first.gap
        queue.end(NOW, first.token, Ending("dead", "no such project"))
        second = take_one(queue)
        assert (second.gap, second.behind) == (True, ())

    # Ends

    def test_an_attempt_is_recorded_before_it_runs(self, opener: Opener) -> None:
        queue = opener()
        queue.accept(NOW, submission(1))
        lease = queue.lease(NOW, [Slot("tracker", 1, 7)], "worker 3").leases[0]
        queue.close()
        queue = opener()
        found = queue.delivery(lease.token.delivery)
        assert found
        (attempt,) = found.attempts
        assert attempt[:6] == (1, 7, "worker 3", NOW, None, None)
        queue.close()

    def test_a_done_delivery_never_comes_back(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        lease = take_one(queue)
        assert queue.end(NOW + 5, lease.token, Ending("done", "#3 closed", took_ms=5)).state == "done"
        assert take(queue, NOW + YEARS) == []
        found = queue.delivery(lease.token.delivery)
        assert found
        assert (found.state, found.note, found.attempts[0].took_ms) == ("done", "#3 closed", 5)

    def test_a_late_result_changes_nothing(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        old = take_one(queue)
        due = queue.end(NOW, old.token, CRASH).due_ms
        assert due
        new = take_one(queue, due)
        for ending in (DONE, RETRY, CRASH, Ending("dead"), Ending("interrupted")):
            assert queue.end(due, old.token, ending).state == "late"
        assert queue.end(due, Token(99, 1), DONE).state == "late"
        assert queue.stats(due).counters["late_results"] == 6
        assert queue.end(due, new.token, DONE).state == "done"
        assert queue.end(due, new.token, RETRY).state == "late"

    def test_five_dead_workers_make_a_dead_letter(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, order="strict"))
        now = NOW
        for _ in range(4):
            ended = queue.end(now, take_one(queue, now).token, CRASH)
            assert ended.state == "ready"
            now = ended.due_ms or 0
        ended = queue.end(now, take_one(queue, now).token, CRASH)
        assert (ended.state, ended.reason) == ("dead", "its worker died 5 times")
        (dead,) = queue.deliveries("dead")
        assert "killed by signal 11" in dead.note

    def test_transient_failures_end_after_three_days_of_waiting(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        now = NOW
        while (ended := queue.end(now, take_one(queue, now).token, RETRY)).state == "ready":
            now = ended.due_ms or 0
        assert GIVE_UP_MS <= now - NOW <= GIVE_UP_MS + LONGEST_MS
        assert ended.state == "dead"

    def test_time_nobody_was_there_is_not_charged(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        due = fail(queue)
        lease = take_one(queue, due + 30 * DAY)
        assert queue.end(due + 30 * DAY, lease.token, RETRY).state == "ready"
        (found,) = queue.deliveries()
        assert found.waited_ms <= due - NOW + MINUTE

    @pytest.mark.parametrize("kind", ["interrupted", "progress"])
    def test_neither_interruption_nor_progress_is_charged(self, queue: Queue, kind: str) -> None:
        queue.accept(NOW, submission(1))
        now = NOW
        ending = Ending("progress") if kind == "progress" else Ending("interrupted")
        for _ in range(30):
            ended = queue.end(now, take_one(queue, now).token, ending)
            now = ended.due_ms or 0
            assert not ended.parked
        (found,) = queue.deliveries("ready")
        assert (found.tries, found.crashes, found.waited_ms) == (0, 0, 0)
        assert now < NOW + MINUTE

    def test_output_is_capped(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        lease = take_one(queue)
        queue.end(NOW, lease.token, Ending("done", "n" * 10**6, output="x" * 10**6))
        found = queue.delivery(lease.token.delivery)
        assert found
        assert len(found.attempts[0].output) == OUTPUT_LIMIT
        assert len(found.note) < 10_000

    # Recovery

    def test_a_dead_daemon_gives_everything_back(self, opener: Opener) -> None:
        queue = opener()
        for number, repo in enumerate("ab"):
            queue.accept(NOW, submission(number, repo))
        old = take(queue, free=5)
        queue.close()
        queue = opener()
        assert queue.recover(NOW) == (2, 0)
        assert queue.end(NOW, old[0].token, DONE).state == "late"
        again = take(queue, free=5)
        assert [lease.event for lease in again] == [lease.event for lease in old]
        assert [lease.delivery_id for lease in again] == [lease.delivery_id for lease in old]
        assert [lease.token.attempt for lease in again] == [2, 2]
        assert queue.fsck() == []
        queue.close()

    def test_a_suspect_runs_alone_and_the_tenth_daemon_death_buries_it(self, queue: Queue) -> None:
        for number, repo in enumerate("abc"):
            queue.accept(NOW, submission(number, repo))
        for _ in range(2):
            poison = take(queue, free=2)
            queue.recover(NOW)
        for deaths in range(3, 10):
            (lease,) = take(queue, free=5)
            assert lease.event == poison[0].event
            assert take(queue, free=5) == []
            assert queue.recover(NOW) == (1, 0), deaths
        take(queue, free=5)
        assert queue.recover(NOW) == (1, 1)
        (dead,) = queue.deliveries("dead")
        assert dead.orphans == 10
        (other,) = take(queue, free=5)
        assert other.event == poison[1].event, "the next suspect, alone"
        queue.end(NOW, other.token, DONE)
        assert len(take(queue, free=5)) == 1

    def test_a_suspect_waits_for_what_runs(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, "a"))
        for _ in range(2):
            take_one(queue)
            queue.recover(NOW)
        queue.pause("tracker", "a")
        queue.accept(NOW, submission(2, "b"))
        beside = take_one(queue)
        queue.resume("tracker", "a")
        assert take(queue, free=5) == []
        queue.end(NOW, beside.token, DONE)
        assert take_one(queue).event == submission(1).id

    # Breaker

    def _open_breaker(self, queue: Queue) -> int:
        """Five failures over two lanes of `tracker`, and one event in a third; returns when that was."""
        queue.accept(NOW, submission(1, "a"))
        queue.accept(NOW, submission(2, "b"))
        fail(queue, NOW, times=2)
        now = fail(queue, NOW + HOUR, times=3)
        queue.accept(now, submission(3, "c"))
        return now

    def test_the_breaker_opens_for_all_lanes_and_probes_with_one(self, queue: Queue) -> None:
        now = self._open_breaker(queue)
        assert queue.stats(now).services["tracker"].breaker == "open"
        leases, wake = queue.lease(now, [Slot("tracker", 9, 1)], "w")
        assert leases == ()
        assert wake
        (probe,) = take(queue, wake, free=9)
        assert take(queue, wake + HOUR, free=9) == []
        assert queue.stats(wake).services["tracker"].breaker == "probing"
        queue.end(wake, probe.token, DONE)
        assert len(take(queue, wake + HOUR, free=9)) == 2

    def test_failed_probes_grow_apart_and_charge_nobody(self, queue: Queue) -> None:
        now = self._open_breaker(queue)
        charged = {found.id: found.waited_ms for found in queue.deliveries()}
        gaps = []
        for _ in range(12):
            wake = queue.lease(now, [Slot("tracker", 9, 1)], "w").next_due_ms or 0
            gaps.append(wake - now)
            now = wake
            (probe,) = take(queue, now, free=9)
            queue.end(now, probe.token, RETRY)
        assert max(gaps) >= 10 * MINUTE
        assert sorted(gaps[1:]) == gaps[1:]
        assert gaps[1] >= 30 * SECOND
        assert {found.id: found.waited_ms for found in queue.deliveries()} == charged

    def test_one_lane_alone_never_opens_the_breaker(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, order="strict"))
        now = fail(queue, times=20)
        assert queue.stats(now).services["tracker"].breaker == "closed"

    def test_a_success_between_failures_keeps_the_breaker_closed(self, queue: Queue) -> None:
        for number in range(6):
            queue.accept(NOW, submission(number, f"repo {number}"))
        leases = take(queue, free=6)
        for lease in leases[:4]:
            queue.end(NOW, lease.token, RETRY)
        queue.end(NOW, leases[4].token, DONE)
        queue.end(NOW, leases[5].token, RETRY)
        assert queue.stats(NOW).services["tracker"].breaker == "closed"

    def test_a_dead_probe_is_replaced_after_a_restart(self, queue: Queue) -> None:
        now = self._open_breaker(queue) + MINUTE
        take_one(queue, now)
        queue.recover(now)
        assert len(take(queue, now, free=9)) == 1

    # People

    def test_a_paused_lane_waits_and_others_do_not(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, "a"))
        queue.accept(NOW, submission(2, "b"))
        queue.pause("tracker", "a")
        queue.accept(NOW, submission(3, "a", order="none"))
        assert [lease.repo for lease in take(queue, free=9)] == ["b"]
        assert queue.paused_lanes() == [("tracker", "a")]
        queue.resume("tracker", "a")
        assert len(take(queue, free=9)) == 2

    def test_a_paused_service_stays_paused_over_a_restart(self, opener: Opener) -> None:
        queue = opener()
        queue.accept(NOW, submission(1, services=("tracker", "chat")))
        queue.pause("tracker")
        queue.close()
        queue = opener()
        assert queue.lease(NOW, [Slot("tracker", 1, 1)], "w") == ((), None)
        assert len(take(queue, services=("chat",))) == 1
        queue.resume("tracker")
        assert len(take(queue)) == 1
        queue.close()

    @pytest.mark.parametrize("ending", [DONE, Ending("dead", "no")])
    def test_retry_brings_back_what_ended_parked_and_with_fresh_budgets(self, queue: Queue, ending: Ending) -> None:
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        lease = take_one(queue, fail(queue))
        queue.end(NOW, lease.token, ending)
        again = queue.retry(NOW, lease.token.delivery, "ann")
        assert (again.state, again.parked, again.tries) == ("ready", True, 0)
        assert "ann" in again.note
        assert queue.end(NOW, lease.token, DONE).state == "late"
        taken = {take_and_end(queue) for _ in range(2)}
        assert taken == {submission(1).id, submission(2).id}

    def test_retry_makes_a_waiting_delivery_due(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        fail(queue)
        (waiting,) = queue.deliveries()
        queue.retry(NOW, waiting.id, "ann")
        assert take_one(queue, NOW).event == submission(1).id

    def test_retry_refuses_what_runs_or_is_unknown(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        lease = take_one(queue)
        for delivery in (lease.token.delivery, 99):
            with pytest.raises(BadInput):
                queue.retry(NOW, delivery, "ann")

    def test_drop_cancels_in_a_name_and_frees_the_lane(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        fail(queue)
        dropped = queue.drop(NOW, 1, "ann")
        assert (dropped.state, dropped.note) == ("cancelled", "cancelled by ann")
        lease = take_one(queue)
        assert (lease.event, lease.gap) == (submission(2).id, False)
        for delivery in (1, lease.token.delivery):
            with pytest.raises(BadInput):
                queue.drop(NOW, delivery, "ann")

    # Questions

    def test_a_commit_finds_its_events_by_prefix(self, queue: Queue) -> None:
        oid = "abcdef" + "0" * 34
        queue.accept(NOW, submission(1)._replace(commits=(oid, "f" * 64)))
        queue.accept(NOW, submission(2)._replace(commits=(oid,)))
        queue.accept(NOW, submission(3))
        for prefix in ("abcd", "ABCDE", oid):
            assert [event.seq for event in queue.events_of_commit(prefix)] == [2, 1]
        assert [event.seq for event in queue.events_of_commit("fffff")] == [1]
        assert queue.events_of_commit("abce") == []
        for wrong in ("abc", "nothex", "a" * 65):
            with pytest.raises(BadInput):
                queue.events_of_commit(wrong)

    def test_an_event_tells_its_whole_story(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, services=("tracker", "chat")))
        queue.end(NOW, take_one(queue).token, RETRY)
        event = queue.event(submission(1).id)
        assert event
        assert event.body == submission(1).body
        assert [(found.service, len(found.attempts)) for found in event.deliveries] == [("tracker", 1), ("chat", 0)]
        assert event.deliveries[0].attempts[0].note == "connection refused"
        assert queue.event(b"x" * 16) is None

    def test_lists_are_filtered_and_paged(self, queue: Queue) -> None:
        for number in range(6):
            queue.accept(NOW, submission(number, "ab"[number % 2], ("tracker", "chat")))
        ids = [found.id for found in queue.deliveries(service="chat", repo="a")]
        assert len(ids) == 3
        assert [found.id for found in queue.deliveries(service="chat", repo="a", after=ids[0], limit=1)] == [ids[1]]
        take(queue, free=9)
        assert len(queue.deliveries("leased")) == 2
        assert [event.seq for event in queue.recent_events(2, before=6)] == [5, 4]

    def test_stats_count_states_and_history(self, queue: Queue) -> None:
        for number in range(3):
            queue.accept(NOW, submission(number, f"repo {number}"))
        first, second = take(queue, free=2)
        queue.end(NOW, first.token, DONE)
        queue.end(NOW, second.token, RETRY)
        stats = queue.stats(NOW).services["tracker"]
        assert (stats.ready, stats.leased, stats.done, stats.dead) == (2, 0, 1, 0)
        assert (stats.counters["accepted"], stats.counters["retry"]) == (3, 1)
        assert (stats.last_error, stats.oldest_due_ms) == ("connection refused", NOW)

    # Generations

    def test_commit_is_the_one_point_of_a_reload(self, queue: Queue) -> None:
        first, second, third = (queue.new_generation(NOW, f"digest {n}") for n in range(3))
        queue.commit_generation(first)
        queue.reject_generation(second, "chat.py:3: invalid syntax")
        queue.commit_generation(third)
        queue.retire_generation(first)
        found = {generation.number: generation for generation in queue.generations()}
        assert [found[n].state for n in (first, second, third)] == ["retired", "rejected", "active"]
        assert found[second].report == "chat.py:3: invalid syntax"
        with pytest.raises(BadInput):
            queue.commit_generation(second)
        assert queue.generations()[0].state == "active"

    def test_a_crash_within_a_reload_leaves_one_active_generation(self, queue: Queue) -> None:
        first, second = queue.new_generation(NOW, "a"), queue.new_generation(NOW, "b")
        queue.commit_generation(first)
        queue.recover(NOW)
        assert [found.state for found in queue.generations()] == ["rejected", "active"]
        third = queue.new_generation(NOW, "c")
        queue.commit_generation(third)
        queue.recover(NOW)
        assert [found.state for found in queue.generations()] == ["active", "rejected", "retired"]
        assert second < third

    # Retention and clock

    def _pass(self, queue: Queue, now: int, span: int) -> int:
        """Let the queue see *span* milliseconds pass."""
        for later in range(now, now + span + 1, HOUR):
            queue.tick(later)
        return now + span

    def test_retention_removes_what_ended_and_nothing_else(self, queue: Queue) -> None:
        for number in range(4):
            queue.accept(NOW, submission(number, f"repo {number}"))
        for lease, ending in zip(take(queue, free=3), (DONE, Ending("dead", "no"), RETRY), strict=True):
            queue.end(NOW, lease.token, ending)
        now = self._pass(queue, NOW, 30 * DAY)
        assert queue.sweep(now, ["tracker"], 31 * DAY).events == 0
        swept = queue.sweep(now, ["tracker"], 30 * DAY)
        assert (swept.events, swept.dead) == (2, 1)
        assert [found.state for found in queue.deliveries()] == ["ready", "ready"]
        assert queue.stats(now).counters["pruned_dead"] == 1
        assert queue.accept(now, submission(0, "repo 0")).status == "accepted"

    def test_a_short_retention_still_answers_duplicates_for_a_week(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        take_and_end(queue)
        now = self._pass(queue, NOW, DAY)
        assert queue.sweep(now, ["tracker"], DAY).events == 1
        event = queue.event(submission(1).id)
        assert event
        assert (event.body, event.deliveries) == (None, ())
        assert queue.accept(now, submission(1)).status == "duplicate"
        assert queue.accept(now, submission(1)._replace(body=b"x")).status == "conflict"
        now = self._pass(queue, now, DEDUPE_MS)
        queue.sweep(now, ["tracker"], DAY)
        assert queue.event(submission(1).id) is None

    def test_retention_works_in_slices(self, queue: Queue) -> None:
        for number in range(5):
            queue.accept(NOW, submission(number, order="none"))
        for lease in take(queue, free=9):
            queue.end(NOW, lease.token, DONE)
        assert [queue.sweep(NOW, ["tracker"], 0, limit=2).events for _ in range(4)] == [2, 2, 1, 0]

    @pytest.mark.parametrize("leap", [YEARS, -YEARS])
    def test_a_leap_of_the_clock_neither_loses_nor_expires_nor_stalls(self, queue: Queue, leap: int) -> None:
        for number in range(3):
            queue.accept(NOW, submission(number, f"repo {number}", order="strict"))
        queue.tick(NOW)
        waiting, gone, left = take(queue, free=3)
        queue.end(NOW, waiting.token, RETRY)
        queue.end(NOW, gone.token, Ending("dead", "no"))
        now = NOW + leap
        queue.tick(now)
        assert queue.sweep(now, ["tracker"], 30 * DAY).events == 0
        queue.end(now, left.token, RETRY)
        queue.accept(now, submission(3, "repo 0", order="strict"))
        later = now + LONGEST_MS
        assert len(take(queue, later, free=9)) == 2
        charged = [found.waited_ms for found in queue.deliveries()]
        assert max(charged) <= LONGEST_MS + MINUTE

    def test_deliveries_of_a_service_that_is_gone_are_buried_after_a_week(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, services=("tracker", "old")))
        assert queue.unclaimed(["tracker"]) == {"old": 1}
        assert queue.sweep(NOW, ["tracker"], DAY).buried == 0
        now = self._pass(queue, NOW, UNCLAIMED_GRACE_MS)
        assert queue.sweep(now, ["tracker"], DAY).buried == 1
        assert queue.unclaimed(["tracker"]) == {}
        (dead,) = queue.deliveries("dead")
        assert dead.service == "old"
        assert len(take(queue, now)) == 1

    def test_a_service_that_returns_in_time_loses_nothing(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, services=("old",)))
        queue.sweep(NOW, [], DAY)
        now = self._pass(queue, NOW, 6 * DAY)
        queue.sweep(now, ["old"], DAY)
        now = self._pass(queue, now, 6 * DAY)
        assert queue.sweep(now, [], DAY).buried == 0

    # Files

    def test_a_backup_is_a_queue_and_private(self, queue: Queue, tmp_path: Path) -> None:
        queue.accept(NOW, submission(1))
        target = tmp_path / "copy.db"
        queue.backup(target)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        with pytest.raises(BadInput):
            queue.backup(target)
        self.check_backup(target)

    def check_backup(self, target: Path) -> None:
        """Overridden by engines that can open the copy."""


def take_and_end(queue: Queue, now: int = NOW) -> bytes:
    """Do the one due delivery; returns its event."""
    lease = take_one(queue, now)
    queue.end(now, lease.token, DONE)
    return lease.event
