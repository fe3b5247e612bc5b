"""What every tracker must make of one push, whatever it is: the worlds the tests share,
and the push.
"""

import hashlib
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any, cast

from oberonc.broker import loading
from oberonc.broker.contract import BaseBroker
from oberonc.broker.registry import TRACKER_FILE, Place
from oberonc.errors import Retry
from oberonc.paths import bundled
from oberonc.redaction import Secret
from oberonc.testing.relay import Relay

REPOSITORY = "octo/hello"


def commit(message: str, number: int = 1, **more: Any) -> dict[str, Any]:
    """A commit of a payload; its ids and its change come from *number*."""
    oid = hashlib.sha1(  # noqa: S324  as git makes its ids
        str(number).encode()
    ).hexdigest()
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
        "change": hashlib.sha1(  # noqa: S324  as git makes its ids
            f"change {number}".encode()
        ).hexdigest(),
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


def plug(file: Path) -> None:
    """Make the tracker in *file*, `tracker_NAME.py`, one that `tracker = "NAME"` names,
    as it is when it lies in a folder of brokers.
    """
    path = file.absolute()
    name = path.stem.removeprefix(TRACKER_FILE)
    loading.trackers[name] = Place(name, str(path), None, str(path.parent))


class IssueBroker(BaseBroker):
    """What the broker `issues` is, for mypy."""

    def handle(self, payload: Any) -> str:
        raise NotImplementedError


@cache
def _issues() -> type[IssueBroker]:
    path = bundled("brokers") / "issues.py"
    place = Place("issues", str(path), None, str(path.parent))
    return cast(type[IssueBroker], loading.load(place))


def broker(settings: dict[str, Any], state: Path) -> IssueBroker:
    """The issue broker with *settings*, as the runner makes it."""
    made = _issues()()
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
        """The settings in which the bot has what the tracker's documentation asks for,
        and no more.
        """
        return self.settings

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
