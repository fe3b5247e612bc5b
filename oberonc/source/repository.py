"""A repository as the payload describes it: its name, default branch and links.

Names come from what the server in front of git says (gitolite, Gitea, GitLab), so one
set of filters serves them all; every such variable is optional.
"""

from __future__ import annotations

import os

from oberonc.errors import BadInput, ConfigError
from oberonc.paths import absolute
from oberonc.payload.globs import matches
from oberonc.payload.schema import LONGEST_REPOSITORY
from oberonc.process import Child, git_environment
from oberonc.source.git import ORIGIN, Git
from oberonc.text import clean
from oberonc.tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from oberonc.source.git import Ref

#: Where a clone remembers its name since hooks were installed into it.
KNOWN_AS = "oberonc.knownas"
#: What git takes for a boolean.
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class Repository(NamedTuple):
    """One repository. *default_ref* and *publish* are full refs and ref patterns;
    *aliases* are branches that are only another name of one: {name: branch}.
    """

    git: Git
    full_name: str
    owner: str
    bare: bool
    default_ref: str
    default_exists: bool
    publish: tuple[str, ...]
    services: tuple[str, ...] | None
    canon_url: str
    link: str
    refs: dict[str, Ref]
    aliases: dict[str, str]

    @property
    def common(self) -> str:
        """The git folder that all its work trees share."""
        return common_dir(self.git.git_dir)

    def is_shallow(self) -> bool:
        """Whether history ends at a boundary: a commit without parents is no root then."""
        return os.path.exists(os.path.join(self.common, "shallow"))

    def publishes(self, ref: str) -> bool:
        """Whether commits that reach *ref* count as published."""
        return any(matches(pattern, ref) for pattern in self.publish)

    def as_payload(self) -> dict[str, Any]:
        """The payload's `repository`."""
        name = self.full_name.rpartition("/")[2]
        wanted = {} if self.services is None else {"services": list(self.services)}
        return wanted | {
            "name": name,
            "slug": name.lower(),
            "owner": self.owner,
            "absolute_url": f"/{self.full_name}/",
            "website": f"{self.canon_url}/{self.full_name}" if self.canon_url else "",
            "scm": "git",
            "fork": False,
            "is_private": False,
            "full_name": self.full_name,
            "default_branch": self.default_ref.removeprefix("refs/heads/"),
        }


def find_git_dir(folder: str | Path = ".") -> str:
    """The absolute git folder of *folder*; raises BadInput where there is none."""
    try:
        child = Child(
            ["git", "-C", str(folder), "rev-parse", "--absolute-git-dir"],
            git_environment(),
        )
    except FileNotFoundError:
        raise ConfigError("cannot find git: it is not on PATH") from None
    found = child.stdout.read()
    code, errors = child.wait()
    if code != 0:
        if b"dubious ownership" in errors:
            raise BadInput(
                f"{os.path.realpath(folder)} belongs to another user: run this as its owner, or"
                f" git config --global --add safe.directory {os.path.realpath(folder)}"
            )
        raise BadInput(f"{absolute(folder)} is not in a git repository")
    return os.fsdecode(found).removesuffix("\n")


def is_enabled(settings: dict[str, list[str]]) -> bool:
    """Whether the repository wants anything at all."""
    return _last(settings, "oberonc.enabled").lower() not in _FALSE


def glance(git: Git, settings: dict[str, list[str]]) -> dict[str, Any]:
    """The part of the payload's `repository` that needs no more of git: its name, and
    what it asks for.
    """
    common = common_dir(git.git_dir)
    bare = _last(settings, "core.bare").lower() in _TRUE
    about: dict[str, Any] = {"full_name": _full_name(settings, common, bare)}
    wanted = settings.get("oberonc.service")
    return about if wanted is None else about | {"services": wanted}


def describe(
    git_dir: str | Path,
    publish: tuple[str, ...],
    settings: dict[str, list[str]] | None = None,
) -> Repository:
    """Read what the payload needs of the repository at *git_dir*; *publish* is the
    configuration's, *settings* its git configuration where that is known.
    """
    git = Git(git_dir)
    settings = git.config() if settings is None else settings
    found = git.refs()
    aliases = {
        ref.name: ref.target
        for ref in found.values()
        if ref.target.startswith("refs/heads/")
    }
    origin = found.pop(ORIGIN, None)
    refs = {name: ref for name, ref in found.items() if name not in aliases}
    common = common_dir(git.git_dir)
    bare = _last(settings, "core.bare").lower() in _TRUE
    full_name = _full_name(settings, common, bare)
    # Saves a child; of no use in a linked work tree, whose HEAD is its own.
    head = (
        next((ref.name for ref in refs.values() if ref.head), "")
        if common == git.git_dir
        else ""
    )
    default = _default_ref(
        settings, refs, origin.target if origin else "", Git(common), bare, head
    )
    default = aliases.get(default, default)
    url = _last(settings, "oberonc.url") or os.environ.get("GITEA_ROOT_URL", "")
    base = url.rstrip("/").removesuffix("/" + full_name)
    slash = (
        "/-/commit/"
        if os.environ.get("GL_PROJECT_PATH") or _last(settings, "gitlab.fullpath")
        else "/commit/"
    )
    wanted = settings.get("oberonc.service")
    return Repository(
        git=git,
        full_name=full_name,
        owner=_last(settings, "oberonc.owner") or full_name.rpartition("/")[0],
        bare=bare,
        default_ref=default,
        default_exists=default in refs,
        publish=publish_patterns(
            settings.get("oberonc.publish") or list(publish), default, aliases
        ),
        services=tuple(wanted) if wanted is not None else None,
        canon_url=base,
        link=f"{base}/{full_name}{slash}{{oid}}" if base else "",
        refs=refs,
        aliases=aliases,
    )


def _last(settings: dict[str, list[str]], key: str) -> str:
    return settings.get(key, [""])[-1].strip()


def common_dir(git_dir: str) -> str:
    """The folder a linked work tree shares with its repository; else *git_dir* itself."""
    try:
        with open(os.path.join(git_dir, "commondir")) as file:
            common = file.read().strip()
    except OSError:
        return git_dir
    return os.path.normpath(os.path.join(git_dir, common))


def _full_name(settings: dict[str, list[str]], common: str, bare: bool) -> str:
    env = os.environ
    gitea = "/".join(
        filter(None, (env.get("GITEA_REPO_USER_NAME"), env.get("GITEA_REPO_NAME")))
    )
    names = (
        _last(settings, "oberonc.name"),
        env.get("GL_PROJECT_PATH", ""),
        gitea if env.get("GITEA_REPO_NAME") else "",
        env.get("GL_REPO", ""),
        _last(settings, "gitlab.fullpath"),
        _last(settings, KNOWN_AS),
        "" if bare else _origin_name(settings),
        _folder_name(settings, common, bare),
    )
    for name in names:
        name = clean(name).strip().strip("/").removesuffix(".git")
        if name and len(name) <= LONGEST_REPOSITORY and name.isprintable():
            return name
    return "repository"


def home_remote(settings: dict[str, list[str]]) -> str:
    """The remote that a clone is named after: `origin`, or the only one; else empty."""
    remotes = [
        key[len("remote.") : -len(".url")]
        for key in settings
        if key.startswith("remote.") and key.endswith(".url")
    ]
    if "origin" in remotes:
        return "origin"
    return remotes[0] if len(remotes) == 1 else ""


def home_address(settings: dict[str, list[str]]) -> str:
    """The address of that remote; one that only `url.BASE.insteadOf` gives a meaning
    (`gh:hello`) as git takes it. Others say themselves what the server calls it, also
    where a mirror is put in its place.
    """
    address = _last(settings, f"remote.{home_remote(settings)}.url")
    if "://" in address or "@" in address:
        return address
    longest = ("", "")
    for key, values in settings.items():
        if key.startswith("url.") and key.endswith(".insteadof"):
            starts = [value for value in values if address.startswith(value)]
            base = key[len("url.") : -len(".insteadof")]
            longest = max([longest, *((start, base) for start in starts)], key=_length)
    return longest[1] + address[len(longest[0]) :]


def _length(rule: tuple[str, str]) -> int:
    return len(rule[0])


def _origin_name(settings: dict[str, list[str]]) -> str:
    """What the server that a clone comes from calls the repository: the path of its
    address; of a folder on this machine the last part.
    """
    address = home_address(settings)
    scheme, sign, rest = address.partition("://")
    if sign and scheme != "file":
        return rest.partition("/")[2]
    host, colon, path = address.partition("]:" if "@[" in address else ":")  # of IPv6
    if colon and not sign and "/" not in host:
        return path
    return address.rstrip("/").removesuffix("/.git").rpartition("/")[2]


def _folder_name(settings: dict[str, list[str]], common: str, bare: bool) -> str:
    worktree = "" if bare else _last(settings, "core.worktree")
    folder = os.path.normpath(os.path.join(common, worktree))
    above, name = os.path.split(folder)
    if name == ".git" and not bare:
        name = os.path.basename(above)
    return "".join(letter if letter.isprintable() else "_" for letter in clean(name))


def _default_ref(
    settings: dict[str, list[str]],
    refs: dict[str, Ref],
    origin: str,
    common: Git,
    bare: bool,
    head: str,
) -> str:
    branch = _last(settings, "oberonc.defaultbranch")
    if branch:
        return f"refs/heads/{branch.removeprefix('refs/heads/')}"
    if bare:
        return head or common.head_ref() or "refs/heads/main"
    remote = origin.removeprefix("refs/remotes/origin/")
    names = [
        name
        for name in (remote, _last(settings, "init.defaultbranch"), "main", "master")
        if name
    ]
    candidates = [f"refs/heads/{name}" for name in names]
    # Never merely what is checked out: a branch that exists, in the order people mean
    # them.
    return next((ref for ref in candidates if ref in refs), candidates[0])


def publish_patterns(
    patterns: Iterable[str], default: str, aliases: Mapping[str, str]
) -> tuple[str, ...]:
    """*patterns*, as the configuration has them, of full refs; *default* is the default
    branch's ref, and *aliases* are other names of refs.
    """
    named = (default if pattern == "HEAD" else pattern for pattern in patterns)
    full = (
        name if name.startswith("refs/") else f"refs/heads/{name}" for name in named
    )
    return tuple(aliases.get(name, name) for name in full)


def full_name(folder: str | Path = ".") -> str:
    """The full name of the repository that *folder* is in;
    raises BadInput where there is none.
    """
    return describe(find_git_dir(folder), ()).full_name
