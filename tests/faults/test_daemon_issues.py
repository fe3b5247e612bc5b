"""The issue broker under the daemon: killed half-way through a push of many references,
nothing is lost or repeated.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from oberonc.testing.relay import WRITES
from oberonc.testing.world import commit, payload
from tests.support.daemon_site import Site
from tests.support.eventually import eventually
from tests.support.trackers.forges import GitHubWorld, running

ISSUES, COMMITS = 20, 10


@pytest.fixture
def world() -> Iterator[GitHubWorld]:
    yield from running(GitHubWorld, check=False)


def _configure(site: Site, world: GitHubWorld) -> None:
    token = site.folder / "token"
    token.write_text(world.settings["token"])
    token.chmod(0o600)
    service = world.settings | {"broker": "issues", "token": f"file:{token}"}
    site.configure({"tracker": service})


def test_a_daemon_killed_half_way_neither_loses_nor_repeats_a_reference(
    site: Site, world: GitHubWorld
) -> None:
    opened = [world.new() for _ in range(ISSUES)]
    fixes = [
        commit(f"fixes {', '.join(opened[:10])}", 1),
        commit(f"fixes {', '.join(opened[10:])}", 2),
    ]
    refs = [
        commit(f"refs {', '.join(opened[n : n + 10])}", 3 + n)
        for n in range(COMMITS - 2)
    ]
    pushed = payload(
        *fixes, *refs, truncated=False, commits_total=COMMITS, push_options=[]
    )
    pushed["updates"][0]["first"] = False
    pushed["repository"]["full_name"] = world.settings["project"]
    _configure(site, world)
    for number in (3, 40):
        running = site.start()
        if number == 3:
            site.submit(pushed)
        left = [number]

        def rule(method: str, path: str, left: list[int] = left) -> None:
            left[0] -= method in WRITES

        world.relay.rule = rule
        eventually(lambda left=left: left[0] <= 0)  # type: ignore[misc]
        running.kill()
    world.relay.spoil_nothing()
    site.start()
    eventually(lambda: site.call("delivery.list", state="done")["deliveries"], 120)
    issues = world.contract.issues.values()
    marks = Counter(
        comment["body"].rpartition("oberonc:")[2]
        for issue in issues
        for comment in issue.comments
    )
    assert len(marks) == COMMITS * 10
    assert set(marks.values()) == {1}
    assert {issue.state for issue in issues} == {"closed"}
    assert all(len(issue.times) <= 1 for issue in issues)
