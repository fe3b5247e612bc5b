"""Somebody is told of what is given up: once, not too often, and never about the
telling.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc.daemon.notices import EVERY, tell
from oberonc.delivery import handover
from oberonc.errors import BadInput
from oberonc.payload.notice import MOST
from oberonc.queue.contract import Queue
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.values import Ending
from tests.brokers_for_tests import source
from tests.support.command import Command
from tests.support.daemon_site import Site, push, recorder
from tests.support.eventually import eventually
from tests.support.store_rules import violations
from tests.support.store_values import NOW, SECOND, submission, take_one


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[SqliteQueue]:
    queue = SqliteQueue(tmp_path / "queue.sqlite")
    queue.recover(NOW)
    yield queue
    assert violations(queue) == []
    queue.close()


def give_up(queue: Queue, *numbers: int, now: int = NOW) -> None:
    """Have pushes rejected for good."""
    for number in numbers:
        queue.accept(now, submission(number, f"repo {number}"))
        queue.end(now, take_one(queue, now).token, Ending("dead", f"no {number}"))


def notices(queue: Queue) -> list[dict[str, Any]]:
    """The payloads of all notices, oldest first."""
    found = (queue.event(event.id) for event in reversed(queue.recent_events(100)))
    return [
        json.loads(event.body)
        for event in found
        if event and event.kind == "dead" and event.body
    ]


def test_a_notice_names_what_was_given_up_and_why(queue: SqliteQueue) -> None:
    give_up(queue, 1)
    assert tell(NOW, ["news"], queue) is None
    [told] = notices(queue)
    assert (told["event"], told["dead_total"], told["commits"], told["updates"]) == (
        "dead",
        1,
        [],
        [],
    )
    assert told["dead"] == [
        {
            "delivery": 1,
            "service": "tracker",
            "repository": "repo 1",
            "push": submission(1).id.hex(),
            "accepted": "2023-11-14T22:13:20Z",
            "given_up": "2023-11-14T22:13:20Z",
            "error": "no 1",
        }
    ]
    event = queue.event(bytes.fromhex(told["id"]))
    assert event is not None
    assert take_one(queue, NOW, "news").body == event.body
    assert tell(NOW + EVERY, ["news"], queue) is None
    assert len(notices(queue)) == 1, "each is told of once"


def test_within_a_minute_all_is_summed_up_in_the_next_one(queue: SqliteQueue) -> None:
    give_up(queue, 1)
    tell(NOW, ["news"], queue)
    give_up(queue, *range(2, MOST + 5), now=NOW + SECOND)
    wait = tell(NOW + SECOND, ["news"], queue)
    assert wait == EVERY - SECOND
    queue.tick(NOW + SECOND)
    assert tell(NOW + EVERY - 1, ["news"], queue) == 1
    assert tell(NOW + EVERY, ["news"], queue) is None
    [_, second] = notices(queue)
    assert (second["dead_total"], len(second["dead"])) == (MOST + 3, MOST)


def test_a_restart_neither_loses_nor_repeats_nor_hurries_a_notice(
    tmp_path: Path,
) -> None:
    path = tmp_path / "queue.sqlite"
    queue = SqliteQueue(path)
    queue.recover(NOW)
    give_up(queue, 1)
    tell(NOW, ["news"], queue)
    give_up(queue, 2)
    queue.close()
    queue = SqliteQueue(path)
    queue.recover(NOW + SECOND)
    assert tell(NOW + SECOND, ["news"], queue) == EVERY - SECOND
    assert tell(NOW + EVERY, ["news"], queue) is None
    assert [told["dead"][0]["delivery"] for told in notices(queue)] == [1, 3]
    queue.close()


def test_a_notice_that_is_given_up_is_not_told_of(queue: SqliteQueue) -> None:
    give_up(queue, 1)
    tell(NOW, ["news"], queue)
    queue.end(NOW, take_one(queue, NOW, "news").token, Ending("dead", "no such room"))
    assert queue.unreported(NOW, 9).total == 0


def test_what_was_brought_back_or_dropped_meanwhile_is_not_told_of(
    queue: SqliteQueue,
) -> None:
    give_up(queue, 1, 2)
    queue.retry(NOW, 1, "ann")
    queue.drop(NOW, 2, "ann")
    assert tell(NOW, ["news"], queue) is None
    assert notices(queue) == []


def test_where_nobody_is_to_be_told_nothing_is_kept_for_later(
    queue: SqliteQueue,
) -> None:
    give_up(queue, 1)
    assert tell(NOW, [], queue) is None
    assert tell(NOW, ["news"], queue) is None
    assert notices(queue) == []


def test_without_room_for_it_a_notice_waits(queue: SqliteQueue) -> None:
    give_up(queue, 1)
    queue.keep_free(1 << 50)
    assert tell(NOW, ["news"], queue) == EVERY
    queue.keep_free(0)
    assert tell(NOW, ["news"], queue) is None
    assert len(notices(queue)) == 1


def test_a_real_broker_is_told_and_its_own_failure_tells_nobody(site: Site) -> None:
    kept = site.folder / "kept"
    site.write("news", source("rejecting"))
    events = ["push", "dead"]
    site.configure({"news": {"broker": "news", "kept": str(kept), "events": events}})
    running = site.start()
    event = site.submit()
    eventually(lambda: kept.exists() and kept.read_text().endswith("\n"))
    [told] = [json.loads(row) for row in kept.read_text().splitlines()]
    assert [(row["push"], row["service"], row["error"]) for row in told] == [
        (event, "news", "the room is closed")
    ]
    site.settled(dead=2)
    assert (
        "repository=oberonc: delivery 2 is given up after 1 attempt: and I cannot tell anybody"
        in running.log
    )
    [row] = site.call("log", key=event)["events"]
    assert row["services"]["news"]["outcome"] == "dead"
    assert "oberonc" in {row["repository"] for row in site.call("log")["events"]}


def test_a_notice_waits_in_the_queue_for_its_service(site: Site) -> None:
    """Killed between, the daemon still tells, once."""
    kept = site.folder / "kept"
    site.write("rec", recorder("raise Reject('never')"))
    site.write("news", source("rejecting"))
    services = site.services("rec") | {
        "news": {"broker": "news", "kept": str(kept), "events": ["dead"]}
    }
    site.configure(services)
    first = site.start()
    site.call("lane.pause", service="news")
    site.submit()
    eventually(lambda: site.stats()["services"].get("news", {}).get("ready") == 1)
    first.kill()
    site.start()
    site.call("lane.resume", service="news")
    site.settled(dead=2)
    assert len(kept.read_text().splitlines()) == 1


def test_nobody_else_can_hand_in_a_notice(site: Site) -> None:
    site.start()
    with pytest.raises(BadInput, match="'event'"):
        handover.submit(site.config, push(event="dead"), 10)


def test_every_service_that_wants_dead_letters_is_told(queue: SqliteQueue) -> None:
    give_up(queue, 1)
    tell(NOW, ["news", "mail"], queue)
    [told] = notices(queue)
    bodies = [take_one(queue, NOW, name).body for name in ("mail", "news")]
    assert [json.loads(body)["id"] for body in bodies] == [told["id"]] * 2
    assert tell(NOW + EVERY, ["news", "mail"], queue) is None


def test_low_space_is_a_setting_and_is_told_on_entering_and_leaving(
    site: Site, oberonc: Command
) -> None:
    site.configure(low_space=1 << 50)
    running = site.start()
    eventually(lambda: "space is low" in running.log)
    made = push()
    assert handover.submit(site.config, made, 10).status == "spooled"
    shown = site.stats()
    assert (shown["storage_low"], shown["storage_threshold"]) == (True, 1 << 50)
    assert 0 < shown["storage_free"] < 1 << 50
    assert "the disk is nearly full" in oberonc("--config", site.file, "stats").out
    site.configure(low_space=0)
    site.reload()
    site.wait_for(made["id"])
    eventually(lambda: "space is enough again" in running.log)
    assert running.log.count("Z space is") == 2, running.log
