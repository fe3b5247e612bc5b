"""A forge with one repository, and a mirror of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oberonc import config as configuration
from oberonc.config import Config
from oberonc.delivery import spool
from oberonc.mirror import bells, mirrors
from oberonc.mirror.fetching import USUAL, Bounds
from oberonc.mirror.mirrors import Mirror
from oberonc.mirror.origins import Origin
from oberonc.mirror.work import Turn, Worker
from oberonc.web import incoming
from oberonc.web.forges import delivery
from oberonc.web.incoming import Webhook
from oberonc.web.ledger import Ledger
from tests.support.forge import Forge
from tests.support.webhooks import SECRET, Example

NAME = "web/shop"


class Mirrored:
    """What the HTTP face does with the webhook `shop` of *forge*, step by step."""

    def __init__(self, forge: Forge, state: Path) -> None:
        self.forge, self.state = forge, state
        self.config: Config = configuration.load()
        self.clone = forge.make(NAME)
        self.origin = Origin("shop", forge.url, ("web/*",), user=forge.user)
        self.bounds: Bounds = USUAL
        self._ledger = Ledger(state)

    @property
    def mirror(self) -> Mirror:
        """It, whether it is there or not."""
        return mirrors.mirror(self.state, self.origin, NAME)

    def ring(self, webhook: Example) -> str:
        """The webhook comes; returns the event's id."""
        hook = Webhook("shop", "github", (SECRET,), ("web/*",))
        request = delivery.received(webhook.headers.items(), webhook.raw)
        made = incoming.read(hook, request, self.config, self._ledger)
        assert isinstance(made, dict)
        bells.ring(self.state, "shop", made)
        self._ledger.put((made, made["id"]))
        self._ledger.sync()
        return str(made["id"])

    def push(self, old: str, new: str, ref: str = "refs/heads/main") -> str:
        """A webhook of a push comes; returns the event's id."""
        return self.ring(self.forge.told(self.clone, old, new, ref))

    def turn(self, all_moves: bool = False) -> Turn:
        """Fetch and tell."""
        worker = Worker(self.config, self.state, self.bounds)
        return worker.turn(self.origin, NAME, all_moves=all_moves, patience=10)

    def told(self) -> list[dict[str, Any]]:
        """The payloads that were handed over, in order."""
        return [
            spool.read(path)["payload"] for path in spool.listing(self.config.spool)
        ]

    @property
    def waits(self) -> int:
        """How many bells wait."""
        return len(bells.of(self.state, next(iter(bells.keys(self.state)), "")))

    def close(self) -> None:
        """Let go of what is remembered."""
        self._ledger.close()


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A forge without repositories."""
    made = Forge(tmp_path / "forge")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def shop(forge: Forge, tmp_path: Path) -> Iterator[Mirrored]:
    """The repository `web/shop` and its mirror, which is not there yet."""
    made = Mirrored(forge, tmp_path / "face")
    try:
        yield made
    finally:
        made.close()
