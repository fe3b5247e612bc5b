"""After an outage nobody is flooded: what waits for a chat and for builds is thinned as
their services say, and the tracker still gets all of it.
"""

import itertools
import json
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

from oberonc.issues.embedded import IssueFile
from oberonc.testing import Answer, Sent, Server, commit
from tests.support.clock import Clock
from tests.support.clock import clock as clock
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually

PUSHES, FRESH = 500, 60
#: Each branch of each repository, in turn.
BRANCHES = (
    ("web/shop", "main"),
    ("web/shop", "next"),
    ("app", "stable"),
    ("app", "old"),
)
REPOSITORIES = sorted({repository for repository, _ in BRANCHES})


class Away:
    """A service that has an outage until it is `up`."""

    def __init__(self) -> None:
        self.up = False
        self.taken: list[Sent] = []

    def __call__(self, sent: Sent) -> Answer:
        if not self.up:
            return Answer(503)
        self.taken.append(sent)
        return Answer(201, "{}")


def _push(number: int) -> dict[str, Any]:
    repository, branch = BRANCHES[number % len(BRANCHES)]
    made = push(repository)
    told = commit(number + 1, f"refs #1: change {number}\n", branch)
    update = made["updates"][0]
    update |= {"ref": f"refs/heads/{branch}", "name": branch, "new": told["raw_node"]}
    update |= {"publish": True, "created": False, "deleted": False, "first": False}
    return made | {
        "updates": [update],
        "commits": [told],
        "merged": [],
        "published": [told["raw_node"]],
        "foreign": [],
        "dropped": [],
        "commits_total": 1,
    }


def _configure(site: Site, chat: Server, ci: Server) -> None:
    secret = site.folder / "secret"
    secret.write_text(f"{chat.url}/hook")
    secret.chmod(0o600)
    site.configure(
        {
            "tracker": {"broker": "issues"},
            "chat": {
                "broker": "mattermost",
                "url": f"file:{secret}",
                "rate": "1/s",
                "max_age": "30m",
                "digest": "2s",
            },
            "builds": {
                "broker": "ci",
                "system": "gitlab",
                "url": ci.url,
                "job": "7",
                "collapse": "ref",
            },
        }
    )


def _states(site: Site, service: str) -> dict[str, int]:
    found = site.stats()["services"][service]
    names = ("ready", "leased", "done", "dead", "expired", "collapsed")
    return {name: found[name] for name in names if found[name]}


def test_after_an_outage_a_chat_gets_a_handful_and_each_ref_one_build(
    site: Site, clock: Clock
) -> None:
    chat, builds = Away(), Away()
    with Server(chat) as chat_server, Server(builds) as ci_server:
        _configure(site, chat_server, ci_server)
        daemon = site.start(wait=True, **clock.environment)
        for repository in REPOSITORIES:
            IssueFile(site.state).new(repository, "it is broken")
        for number in range(PUSHES - FRESH):
            site.submit(_push(number))
        # Both were tried, in vain, and the daemon is started anew meanwhile.
        eventually(lambda: chat_server.requests and ci_server.requests)
        for service in ("chat", "builds"):
            site.call("lane.pause", service=service)
        daemon.stop()
        clock.leap(50 * 60)
        site.start(wait=True, **clock.environment)
        fresh = [site.submit(_push(n)) for n in range(PUSHES - FRESH, PUSHES)]
        chat.up = builds.up = True
        for service in ("chat", "builds"):
            site.call("lane.resume", service=service)
        site.settled(within=120, dead=0)

        assert _states(site, "chat") == {"done": FRESH, "expired": PUSHES - FRESH}
        assert 1 <= len(chat.taken) <= 6
        assert _told(chat) >= len(REPOSITORIES)
        assert _apart(site) >= 1000
        assert _states(site, "builds") == {
            "done": len(BRANCHES),
            "collapsed": PUSHES - len(BRANCHES),
        }
        refs = Counter(parse_qs(sent.body.decode())["ref"][0] for sent in builds.taken)
        assert refs == {branch: 1 for _, branch in BRANCHES}
        assert _states(site, "tracker") == {"done": PUSHES}
        comments = [
            len(IssueFile(site.state).show(repository, 1)["comments"])
            for repository in REPOSITORIES
        ]
        assert comments == [PUSHES // 2] * 2
        log = site.daemons[1].log
        assert "ends as expired: older than 1800 s" in log
        assert "ends as collapsed: collapsed into " in log
        one = site.call("log", key=fresh[-1])["events"][0]["services"]
        assert one["chat"]["outcome"] == "done"


def _told(chat: Away) -> int:
    """How many messages tell of a fresh push."""
    return sum("change 4" in json.loads(sent.body)["text"] for sent in chat.taken)


def _apart(site: Site) -> int:
    """The least time between two attempts of the chat, in milliseconds."""
    done = site.call("delivery.list", service="chat", state="done", limit=1000)
    leaders = [row["id"] for row in done["deliveries"] if row["joined"] is None]
    shown = (site.call("dead.show", delivery=id)["delivery"] for id in leaders)
    began = sorted(
        attempt["began_ms"] for delivery in shown for attempt in delivery["attempts"]
    )
    return min((b - a for a, b in itertools.pairwise(began)), default=1000)
