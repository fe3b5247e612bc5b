"""What the rules of a service make of its deliveries: the part of the contract about
rates, ages, what was overtaken, and digests.
"""

import pytest

from oberonc.errors import BadInput
from oberonc.policy import LONGEST_MS, ORPHANS, PARK_TRIES, SECOND
from oberonc.queue.contract import Queue
from oberonc.queue.values import (
    UNCLAIMED_GRACE_MS,
    Ending,
    Lease,
    Round,
    Rules,
    Slot,
    Submission,
)
from tests.queue.contract import Opened, Opener
from tests.support.store_values import HOUR, MINUTE, NOW, YEARS, submission, take_one

DONE, DEAD = Ending("done"), Ending("dead", "rejected")
RETRY = Ending("retry", "connection refused")
RATE = Rules(apart_ms=2 * SECOND)
AGE = Rules(max_age_ms=30 * MINUTE)
COLLAPSE = Rules(collapse=True)
DIGEST = Rules(together=100, together_bytes=10_000)


def push(
    number: int, *refs: str, repo: str = "web/shop", gather: int = 0
) -> Submission:
    """The event *number*, which moves *refs*."""
    made = submission(number, repo)
    routes = tuple(route._replace(refs=refs, gather_ms=gather) for route in made.routes)
    return made._replace(routes=routes)


def ask(queue: Queue, rules: Rules, now: int = NOW, free: int = 5) -> Round:
    return queue.lease(now, [Slot("tracker", free, 1, rules)], "worker")


def only(queue: Queue, rules: Rules, now: int = NOW) -> Lease:
    (lease,) = ask(queue, rules, now).leases
    return lease


def states(queue: Queue) -> list[str]:
    return [found.state for found in queue.deliveries(limit=1000)]


def numbers(lease: Lease) -> list[int]:
    """The events that *lease* hands over."""
    return [lease.event[-1], *(member.event[-1] for member in lease.members)]


class RulesContract(Opened):
    """What a service says of its deliveries."""

    # Rate

    def test_a_rate_keeps_deliveries_apart_over_all_repositories(
        self, queue: Queue
    ) -> None:
        for number in (1, 2, 3):
            queue.accept(NOW, push(number, repo=f"repo {number}"))
        began: list[int] = []
        now = NOW
        while len(began) < 3:
            granted = ask(queue, RATE, now)
            began += [now] * len(granted.leases)
            if granted.next_due_ms is None:
                break
            assert granted.next_due_ms > now
            now = granted.next_due_ms
        assert began == [NOW, NOW + 2000, NOW + 4000]

    def test_a_rate_counts_what_is_tried_again(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, repo="a"))
        lease = only(queue, RATE)
        queue.end(NOW, lease.token, RETRY)
        queue.accept(NOW, push(2, repo="b"))
        assert ask(queue, RATE, NOW + 1999).leases == ()
        assert numbers(only(queue, RATE, NOW + 2000)) == [2]
        due = queue.delivery(1).due_ms  # type: ignore[union-attr]
        assert numbers(only(queue, RATE, max(due, NOW + 4000))) == [1]

    def test_a_rate_holds_over_a_restart_and_a_slower_one_does_not_last(
        self, opener: Opener
    ) -> None:
        queue = opener()
        for number in (1, 2, 3):
            queue.accept(NOW, push(number, repo=f"repo {number}"))
        assert ask(queue, RATE).leases
        queue.close()
        queue = opener()
        assert ask(queue, RATE, NOW + 1999) == Round((), NOW + 2000)
        assert ask(queue, Rules(apart_ms=HOUR), NOW + 2000).leases
        assert ask(queue, RATE, NOW + 2001) == Round((), NOW + 4001)
        assert len(ask(queue, RATE, NOW + 4001).leases) == 1
        queue.close()

    def test_without_its_rate_a_service_gets_the_rest_at_once(
        self, queue: Queue
    ) -> None:
        for number in (1, 2, 3):
            queue.accept(NOW, push(number, repo=f"repo {number}"))
        assert len(ask(queue, RATE).leases) == 1
        assert len(ask(queue, Rules()).leases) == 2

    @pytest.mark.parametrize("leap", [YEARS, -YEARS])
    def test_no_leap_of_the_clock_stops_a_rate(self, queue: Queue, leap: int) -> None:
        for number in (1, 2):
            queue.accept(NOW, push(number, repo=f"repo {number}"))
        assert ask(queue, RATE).leases
        now = NOW + leap
        queue.tick(now)
        now = ask(queue, RATE, now + LONGEST_MS).next_due_ms or now
        assert now <= NOW + leap + LONGEST_MS + 2000
        leased = [found for found in queue.deliveries() if found.state == "leased"]
        assert len(leased) == 2 or ask(queue, RATE, now).leases

    # Age

    def test_what_is_too_old_ends_as_expired_and_is_counted(self, queue: Queue) -> None:
        queue.accept(NOW, push(1))
        queue.accept(NOW, push(2))
        now = NOW + 31 * MINUTE
        queue.accept(now, push(3))
        granted = ask(queue, AGE, now)
        assert [numbers(lease) for lease in granted.leases] == [[3]]
        assert [(one.delivery, one.state) for one in granted.passed] == [
            (1, "expired"),
            (2, "expired"),
        ]
        assert granted.passed[0].note == "older than 1800 s"
        stats = queue.stats(now).services["tracker"]
        assert (stats.expired, stats.counters["expired"], stats.dead) == (2, 2, 0)
        assert [found.id for found in queue.deliveries("expired")] == [1, 2]
        assert queue.unreported(now, 9).total == 0
        assert not granted.leases[0].gap

    def test_one_that_grows_too_old_while_it_is_tried_again_expires(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, push(1))
        queue.end(NOW, only(queue, AGE).token, Ending("retry", "down", 40 * MINUTE))
        assert ask(queue, AGE, NOW + HOUR).leases == ()
        assert states(queue) == ["expired"]

    @pytest.mark.parametrize("leap", [YEARS, -YEARS])
    def test_no_leap_of_the_clock_expires_anything(
        self, queue: Queue, leap: int
    ) -> None:
        queue.tick(NOW)
        queue.accept(NOW, push(1))
        queue.tick(NOW + leap)
        two_hours = Rules(max_age_ms=2 * HOUR)
        assert numbers(only(queue, two_hours, NOW + leap + LONGEST_MS)) == [1]

    def test_an_expired_one_that_a_person_asks_for_is_delivered(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, push(1))
        now = NOW + HOUR
        assert ask(queue, AGE, now).leases == ()
        queue.retry(now, 1, "ann")
        assert numbers(only(queue, AGE, now)) == [1]

    def test_a_long_lane_expires_in_slices(self, queue: Queue) -> None:
        queue.accept_all(NOW, [push(number) for number in range(700)])
        now = NOW + HOUR
        first = ask(queue, AGE, now)
        assert (first.leases, first.next_due_ms, len(first.passed)) == ((), now, 500)
        second = ask(queue, AGE, now)
        assert (second.leases, second.next_due_ms, len(second.passed)) == (
            (),
            None,
            200,
        )

    # What was overtaken

    def test_of_each_ref_the_newest_is_delivered(self, queue: Queue) -> None:
        for number, ref in enumerate(("main", "main", "next", "main", "next"), 1):
            queue.accept(NOW, push(number, ref))
        granted = ask(queue, COLLAPSE)
        assert [numbers(lease) for lease in granted.leases] == [[4]]
        assert [one.delivery for one in granted.passed] == [1, 2, 3]
        assert granted.passed[0].note == f"collapsed into {push(4).id.hex()}"
        assert granted.passed[2].note == f"collapsed into {push(5).id.hex()}"
        queue.end(NOW, granted.leases[0].token, DONE)
        assert numbers(only(queue, COLLAPSE)) == [5]
        stats = queue.stats(NOW).services["tracker"]
        assert (stats.collapsed, stats.counters["collapsed"]) == (3, 3)

    def test_a_push_of_two_refs_is_overtaken_when_both_are(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "main", "next"))
        queue.accept(NOW, push(2, "main"))
        lease = only(queue, COLLAPSE)
        assert numbers(lease) == [1]
        queue.end(NOW, lease.token, Ending("interrupted"))
        queue.accept(NOW, push(3, "next"))
        granted = ask(queue, COLLAPSE)
        assert [one.delivery for one in granted.passed] == [1]
        assert push(2).id.hex() in granted.passed[0].note
        assert push(3).id.hex() in granted.passed[0].note

    def test_what_moves_no_ref_overtakes_nothing_and_is_not_overtaken(
        self, queue: Queue
    ) -> None:
        for number, refs in enumerate((["main"], [], ["main"]), 1):
            queue.accept(NOW, push(number, *refs))
        lease = only(queue, COLLAPSE)
        assert numbers(lease) == [2]
        queue.end(NOW, lease.token, DONE)
        assert numbers(only(queue, COLLAPSE)) == [3]

    def test_what_runs_is_not_taken_back_and_what_returns_may_be(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, push(1, "main"))
        lease = only(queue, COLLAPSE)
        queue.accept(NOW, push(2, "main"))
        assert ask(queue, COLLAPSE) == Round((), None)
        due = queue.end(NOW, lease.token, RETRY).due_ms or NOW
        assert numbers(only(queue, COLLAPSE, due)) == [2]
        assert states(queue) == ["collapsed", "leased"]

    def test_what_was_cancelled_overtakes_nothing(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "main"))
        queue.accept(NOW, push(2, "main"))
        queue.drop(NOW, 2, "ann")
        assert numbers(only(queue, COLLAPSE)) == [1]

    def test_a_dead_letter_overtakes_nothing(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "main"))
        now = self._fail_until_parked(queue, COLLAPSE)
        queue.accept(now - 1, push(2, "main"))
        queue.end(now - 1, only(queue, COLLAPSE, now - 1).token, DEAD)
        assert numbers(only(queue, COLLAPSE, now)) == [1]

    def _fail_until_parked(self, queue: Queue, rules: Rules) -> int:
        """When what the first lease holds is due as a parked one."""
        now = NOW
        for _ in range(PARK_TRIES):
            now = queue.end(now, only(queue, rules, now).token, RETRY).due_ms or now
        return now

    def test_a_collapsed_one_that_a_person_asks_for_is_delivered(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, push(1, "main"))
        queue.accept(NOW, push(2, "main"))
        queue.end(NOW, only(queue, COLLAPSE).token, DONE)
        queue.retry(NOW, 1, "ann")
        assert numbers(only(queue, COLLAPSE)) == [1]

    def test_a_parked_one_is_overtaken_by_what_is_done(self, queue: Queue) -> None:
        queue.accept(NOW, push(1, "main"))
        now = self._fail_until_parked(queue, COLLAPSE)
        queue.accept(now - 1, push(2, "main"))
        second = only(queue, COLLAPSE, now - 1)
        assert numbers(second) == [2]
        queue.end(now - 1, second.token, DONE)
        assert ask(queue, COLLAPSE, now).leases == ()
        assert states(queue) == ["collapsed", "done"]

    def test_refs_of_another_repository_overtake_nothing_until_it_has_the_same_name(
        self, queue: Queue
    ) -> None:
        queue.accept(NOW, push(1, "main", repo="old"))
        queue.accept(NOW, push(2, "main", repo="new"))
        queue.rename("old", "new")
        assert numbers(only(queue, COLLAPSE)) == [2]
        assert states(queue) == ["collapsed", "leased"]

    # Digests

    def test_what_waits_is_handed_over_together_and_ends_together(
        self, queue: Queue
    ) -> None:
        for number in (1, 2, 3):
            queue.accept(NOW + number, push(number, gather=MINUTE))
        assert ask(queue, DIGEST, NOW + MINUTE) == Round((), NOW + MINUTE + 1)
        lease = only(queue, DIGEST, NOW + MINUTE + 1)
        assert numbers(lease) == [1, 2, 3]
        assert [member.body for member in lease.members] == [
            push(2).body,
            push(3).body,
        ]
        assert [found.behind for found in queue.deliveries("ready")] == [1, 1]
        assert queue.end(NOW, lease.token, DONE).state == "done"
        assert states(queue) == ["done"] * 3
        assert [found.joined for found in queue.deliveries()] == [None, 1, 1]
        assert queue.delivery(2).note == "together with delivery 1"  # type: ignore[union-attr]
        assert queue.stats(NOW).services["tracker"].counters["done"] == 3

    def test_a_notice_of_what_was_given_up_goes_alone(self, queue: Queue) -> None:
        for number in (1, 2, 3, 4):
            made = push(number, repo="oberonc")
            queue.accept(NOW, made._replace(kind="dead") if number < 3 else made)
        handed = []
        for _ in range(3):
            lease = only(queue, DIGEST)
            handed.append(numbers(lease))
            queue.end(NOW, lease.token, DONE)
        assert handed == [[1], [2], [3, 4]]
        queue.accept_all(NOW, [push(5), push(6)._replace(kind="dead"), push(7)])
        assert numbers(only(queue, DIGEST)) == [5]

    def test_a_retry_has_the_same_members_and_the_same_id(self, opener: Opener) -> None:
        queue = opener()
        queue.recover(NOW)
        queue.accept_all(NOW, [push(1), push(2)])
        first = only(queue, DIGEST)
        due = queue.end(NOW, first.token, RETRY).due_ms or NOW
        queue.accept(due, push(3))
        queue.close()
        queue = opener()
        again = only(queue, Rules(), due)
        assert (numbers(again), again.delivery_id) == ([1, 2], first.delivery_id)
        assert again.members == first.members
        queue.end(due, again.token, DONE)
        assert numbers(only(queue, DIGEST, due)) == [3]
        queue.close()

    def test_one_that_was_tried_alone_goes_alone(self, queue: Queue) -> None:
        queue.accept_all(NOW, [push(1), push(2), push(3)])
        due = queue.end(NOW, only(queue, Rules()).token, RETRY).due_ms or NOW
        lease = only(queue, DIGEST, due)
        assert numbers(lease) == [1]
        queue.end(due, lease.token, DONE)
        assert numbers(only(queue, DIGEST, due)) == [2, 3]

    def test_a_digest_that_is_given_up_makes_all_of_it_dead_letters(
        self, queue: Queue
    ) -> None:
        queue.accept_all(NOW, [push(1), push(2), push(3)])
        queue.end(NOW, only(queue, DIGEST).token, DEAD)
        assert states(queue) == ["dead"] * 3
        assert queue.unreported(NOW, 9).total == 3
        assert queue.delivery(3).note == "together with delivery 1; rejected"  # type: ignore[union-attr]
        for number in (1, 2, 3):
            queue.retry(NOW, number, "ann")
        assert queue.unreported(NOW, 9).total == 0
        for number in (1, 2, 3):
            lease = only(queue, DIGEST)
            assert numbers(lease) == [number]
            queue.end(NOW, lease.token, DONE)

    def test_a_digest_is_no_larger_than_it_may_be(self, queue: Queue) -> None:
        size = len(push(1).body)
        queue.accept_all(NOW, [push(number) for number in range(1, 7)])
        small = DIGEST._replace(together_bytes=2 * size + 1)
        lease = only(queue, small)
        assert numbers(lease) == [1, 2]
        queue.end(NOW, lease.token, DONE)
        assert numbers(only(queue, DIGEST._replace(together=3))) == [3, 4, 5]

    def test_a_digest_that_blocks_its_lane_is_parked_as_a_whole(
        self, queue: Queue
    ) -> None:
        queue.accept_all(NOW, [push(1), push(2)])
        now = self._fail_until_parked(queue, DIGEST)
        assert [found.parked for found in queue.deliveries()] == [True, True]
        queue.accept(now - 1, push(3))
        lease = only(queue, DIGEST, now - 1)
        assert (numbers(lease), lease.behind) == ([3], (1, 2))
        queue.end(now - 1, lease.token, DONE)
        assert numbers(only(queue, DIGEST, now)) == [1, 2]

    def test_a_digest_survives_the_death_of_the_daemon_until_it_is_a_dead_letter(
        self, queue: Queue
    ) -> None:
        queue.accept_all(NOW, [push(1), push(2)])
        for _ in range(ORPHANS):
            assert numbers(only(queue, DIGEST)) == [1, 2]
            recovered = queue.recover(NOW)
        assert [found.id for found in recovered.dead] == [1, 2]
        assert states(queue) == ["dead"] * 2

    def test_whoever_drops_a_digest_drops_all_of_it(self, queue: Queue) -> None:
        queue.accept_all(NOW, [push(1), push(2)])
        queue.end(NOW, only(queue, DIGEST).token, RETRY)
        with pytest.raises(BadInput, match="together with 1"):
            queue.drop(NOW, 2, "ann")
        queue.retry(NOW, 2, "ann")
        lease = only(queue, DIGEST)
        assert numbers(lease) == [1, 2]
        queue.end(NOW, lease.token, RETRY)
        queue.drop(NOW, 1, "ann")
        assert states(queue) == ["cancelled"] * 2

    def test_a_digest_expires_with_its_youngest(self, queue: Queue) -> None:
        queue.accept(NOW, push(1))
        queue.tick(NOW + 20 * MINUTE)
        queue.accept(NOW + 20 * MINUTE, push(2))
        rules = DIGEST._replace(max_age_ms=30 * MINUTE)
        now = NOW + 20 * MINUTE
        queue.end(now, only(queue, rules, now).token, Ending("retry", "", 20 * MINUTE))
        now = NOW + 45 * MINUTE
        lease = only(queue, rules, now)
        assert numbers(lease) == [1, 2]
        queue.end(now, lease.token, RETRY)
        granted = ask(queue, rules, NOW + 51 * MINUTE)
        assert (granted.leases, [one.delivery for one in granted.passed]) == (
            (),
            [1, 2],
        )
        assert states(queue) == ["expired"] * 2

    def test_what_is_overtaken_is_not_part_of_a_digest(self, queue: Queue) -> None:
        for number, ref in enumerate(("main", "next", "main", "main"), 1):
            queue.accept(NOW, push(number, ref))
        assert numbers(only(queue, DIGEST._replace(collapse=True))) == [2, 4]
        assert states(queue) == ["collapsed", "leased", "collapsed", "ready"]

    def test_a_digest_is_not_overtaken_while_it_is_tried_again(
        self, queue: Queue
    ) -> None:
        rules = DIGEST._replace(collapse=True)
        queue.accept_all(NOW, [push(1, "main"), push(2, "next")])
        due = queue.end(NOW, only(queue, rules).token, RETRY).due_ms or NOW
        queue.accept(due, push(3, "main", "next"))
        assert numbers(only(queue, rules, due)) == [1, 2]

    def test_a_digest_of_a_service_that_is_gone_is_buried_whole(
        self, queue: Queue
    ) -> None:
        queue.accept_all(NOW, [push(1), push(2)])
        queue.end(NOW, only(queue, DIGEST).token, RETRY)
        queue.sweep(NOW, [], HOUR)
        now = NOW
        while now < NOW + UNCLAIMED_GRACE_MS + HOUR:
            now += HOUR
            queue.tick(now)
        swept = queue.sweep(now, [], HOUR)
        assert [found.id for found in swept.buried] == [1, 2]
        assert states(queue) == ["dead"] * 2

    def test_a_digest_follows_its_repository_to_the_new_name(
        self, queue: Queue
    ) -> None:
        body = b'{"repository":{"full_name":"old"}}'
        for number in (1, 2):
            queue.accept(NOW, push(number, repo="old")._replace(body=body))
        queue.end(NOW, only(queue, DIGEST).token, Ending("interrupted"))
        queue.accept(NOW, push(3, repo="new"))
        queue.rename("old", "new")
        lease = only(queue, DIGEST)
        assert numbers(lease) == [1, 2]
        assert b'"full_name":"new"' in lease.body
        assert [member.body for member in lease.members] == [lease.body]

    def test_a_service_without_rules_is_as_ever(self, queue: Queue) -> None:
        for number in (1, 2):
            queue.accept(NOW, push(number, "main"))
        lease = take_one(queue, NOW + HOUR)
        assert (lease.event, lease.members) == (push(1).id, ())
