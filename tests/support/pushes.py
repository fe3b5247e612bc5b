"""What the hooks made of real pushes and commits: the payloads, caught where no daemon
answers, in the spool.
"""

import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from oberonc.admin.install.script import script
from oberonc.delivery import spool
from oberonc.issues.embedded import IssueFile
from tests.support.command import Command
from tests.support.repo import Repo

Payload = dict[str, Any]


@lru_cache
def _script(hook: str) -> str:
    return script(hook)


def put_hook(folder: Path, *names: str) -> None:
    """Write the hooks that `oberonc hook install` writes into the hook *folder*."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(_script(name))
        (folder / name).chmod(0o755)


class Catch:
    """A configuration whose payloads all end in the spool, and the way to read them."""

    def __init__(self, home: Path, extra: str = "") -> None:
        self._folder = home / "spool"
        self._seen: set[Path] = set()
        file = home / ".config" / "oberonc" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f'delivery = "daemon"\nspool = "{self._folder}"\nstate = "{home / "state"}"\n{extra}\n'
            f'[daemon]\nsocket = "{home / "nobody.sock"}"\n'
        )

    def take(self) -> list[Payload]:
        """The payloads since the last call, oldest first."""
        there = spool.listing(self._folder) if self._folder.is_dir() else []
        fresh = [path for path in there if path not in self._seen]
        self._seen.update(fresh)
        return [dict(spool.read(path)["payload"]) for path in fresh]


class Server:
    """A bare repository with the hook, and a clone of it."""

    def __init__(self, home: Path, bare: Repo, extra: str = "") -> None:
        self.bare, self.home = bare, home
        self.catch = Catch(home, extra)
        put_hook(bare.path / "hooks", "post-receive")
        self.work = bare.clone(home / "work")
        self.said = ""

    def push(self, *refs: str, options: str = "", **env: str) -> Payload:
        """Push *refs* from the clone; the payload of that push."""
        quoted = " ".join(f"'{ref}'" for ref in refs)
        self.said = self.work.sh(f"git push {options} origin {quoted}", 0, **env)
        (payload,) = self.catch.take()
        return payload


class Shop:
    """A bare repository `shop` whose issues 1 to 10 the issue broker acts on, and a
    clone of it; `install` puts the hook there.
    """

    def __init__(self, bare: Repo, oberonc: Command, folder: Path, state: Path) -> None:
        self.bare, self.oberonc, self._folder = bare, oberonc, folder
        self.work = self.clone("work")
        self.issues = IssueFile(state)
        for number in range(1, 11):
            self.issues.new("shop", f"issue {number}")

    def install(self) -> None:
        """Put the hook there, as an administrator does."""
        self.oberonc("hook", "install", self.bare.path)

    def clone(self, name: str) -> Repo:
        """Somebody's clone."""
        return self.bare.clone(self._folder / name)

    def state(self, number: int) -> str:
        """`open` or `closed`."""
        return self.issues.state("shop", number)

    def closed(self) -> list[int]:
        """The numbers of the closed issues."""
        rows = self.issues.issues("shop")
        return [row.number for row in rows if row.state == "closed"]

    def comments(self, number: int) -> list[dict[str, Any]]:
        """The comments on an issue, oldest first."""
        return list(self.issues.show("shop", number)["comments"])

    def reopen(self, *numbers: int) -> None:
        """As a person does."""
        for number in numbers:
            self.issues.set_state("shop", number, "open")


def oids(entries: list[Payload]) -> list[str]:
    """The ids of *entries*."""
    return [entry["raw_node"] for entry in entries]


def fast_import(repo: Repo, stream: bytes) -> None:
    """Build history quickly, without a work tree."""
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force", "--date-format=raw"],
        input=stream,
        cwd=repo.path,
        env=dict(os.environ),
        check=True,
        timeout=120,
    )


def chain(count: int, branch: str = "main", start: str = "") -> bytes:
    """A stream of *count* commits in a row, on top of *start*."""
    who = b"committer Ann Example <ann@example.org> %d +0200\n"
    lines = [b"reset refs/heads/%s\n" % branch.encode()]
    for number in range(count):
        text = b"change %d\n" % number
        lines.append(
            b"commit refs/heads/%s\n" % branch.encode() + who % (1767261600 + number)
        )
        lines.append(b"data %d\n%s" % (len(text), text))
        if start and not number:
            lines.append(b"from %s\n" % start.encode())
        lines.append(
            b"M 100644 inline file%d.txt\ndata %d\n%s\n"
            % (number % 50, len(text), text)
        )
    return b"".join(lines)
