"""What every engine must keep, part two: what people ask and order, generations,
retention, the clock, copies.
"""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from oberonc.errors import BadInput, NotAccepted
from oberonc.policy import LONGEST_MS
from oberonc.queue.contract import Queue
from oberonc.queue.values import (
    DEDUPE_MS,
    UNCLAIMED_GRACE_MS,
    Ending,
    EventQuery,
    LogQuery,
    Order,
    Round,
    Slot,
    Submission,
)
from tests.queue.contract import Opened, Opener
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
    take_and_end,
    take_one,
)

DONE = Ending("done")
RETRY = Ending("retry", "connection refused")


def push(number: int, repo: str, order: Order = "bounded") -> Submission:
    """A submission whose body names its repository, as those of real pushes do."""
    body = json.dumps(
        {"repository": {"full_name": repo, "owner": repo.rpartition("/")[0]}}
    ).encode()
    return submission(number, repo, order=order)._replace(body=body)


class SteeringContract(Opened):
    """What people do, and what is told of."""

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
        assert queue.lease(NOW, [Slot("tracker", 1, 1)], "w") == Round((), None)
        assert len(take(queue, services=("chat",))) == 1
        queue.resume("tracker")
        assert len(take(queue)) == 1
        queue.close()

    @pytest.mark.parametrize("ending", [DONE, Ending("dead", "no")])
    def test_retry_brings_back_what_ended_parked_and_with_fresh_budgets(
        self, queue: Queue, ending: Ending
    ) -> None:
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

    def test_the_log_is_told_of_events_by_id_by_commit_and_after_another_and_of_ones_own_only(
        self, queue: Queue
    ) -> None:
        body = b'{"user":"caf\\u00e9","truncated":%s,"updates":[{"ref":"r","old":"o","new":"n","x":1}],"merged":[],'
        body += b'"commits":[{"raw_node":"c","message":"long"}],"commits_total":3}'
        for number in range(1, 7):
            made = submission(number)._replace(
                peer_uid=number % 2, body=body % (b"true" if number > 4 else b"false")
            )
            queue.accept(NOW, made)
        queue.accept(NOW, submission(7))

        def seqs(**asked: Any) -> list[int]:
            return [event.seq for event in queue.log_events(LogQuery(**asked))]

        assert seqs() == [1, 2, 3, 4, 5, 6, 7]
        assert seqs(limit=2) == [6, 7]
        assert seqs(uid=1) == [1, 3, 5]
        assert seqs(cut=True) == [5, 6]
        assert seqs(cut=True, uid=0) == [6]
        assert seqs(after=4, limit=2) == [5, 6]
        assert seqs(after=4, uid=1) == [5]
        ids = (submission(2).id, submission(3).id)
        assert seqs(ids=ids) == [2, 3]
        assert seqs(ids=ids, uid=1) == [3]
        assert seqs(ids=ids, after=6) == [2, 3, 7]
        assert seqs(key=f"{3:040x}"[:40]) == [3]
        assert seqs(key=f"{3:040x}", uid=0) == []
        about = json.loads(queue.log_events(LogQuery(ids=ids[:1]))[0].body or b"")
        assert about["updates"] == [{"ref": "r", "old": "o", "new": "n"}]
        assert (about["user"], about["commits"], about["truncated"]) == (
            "caf\u00e9",
            [{"raw_node": "c"}],
            False,
        )
        assert queue.log_events(LogQuery(after=6))[0].body is None  # it was no JSON
        for minute in (0, 30):
            lease = take_one(queue, NOW + minute * MINUTE)
            queue.end(
                NOW + minute * MINUTE,
                lease.token,
                Ending("retry", f"at {minute}", output="x"),
            )
        attempts = {
            uid: [
                (attempt.note, attempt.output)
                for attempt in queue.log_events(asked)[0].deliveries[0].attempts
            ]
            for uid, asked in (
                (None, LogQuery(key=f"{1:040x}")),
                (1, LogQuery(key=f"{1:040x}", uid=1)),
                (0, LogQuery()),
            )
        }
        assert attempts == {
            None: [("at 0", "x"), ("at 30", "x")],
            1: [("at 30", "")],
            0: [("at 30", "")],
        }

    def test_deliveries_are_listed_from_either_end_and_say_what_they_wait_behind(
        self, queue: Queue
    ) -> None:
        for number in range(1, 5):
            queue.accept(NOW + number, submission(number))
        assert [found.id for found in queue.deliveries(before=4, limit=2)] == [3, 2]
        assert [found.id for found in queue.deliveries(since=NOW + 3)] == [3, 4]
        assert [found.behind for found in queue.deliveries()] == [None, 1, 1, 1]
        lease = take_one(queue, NOW + 10)
        assert [found.behind for found in queue.deliveries()] == [None, 1, 1, 1]
        queue.end(NOW + 10, lease.token, Ending("done"))
        assert [found.behind for found in queue.deliveries()] == [None, None, 2, 2]

    @pytest.mark.parametrize("order", ["bounded", "none"])
    @pytest.mark.parametrize(
        "begun", [False, True], ids=["new name", "name that has a lane"]
    )
    def test_what_waits_follows_a_repository_to_its_new_name_in_its_order(
        self, queue: Queue, order: Order, begun: bool
    ) -> None:
        queue.accept(NOW, push(1, "web/shop", order))
        queue.accept(NOW, push(2, "other", order))
        if begun:
            queue.accept(NOW, push(3, "store", order))
        queue.accept(NOW, push(4, "web/shop", order))
        queue.pause("tracker", "web/shop")
        queue.rename("web/shop", "store")
        queue.resume("tracker", "store")
        queue.accept(NOW, push(5, "store", order))
        done = []
        while leases := take(queue):
            [lease] = leases
            assert json.loads(lease.body)["repository"]["full_name"] == lease.repo
            done += [lease.event[-1]] if lease.repo == "store" else []
            queue.end(NOW, lease.token, DONE)
        assert done == ([1, 3, 4, 5] if begun else [1, 4, 5])
        assert queue.deliveries(repo="web/shop") == []

    def test_a_pause_of_the_old_name_holds_for_the_new_one(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "web/shop"))
        queue.accept(NOW, push(2, "store"))
        queue.pause("tracker", "web/shop")
        queue.rename("web/shop", "store")
        assert take(queue, free=9) == []
        assert queue.paused_lanes() == [("tracker", "store")]

    def test_the_same_bytes_are_a_duplicate_also_under_the_new_name(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, push(1, "web/shop"))
        queue.rename("web/shop", "store")
        assert queue.accept(NOW, push(1, "web/shop")).status == "duplicate"

    def test_another_repository_may_take_the_old_name(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "web/shop"))
        queue.rename("web/shop", "store")
        queue.accept(NOW, push(2, "web/shop"))
        assert [(lease.seq, lease.repo) for lease in take(queue, free=9)] == [
            (1, "store"),
            (2, "web/shop"),
        ]

    def test_a_dead_letter_comes_back_under_the_new_name(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "web/shop"))
        lease = take_one(queue)
        with pytest.raises(NotAccepted, match="a delivery of web/shop is running"):
            queue.rename("web/shop", "store")
        queue.end(NOW, lease.token, Ending("dead", "no"))
        queue.rename("web/shop", "store")
        queue.retry(NOW, lease.token.delivery, "ann")
        assert json.loads(take_one(queue).body)["repository"]["full_name"] == "store"

    def test_what_fails_beside_a_rename_takes_it_back(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "web/shop"))

        def fail_beside() -> None:
            raise BadInput("both have issues")

        with pytest.raises(BadInput):
            queue.rename("web/shop", "store", fail_beside)
        assert [lease.repo for lease in take(queue)] == ["web/shop"]

    def test_an_event_tells_its_whole_story(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, services=("tracker", "chat")))
        queue.end(NOW, take_one(queue).token, RETRY)
        event = queue.event(submission(1).id)
        assert event
        assert event.body == submission(1).body
        assert [(found.service, len(found.attempts)) for found in event.deliveries] == [
            ("tracker", 1),
            ("chat", 0),
        ]
        assert event.deliveries[0].attempts[0].note == "connection refused"
        assert queue.event(b"x" * 16) is None

    def test_lists_are_filtered_and_paged(self, queue: Queue) -> None:
        for number in range(6):
            queue.accept(NOW, submission(number, "ab"[number % 2], ("tracker", "chat")))
        ids = [found.id for found in queue.deliveries(service="chat", repo="a")]
        assert len(ids) == 3
        assert [
            found.id
            for found in queue.deliveries(
                service="chat", repo="a", after=ids[0], limit=1
            )
        ] == [ids[1]]
        take(queue, free=9)
        assert len(queue.deliveries("leased")) == 2
        assert [event.seq for event in queue.recent_events(2, before=6)] == [5, 4]

    def test_events_are_listed_by_repository_time_and_commit(
        self, queue: Queue
    ) -> None:
        for number in range(1, 11):
            commits = (f"{number:040x}",)
            queue.accept(
                NOW + number * MINUTE,
                submission(number, "ab"[number % 2])._replace(commits=commits),
            )

        def listed(**wanted: Any) -> list[int]:
            """All of them, page after page."""
            seen: list[int] = []
            query = EventQuery(**{"limit": 2, **wanted})
            while True:
                found = queue.list_events(query)
                seen += [event.seq for event in found.events]
                if found.next is None:
                    return seen
                query = query._replace(before=found.next)

        assert listed() == [*range(10, 0, -1)]
        assert listed(repo="a") == [10, 8, 6, 4, 2]
        assert listed(repo="nobody") == []
        times = {"since_ms": NOW + 3 * MINUTE, "until_ms": NOW + 6 * MINUTE}
        assert listed(**times) == [5, 4, 3]
        assert listed(repo="b", **times) == [5, 3]
        assert listed(key=f"{7:040x}", repo="b") == [7]
        assert listed(key=f"{7:040x}", repo="a") == []
        assert listed(key=f"{7:040x}", before=7) == []
        assert listed(until_ms=0) == listed(since_ms=NOW + DAY) == []
        with pytest.raises(BadInput):
            listed(key="no id")

    def test_pushes_that_name_an_issue_are_listed(self, queue: Queue) -> None:
        texts = [
            "fixes #4",
            "fixes #42\n",
            "refs PROJ-4 and #7",
            "XPROJ-4, #4x",
            "none",
        ]
        for number, text in enumerate(texts):
            body = json.dumps({"commits": [{"message": text}]}).encode()
            queue.accept(NOW, push(number, "a")._replace(body=body))

        def listed(issue: str, **more: Any) -> list[int]:
            found = queue.list_events(EventQuery(issue=issue, **more))
            assert found.next is None
            return [event.seq - 1 for event in found.events]

        assert listed("#4") == [3, 0]
        assert listed("#42") == [1]
        assert listed("PROJ-4") == [2]
        assert listed("#7", repo="a") == [2]
        assert listed("#7", repo="b") == listed("#5") == []
        for wrong in ("4", "#", "#4*", "*", "proj-4", "#04"):
            with pytest.raises(BadInput):
                listed(wrong)

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

    def test_minutes_and_hours_say_what_happened_also_after_a_restart(
        self, opener: Opener
    ) -> None:
        queue = opener()
        queue.recover(NOW)
        start = NOW - NOW % HOUR + HOUR
        for number in range(3):
            queue.accept(
                start, submission(number, f"repo {number}", ("tracker", "chat"))
            )
        first, second, third = take(queue, start, free=3)
        queue.end(start + 2 * SECOND, first.token, DONE)
        queue.end(start + MINUTE, second.token, RETRY)
        queue.end(start + HOUR, third.token, Ending("dead", "no"))
        queue.close()
        again = opener()
        now = start + HOUR
        assert again.periods(now, "minute", 61, "tracker") == [
            (start, "tracker", 3, 1, 0, 0, 2 * SECOND),
            (start + MINUTE, "tracker", 0, 0, 1, 0, 0),
            (start + HOUR, "tracker", 0, 0, 0, 1, 0),
        ]
        hours = [(start, "", 3, 1, 1, 0, 2 * SECOND), (start + HOUR, "", 0, 0, 0, 1, 0)]
        assert again.periods(now, "hour", 2, "") == hours
        assert again.periods(now, "hour", 1, "") == hours[1:]
        each = again.periods(now, "hour", 2, None)
        assert [row.service for row in each] == ["", "chat", "tracker", "", "tracker"]
        again.sweep(start + DAY + SECOND, ["tracker", "chat"], 2 * DAY)
        left = again.periods(start + DAY + SECOND, "minute", 5000, "tracker")
        assert [row.began_ms for row in left] == [start + MINUTE, start + HOUR]
        assert len(again.periods(now, "hour", 2, "")) == 2
        again.sweep(start + 4 * DAY, ["tracker", "chat"], 2 * DAY)
        assert again.periods(start + 4 * DAY, "hour", 5000, None) == []
        again.close()

    def test_what_a_batch_took_back_did_not_happen_in_any_minute(
        self, queue: Queue
    ) -> None:
        with pytest.raises(ZeroDivisionError), queue.batch():
            queue.accept(NOW, submission(1))
            raise ZeroDivisionError
        queue.accept(NOW, submission(2))
        queue.accept(NOW, submission(2))
        assert [row.accepted for row in queue.periods(NOW, "minute", 1, "")] == [1]

    def test_the_oldest_that_has_not_ended_counts_from_its_acceptance(
        self, queue: Queue
    ) -> None:
        """Whatever it waits for: a retry, its turn, a pause, somebody who serves it."""

        def oldest(service: str = "tracker") -> int | None:
            return queue.stats(NOW + DAY).services[service].oldest_ms

        for number in range(3):
            queue.accept(
                NOW + number, submission(number, "ab"[number % 2], ("tracker", "chat"))
            )
        assert oldest() == NOW
        first, second = take(queue, NOW + 3, free=2)
        assert oldest() == NOW, "it runs"
        queue.end(NOW + 3, first.token, RETRY)
        queue.pause("tracker")
        assert oldest() == NOW, "it waits for another try, and nobody may"
        queue.drop(NOW + 3, first.token.delivery, "ann")
        assert oldest() == NOW + 1
        queue.end(NOW + 3, second.token, DONE)
        assert oldest() == NOW + 2
        queue.resume("tracker")
        queue.end(NOW + 3, take_one(queue, NOW + 3).token, DONE)
        assert (oldest(), oldest("chat")) == (None, NOW)
        queue.retry(NOW + 3, first.token.delivery, "ann")
        assert oldest() == NOW

    @pytest.mark.parametrize(
        "bad", [RETRY, Ending("crash", "killed"), Ending("dead", "no")]
    )
    def test_the_last_error_has_a_time_and_goes_with_the_next_success(
        self, queue: Queue, bad: Ending
    ) -> None:
        for number in range(2):
            queue.accept(NOW, submission(number, f"repo {number}"))
        first, second = take(queue, free=2)
        queue.end(NOW + 5, first.token, bad)
        stats = queue.stats(NOW).services["tracker"]
        assert (stats.last_error, stats.last_error_ms) == (bad.note, NOW + 5)
        queue.end(NOW + 6, second.token, DONE)
        stats = queue.stats(NOW).services["tracker"]
        assert (stats.last_error, stats.last_error_ms, stats.failures) == ("", None, 0)

    # Generations

    def test_commit_is_the_one_point_of_a_reload(self, queue: Queue) -> None:
        first, second, third = (
            queue.new_generation(NOW, f"digest {n}") for n in range(3)
        )
        queue.commit_generation(first)
        queue.reject_generation(second, "chat.py:3: invalid syntax")
        queue.commit_generation(third)
        queue.retire_generation(first)
        found = {generation.number: generation for generation in queue.generations()}
        assert [found[n].state for n in (first, second, third)] == [
            "retired",
            "rejected",
            "active",
        ]
        assert found[second].report == "chat.py:3: invalid syntax"
        with pytest.raises(BadInput):
            queue.commit_generation(second)
        assert queue.generations()[0].state == "active"

    def test_a_crash_within_a_reload_leaves_one_active_generation(
        self, queue: Queue
    ) -> None:
        first, second = queue.new_generation(NOW, "a"), queue.new_generation(NOW, "b")
        queue.commit_generation(first)
        queue.recover(NOW)
        assert [found.state for found in queue.generations()] == ["rejected", "active"]
        third = queue.new_generation(NOW, "c")
        queue.commit_generation(third)
        queue.recover(NOW)
        assert [found.state for found in queue.generations()] == [
            "active",
            "rejected",
            "retired",
        ]
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
        for lease, ending in zip(
            take(queue, free=3), (DONE, Ending("dead", "no"), RETRY), strict=True
        ):
            queue.end(NOW, lease.token, ending)
        now = self._pass(queue, NOW, 30 * DAY)
        assert queue.sweep(now, ["tracker"], 31 * DAY).events == 0
        swept = queue.sweep(now, ["tracker"], 30 * DAY)
        assert (swept.events, swept.dead) == (2, 1)
        assert [found.state for found in queue.deliveries()] == ["ready", "ready"]
        assert queue.stats(now).counters["pruned_dead"] == 1
        assert queue.accept(now, submission(0, "repo 0")).status == "accepted"

    def test_a_short_retention_still_answers_duplicates_for_a_week(
        self, queue: Queue
    ) -> None:
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
        assert [queue.sweep(NOW, ["tracker"], 0, limit=2).events for _ in range(4)] == [
            2,
            2,
            1,
            0,
        ]

    @pytest.mark.parametrize("leap", [YEARS, -YEARS])
    def test_a_leap_of_the_clock_neither_loses_nor_expires_nor_stalls(
        self, queue: Queue, leap: int
    ) -> None:
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

    def test_deliveries_of_a_service_that_is_gone_are_buried_after_a_week(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, submission(1, services=("tracker", "old")))
        assert queue.unclaimed(["tracker"]) == {"old": 1}
        assert queue.sweep(NOW, ["tracker"], DAY).buried == ()
        now = self._pass(queue, NOW, UNCLAIMED_GRACE_MS)
        assert [
            found.service for found in queue.sweep(now, ["tracker"], DAY).buried
        ] == ["old"]
        assert queue.unclaimed(["tracker"]) == {}
        (dead,) = queue.deliveries("dead")
        assert dead.service == "old"
        assert [found.id for found in queue.unreported(now, 9).first] == [dead.id]
        assert len(take(queue, now)) == 1

    def test_a_service_that_returns_in_time_loses_nothing(self, queue: Queue) -> None:
        queue.accept(NOW, submission(1, services=("old",)))
        queue.sweep(NOW, [], DAY)
        now = self._pass(queue, NOW, 6 * DAY)
        queue.sweep(now, ["old"], DAY)
        now = self._pass(queue, now, 6 * DAY)
        assert queue.sweep(now, [], DAY).buried == ()

    # Files

    def test_a_backup_is_a_queue_and_private(
        self, queue: Queue, tmp_path: Path
    ) -> None:
        queue.accept(NOW, submission(1))
        target = tmp_path / "copy.db"
        queue.backup(target)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        with pytest.raises(BadInput):
            queue.backup(target)
        self.check_backup(target)

    def check_backup(self, target: Path) -> None:
        """Overridden by engines that can open the copy."""
