"""The bare repositories that are fetched into, and what is known of each."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from oberonc import accounts, files
from oberonc.errors import NotAllowed
from oberonc.mirror.fetching import Head
from oberonc.mirror.origins import Origin, key
from oberonc.source.git import NO_HOOKS, Git
from oberonc.source.memory import FOLDER
from oberonc.source.repository import Repository, describe

_ABOUT = "oberonc-mirror.json"


class Mirror(NamedTuple):
    """The mirror of *repository* at *git_dir*, which need not be there yet."""

    webhook: str
    repository: str
    address: str
    git_dir: Path

    @property
    def exists(self) -> bool:
        """Whether it was made."""
        return (self.git_dir / _ABOUT).exists()

    def about(self) -> dict[str, Any]:
        """What is noted of it: `fetched` (a time, or empty), `error`, and of its links
        `canon_url` and `link`.
        """
        try:
            found = json.loads((self.git_dir / _ABOUT).read_bytes())
        except (OSError, ValueError):
            found = {}
        return found if isinstance(found, dict) else {}

    def note(self, **changes: str) -> None:
        """Add to what is noted of it. Raises OSError."""
        said = {
            "webhook": self.webhook,
            "repository": self.repository,
            "address": self.address,
        }
        raw = json.dumps(self.about() | said | changes, indent=1).encode()
        file = self.git_dir / _ABOUT
        by = file.with_name(f"{_ABOUT}.{os.getpid()}-{os.urandom(4).hex()}")
        files.put_private(file, raw, by, durable=False)

    def make(self, head: Head) -> None:
        """Make it, whole or not at all, in place of what an earlier try left, or of one
        without commits, whose notes and memory it keeps. Raises OSError.
        """
        files.make_private(self.git_dir.parent)
        fresh = self._replace(git_dir=self.git_dir.with_suffix(".tmp"))
        shutil.rmtree(fresh.git_dir, ignore_errors=True)
        fresh.git_dir.mkdir(0o700)
        kind = "sha256" if head.digits == 64 else "sha1"
        # Locks of a git that was killed are taken away, and those are of refs as files.
        settings = ("-c", NO_HOOKS, "-c", "init.defaultRefFormat=files")
        how = ("--quiet", "--bare", "--template=", f"--object-format={kind}")
        Git(fresh.git_dir).read(*settings, "init", *how)
        if self.exists:
            shutil.copy2(self.git_dir / _ABOUT, fresh.git_dir)
            with contextlib.suppress(FileNotFoundError):
                shutil.copytree(self.git_dir / FOLDER, fresh.git_dir / FOLDER)
            shutil.rmtree(self.git_dir)
        fresh.note(fetched="", error="")
        fresh.git_dir.rename(self.git_dir)

    def fits(self, head: Head) -> bool:
        """Whether ids of so many digits have a place in it; where it has commits, it
        stays as it is. That of an empty repository was made for a kind that was guessed.
        """
        git = Git(self.git_dir)
        kind = git.read("rev-parse", "--show-object-format").strip()
        guessed = 64 if kind == "sha256" else 40
        return head.digits in (0, guessed) or bool(git.refs())

    def set_head(self, ref: str) -> None:
        """Let its HEAD name the branch *ref*, if there is such a branch."""
        git = Git(self.git_dir)
        if ref and ref != git.head_ref() and ref in git.refs():
            git.read("-c", NO_HOOKS, "symbolic-ref", "HEAD", ref)

    def described(self, publish: tuple[str, ...], branch: str) -> Repository:
        """It as the hooks see a repository; *branch* is the default one where somebody
        says so.
        """
        about = self.about()
        base, link = about.get("canon_url", ""), about.get("link", "")
        settings = {"core.bare": ["true"], "oberonc.name": [self.repository]}
        settings["oberonc.url"] = [base]
        if branch:
            settings["oberonc.defaultbranch"] = [branch]
        found = describe(self.git_dir, publish, settings)
        return found._replace(link=link) if link else found


def mirror(state: Path, origin: Origin, repository: str) -> Mirror:
    """The one of *repository* below the folder *state*. Raises BadInput for a name that
    leads elsewhere.
    """
    address = origin.address(repository)
    git_dir = state / "mirrors" / f"{key(address)}.git"
    return Mirror(origin.webhook, repository, address, git_dir)


def every(state: Path) -> list[Mirror]:
    """Those that are there, by name."""
    found = []
    for file in (state / "mirrors").glob(f"*.git/{_ABOUT}"):
        about = Mirror("", "", "", file.parent).about()
        names = (about.get(part) for part in ("webhook", "repository", "address"))
        webhook, repository, address = (str(name or "") for name in names)
        found.append(Mirror(webhook, repository, address, file.parent))
    return sorted(found, key=lambda one: (one.repository, one.address))


@contextmanager
def held(one: Mirror, patience: float) -> Iterator[bool]:
    """Work on a mirror that nobody else works on; False where somebody did for
    *patience* seconds.
    """
    folder = one.git_dir.parent
    files.make_private(folder)
    lock = one.git_dir.with_suffix(".lock")
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield files.lock_within(handle, patience)
    finally:
        os.close(handle)


def ours(state: Path) -> None:
    """Raise NotAllowed where the folder *state* is another account's: what we made in
    it would be in that account's way.
    """
    with contextlib.suppress(FileNotFoundError):
        owner = state.stat().st_uid
        if owner != os.geteuid():
            name = accounts.name(owner) or f"uid {owner}"
            raise NotAllowed(f"{state} is {name}'s: run this as that account")
