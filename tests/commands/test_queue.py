"""`oberonc queue`: what waits and for what, and many deliveries steered at once."""

import re
import time
from typing import Any

import pytest

from tests.support.command import Command, Done
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually

DEAD = "from oberonc import BaseBroker, Reject\nclass B(BaseBroker):\n    def handle(self, p): raise Reject({note!r})\n"
LATER = (
    DEAD.format(note="no")
    .replace("Reject", "Retry")
    .replace("('no')", "('no', after=99)")
)
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"


class Queue:
    """`oberonc queue ...` on a site."""

    def __init__(self, site: Site, oberonc: Command) -> None:
        self._site, self._oberonc = site, oberonc

    def __call__(self, *words: str, code: int = 0) -> Done:
        return self._oberonc("--config", self._site.file, "queue", *words, code=code)

    def ids(self, *words: str) -> list[int]:
        return [int(line.split()[0]) for line in self("list", *words).out.splitlines()]


@pytest.fixture
def queue(site: Site, oberonc: Command) -> Queue:
    """A daemon with two services whose deliveries die, with three pushes of two
    repositories each.
    """
    site.write("dead", DEAD.format(note="never"))
    site.configure({"one": {"broker": "dead"}, "two": {"broker": "dead"}})
    site.start()
    for name in ("a/b", "a/b", "c/d"):
        site.submit(push(name))
    site.settled(dead=6)
    return Queue(site, oberonc)


def test_the_newest_are_listed_first_and_what_is_left_out_is_said(queue: Queue) -> None:
    assert queue.ids() == [6, 5, 4, 3, 2, 1]
    assert queue.ids("--oldest") == [1, 2, 3, 4, 5, 6]
    assert len(queue.ids("--repository", "c/d")) == 2
    assert len(queue.ids("--service", "one")) == 3
    said = queue("list", "--limit", "4")
    assert [line.split()[0] for line in said.out.splitlines()] == ["6", "5", "4", "3"]
    assert "only 4 deliveries shown, there are more" in said.err
    assert queue("list", "--limit", "6").err == ""
    assert [row["id"] for row in queue("list", "--json", "--limit", "1").json] == [6]
    assert re.match(
        rf" +6  {TIME}  dead  \w+  c/d: never$", queue("list").out.splitlines()[0]
    )


def test_since_takes_spans_and_times_in_utc(queue: Queue) -> None:
    assert len(queue.ids("--since", "1h")) == 6
    assert len(queue.ids("--since", "2020-01-01")) == 6
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    assert queue.ids("--since", later) == []
    for wrong in ("1y", "yesterday", "", "-1h", "h", "2026-13-01"):
        if wrong:
            assert "--since wants" in queue("list", f"--since={wrong}", code=2).err


def test_many_are_steered_by_what_they_have_in_common(queue: Queue) -> None:
    said = queue("drop", "--service", "one", "--repository", "a/b")
    assert "dropped 2 deliveries" in said.err
    assert len(said.out.splitlines()) == 2
    assert len(queue.ids("--state", "cancelled")) == 2
    said = queue("retry", "--state", "cancelled")
    assert "retried 2 deliveries" in said.err
    assert "retried 0 deliveries" in queue("retry", "--service", "nobody").err
    for wrong in (
        ["retry"],
        ["drop"],
        ["drop", "1", "--service", "one"],
        ["retry", "1", "--state", "dead"],
    ):
        assert (
            "give the numbers of deliveries, or --service" in queue(*wrong, code=2).err
        )


def test_one_that_cannot_be_steered_stops_no_other_and_the_exit_code_tells(
    queue: Queue, site: Site
) -> None:
    said = queue("drop", "1", "999", "2", code=65)
    assert [line.split()[0] for line in said.out.splitlines()] == ["1", "2"]
    assert "there is no delivery 999" in said.err
    assert "dropped 2 deliveries; 1 could not be dropped" in said.err
    said = queue("drop", "1", "3", code=65)
    assert (
        "delivery 1 is cancelled: only ready and dead ones can be dropped" in said.err
    )
    results = queue("drop", "4", "5", "--json").json
    assert [(row["id"], row["delivery"]["state"]) for row in results] == [
        (4, "cancelled"),
        (5, "cancelled"),
    ]
    site.settled(cancelled=5)


def test_what_a_delivery_waits_for_is_told(site: Site, oberonc: Command) -> None:
    queue = Queue(site, oberonc)
    site.write("later", LATER)
    site.configure({"later": {"broker": "later", "order": "strict"}})
    site.start()
    pushed = site.submit(push("a/b"))

    def tried() -> dict[str, Any]:
        [row] = queue("list", "--json").json
        return row if row["state"] == "ready" and row["tries"] else {}

    eventually(tried, 30, "the first delivery was not tried")
    site.submit(push("a/b"))
    second, first = queue("list").out.splitlines()
    assert re.search(rf"ready  later  a/b  \(next try {TIME}\): no$", first)
    assert re.search(r"ready  later  a/b  \(behind delivery 1\)$", second)
    assert re.search(rf"\(next try {TIME}\)", queue("show", "1").out.splitlines()[0])
    assert queue("show", "1").out.splitlines()[1].endswith(", 1 failed try, 0 crashes")
    for op, of in (("dead.show", {"delivery": 1}), ("event.show", {"id": pushed})):
        services = site.call(op, **of)["services"]
        assert services == {
            "later": {"breaker": "closed", "probe_due_ms": None, "next_ms": None}
        }


def test_rows_cannot_be_forged(site: Site, oberonc: Command) -> None:
    queue = Queue(site, oberonc)
    forged = "x\n    99  2026-01-01T00:00:00Z  done  one  a/b\r\x1b[2K\u202e\u2028\x85y"
    source = f"import sys\n{DEAD.format(note=forged)}".replace(
        "raise", f"print({forged!r}); raise"
    )
    site.write("dead", source)
    site.configure({"one": {"broker": "dead"}})
    site.start()
    site.submit()
    site.settled(dead=1)
    assert len(queue("list").out.splitlines()) == 1
    lines = queue("show", "1").out.split("\n")[:-1]
    assert [line[:6] for line in lines] == [
        "     1",
        "push " + lines[1][5],
        lines[2][:6],
        "    | ",
        "    | ",
    ]
    assert not set("\r\x1b\u202e\u2028\x85") & set("".join(lines))


def test_what_expired_is_shown_everywhere_and_retried(
    site: Site, oberonc: Command
) -> None:
    site.start()
    site.call("lane.pause", service="rec")
    old = site.submit()
    rec = {"broker": "rec", "ledger": str(site.ledger), "max_age": "1s"}
    site.configure({"rec": rec})
    assert site.reload()["accepted"]
    accepted = time.monotonic()
    eventually(lambda: time.monotonic() > accepted + 1.1)
    site.call("lane.resume", service="rec")
    site.settled(expired=1)
    queue = Queue(site, oberonc)
    assert queue.ids() == []
    assert (
        "expired  rec  web/shop: older than 1 s"
        in queue("list", "--state", "expired").out
    )
    on_site = ("--config", site.file)
    assert "1 delivery expired: older than `max_age`" in oberonc(*on_site, "stats").out
    assert "0 dead, 1 expired" in oberonc(*on_site, "brokers").out
    counted = 'oberonc_deliveries_total{service="rec",outcome="expired"} 1'
    assert counted in oberonc(*on_site, "stats", "--prometheus").out
    assert "expired" in oberonc(*on_site, "log", old).out
    assert "ends as expired: older than 1 s" in site.daemons[0].log
    site.configure()
    assert site.reload()["accepted"]
    queue("retry", "--state", "expired")
    site.wait_for(old)
