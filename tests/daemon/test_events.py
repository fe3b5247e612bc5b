"""Through a daemon each service gets the events and diffs it asked for, and the log
says why it got nothing.
"""

import json
from pathlib import Path
from typing import Any

from tests.support.daemon_site import Site, push

KEEP = """
import json
from oberonc import BaseBroker

class Keep(BaseBroker):
    class Settings:
        kept: str

    def handle(self, payload):
        with open(self.settings.kept, "a") as file:
            file.write(json.dumps([self.service, payload]) + "\\n")
"""


def test_each_gets_what_it_asked_for_and_the_log_says_why_not(site: Site) -> None:
    kept = site.folder / "kept"
    site.write("keep", KEEP)
    service = {"broker": "keep", "kept": str(kept)}
    site.configure(
        {
            "all": service | {"diffs": True},
            "tags": service | {"events": ["tag"]},
            "plain": service,
        }
    )
    site.start()
    made = push()
    branch = made["updates"][0]
    tag = branch | {"ref": "refs/tags/v1", "kind": "tag", "name": "v1"}
    for commit in made["commits"]:
        commit["diff"] = "+a line"
    first = site.submit(made | {"updates": [branch, tag]})
    site.settled(done=3)
    got = _rows(kept)
    assert [c["diff"] for c in got["all"]["commits"]] == ["+a line"] * 2
    assert not any("diff" in c for c in got["plain"]["commits"])
    assert [u["name"] for u in got["plain"]["updates"]] == ["main", "v1"]
    assert [u["name"] for u in got["tags"]["updates"]] == ["v1"]
    assert got["tags"]["commits"] == got["tags"]["published"] == []
    second = site.submit(push() | {"updates": [branch]})
    site.settled(done=5)
    [row] = site.call("log", key=second)["events"]
    why = row["services"]["tags"]["why"]
    assert why.endswith("nothing in the push is one of `events`")
    assert first != second


def _rows(kept: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads(row) for row in kept.read_text().splitlines())
