"""What every tracker must make of one push, whatever it is: the worlds the tests share,
and the push.
"""

import hashlib
import re
import tomllib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from brokers.issues import Issues
from oberonc import Retry, Secret
from tests.support.trackers.relay import Relay

REPOSITORY = "octo/hello"
PAGE = Path(__file__).parents[3] / "docs" / "trackers.md"


def commit(message: str, number: int = 1, **more: Any) -> dict[str, Any]:
    """A commit of a payload; its ids and its change come from *number*."""
    oid = hashlib.sha1(str(number).encode()).hexdigest()
    return {
        "node": oid[:12],
        "raw_node": oid,
        "author": "Ann Example",
        "raw_author": "Ann Example <ann@example.org>",
        "committer": "Ann Example <ann@example.org>",
        "message": message,
        "branch": "main",
        "parents": [],
        "files": [],
        "timestamp": "2026-01-01 12:00:00",
        "utctimestamp": "2026-01-01 10:00:00+00:00",
        "url": f"https://git.example.org/octo/hello/commit/{oid}",
        "change": hashlib.sha1(f"change {number}".encode()).hexdigest(),
    } | more


def payload(
    *commits: dict[str, Any], full_name: str = REPOSITORY, **more: Any
) -> dict[str, Any]:
    """A push of *commits* to the default branch."""
    update = {
        "ref": "refs/heads/main",
        "kind": "branch",
        "name": "main",
        "old": "1" * 40,
        "new": "2" * 40,
    }
    return {
        "schema": 1,
        "id": "0" * 32,
        "event": "push",
        "time": "2026-01-01T10:00:00Z",
        "user": "ann",
        "canon_url": "https://git.example.org",
        "repository": {"full_name": full_name, "fork": False, "default_branch": "main"},
        "updates": [
            update
            | {"created": False, "deleted": False, "forced": False, "publish": True}
        ],
        "commits": list(commits),
        "merged": [],
        "published": [entry["raw_node"] for entry in commits],
        "truncated": False,
        "commits_total": len(commits),
        "push_options": [],
    } | more


def broker(settings: dict[str, Any], state: Path) -> Issues:
    """The issue broker with *settings*, as the runner makes it."""
    made = Issues()
    secret = {
        name: Secret(value)
        for name, value in settings.items()
        if name in ("token", "password")
    }
    made.bind("tracker", settings | secret, state)
    return made


def work_off(
    settings: dict[str, Any], state: Path, pushed: dict[str, Any], turns: int = 30
) -> tuple[str, list[Retry]]:
    """Run the delivery until it ends, as the queue does: its note, and the retries on
    the way.
    """
    retries: list[Retry] = []
    while True:
        try:
            return broker(settings, state).handle(pushed), retries
        except Retry as retry:
            retries.append(retry)
            if len(retries) >= turns:
                raise


def documented() -> list[dict[str, Any]]:
    """The services of docs/trackers.md, without their broker."""
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [
        {name: value for name, value in table.items() if name != "broker"}
        for block in blocks
        for table in tomllib.loads(block)["services"].values()
    ]


class World(ABC):
    """A running tracker with a project in it, behind a relay."""

    #: What it can do, so that the tests ask for no more.
    reopens = True
    keeps_time = True
    has_history = False
    #: A status that is none of a new or a closed issue, where it has one.
    status = ""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The settings of a service on it."""

    @property
    def least(self) -> dict[str, Any]:
        """The settings in which the bot has what docs/trackers.md asks for, and no more."""
        return self.settings

    def documented(self) -> dict[str, Any]:
        """The service of docs/trackers.md for this tracker, with this one's address and
        credentials.
        """
        kind = self.settings["tracker"]
        tables = [found for found in documented() if found["tracker"] == kind]
        assert tables, f"docs/trackers.md has no service with tracker = '{kind}'"
        if len(tables) > 1:  # Jira: with and without a user
            tables = [
                found
                for found in tables
                if ("user" in found) == ("user" in self.settings)
            ]
        settings = {
            name: self.least.get(name, value) for name, value in tables[0].items()
        }
        return settings | {"url": self.least["url"]}

    @abstractmethod
    def new(self, *, closed: bool = False) -> str:
        """Open an issue (and close it again); how a commit message writes it."""

    @abstractmethod
    def comments(self, written: str) -> list[str]:
        """The comments on the issue, oldest first; state changes without a text are
        none.
        """

    @abstractmethod
    def is_closed(self, written: str) -> bool:
        """Whether the issue is closed, asked of the tracker itself."""

    def status_of(self, written: str) -> str:
        """The issue's status, asked of the tracker itself."""
        raise NotImplementedError

    def seconds(self, written: str) -> int:
        """The time logged on the issue."""
        return 0

    def reopen_by_hand(self, written: str) -> None:
        """What a person does."""
        raise NotImplementedError


class Push:
    """One push that asks for everything, and what it must have done."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.fixed, self.named, self.first, self.second = (
            world.new() for _ in range(4)
        )
        self.reopened = world.new(closed=True) if world.reopens else ""
        reopens = f"Reopens {self.reopened}." if world.reopens else ""
        message = (
            f"great, all done, fixes {self.fixed}\n\n{reopens}\nneeds more work, references {self.named} @1h30\n"
            f"Closes {self.first} and {self.second}"
        )
        self.payload = payload(commit(message, number))
        self.node = self.payload["commits"][0]["node"]

    def everything(self) -> list[str]:
        return [
            issue
            for issue in (
                self.fixed,
                self.named,
                self.first,
                self.second,
                self.reopened,
            )
            if issue
        ]

    def assert_done(self) -> None:
        """Exactly what the push asked for, each once."""
        world = self.world
        closed = {issue: world.is_closed(issue) for issue in self.everything()}
        assert closed == {
            issue: issue in (self.fixed, self.first, self.second)
            for issue in self.everything()
        }
        for issue in self.everything():
            said = [
                text
                for text in world.comments(issue)
                if self.node in text and "of work, told by" not in text
            ]
            assert len(said) == 1, (issue, said)
        if world.keeps_time:
            assert world.seconds(self.named) == 5400
