"""What the administrator should know about a repository whose hooks were installed."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from oberonc import files
from oberonc.admin.install.places import Layout
from oberonc.config import Config
from oberonc.errors import OberoncError
from oberonc.payload.filters import acts_on_push
from oberonc.source import repository
from oberonc.source.git import Git
from oberonc.source.repository import Repository
from oberonc.text import listed


def notes(found: Layout, config: Config) -> Iterator[str]:
    """What will not work as one might expect; remembers the repository's name."""
    if found.repository is None:
        return
    repo = repository.describe(found.repository, config.publish)
    if repo.bare and not repo.default_exists and repo.refs:
        mend = f"git --git-dir={found.repository} symbolic-ref HEAD refs/heads/NAME"
        yield f"HEAD names {repo.default_ref}, which does not exist: nothing counts as published; {mend}"
    private = private_state(repo, config)
    if private:
        yield private
    waiting = [name for name, each in config.services.items() if acts_on_push(each)]
    remote = repository.home_remote(repo.git.config())
    if not repo.bare and waiting:
        when = f"when a commit is pushed to {remote}" if remote else _NO_REMOTE
        others = (
            "; all others when it is made" if waiting != list(config.services) else ""
        )
        there = {k: v for k, v in repo.git.config().items() if k != repository.KNOWN_AS}
        name = repository.describe(found.repository, (), there).full_name
        yield f"{listed(waiting, 5)} acts on {name} {when}{others}"
    same = _same_name(config, repo.full_name, found.repository)
    if same:
        mend = "git config oberonc.name NAME tells them apart"
        yield f"{same} is called {repo.full_name} too, so they share issues: {mend}"
    if str(found.repository) not in remembered(config):
        yield f"{config.state} cannot be written, so `oberonc hook uninstall --all` will not know of this repository"


_NO_REMOTE = "once there is a remote `origin` that commits are pushed to"


def remember_name(path: Path) -> None:
    """Have the clone whose git folder is *path* keep its name when its folder gets
    another one; a server's name follows the server.
    """
    repo = repository.describe(path, ())
    settings = repo.git.config()
    if not repo.bare and repository.KNOWN_AS not in settings:
        repo.git.read("config", repository.KNOWN_AS, repo.full_name)


def forget_name(path: Path) -> None:
    """Undo `remember_name`."""
    Git(path).read("config", "--unset-all", repository.KNOWN_AS, ok=(0, 5))


def private_state(repo: Repository, config: Config) -> str:
    """What to do where several accounts push and each would keep a state of its own;
    else an empty string.
    """
    shared = repo.git.config().get("core.sharedrepository", ["umask"])[-1]
    if not repo.bare or shared in ("umask", "false", "0") or "state" in config.sources:
        return ""
    return (
        "several users push here (core.sharedRepository), each with a state folder of their own: set `state` in"
        " /etc/oberonc/config.toml to one folder that their group may write"
    )


def _same_name(config: Config, full_name: str, path: Path) -> str:
    """Another repository known by *full_name*, or an empty string; remembers this one."""
    known = remembered(config)
    others = [
        place
        for place, name in known.items()
        if name == full_name and place != str(path)
    ]
    # False, too, where we may not look; clones of one project share its issues
    others = [place for place in others if os.path.isdir(place)]  # noqa: PTH112
    address = _address(path)
    origin = os.path.realpath(address.removeprefix("file://")) if address else ""
    same = (origin, f"{origin}/.git")
    others = [
        place
        for place in others
        if not address or (place not in same and _address(place) != address)
    ]
    if known.get(str(path)) != full_name:
        known[str(path)] = full_name
        _remember(config, known)
    return others[0] if others else ""


def _address(git_dir: str | Path) -> str:
    try:
        return repository.home_address(Git(git_dir).config())
    except OberoncError:
        return ""


def _remember(config: Config, known: dict[str, str]) -> None:
    file = config.state / "repositories.json"
    # it is only a memory; the next install tries again
    with contextlib.suppress(OSError):
        files.make_private(file.parent)
        with files.folder(file.parent.resolve()) as folder:
            files.put(
                folder,
                file.name,
                json.dumps(known, indent=1).encode(),
                files.file_mode(file.parent),
            )


def forget(config: Config, path: Path) -> None:
    """The hooks of the repository whose git folder is *path* were taken away."""
    known = remembered(config)
    if known.pop(str(path), None) is not None:
        _remember(config, known)


def remembered(config: Config) -> dict[str, str]:
    """{git folder: name} of the repositories that hooks were installed into."""
    try:
        known = dict(json.loads((config.state / "repositories.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}
    return {str(place): str(name) for place, name in known.items()}
