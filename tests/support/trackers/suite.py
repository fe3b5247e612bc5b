"""The suite for our own trackers: their setups are those of docs/trackers.md."""

import re
import tomllib
from pathlib import Path
from typing import Any

from oberonc.testing import trackers
from oberonc.testing.world import World, broker, commit, payload

PAGE = Path(__file__).parents[3] / "docs" / "trackers.md"


def documented() -> list[dict[str, Any]]:
    """The services of docs/trackers.md, without their broker."""
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [
        {name: value for name, value in table.items() if name != "broker"}
        for block in blocks
        for table in tomllib.loads(block)["services"].values()
    ]


class Suite(trackers.Suite):
    """What every tracker is held to, set up as docs/trackers.md says."""

    def documented(self, world: World) -> dict[str, Any]:
        kind = world.settings["tracker"]
        tables = [found for found in documented() if found["tracker"] == kind]
        assert tables, f"docs/trackers.md has no service with tracker = '{kind}'"
        if len(tables) > 1:  # Jira: with and without a user
            tables = [
                found
                for found in tables
                if ("user" in found) == ("user" in world.settings)
            ]
        settings = {
            name: world.least.get(name, value) for name, value in tables[0].items()
        }
        return settings | {"url": world.least["url"]}


def push(world: World, state: Path, message: str, **settings: Any) -> str:
    """What the broker notes of a push with *message*."""
    pushed = payload(commit(message, next(trackers.NUMBERS)))
    return broker(world.settings | settings, state).handle(pushed)
