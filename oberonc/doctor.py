"""What is wrong with an installation, and the command that mends it. Looks, and changes nothing."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from oberonc import client, git, install, plan, registry, repository, spool
from oberonc import config as configuration
from oberonc.config import Config
from oberonc.errors import OberoncError
from oberonc.install import places

#: The oldest git whose options are all used here (`--diff-merges=off` came with it).
OLDEST_GIT = (2, 31)


#: Folders of the spool that should be empty.
_LEFT = (
    ("bad", "files that could not be read", "look at the .why beside each, then: rm {folder}/*"),
    ("dead", "deliveries that were given up", "oberonc send --payload FILE sends one again; then: rm {folder}/FILE"),
)


class Finding(NamedTuple):
    """One thing that was looked at: does it hold, what is it, and what mends it."""

    ok: bool
    what: str
    mend: str = ""


def examine(config_path: str | None) -> Iterator[Finding]:
    """Everything, in the order in which a push meets it."""
    yield from _git()
    try:
        config = configuration.load(config_path)
    except OberoncError as error:
        yield Finding(False, str(error), "edit the file that is named")
        return
    files = ", ".join(str(file) for file in config.files) or "no file, so one service: issues on the embedded tracker"
    yield Finding(True, f"configuration: {files}")
    yield from _folders(config)
    yield from _services(config)
    yield from _repository(config)
    yield from _spool(config)
    yield from _daemon(config)


def _git() -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding(False, "git is not on PATH", "install git")
        return
    said = subprocess.run(["git", "version"], capture_output=True, text=True, env=git.environment(), check=False).stdout
    numbers = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    wanted = ".".join(map(str, OLDEST_GIT))
    yield Finding(numbers >= OLDEST_GIT, f"{said.strip()} (oberonc needs {wanted})", f"install git {wanted} or newer")
    yield Finding(True, f"Python {sys.version.split()[0]} at {sys.executable}")


def _folders(config: Config) -> Iterator[Finding]:
    for name, folder in (("state", config.state), ("spool", config.spool)):
        there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
        ok = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        mend = f"as the administrator: mkdir -p {folder} && chown $USER {folder}, or set `{name}` to another folder"
        yield Finding(ok, f"{name} folder {folder} can be written", mend)
        if there == folder and stat.S_IMODE(folder.stat().st_mode) & 0o007:
            yield Finding(False, f"{name} folder {folder} is open to everybody", f"chmod o-rwx {folder}")


def _services(config: Config) -> Iterator[Finding]:
    catalogue = registry.find(config)
    for where, problem in catalogue.problems.items():
        yield Finding(False, problem, f"look at {where}")
    for service in config.services.values():
        for ok, what, mend in plan.check(config, catalogue, service):
            yield Finding(ok, f"service {service.name}: {what}", mend)


def _repository(config: Config) -> Iterator[Finding]:
    try:
        folder = Path(repository.find_git_dir())
        layout = places.layout(folder if (folder / "HEAD").is_file() else Path())
    except OberoncError as error:
        if "not in a git repository" not in str(error):
            yield Finding(False, str(error), "see `oberonc hook install --help`")
        return
    for target in layout.targets:
        state = install.state(layout, target)
        # Not installed is a choice: a clone of a repository whose server has the hook needs none.
        yield Finding(
            state.ok is not False, f"hook {target.hook} of {layout.path}: {state.text}", "oberonc hook install"
        )
    repo = repository.describe(folder, config.publish)
    if repo.refs:
        mend = (
            f"git --git-dir={folder} symbolic-ref HEAD refs/heads/NAME"
            if repo.bare
            else "git config oberonc.defaultBranch NAME"
        )
        yield Finding(repo.default_exists, f"default branch {repo.default_ref} exists", mend)


def _spool(config: Config) -> Iterator[Finding]:
    waiting = len(spool.listing(config.spool))
    if waiting:
        mend = "start the daemon" if config.delivery == "daemon" else "oberonc send --spooled"
        yield Finding(False, f"{waiting} pushes wait in {config.spool}", mend)
    for name, what, mend in _LEFT:
        folder = config.spool / name
        count = len(list(folder.glob("*.*"))) if os.access(folder, os.R_OK | os.X_OK) else 0
        if count:
            yield Finding(False, f"{folder} holds {what}", mend.format(folder=folder))


def _daemon(config: Config) -> Iterator[Finding]:
    path = str(config.daemon.socket)
    if len(path.encode()) > 107:
        yield Finding(False, f"the socket path {path} is longer than 107 bytes", "set [daemon] socket to a shorter one")
    if config.delivery != "daemon":
        return
    try:
        client.call(config, "ping")
        yield Finding(True, f"the daemon answers at {path}")
    except OberoncError as error:
        yield Finding(False, str(error), "systemctl start oberonc, or run `oberonc daemon`")
