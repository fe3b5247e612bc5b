"""Immutable copies of broker folders: what a generation runs does not change under it.

Without the copy, a worker of the old generation that imports a helper late would get
the new file: half of one version and half of the other in one process.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from oberonc import files
from oberonc.broker.registry import Place, unsafe
from oberonc.errors import ConfigError

#: A folder of brokers is small; more than this is a folder named by mistake.
MOST_BYTES: Final = 64 << 20
MOST_ENTRIES: Final = 10_000
#: What is where in a snapshot.
MANIFEST: Final = "manifest.json"
#: Snapshots kept on disk beside those in use.
KEPT: Final = 3


class Snapshot(NamedTuple):
    """Copied folders under one root. *origins* tells where each copy was taken from."""

    root: Path
    digest: str
    places: dict[str, Place]
    origins: dict[str, str]

    def shown(self, text: str) -> str:
        """*text* with the names of the copies replaced by those of the files people
        edit.
        """
        for copy, origin in self.origins.items():
            text = text.replace(copy, origin)
        return text


class _Copy:
    """The copying of one snapshot: what it took so far, and the hash over names and
    bytes.
    """

    def __init__(self) -> None:
        self.bytes = self.entries = 0
        self.digest = hashlib.sha256()

    def folder(self, source: Path, target: Path) -> None:
        # Its owner may remove what is in it: people delete state folders with `rm -rf`.
        target.mkdir(mode=0o700)
        self._count(source, 0)
        for path in sorted(_entries(source)):
            facts = _checked(path, source)
            if stat.S_ISDIR(facts.st_mode) and not path.is_symlink():
                self.folder(path, target / path.name)
            elif stat.S_ISREG(facts.st_mode):
                self.file(path, target / path.name)
        files.sync(target)

    def file(self, source: Path, target: Path) -> None:
        # It may be swapped or grow while it is read: what counts is what the open file
        # is.
        with os.fdopen(
            os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ConfigError(f"{source} is no plain file")
            self._count(source.parent, facts.st_size)
            raw = stream.read(facts.st_size)
        self.digest.update(f"{target.name}\0{len(raw)}\0".encode() + raw)
        with target.open("xb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o400)

    def _count(self, folder: Path, size: int) -> None:
        """One more file or folder of *size* bytes, before it is read."""
        self.entries += 1
        self.bytes += size
        if self.entries > MOST_ENTRIES or self.bytes > MOST_BYTES:
            raise ConfigError(
                f"{folder} holds more than a folder of brokers should: is it the right one?"
            )


def take(places: dict[str, Place], root: Path) -> Snapshot:
    """Copy the folders of *places* to *root*, durably. Raises ConfigError or OSError."""
    copy, origins = _Copy(), {}
    root.mkdir(parents=True)
    for number, folder in enumerate(
        sorted({str(Path(file).parent) for p in places.values() for file in p.files()})
    ):
        target = root / str(number)
        origins[str(target)] = folder
        copy.folder(Path(folder), target)
    files.sync(root)
    copies = {origin: copied for copied, origin in origins.items()}

    def copied_to(file: str) -> str:
        return str(Path(copies[str(Path(file).parent)], Path(file).name))

    moved = {name: place.moved(copied_to) for name, place in places.items()}
    return Snapshot(root, copy.digest.hexdigest(), moved, origins)


def settled(folder: Path, number: int, digest: str) -> Path:
    """Where in *folder* the snapshot of generation *number* is for good."""
    return folder / f"{number}-{digest[:16]}"


def settle(snapshot: Snapshot, number: int) -> Snapshot:
    """Give the snapshot of generation *number* its final name, and write down what is
    where for the daemon's next start.
    """
    root = settled(snapshot.root.parent, number, snapshot.digest)

    def settled_at(file: str) -> str:
        return str(root / Path(file).relative_to(snapshot.root))

    places = {name: place.moved(settled_at) for name, place in snapshot.places.items()}
    _write_manifest(snapshot.root, places)
    snapshot.root.rename(root)
    files.sync(root.parent)
    origins = {
        str(root / Path(copied).name): origin
        for copied, origin in snapshot.origins.items()
    }
    return snapshot._replace(root=root, origins=origins, places=places)


def keep(snapshot: Snapshot, old: dict[str, Place]) -> Snapshot:
    """*snapshot* with the brokers in *old*, places in an older snapshot, as they were
    there.
    """
    places, origins = dict(snapshot.places), dict(snapshot.origins)
    copies: dict[str, Path] = {}

    def kept(file: str) -> str:
        folder = str(Path(file).parent)
        if folder not in copies:
            copies[folder] = (
                snapshot.root / f"kept-{len(snapshot.origins)}-{len(copies)}"
            )
            _Copy().folder(Path(folder), copies[folder])
            origins[str(copies[folder])] = folder
        return str(copies[folder] / Path(file).name)

    places |= {name: place.moved(kept) for name, place in old.items()}
    _write_manifest(snapshot.root, places)
    return snapshot._replace(places=places, origins=origins)


def _write_manifest(root: Path, places: dict[str, Place]) -> None:
    manifest = root / MANIFEST
    manifest.write_text(json.dumps(places))
    files.sync(manifest)
    files.sync(root)


def remembered(root: Path) -> dict[str, Place]:
    """The places of a settled snapshot; empty where it is gone or was made by hand."""
    try:
        listed = json.loads((root / MANIFEST).read_text())
        return {name: Place(*fields) for name, fields in listed.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def prune(folder: Path, keep: set[Path]) -> None:
    """Remove old snapshots and half-made ones; those in *keep* and the last few stay."""
    numbered = sorted((p for p in _entries(folder) if p.name[0].isdigit()), key=_number)
    gone = [p for p in _entries(folder) if not p.name[0].isdigit()] + numbered[:-KEPT]
    for path in gone:
        if path not in keep:
            remove(path)


def remove(root: Path) -> None:
    """Delete a snapshot; an older version made its folders read-only."""
    for folder, names, _files in os.walk(root):
        for name in names:
            (Path(folder) / name).chmod(0o700)
    shutil.rmtree(root, ignore_errors=True)


def _number(path: Path) -> int:
    head = path.name.partition("-")[0]
    return int(head) if head.isdigit() else 0


def _entries(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (
            p for p in folder.iterdir() if p.name[0] != "." and p.name != "__pycache__"
        )


def _checked(path: Path, folder: Path) -> os.stat_result:
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{path} is a link that leaves its folder: copy the file there instead"
        )
    facts = path.stat()
    fault = (
        unsafe(path, parents=False)
        if stat.S_ISREG(facts.st_mode) and path.suffix == ".py"
        else ""
    )
    if fault:
        raise ConfigError(f"{path} is refused: {fault}")
    return facts
