"""Where hooks go: which files of which folder, for a repository and for a folder that
serves many.

Nothing outside the place that was named is written to: where git would run hooks from
elsewhere, the layout says what to name instead.
"""

import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

from oberonc.admin.install import managers
from oberonc.admin.install.managers import Tool
from oberonc.admin.install.repositories import Opened, open_at
from oberonc.admin.install.script import KEPT, read_ours
from oberonc.config import Config
from oberonc.errors import BadInput, NotAllowed
from oberonc.payload.filters import acts_on_push
from oberonc.process import Child, git_environment
from oberonc.source.opening import HOOKS, PUSHED

#: What git runs where others push to, and where somebody commits.
SERVER_HOOKS = ("post-receive",)
LOCAL_HOOKS = tuple(name for name in HOOKS if name not in SERVER_HOOKS)
#: What the names of git's hooks begin with.
_HOOK = re.compile(
    "(pre|post|proc|push|prepare|commit|applypatch|reference|sendemail|fsmonitor)-|update$"
)
#: Where Gitaly's own configuration is: packages of GitLab, installations from source.
GITALY = (
    Path("/var/opt/gitlab/gitaly/config.toml"),
    Path("/home/git/gitaly/config.toml"),
)


class Target(NamedTuple):
    """One hook file: git's name for it, where it goes, the folder of it without any
    link, what is there now, and whose tool writes it.
    """

    hook: str
    file: Path
    folder: Path
    there: str  # "nothing", "ours" or "another hook"
    tool: Tool | None = None


class Layout(NamedTuple):
    """Where the hooks of one place go.

    *kind*: git, gitea, gitlab, gitolite, "hooks folder", "template". *repository* is
    its git folder, None for a folder that serves many. *elsewhere* says what to do
    where the hooks that git runs are not this place's own; *shared*: they are not in
    this place, and may serve others.
    """

    path: Path
    kind: str
    targets: list[Target]
    repository: Path | None = None
    elsewhere: str = ""
    shared: bool = False

    @property
    def served(self) -> bool:
        """Whether a folder that serves many has our hooks for this repository."""
        return self.shared and all(target.there == "ours" for target in self.targets)


def layout(path: Path) -> Layout:
    """Where the hooks of the repository, or of the folder of hooks, at *path* belong;
    raises BadInput, NotAllowed.
    """
    path = path.absolute()
    try:
        return _serves_many(path) or _repository(path)
    except PermissionError as error:
        raise NotAllowed(f"you may not look into {error.filename}") from None


def _repository(path: Path) -> Layout:
    try:
        found = open_at(path)
    except BadInput:
        if not _looks_like_hooks(path):
            raise
        return Layout(
            path, "hooks folder", [_target(name, path / name) for name in SERVER_HOOKS]
        )
    if found.work is None:
        return _server_layout(found)
    folder = _hooks_folder(found)
    # One with a work tree may be pushed to as well (receive.denyCurrentBranch).
    names = (*LOCAL_HOOKS, *SERVER_HOOKS)
    targets = [_local_target(found, folder / name) for name in names]
    if any(target.tool for target in targets):
        # Their tools know no post-receive, or nobody
        # wants it in a file that everybody shares.
        targets = [t for t in targets if not (t.tool and t.hook in SERVER_HOOKS)]
    outside = _outside(found, folder)
    return Layout(
        found.common,
        "git",
        targets,
        found.common,
        outside or _tracked(found, targets),
        bool(outside),
    )


def _local_target(found: Opened, file: Path) -> Target:
    """The hook *file* of a work tree, or where it is if pre-commit runs it from there."""
    if managers.legacy(file):
        return _target(file.name, file.with_name(f"{file.name}.legacy"))
    return _target(file.name, file)._replace(tool=managers.tool(found.work, file))


def asked_for(found: Layout, config: Config) -> Layout:
    """*found* without the hook that tells of pushes where no service waits for them."""
    waits = any(acts_on_push(service) for service in config.services.values())
    targets = [
        target
        for target in found.targets
        if target.hook != PUSHED or waits or target.there == "ours"
    ]
    return found._replace(targets=targets)


def abandoned(found: Layout) -> list[Target]:
    """Our hooks in a repository that git runs the hooks of another folder for."""
    if found.repository is None or (found.repository / "hooks").is_symlink():
        return []
    own = [_target(name, found.repository / "hooks" / name) for name in HOOKS]
    there = {target.file for target in found.targets}
    return [t for t in own if t.there == "ours" and t.file not in there]


def _serves_many(path: Path) -> Layout | None:
    """The layout of a folder that serves more than one repository, or None."""
    if not path.is_dir() or (path / "HEAD").exists() or (path / ".git").exists():
        return None
    if path.parent.name == "hooks" and path.name in ("common", "repo-specific"):
        name = "post-receive" if path.name == "common" else "oberonc"
        return Layout(path, "gitolite", [_target("post-receive", path / name)])
    for key, kind in (
        ("core.hookspath", "hooks folder"),
        ("init.templatedir", "template"),
    ):
        scopes = [scope for scope, named in _machine_config(key) if _same(named, path)]
        if scopes:
            # Of people's own commits a server wants to hear nothing; who sets it for
            # himself alone does.
            names = (
                SERVER_HOOKS if "system" in scopes else (*LOCAL_HOOKS, *SERVER_HOOKS)
            )
            folder = path / "hooks" if kind == "template" else path
            return Layout(path, kind, [_target(name, folder / name) for name in names])
    if (path / "hooks").is_dir() and (path / "description").is_file():
        return Layout(
            path,
            "template",
            [_target(name, path / "hooks" / name) for name in SERVER_HOOKS],
        )
    if any(
        (path / f"{name}.d").is_dir()
        for name in ("pre-receive", "update", *SERVER_HOOKS)
    ):
        return Layout(
            path,
            "gitlab",
            [_target("post-receive", path / "post-receive.d" / "oberonc")],
        )
    return None


def _looks_like_hooks(path: Path) -> bool:
    """Whether the folder, which only the configuration of repositories may name, is one
    of hooks.
    """
    try:
        names = [entry.name.split(".")[0] for entry in path.iterdir()]
        names = [name for name in names if name != KEPT]
    except OSError:
        return False
    return "hooks" in path.name.lower() or bool(names and all(map(_HOOK.match, names)))


def _machine_config(key: str) -> list[tuple[str, str]]:
    """(scope, path) that git's configuration gives *key* outside of any repository."""
    line = [
        "git",
        "-C",
        "/",
        "config",
        "--show-scope",
        "--type=path",
        "-z",
        "--get-all",
        key,
    ]
    try:
        child = Child(line, git_environment())
    except FileNotFoundError:
        return []
    words = os.fsdecode(child.stdout.read()).split("\0")
    child.wait()
    return list(zip(words[::2], words[1::2], strict=False))


def _same(named: str, path: Path) -> bool:
    return Path(named).is_absolute() and os.path.realpath(named) == os.path.realpath(
        path
    )


def _server_layout(found: Opened) -> Layout:
    git_dir = found.common
    drop_in = git_dir / "hooks" / "post-receive.d"
    if drop_in.is_dir():
        return _one(found, "gitea", drop_in / "oberonc")
    drop_in = git_dir / "custom_hooks" / "post-receive.d"
    if "gitlab.fullpath" in found.git.config() or drop_in.parent.is_dir():
        everywhere = _gitaly_hooks()
        if everywhere and read_ours(everywhere):
            mend = f"GitLab runs {everywhere} for all repositories"
            there = [_target("post-receive", everywhere)]
            return Layout(git_dir, "gitlab", there, git_dir, mend, True)
        return _one(found, "gitlab", drop_in / "oberonc")
    folder = _hooks_folder(found)
    if "gitolite" in _link(folder / "update"):
        return _gitolite(found, folder)
    targets = [_target(name, folder / name) for name in SERVER_HOOKS]
    outside = _outside(found, folder)
    return Layout(git_dir, "git", targets, git_dir, outside, bool(outside))


def _one(found: Opened, kind: str, file: Path) -> Layout:
    outside = _outside(found, file.parent, "a link")
    targets = [_target("post-receive", file)]
    return Layout(found.common, kind, targets, found.common, outside, bool(outside))


def _gitaly_hooks() -> Path | None:
    """The hook that GitLab would run for all repositories, as Gitaly's `[hooks]
    custom_hooks_dir` says.
    """
    for file in GITALY:
        try:
            folder = tomllib.loads(file.read_text())["hooks"]["custom_hooks_dir"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return Path(str(folder)) / "post-receive.d" / "oberonc"
    return None


def _gitolite(found: Opened, folder: Path) -> Layout:
    """A repository whose hooks are gitolite's links: the file behind them, where it is
    not one of its own.
    """
    file = folder / "post-receive"
    chosen = sorted(folder.glob("post-receive.h[0-9]*"))
    behind = [
        Path(os.path.realpath(link)) for link in (file, *chosen) if link.is_symlink()
    ]
    if not behind and not chosen:
        return Layout(
            found.common, "gitolite", [_target("post-receive", file)], found.common
        )
    common = Path(_link(folder / "update")).parent
    mend = (
        f"gitolite owns {file}: run `oberonc hook install {common}` for all repositories, or install"
        " into $LOCAL_CODE/hooks/repo-specific and set `option hook.post-receive = oberonc`"
    )
    real = next((place for place in behind if read_ours(place)), file)
    targets = [_target("post-receive", real)]
    return Layout(found.common, "gitolite", targets, found.common, mend, True)


def _link(path: Path) -> str:
    return str(path.readlink()) if path.is_symlink() else ""


def _hooks_folder(found: Opened) -> Path:
    """Where git looks for hooks."""
    folder = found.git.read_path("rev-parse", "--git-path", "hooks")
    return Path(os.path.normpath((found.work or found.common) / folder))


def _outside(found: Opened, folder: Path, why: str = "core.hooksPath or a link") -> str:
    """What to do where *folder* lies outside the repository; an empty string where it
    does not.
    """
    places = [found.common, *([found.work] if found.work else [])]
    if any(folder.resolve().is_relative_to(place) for place in places):
        return ""
    own = shlex.quote(f"{found.common}/hooks")
    if folder == Path(os.devnull):
        return (
            f"{found.common} has its hooks switched off (core.hooksPath is {os.devnull}): nothing was written; for"
            f" this repository alone: git --git-dir={shlex.quote(str(found.common))} config core.hooksPath {own}"
        )
    return (
        f"git runs the hooks of {found.common} from {folder}, outside the repository ({why}): nothing was written;"
        f" for all that it serves: oberonc hook install {shlex.quote(str(folder))}; for this repository alone:"
        f" git --git-dir={shlex.quote(str(found.common))} config core.hooksPath {own}"
    )


def _tracked(found: Opened, targets: list[Target]) -> str:
    """What to do where the hooks would go to everybody; else an empty string."""
    folder = targets[0].folder
    if (
        all(target.tool for target in targets)
        or folder.is_relative_to(found.common)
        or not _is_tracked(found, folder)
    ):
        return ""
    others = ", ".join(target.hook for target in targets[1:])
    hooks = f'`oberonc hook run {targets[0].hook} "$@"` (and the same for {others})'
    return (
        f"{folder} is tracked by the repository: the hooks would carry this machine's paths to everybody; put"
        f" {hooks} into the hooks there, or run: git config core.hooksPath {shlex.quote(f'{found.common}/hooks')}"
    )


def _is_tracked(found: Opened, folder: Path) -> bool:
    tree = f"--work-tree={found.work}"
    return bool(
        found.git.read(tree, "-C", str(found.work), "ls-files", "--", str(folder))
    )


def _target(hook: str, file: Path) -> Target:
    there = "nothing"
    if os.path.lexists(file):
        there = "ours" if read_ours(file) else "another hook"
    return Target(hook, file, file.parent.resolve(), there)
