"""F27: the wall clock of a whole daemon leaps ten years, either way, while retries wait
(P13).
"""

import time

import pytest

from oberonc.policy import LONGEST_MS
from tests.support.clock import Clock
from tests.support.clock import clock as clock
from tests.support.daemon_site import Site, push, recorder
from tests.support.eventually import eventually

YEARS = 10 * 365 * 24 * 3600
ONCE_IN_VAIN = "if payload['attempt'] == 1 and 'later' in payload['commits'][0]['message']: raise Retry('not yet')"


@pytest.fixture
def waiting(site: Site, clock: Clock) -> list[str]:
    """Two pushes of one repository and one of another; the first of each failed once
    and waits to be tried again.
    """
    site.write("rec", recorder(ONCE_IN_VAIN))
    site.start(wait=True, **clock.environment)
    events = [
        site.submit(push(repo, message))
        for repo, message in (("a", "later"), ("a", "next"), ("b", "later"))
    ]
    eventually(
        lambda: sum("retry" in line for line in site.daemons[0].log.splitlines()) == 2
    )
    return events


def test_a_clock_set_forward_expires_nothing(
    site: Site, clock: Clock, waiting: list[str]
) -> None:
    clock.leap(YEARS)
    site.wait_for(*waiting)
    assert site.settled()["deliveries"]["dead"] == 0
    assert [
        row["id"] for row in site.rows() if row["what"] == "end" and row["repo"] == "a"
    ] == waiting[:2]


@pytest.mark.long
def test_a_clock_set_back_delays_nothing_longer_than_one_back_off(
    site: Site, clock: Clock, waiting: list[str]
) -> None:
    clock.leap(-YEARS)
    eventually(lambda: "the clock was set back" in site.daemons[0].log)
    now = int(time.time() * 1000) - YEARS * 1000
    ready = site.call("delivery.list", state="ready")["deliveries"]
    assert len(ready) == 3
    assert all(delivery["due_ms"] <= now + LONGEST_MS + 60_000 for delivery in ready)
    clock.leap(-YEARS + LONGEST_MS // 1000 + 60)
    site.submit(push("c"))  # who is due is asked for when something comes
    site.wait_for(*waiting)
    assert site.settled()["deliveries"]["dead"] == 0
    assert [
        row["id"] for row in site.rows() if row["what"] == "end" and row["repo"] == "a"
    ] == waiting[:2]
