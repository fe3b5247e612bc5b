"""Repositories as `hook install` meets them: opened with GitPython, or looked for below
a folder.

What a repository says of itself (`.git` files, links, core.worktree, commondir) leads
nowhere outside the place that was named, unless what is there says so too: else whoever
owns a repository could have root write elsewhere.
"""

import configparser
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from oberonc.errors import BadInput, ConfigError, NotAllowed
from oberonc.source.git import Git
from oberonc.text import one_line


class Opened(NamedTuple):
    """A repository: its own git folder, the one its work trees share, and the work tree
    at hand; no links in them.
    """

    git: Git
    common: Path
    work: Path | None


def open_at(path: Path) -> Opened:
    """The repository that *path* is in. Raises BadInput where there is none, ConfigError
    without git, NotAllowed where it leads to another place than the one named.
    """
    try:
        import git as gitpython
    except ImportError:  # what it raises where there is no git
        raise ConfigError("cannot find git: it is not on PATH") from None
    is_git_dir = (path / "HEAD").is_file()
    try:
        with gitpython.Repo(
            path, search_parent_directories=not is_git_dir, expand_vars=False
        ) as repo:
            git_dir, common, bare = (
                Path(repo.git_dir).resolve(),
                Path(repo.common_dir).resolve(),
                repo.bare,
            )
    except (gitpython.InvalidGitRepositoryError, gitpython.NoSuchPathError):
        raise BadInput(
            f"{path} is not a git repository, nor a folder of hooks that git's configuration names"
        ) from None
    except (OSError, ValueError, configparser.Error) as error:
        raise BadInput(
            f"the git repository at {path} cannot be read: {one_line(str(error))}"
        ) from None
    top = _top(path.resolve(), git_dir)
    _stays(path, top, git_dir, common)
    return Opened(Git(git_dir), common, None if bare else top)


def _top(path: Path, git_dir: Path) -> Path:
    """The work tree that *path* is in, as the folder that has `.git`; never what
    core.worktree says.
    """
    if path.is_relative_to(git_dir):
        return git_dir.parent if git_dir.name == ".git" else git_dir
    for place in (path, *path.parents):
        if os.path.lexists(place / ".git"):
            return place
    return path


def _stays(path: Path, top: Path, git_dir: Path, common: Path) -> None:
    """Raise NotAllowed where `.git` or `commondir` leads out of *top* to what does not
    lead back.
    """
    linked = git_dir.parent == common / "worktrees"
    if common != git_dir and not linked:
        raise NotAllowed(
            f"{git_dir} says that it belongs to {common}, which does not know it: nothing was done"
        )
    if git_dir == top or git_dir.is_relative_to(top):
        return
    if linked:
        try:
            back = Path(os.fsdecode((git_dir / "gitdir").read_bytes().strip()))
        except (OSError, ValueError):
            back = Path()
    else:
        back = git_dir / Git(git_dir).config().get("core.worktree", [""])[-1] / ".git"
    if not back.is_absolute() or back.parent.resolve() != top:
        raise NotAllowed(
            f"{top}/.git leads to {git_dir}, which does not lead back: nothing was done;"
            f" if it is the repository you mean, name it instead of {path}"
        )


def below(folder: Path) -> Iterator[Path | BadInput]:
    """The repositories below *folder*, bare and not; what cannot be looked into as the
    fault of it.

    No link is followed, and no repository is looked into.
    """
    try:
        entries = {entry.name: entry for entry in os.scandir(folder)}
    except OSError as error:
        yield BadInput(f"cannot look into {folder}: {error.strerror}")
        return
    folders = {
        name for name, entry in entries.items() if entry.is_dir(follow_symlinks=False)
    }
    if ".git" in folders or ({"objects", "refs"} <= folders and "HEAD" in entries):
        yield folder
    # a file of this name belongs to a repository that is elsewhere
    elif ".git" not in entries:
        for name in sorted(folders):
            yield from below(folder / name)
