"""The HTTP face's figures, each a ratio to something measured in the same run."""

import hashlib
import json
import os
import selectors
import socket
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from oberonc.delivery import frames as wire
from oberonc.queue.values import Ending, Slot
from tests.benchmarks.test_queue import NOW, fill
from tests.brokers_for_tests import source
from tests.support import daemon_site, web
from tests.support.browser import Browser
from tests.support.children import end
from tests.support.daemon_site import Site, push
from tests.support.web import Faces, tokens, webhooks
from tests.support.webhooks import SECRET, example, signed_like_github

pytestmark = pytest.mark.benchmark

bare_site = daemon_site.site
faces = web.faces
#: Pushes of a round, and senders at once.
COUNT, SENDERS = 2000, 64
#: Deliveries of the two queues.
FEW, MANY = 1_000, 1_000_000


@pytest.fixture
def site(bare_site: Site) -> Site:
    """A site whose one service keeps what it gets."""
    bare_site.write("keeper", source("keeper"))
    bare_site.configure(bare_site.services("keeper"))
    return bare_site


def _flood(address: Any, requests: list[bytes], good: bytes) -> float:
    """Requests a second of 64 senders, each of which sends the next when it has its
    answer; *good* is in each.
    """
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    left, answered = iter(requests), 0
    with selectors.DefaultSelector() as selector:
        for request in islice(left, SENDERS):
            channel = socket.socket(family)
            channel.connect(address)
            selector.register(channel, selectors.EVENT_READ, channel)
            channel.sendall(request)
        began = time.monotonic()
        while answered < len(requests):
            for key, _ in selector.select():
                answer = key.data.recv(65536)
                # Head and body of an answer come as one, or the body after it.
                if answer.startswith(b"HTTP") and not answer.endswith(b"}"):
                    answer += key.data.recv(65536)
                assert good in answer, answer
                answered += 1
                if following := next(left, None):
                    key.data.sendall(following)
        took = time.monotonic() - began
        for key in [*selector.get_map().values()]:
            key.data.close()
    return len(requests) / took


def _from_github(number: int) -> bytes:
    """A push of GitHub's form, of some 5 KB, as it comes on a connection that stays."""
    value = json.loads(example("github/push_rebase_merge").raw)
    oid = hashlib.sha1(str(number).encode()).hexdigest()
    value |= {"before": value["after"], "after": oid}
    value["commits"] = [value["commits"][0] | {"id": oid}]
    value["head_commit"] = value["commits"][0]
    value["repository"]["full_name"] = f"r/{number % 40}"
    each = signed_like_github(value, f"{number}")
    head = [f"{name}: {text}" for name, text in each.headers.items()]
    head += ["Host: localhost", f"Content-Length: {len(each.raw)}"]
    return ("\r\n".join(["POST /in/github HTTP/1.1", *head]) + "\r\n\r\n").encode() + (
        each.raw
    )


def test_webhooks_beside_the_daemons_accepts(site: Site, faces: Faces) -> None:
    """64 senders at once at no less than a third of what the daemon takes through its
    socket.
    """
    webhooks(site, {"github": {"forge": "github", "secret": [SECRET]}})
    site.start()
    site.call("lane.pause", service="keeper")
    face = faces.start()
    sent = [_from_github(n) for n in range(3 * COUNT)]
    frames = [
        wire.encode({"op": "submit", "payload": push(f"r/{n % 40}", "x" * 150)})
        for n in range(3 * COUNT)
    ]
    ours, theirs = [], []
    for turn in range(3):  # in turns, so that both see the same weather
        ours.append(_flood(("127.0.0.1", face.port), sent[turn::3], b'"accepted"'))
        theirs.append(_flood(str(site.socket), frames[turn::3], b"accepted"))
    ratio = statistics.median(one / two for one, two in zip(ours, theirs, strict=True))
    print(
        f"\nwebhooks, {SENDERS} at once: {max(ours):.0f}/s, the daemon's socket {max(theirs):.0f}/s,"
        f" ratio {ratio:.2f} (wanted 0.33)"
    )
    assert ratio >= 1 / 3


#: There is no index of repositories: 20,000 events are looked at and no more, which are
#: all of the one queue and a fiftieth of the other. Printed, and held to nothing.
SEARCH = "/api/events?repository=repo%201"
#: What is opened; each other reads what there is of the queue at its beginning, or one place.
PAGES = (
    "/",
    "/letters",
    "/pushes",
    "/services",
    "/api/deliveries",
    "/api/deliveries?state=dead",
    "/api/deliveries?service=tracker",
    "/api/events",
    "/api/stats",
    SEARCH,
)


def _filled(folder: Path, depth: int) -> Site:
    """A site whose queue has *depth* ready deliveries, and 20 dead letters."""
    folder.mkdir()
    made = Site(folder)
    made.write("keeper", source("keeper"))
    made.configure({"tracker": {"broker": "keeper", "ledger": str(made.ledger)}})
    made.state.mkdir(mode=0o700)
    queue = fill(made.state / "queue.sqlite", depth)
    slot = Slot("tracker", 20, 1)
    for lease in queue.lease(NOW, [slot], "worker").leases:
        queue.end(NOW, lease.token, Ending("dead", "no"))
    queue.pause("tracker")
    queue.close()
    tokens(made, ["admin"])
    return made


@pytest.mark.timeout(1800)
def test_the_pages_of_a_million_deliveries_beside_those_of_a_thousand(
    bare_site: Site,
) -> None:
    """Each at most 1.5 times."""
    sites = [
        _filled(bare_site.folder / name, depth)
        for name, depth in (("few", FEW), ("many", MANY))
    ]
    os.sync()
    taken: dict[str, tuple[list[float], list[float]]] = {p: ([], []) for p in PAGES}
    faces_of = [Faces(site) for site in sites]
    try:
        browsers = []
        for site, started in zip(sites, faces_of, strict=True):
            site.start()
            token = {"Authorization": "Bearer admin-token"}
            browsers.append(Browser(started.start().port))
            browsers[-1].log_in("admin-token")
        for _ in range(15):  # in turns, so that both see the same weather
            for path in PAGES:
                headers = token if path.startswith("/api") else {}
                for which, browser in enumerate(browsers):
                    began = time.perf_counter()
                    answer = browser.send("GET", path, headers=headers)
                    taken[path][which].append(time.perf_counter() - began)
                    assert answer.status == 200, answer
    finally:
        for site, started in zip(sites, faces_of, strict=True):
            for face in started.all:
                end(face.process)
            for running in site.daemons:
                end(running.process)
    ratios = {}
    for path, (few, many) in taken.items():
        before, after = statistics.median(few), statistics.median(many)
        ratios[path] = after / before
        print(
            f"\n{path}: {before * 1e3:.1f} ms at {FEW:,}, {after * 1e3:.1f} ms at {MANY:,},"
            f" ratio {ratios[path]:.2f}"
        )
    del ratios[SEARCH]
    assert max(ratios.values()) <= 1.5
