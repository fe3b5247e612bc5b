"""Finds brokers; runs no broker code (`oberonc.broker.loading` does)."""

import os
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from oberonc import paths
from oberonc.config import Config
from oberonc.errors import ConfigError
from oberonc.text import nearest

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
ENTRY_POINTS = "oberonc.brokers"
#: Trackers for the broker `issues`: entry points of this group, and files whose names
#: begin so.
TRACKERS = "oberonc.trackers"
TRACKER_FILE = "tracker_"


class Place(NamedTuple):
    """Where a broker is: a file, or an installed distribution's entry point."""

    name: str
    file: str | None
    entry_point: str | None
    origin: str
    #: Of the broker `issues`: the trackers that are plugins, for the process that loads
    #: it.
    trackers: tuple["Place", ...] = ()

    def moved(self, new: Callable[[str], str]) -> "Place":
        """The same, each file where *new* says."""
        return self._replace(
            file=self.file and new(self.file),
            trackers=tuple(Place(*each).moved(new) for each in self.trackers),
        )

    def files(self) -> list[str]:
        """The files it is made of; none for an entry point without plugins."""
        found = [self.file, *(Place(*each).file for each in self.trackers)]
        return [file for file in found if file]


class Catalogue(NamedTuple):
    """The brokers that can be loaded, and why the others cannot."""

    places: dict[str, Place]
    problems: dict[str, str]

    def why(self, name: str) -> str:
        """Why broker *name* cannot be used although there is a file of it;
        empty where there is none.
        """
        refused = (
            p
            for where, p in self.problems.items()
            if name in (where, Path(where).stem) or _holds(where, name)
        )
        return next(refused, "")

    def missing(self, broker: str, service: str) -> str:
        """Why *service* cannot use *broker*,
        of which there is no place; with what to do.
        """
        near = nearest(broker, list(self.places))
        return (
            self.why(broker)
            or f"service '{service}' names broker '{broker}', which is not there{near}; see `oberonc brokers`"
        )


def _holds(folder: str, name: str) -> bool:
    return os.path.isfile(Path(folder) / f"{name}.py")  # noqa: PTH113  False, too, where we may not look


class BrokenBroker(ConfigError):
    """A broker's code cannot be used; the text names file and line."""


def directories(config: Config) -> list[Path]:
    """The folders brokers are found in, in order; the shipped ones last. Never the
    repository pushed to.
    """
    homes = paths.homes()
    places = [
        *map(Path, config.directories),
        *([Path(homes.config, "brokers")] if config.user_brokers else []),
    ]
    places += [
        *([Path(homes.system, "brokers")] if homes.system else []),
        paths.bundled("brokers"),
    ]
    # One folder under two names is one folder.
    return list(
        {os.path.realpath(place): place for place in reversed(places)}.values()
    )[::-1]


def find(config: Config, entry_points: bool = True) -> Catalogue:
    """Every broker there is. A name found twice is unusable:
    both places are named in `problems`.
    """
    found: dict[str, list[Place]] = {}
    problems: dict[str, str] = {}
    for folder in directories(config):
        for place in _in_folder(
            folder, trusted=folder == paths.bundled("brokers"), problems=problems
        ):
            found.setdefault(place.name, []).append(place)
    for group in (ENTRY_POINTS, TRACKERS) if entry_points else ():
        for place in _installed(group):
            found.setdefault(place.name, []).append(place)
    for folder in map(Path, config.directories):
        if not os.path.isdir(folder):  # noqa: PTH112  False, too, where we may not look
            problems[str(folder)] = (
                f"brokers.directories names {folder}, which is not a folder"
            )
    for name, places in found.items():
        if len(places) > 1:
            both = " and ".join(place.file or place.origin for place in places)
            what, own = "broker", name
            if name.startswith(TRACKER_FILE):
                what, own = "tracker", name.removeprefix(TRACKER_FILE)
            problems[name] = (
                f"{what} '{own}' is there twice: {both}; rename or remove one"
            )
    usable = {name: places[0] for name, places in found.items() if name not in problems}
    return Catalogue(_with_trackers(usable), problems)


def trackers(config: Config) -> dict[str, Place]:
    """The trackers that are plugins, by name."""
    issues = find(config).places.get("issues")
    return {place.name: place for place in issues.trackers} if issues else {}


def _with_trackers(found: dict[str, Place]) -> dict[str, Place]:
    """The brokers of *found*, `issues` with the trackers among it."""
    brokers = {n: p for n, p in found.items() if not n.startswith(TRACKER_FILE)}
    if "issues" in brokers:
        trackers = tuple(
            place._replace(name=name.removeprefix(TRACKER_FILE))
            for name, place in found.items()
            if name not in brokers
        )
        brokers["issues"] = brokers["issues"]._replace(trackers=trackers)
    return brokers


def _in_folder(folder: Path, trusted: bool, problems: dict[str, str]) -> list[Place]:
    try:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix == ".py" and path.name[0] not in "_."
        )
    except OSError:
        return []
    if not files:
        return []
    fault = "" if trusted else unsafe(folder) or _unsafe_helper(folder)
    if fault:
        problems[str(folder)] = f"{folder} is refused: {fault}"
        return []
    places = []
    for path in files:
        fault = _misnamed(path) or ("" if trusted else unsafe(path, parents=False))
        if fault:
            problems[str(path)] = f"{path} is refused: {fault}"
        else:
            places.append(Place(path.stem, str(path), None, str(folder)))
    return places


def find_in(folder: Path) -> Catalogue:
    """The brokers in *folder* alone."""
    problems: dict[str, str] = {}
    places = _in_folder(
        folder, trusted=folder == paths.bundled("brokers"), problems=problems
    )
    return Catalogue(_with_trackers({p.name: p for p in places}), problems)


def _unsafe_helper(folder: Path) -> str:
    """Why a module that brokers of *folder* may
    import cannot be trusted, or an empty string.
    """
    packages = [path.parent for path in folder.glob("*/__init__.py")]
    helpers = [
        *folder.glob("_*.py"),
        *packages,
        *(path for package in packages for path in package.rglob("*")),
    ]
    return next(
        (fault for path in helpers if (fault := unsafe(path, parents=False))), ""
    )


def _misnamed(path: Path) -> str:
    if not path.is_file():
        return "it is not a plain file"
    return (
        ""
        if NAME.fullmatch(path.stem)
        else "a broker's file is called by small letters, digits and '_'"
    )


def unsafe(path: Path, parents: bool = True) -> str:
    """Why *path* cannot be trusted with code, or an empty string: writing it must be
    the administrator's right.

    A sticky folder of root's, such as /tmp, counts as safe:
    others cannot replace what we own in it.
    """
    chain = [path, *(path.absolute().parents if parents else ())]
    real = path.resolve()
    if path.is_symlink() or (parents and real != path.absolute()):
        # who may change where a link leads may change what is read
        chain += [real, *real.parents]
    for place in chain:
        try:
            facts = place.stat()
        except OSError as error:
            return f"{place}: {error.strerror}"
        if facts.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user"
        sticky = facts.st_mode & stat.S_ISVTX and facts.st_uid == 0
        if facts.st_mode & 0o022 and not sticky:
            return f"others may write {place}: chmod go-w {place}"
    return ""


def _installed(group: str) -> list[Place]:
    from importlib.metadata import entry_points

    start = TRACKER_FILE if group == TRACKERS else ""
    return [
        Place(
            start + point.name,
            None,
            point.value,
            f"entry point of {point.dist.name if point.dist else 'a distribution'}",
        )
        for point in entry_points(group=group)
        if NAME.fullmatch(start + point.name)
        and (start or not point.name.startswith(TRACKER_FILE))
    ]


def is_shipped(place: Place) -> bool:
    """Whether all of the broker at *place* is ours."""
    return _has_our_file(place) and not place.trackers


def _has_our_file(place: Place) -> bool:
    if place.file is None:
        return False
    return Path(place.file).parent == paths.bundled("brokers")


class Extra(NamedTuple):
    """What a shipped broker needs beside oberonc: `pip install 'oberonc[NAME]'`."""

    name: str
    #: Distributions of it that are not installed.
    missing: list[str]


@cache
def _requirements() -> list[str]:
    """What oberonc needs, as its distribution says; nothing where it runs from a
    folder.
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        return requires("oberonc") or []
    except PackageNotFoundError:
        return []


def extra_of(place: Place) -> Extra | None:
    """The extra that the shipped broker at *place* needs; None where it needs none. It
    has the broker's name; nothing of it is imported.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    if not _has_our_file(place):
        return None
    mark = re.compile(rf"""\bextra\s*==\s*["']{place.name}["']""")
    lines = [line for line in _requirements() if mark.search(line)]
    missing = []
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        try:
            distribution(name[0] if name else "")
        except (PackageNotFoundError, ValueError):
            missing.append(name[0] if name else line)
    return Extra(place.name, missing) if lines else None
