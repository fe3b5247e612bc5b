"""P1, P3, P8: the daemon may be killed at any moment; what it answered stays, and what
it ran runs again.
"""

import contextlib
import random
import threading

import pytest

from oberonc.delivery import handover
from oberonc.errors import OberoncError
from tests.support.daemon_site import Site, push, recorder
from tests.support.eventually import eventually
from tests.support.store_rounds import rounds


@pytest.mark.long
def test_killed_under_load(site: Site) -> None:
    """F1: every id that was answered is delivered, whatever was spooled too, none is
    invented, lanes in order.
    """
    kept: dict[str, list[str]] = {}
    for turn in range(rounds(4)):
        running = site.start()
        stop = threading.Event()

        def work(n: int, turn: int = turn, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                made = push(f"r/{n}")
                with contextlib.suppress(OberoncError):
                    handover.submit(site.config, made, 2)
                    kept.setdefault(f"r/{n}", []).append(made["id"])

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        target = len(site.ended()) + random.randint(5, 60)
        eventually(lambda target=target: len(site.ended()) >= target)  # type: ignore[misc]
        running.kill()
        stop.set()
        for thread in threads:
            thread.join()
    site.start()
    everything = {event for events in kept.values() for event in events}
    site.wait_for(*everything, within=120)
    assert set(site.ended()) == everything
    assert {
        row["state"] for row in site.call("delivery.list", limit=1000)["deliveries"]
    } == {"done"}
    for repo, events in kept.items():
        firsts = list(
            dict.fromkeys(
                row["id"]
                for row in site.rows()
                if row["repo"] == repo and row["what"] == "begin"
            )
        )
        assert firsts == events


def test_what_ran_when_the_daemon_died_runs_again(site: Site) -> None:
    """P3: the same delivery id, the next attempt, and no worker of the dead daemon goes
    on.
    """
    site.write("rec", recorder("if payload['attempt'] == 1: time.sleep(600)"))
    running = site.start()
    event = site.submit()
    eventually(site.begun)
    running.kill()
    site.start()
    site.wait_for(event)
    begins = [row for row in site.rows() if row["what"] == "begin"]
    assert [row["attempt"] for row in begins] == [1, 2]
    assert len({row["delivery"] for row in begins}) == 1
    [row] = site.call("event.show", id=event)["event"]["deliveries"]
    assert row["orphans"] == 1


@pytest.mark.long
def test_poison_that_kills_the_daemon(site: Site) -> None:
    """F13: a dead letter at the tenth death; the daemon stays up then, and what waited
    behind it runs.
    """
    site.write(
        "rec",
        recorder("if 'poison' in payload['commits'][0]['message']: time.sleep(600)"),
    )
    poison, good = push(message="poison\n"), push(message="fine\n")
    for death in range(1, 11):
        running = site.start(wait=death == 1)
        if death == 1:
            site.submit(poison)
        # What a broker may no longer do itself, such as filling the machine's memory,
        # is done for it.
        eventually(lambda death=death: site.begun().count(poison["id"]) == death, 60)  # type: ignore[misc]
        running.kill()
        if death == 1:
            handover.submit(site.config, good, 1)
    site.start()
    site.wait_for(good["id"])
    stats = site.settled(dead=1, done=1)
    assert stats["services"]["rec"]["counters"]["dead"] == 1
    assert site.begun().count(poison["id"]) == 10


@pytest.mark.parametrize("order", ["bounded", "strict", "none"])
def test_a_failing_delivery_and_the_ones_behind_it(site: Site, order: str) -> None:
    """P5, F15: bounded, it holds its own lane for `hold` and no other; strict, to its
    end; none, nobody.
    """
    site.write(
        "rec",
        recorder(
            "if 'fail' in payload['commits'][0]['message']: raise Retry('no', after=0.3)"
        ),
    )
    site.configure(site.services("rec", order=order, hold=1))
    site.start()
    stuck, behind = push("a/a", message="fail\n"), push("a/a")
    site.submit(stuck)
    site.submit(behind)
    others = [site.submit(push(f"b/{n}")) for n in range(20)]
    site.wait_for(*others)
    if order == "strict":
        assert behind["id"] not in site.begun()
    else:
        site.wait_for(behind["id"], within=60)
    [row] = [
        r
        for r in site.call("delivery.list", state="ready")["deliveries"]
        if r["event"] == stuck["id"]
    ] or [None]
    if order == "bounded" and row:
        assert row["parked"]
