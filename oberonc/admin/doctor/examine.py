"""What is wrong with an installation, and the command that mends it. Looks, and changes
nothing.

It is told as the account sees it that asks: what is right for somebody who only pushes
is right, and what only another account can know is said to be unknown.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oberonc import config as configuration
from oberonc import layers, paths, rights
from oberonc.admin import preview
from oberonc.admin.doctor import folders, work
from oberonc.admin.finding import Finding
from oberonc.admin.install import hook_files, places
from oberonc.admin.install.notes import private_state
from oberonc.admin.runner import as_runner
from oberonc.broker import registry, runner
from oberonc.config import Config, Service
from oberonc.errors import NotAllowed, OberoncError
from oberonc.process import git_environment
from oberonc.source import repository

#: The oldest git whose options are all used here (`--diff-merges=off` came with it).
OLDEST_GIT = (2, 31)


def examine(config_path: str | None) -> Iterator[Finding]:
    """Everything, in the order in which a push meets it."""
    yield from _git()
    # As the hook would have it where this is a server's repository.
    config = configuration.learn(
        config_path, server_hook=config_path is None and _is_bare()
    )
    if config.fault:
        yield Finding(
            False,
            config.fault,
            "put right what is named: the file's text, its owner or its mode",
        )
        if config.delivery == "daemon":
            yield from folders.examine(config)
            yield from work.examine(config)
        return
    files = (
        ", ".join(config.files)
        or "no file, so one service: issues on the embedded tracker"
    )
    yield Finding(True, f"configuration: {files}")
    yield from _for_all(config)
    yield from folders.examine(config)
    yield from _services(config)
    yield from _repository(config)
    yield from work.examine(config)


def _for_all(config: Config) -> Iterator[Finding]:
    """The machine's file is read by everybody's hooks and by the daemon, whoever looks
    at it now.
    """
    for layer in layers.read(paths.homes()):
        if layer.left_out:
            why = f"{layer.file} does not count for you: {layer.left_out}"
            yield Finding(True, why)
    machine = Path(paths.SYSTEM, "config.toml")
    shut = (
        rights.hurdle(machine, rights.EVERYBODY) if str(machine) in config.files else ""
    )
    if shut:
        mend = "as the administrator: chmod o+r for the file, o+x for a folder"
        yield Finding(
            False, f"{machine} cannot be read by everybody, because of {shut}", mend
        )


def _is_bare() -> bool:
    try:
        return repository.describe(repository.find_git_dir(), ()).bare
    except OberoncError:
        return False


def _git() -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield Finding(False, "git is not on PATH", "install git")
        return
    version = subprocess.run(
        ["git", "version"],
        capture_output=True,
        text=True,
        env=git_environment(),
        check=False,
    ).stdout
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    wanted = ".".join(map(str, OLDEST_GIT))
    yield Finding(
        numbers >= OLDEST_GIT,
        f"{version.strip()} (oberonc needs {wanted})",
        f"install git {wanted} or newer",
    )
    yield Finding(True, f"Python {sys.version.split()[0]} at {sys.executable}")


def _services(config: Config) -> Iterator[Finding]:
    try:
        yield from (Finding(*row) for row in as_runner(config, lambda: _checks(config)))
    except NotAllowed as error:
        unknown = os.geteuid() != 0
        yield Finding(
            None if unknown else False, f"whether the services are ready: {error}"
        )


def _checks(config: Config) -> list[Finding]:
    """What the account finds that runs brokers."""
    catalogue = registry.find(config)
    findings = [
        Finding(False, problem, f"look at {where}")
        for where, problem in catalogue.problems.items()
    ]

    def checked(service: Service) -> list[Finding]:
        return preview.check(config, catalogue, service)

    with ThreadPoolExecutor(runner.AT_ONCE) as pool:
        services = config.services.values()
        for service, found in zip(services, pool.map(checked, services), strict=True):
            findings += [
                each._replace(what=f"service {service.name}: {each.what}")
                for each in found
            ]
    return findings


def _repository(config: Config) -> Iterator[Finding]:
    try:
        folder = Path(repository.find_git_dir())
        layout = places.layout(folder if (folder / "HEAD").is_file() else Path())
    except OberoncError as error:
        if "not in a git repository" not in str(error):
            other = "belongs to another user" in str(error)
            yield Finding(
                None if other else False,
                str(error),
                "see `oberonc hook install --help`",
            )
        return
    layout = places.asked_for(layout, config)
    for (ok, text), targets in hook_files.states(layout).items():
        # Not installed is a choice: a clone of a repository whose server has the hook
        # needs none.
        hooks = ", ".join(target.hook for target in targets)
        what = f"hook {hooks} of {layout.path}: {text}"
        yield Finding(ok, what, "oberonc hook install")
    repo = repository.describe(folder, config.publish)
    if repo.refs:
        mend = (
            f"git --git-dir={folder} symbolic-ref HEAD refs/heads/NAME"
            if repo.bare
            else "git config oberonc.defaultBranch NAME"
        )
        yield Finding(
            repo.default_exists, f"default branch {repo.default_ref} exists", mend
        )
    private = private_state(repo, config)
    if private and config.delivery == "here":
        yield Finding(False, f"{layout.path}: {private}", "")
