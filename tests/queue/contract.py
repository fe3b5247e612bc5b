"""What every engine must keep. An engine's test module derives a class from
`QueueContract`.
"""

from collections.abc import Callable, Iterator

import pytest

from oberonc.errors import BadInput
from oberonc.policy import GIVE_UP_MS, LONGEST_MS
from oberonc.queue.contract import Queue
from oberonc.queue.values import OUTPUT_LIMIT, Ending, Round, Slot, Token
from tests.support.store_values import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    YEARS,
    fail,
    submission,
    take,
    take_one,
)

Opener = Callable[[], Queue]
Checker = Callable[[Queue], list[str]]
DONE = Ending("done")
RETRY = Ending("retry", "connection refused")
CRASH = Ending("crash", "killed by signal 11")


class Opened:
    """The module of a deriving class gives two fixtures: `opener`, a function that
    opens the same queue again each time, and `checker`, one that says what is wrong
    with the rows of a queue.
    """

    @pytest.fixture
    def queue(self, opener: Opener, checker: Checker) -> Iterator[Queue]:
        queue = opener()
        queue.recover(NOW)
        yield queue
        assert checker(queue) == []
        queue.close()


class QueueContract(Opened):
    """Deliveries: accepted, leased, ended."""

    # Accept

    def test_accepts_once_whatever_is_sent_again(self, queue: Queue) -> None:
        assert queue.accept(NOW, submission(1)) == ("accepted", 1)
        assert queue.accept(NOW + HOUR, submission(1)) == ("duplicate", 1)
        assert len(queue.deliveries()) == 1
        assert queue.stats(NOW).counters["duplicates"] == 1

    def test_refuses_the_same_id_with_other_bytes(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        assert (
            queue.accept(NOW, submission(1)._replace(body=b"other")).status
            == "conflict"
        )
        assert take_one(queue).body == submission(1).body

    def test_keeps_two_pushes_with_the_same_bytes(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        assert (
            queue.accept(NOW, submission(2)._replace(body=submission(1).body)).status
            == "accepted"
        )

    def test_keeps_why_no_service_wanted_an_event(self, queue: Queue) -> None:
        said = (
            submission(1)
            .decisions[0]
            ._replace(matched=False, reason="refs do not match")
        )
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
    def test_refuses_what_it_cannot_hold(
        self, queue: Queue, change: dict[str, object]
    ) -> None:
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

    def test_says_when_the_next_is_due_also_when_all_that_was_asked_for_is_granted(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, submission(1, "first"))
        due = fail(queue)
        queue.accept(NOW, submission(2, "second"))
        granted = queue.lease(NOW, [Slot("tracker", 1, 1)], "worker")
        assert [lease.seq for lease in granted.leases] == [2]
        assert granted.next_due_ms == due

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
        assert queue.lease(due - 1, slots, "w") == Round((), due)
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
        assert (second.event, second.gap, second.behind) == (
            submission(2).id,
            True,
            (1,),
        )
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
        assert (
            queue.end(
                NOW + 5, lease.token, Ending("done", "#3 closed", took_ms=5)
            ).state
            == "done"
        )
        assert take(queue, NOW + YEARS) == []
        found = queue.delivery(lease.token.delivery)
        assert found
        assert (found.state, found.note, found.attempts[0].took_ms) == (
            "done",
            "#3 closed",
            5,
        )

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

    def test_many_end_in_one_go_as_they_would_one_by_one(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, services=("chat", "tracker")))
        queue.accept(NOW, submission(2, "other"))
        queue.accept(NOW, submission(3, "third"))
        leases = take(queue, free=3, services=("chat", "tracker"))
        chat, *tracked = [lease.token for lease in leases]
        told = [
            (chat, DONE),
            (chat, DONE),
            (tracked[0], DONE),
            (tracked[1], RETRY),
            (chat, DONE),
            (Token(99, 1), DONE),
        ]
        ended = queue.end_all(
            NOW, [*told, (tracked[2], DONE._replace(note="#3 closed", output="said"))]
        )
        assert [one.state for one in ended] == [
            "done",
            "late",
            "done",
            "ready",
            "late",
            "late",
            "done",
        ]
        assert queue.stats(NOW).counters["late_results"] == 3
        found = queue.delivery(tracked[2].delivery)
        assert found
        assert (found.note, found.attempts[0].outcome, found.attempts[0].output) == (
            "#3 closed",
            "done",
            "said",
        )
        swept = queue.sweep(NOW, ["chat", "tracker"], 0)
        assert swept.events <= 2, "what waits for its retry is not over"

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

    def test_a_delay_that_was_asked_for_is_kept_also_by_a_look_at_the_clock_and_by_a_restart(
        self, queue: Queue
    ) -> None:
        for number, kind in enumerate(("retry", "progress")):
            queue.accept(NOW, submission(number, f"repo {number}"))
            ending = Ending(kind, "not now", 10 * HOUR)  # type: ignore[arg-type]
            ended = queue.end(NOW, take_one(queue, NOW).token, ending)
            assert (ended.due_ms or 0) >= NOW + 10 * HOUR
        queue.tick(NOW + HOUR)
        queue.recover(NOW + 2 * HOUR)
        assert take(queue, NOW + 10 * HOUR - 1) == []
        assert len(take(queue, NOW + 12 * HOUR + 1, free=2)) == 2

    def test_transient_failures_end_after_three_days_of_waiting(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, submission(1))
        now = NOW
        while (
            ended := queue.end(now, take_one(queue, now).token, RETRY)
        ).state == "ready":
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

    def test_an_interruption_is_not_charged(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        for _ in range(30):
            ended = queue.end(
                NOW, take_one(queue).token, Ending("interrupted", took_ms=HOUR)
            )
            assert (ended.due_ms, ended.parked) == (NOW, False)
        (found,) = queue.deliveries("ready")
        assert (found.tries, found.crashes, found.waited_ms) == (0, 0, 0)

    def test_progress_is_no_failed_try_but_its_time_counts(self, queue: Queue) -> None:
        """Whoever says it for ever neither holds up a lane longer than it may be, nor
        lives for ever.
        """
        queue.accept(NOW, submission(1))
        queue.accept(NOW, submission(2))
        now, parked_at = NOW, 0
        while True:
            lease = take_one(queue, now)
            if lease.event == submission(2).id:
                queue.end(now, lease.token, DONE)
                continue
            ended = queue.end(
                now + MINUTE,
                lease.token,
                Ending("progress", "429", 1000, took_ms=MINUTE),
            )
            if ended.state == "dead":
                break
            (found,) = (
                found
                for found in queue.deliveries("ready")
                if found.event == submission(1).id
            )
            assert (found.tries, found.crashes) == (0, 0)
            now = max(now + MINUTE, ended.due_ms or 0)
            parked_at = parked_at or (now if ended.parked else 0)
        assert NOW + 13 * MINUTE <= parked_at <= NOW + 16 * MINUTE
        assert GIVE_UP_MS <= now + MINUTE - NOW <= GIVE_UP_MS + HOUR
        assert ended.reason == "not done after 72 hours"
        assert queue.delivery(2).state == "done"  # type: ignore[union-attr]

    def test_output_is_capped(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        lease = take_one(queue)
        queue.end(NOW, lease.token, Ending("done", "n" * 10**6, output="x" * 10**6))
        found = queue.delivery(lease.token.delivery)
        assert found
        assert len(found.attempts[0].output) == OUTPUT_LIMIT
        assert len(found.note) < 10_000

    def test_no_text_of_a_broker_can_prevent_its_ending(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1))
        lease = take_one(queue)
        ending = Ending("retry", "lone \ud800 and \0 end", output="\udcff\0")
        assert queue.end(NOW, lease.token, ending).state == "ready"
        found = queue.delivery(lease.token.delivery)
        assert found
        assert found.note == "lone ? and \N{REPLACEMENT CHARACTER} end"

    # Recovery

    def test_a_dead_daemon_gives_everything_back(
        self, opener: Opener, checker: Checker
    ) -> None:
        queue = opener()
        for number, repo in enumerate("ab"):
            queue.accept(NOW, submission(number, repo))
        old = take(queue, free=5)
        queue.close()
        queue = opener()
        assert queue.recover(NOW) == (2, ())
        assert queue.end(NOW, old[0].token, DONE).state == "late"
        again = take(queue, free=5)
        assert [lease.event for lease in again] == [lease.event for lease in old]
        assert [lease.delivery_id for lease in again] == [
            lease.delivery_id for lease in old
        ]
        assert [lease.token.attempt for lease in again] == [2, 2]
        assert checker(queue) == []
        queue.close()

    def test_a_suspect_runs_alone_and_the_tenth_daemon_death_buries_it(
        self, queue: Queue
    ) -> None:
        for number, repo in enumerate("abc"):
            queue.accept(NOW, submission(number, repo))
        for _ in range(2):
            poison = take(queue, free=2)
            queue.recover(NOW)
        for deaths in range(3, 10):
            (lease,) = take(queue, free=5)
            assert lease.event == poison[0].event
            assert take(queue, free=5) == []
            assert queue.recover(NOW) == (1, ()), deaths
        take(queue, free=5)
        recovered = queue.recover(NOW)
        assert recovered.orphaned == 1
        assert [found.note for found in recovered.dead] == [
            "the daemon died 10 times while it ran"
        ]
        (dead,) = queue.deliveries("dead")
        assert dead.orphans == 10
        assert [found.id for found in queue.unreported(NOW, 9).first] == [dead.id]
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

    def test_a_suspect_that_runs_for_days_stops_nobody_for_more_than_a_minute(
        self, queue: Queue
    ) -> None:
        for number, repo in enumerate("abc"):
            queue.accept(NOW, submission(number, repo))
        for _ in range(2):
            take(queue, free=2)
            queue.recover(NOW)
        (alone,) = take(queue, free=5)
        assert queue.lease(NOW + MINUTE - 1, [Slot("tracker", 5, 1)], "w") == Round(
            (),
            NOW + MINUTE,
        )
        others = take(queue, NOW + MINUTE, free=5)
        assert {lease.event for lease in others} == {
            submission(number).id for number in range(3)
        } - {alone.event}

    @pytest.mark.parametrize("leap", [YEARS, -YEARS])
    def test_a_leap_of_the_clock_leaves_no_suspect_alone_for_longer(
        self, queue: Queue, leap: int
    ) -> None:
        queue.accept(NOW, submission(1, "a"))
        for _ in range(2):
            take_one(queue)
            queue.recover(NOW)
        take_one(queue)
        queue.tick(NOW + leap)
        queue.accept(NOW + leap, submission(2, "b"))
        assert take_one(queue, NOW + leap).event == submission(2).id

    def test_what_runs_for_days_keeps_a_suspect_and_all_others_for_a_minute(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, submission(1, "a"))
        for _ in range(2):
            take_one(queue)
            queue.recover(NOW)
        queue.pause("tracker", "a")
        queue.accept(NOW, submission(2, "b"))
        take_one(queue)
        queue.resume("tracker", "a")
        queue.accept(NOW, submission(3, "c"))
        assert queue.lease(NOW, [Slot("tracker", 5, 1)], "w") == Round((), NOW + MINUTE)
        assert len(take(queue, NOW + MINUTE, free=5)) == 2

    # Breaker

    def _open_breaker(self, queue: Queue) -> int:
        """Five failures over two lanes of `tracker`, and one event in a third; returns
        when that was.
        """
        queue.accept(NOW, submission(1, "a"))
        queue.accept(NOW, submission(2, "b"))
        fail(queue, NOW, times=2)
        now = fail(queue, NOW + HOUR, times=3)
        queue.accept(now, submission(3, "c"))
        return now

    def test_the_breaker_opens_for_all_lanes_and_probes_with_one(
        self, queue: Queue
    ) -> None:
        now = self._open_breaker(queue)
        assert queue.stats(now).services["tracker"].breaker == "open"
        leases, wake, _ = queue.lease(now, [Slot("tracker", 9, 1)], "w")
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

    def test_a_success_between_failures_keeps_the_breaker_closed(
        self, queue: Queue
    ) -> None:
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
