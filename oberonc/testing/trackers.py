"""What every tracker is held to; a test module of a tracker subclasses `Suite` and
gives it a `world`.
"""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from oberonc import Retry
from oberonc.testing.relay import Relay, Spoil
from oberonc.testing.world import (
    Push,
    World,
    broker,
    commit,
    payload,
    plug,
    work_off,
)

__all__ = [
    "NUMBERS",
    "Push",
    "Relay",
    "Spoil",
    "Suite",
    "World",
    "broker",
    "commit",
    "payload",
    "plug",
    "with_word",
    "work_off",
]

#: Every push of a run asks for another change.
NUMBERS = count(1)


def with_word(world: World) -> dict[str, Any]:
    """The settings in which `parks #1` asks for a status."""
    word = world.status or "Somewhere"
    return world.settings | {"words": {"states": {"parks": word, "park": word}}}


class Suite:
    """One push, once; again; with lost answers; by two workers; with hostile text; on
    issues that are not there.
    """

    @pytest.fixture(autouse=True)
    def unspoiled(self, world: World) -> Iterator[None]:
        world.relay.spoil_nothing()
        yield
        world.relay.spoil_nothing()

    def test_a_push_does_all_it_asks_for_and_does_it_once(
        self, world: World, tmp_path: Path
    ) -> None:
        push = Push(world, next(NUMBERS))
        note, retries = work_off(world.settings, tmp_path, push.payload)
        assert not retries
        assert f"closed {push.fixed}, {push.first} and {push.second}" in note
        push.assert_done()
        writes = world.relay.writes()
        assert (
            "already done for the same change: "
            in work_off(world.settings, tmp_path, push.payload)[0]
        )
        assert world.relay.writes() == writes

    #: Which of a push's writes lose their answers, one at a time.
    DROPS: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 5, 7)

    def test_a_dropped_answer_repeats_nothing(
        self, world: World, tmp_path: Path
    ) -> None:
        for number in self.DROPS:
            push = Push(world, next(NUMBERS))
            world.relay.spoil_write(number, Spoil("drop"))
            work_off(world.settings, tmp_path, push.payload)
            push.assert_done()

    def test_an_answer_cut_short_repeats_nothing(
        self, world: World, tmp_path: Path
    ) -> None:
        push = Push(world, next(NUMBERS))
        world.relay.spoil_write(0, Spoil("truncate"))
        work_off(world.settings, tmp_path, push.payload)
        push.assert_done()

    def test_two_workers_at_once_do_it_once(self, world: World, tmp_path: Path) -> None:
        push = Push(world, next(NUMBERS))
        notes: list[str] = []
        workers = [
            threading.Thread(
                target=lambda: notes.append(
                    work_off(world.settings, tmp_path, push.payload)[0]
                )
            )
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert len(notes) == 2
        push.assert_done()

    def test_an_unknown_issue_is_said_and_the_rest_goes_on(
        self, world: World, tmp_path: Path
    ) -> None:
        known = world.new()
        unknown = known.replace(known.lstrip("#ABCDEFGHIJKLMNOPQRSTUVWXYZ-"), "99999")
        pushed = payload(commit(f"fixes {unknown} and {known}", next(NUMBERS)))
        note = broker(world.settings, tmp_path).handle(pushed)
        assert f"{unknown} does not exist" in note
        assert world.is_closed(known)

    def test_hostile_text_reaches_the_tracker_as_text(
        self, world: World, tmp_path: Path
    ) -> None:
        issue = world.new()
        text = (
            f"refs {issue}\n\n/close\n/assign @root\n@everyone [x](javascript:1)\n```\n~~~\n</pre><script>1</script>\n"
            "}}}\n{{{\n#!html\n{noformat}\n<!-- {{macro}} -->\n\u202eevil\x1b[31m caf\u00e9 \u732b"
        )
        hostile = commit(text, next(NUMBERS), author="*@all* `/close` [x](y)\n\n/close")
        broker(world.settings, tmp_path).handle(payload(hostile))
        (said,) = world.comments(issue)
        assert hostile["node"] in said
        assert "caf\u00e9 \u732b" in said
        assert "\u202e" not in said
        assert "\x1b" not in said
        assert not world.is_closed(issue)

    def test_one_a_person_reopened_stays_open(
        self, world: World, tmp_path: Path
    ) -> None:
        if not world.reopens:
            pytest.skip("this interface cannot reopen")
        issue, number = world.new(), next(NUMBERS)
        broker(world.settings, tmp_path).handle(
            payload(commit(f"fixes {issue}", number))
        )
        assert world.is_closed(issue)
        world.reopen_by_hand(issue)
        rebased = payload(
            commit(f"fixes {issue}", number, raw_node="f" * 40, node="f" * 12)
        )
        broker(world.settings, tmp_path).handle(rebased)
        assert not world.is_closed(issue)

    def test_one_a_person_reopened_before_the_retry_stays_open(
        self, world: World, tmp_path: Path
    ) -> None:
        if not world.has_history:
            pytest.skip(
                "what happened to an issue is not looked at here: its state decides"
            )
        for write in range(12):  # until it is the answer to the close that is lost
            issue = world.new()
            pushed = payload(commit(f"fixes {issue}", next(NUMBERS)))
            world.relay.spoil_write(write, Spoil("drop"))
            with pytest.raises(Retry):
                broker(world.settings, tmp_path).handle(pushed)
            if world.is_closed(issue):
                break
        world.relay.spoil_nothing()
        world.reopen_by_hand(issue)
        assert f"closed {issue}" in broker(world.settings, tmp_path).handle(pushed)
        assert not world.is_closed(issue)

    def test_one_that_is_closed_already_is_not_closed_again(
        self, world: World, tmp_path: Path
    ) -> None:
        issue = world.new(closed=True)
        note = broker(world.settings, tmp_path).handle(
            payload(commit(f"fixes {issue}", next(NUMBERS)))
        )
        assert f"{issue} was closed already" in note
        assert world.is_closed(issue)

    def test_a_word_for_a_status_moves_the_issue_there_once(
        self, world: World, tmp_path: Path
    ) -> None:
        settings, issue = with_word(world), world.new()
        pushed = payload(commit(f"The window is out, parks {issue}", next(NUMBERS)))
        note = broker(settings, tmp_path).handle(pushed)
        (said,) = world.comments(issue)
        if not world.status:
            assert "state left as it is: this tracker has no status Somewhere" in said
            assert (
                f"the state of {issue} is left as it is: this tracker has no status Somewhere"
                in note
            )
            return
        assert note == f"moved {issue}"
        assert (world.status_of(issue), world.is_closed(issue)) == (world.status, False)
        assert said.startswith("Moved to ")
        writes = world.relay.writes()
        assert "already done for the same change: " in broker(
            settings, tmp_path
        ).handle(pushed)
        other = payload(commit(f"parks {issue} too", next(NUMBERS)))
        assert f"{issue} was {world.status} already" in broker(
            settings, tmp_path
        ).handle(other)
        assert world.relay.writes() > writes, "the other change was commented on"
        assert world.status_of(issue) == world.status

    def test_a_move_whose_answer_is_lost_is_made_once(
        self, world: World, tmp_path: Path
    ) -> None:
        if not world.status:
            pytest.skip("there are no statuses here")
        for write in range(4):
            issue = world.new()
            world.relay.spoil_write(write, Spoil("drop"))
            work_off(
                with_word(world),
                tmp_path,
                payload(commit(f"parks {issue}", next(NUMBERS))),
            )
            world.relay.spoil_nothing()
            assert world.status_of(issue) == world.status
            assert len(world.comments(issue)) == 1

    def test_a_word_for_a_status_does_nothing_where_a_close_would_not(
        self, world: World, tmp_path: Path
    ) -> None:
        settings, issue = with_word(world), world.new()
        imported = payload(
            *(commit(f"parks {issue} {number}", next(NUMBERS)) for number in range(21))
        )
        imported["updates"][0] |= {"created": True, "first": True}
        topic = payload(commit(f"parks {issue}", next(NUMBERS)), published=[])
        writes = world.relay.writes()
        for pushed in (imported, topic):
            assert "and nothing is done" in broker(settings, tmp_path).handle(pushed)
        assert world.relay.writes() == writes
        broker(settings, tmp_path).handle(
            payload(commit(f"does not park {issue}", next(NUMBERS)))
        )
        assert not world.status or world.status_of(issue) != world.status

    def test_check_proves_it_and_changes_nothing(
        self, world: World, tmp_path: Path
    ) -> None:
        writes = len(world.relay.seen)
        checks = broker(world.settings, tmp_path).check()
        assert checks
        assert all(check.ok for check in checks), checks
        assert len(world.relay.seen) > writes

    def documented(self, world: World) -> dict[str, Any]:
        """The service that the tracker's documentation says to write."""
        return world.least

    def test_the_setup_of_the_documentation_is_enough(
        self, world: World, tmp_path: Path
    ) -> None:
        settings = self.documented(world)
        checks = broker(settings, tmp_path).check()
        assert all(check.ok for check in checks), checks
        fixed, named = world.new(), world.new()
        opened = world.new(closed=True) if world.reopens else ""
        reopens = f"Reopens {opened}." if opened else ""
        message = f"fixes {fixed}\n\n{reopens}\nReferences {named}."
        pushed = payload(commit(message, next(NUMBERS)))
        note, _ = work_off(settings, tmp_path, pushed)
        assert f"closed {fixed}" in note
        assert world.is_closed(fixed)
        assert not (opened and world.is_closed(opened))
        for issue in filter(None, (fixed, named, opened)):
            assert len(world.comments(issue)) == 1, issue

    def test_bad_credentials_are_said_loudly(
        self, world: World, tmp_path: Path
    ) -> None:
        bad = world.settings | {
            name: "wrong-wrong"
            for name in ("token", "password")
            if name in world.settings
        }
        checks = broker(bad, tmp_path).check()
        assert not checks[-1].ok
        assert "CREDENTIALS" in checks[-1].what
        assert "wrong-wrong" not in str(checks)
