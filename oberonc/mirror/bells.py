"""What webhooks said, kept on disk until it is told of: a bell for each push.

A file is called TIME-KEY-ID.json: nanoseconds, what stands for webhook and repository,
and the id of the event. It is durable before the forge is answered.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from oberonc import files
from oberonc.mirror.origins import key
from oberonc.payload.check import check
from oberonc.payload.schema import Payload
from oberonc.source.git import null_oid

#: Bells of one repository that are looked at in one go.
TOGETHER: Final = 500
#: What has a mirror: other refs are neither new nor published.
_PLACES: Final = ("refs/heads/", "refs/tags/")

#: (old, new, ref), as git tells a hook.
Move = tuple[str, str, str]


class Bell(NamedTuple):
    """A push that the webhook *webhook* told of in *payload*, made of what it said."""

    path: Path
    webhook: str
    payload: Payload

    @property
    def came(self) -> float:
        """When it came, in seconds since 1970."""
        return int(self.path.name.partition("-")[0]) / 1e9

    @property
    def moves(self) -> list[Move]:
        """Those of its branches and tags."""
        return [
            (update["old"], update["new"], update["ref"])
            for update in self.payload["updates"]
            if update["ref"].startswith(_PLACES)
        ]

    @property
    def ends(self) -> set[str]:
        """The ids that it says its refs have now."""
        return {new for _, new, _ in self.moves if not null_oid(new)}

    @property
    def link(self) -> str:
        """The address of a commit, with `{oid}` for its id; empty where none is said."""
        for entry in (*self.payload["commits"], *self.payload["merged"]):
            before, oid, after = entry.get("url", "").partition(entry["raw_node"])
            if oid and not set("{}") & set(before + after):
                return f"{before}{{oid}}{after}"
        return ""


def rings(payload: Payload) -> bool:
    """Whether *payload* tells of a branch or a tag."""
    return bool(Bell(Path(), "", payload).moves)


def ring(state: Path, webhook: str, payload: Payload) -> str:
    """Keep a bell durably; returns its key. Raises OSError."""
    folder = state / "bells"
    files.make_private(folder)
    name = key(webhook, payload["repository"]["full_name"])
    path = folder / f"{time.time_ns():020d}-{name}-{payload['id']}.json"
    raw = json.dumps({"webhook": webhook, "payload": payload}).encode()
    files.put_private(path, raw, path.with_suffix(f".{os.urandom(4).hex()}"))
    return name


def sweep(state: Path) -> None:
    """Remove what a process that was killed left half written a day ago."""
    with suppress(OSError):
        for path in (state / "bells").iterdir():
            old = path.stat().st_mtime < time.time() - 86_400
            if old and path.suffix not in (".json", ".bad"):
                path.unlink()


def keys(state: Path) -> set[str]:
    """The keys of the bells that wait."""
    return {path.name.split("-")[1] for path in _files(state)}


def of(state: Path, name: str) -> list[Bell]:
    """The oldest bells with the key *name*, oldest first; one that cannot be read is
    put aside.
    """
    found = []
    mine = [path for path in _files(state) if path.name.split("-")[1] == name]
    for path in mine[:TOGETHER]:
        try:
            said = json.loads(path.read_bytes())
            bell = Bell(path, said["webhook"], said["payload"])
            fault = check(bell.payload)
        except (ValueError, KeyError, TypeError) as error:
            fault = str(error)
        except FileNotFoundError:
            continue
        if fault:
            path.rename(path.with_suffix(".bad"))
        else:
            found.append(bell)
    return found


def _files(state: Path) -> list[Path]:
    try:
        found = [path for path in (state / "bells").iterdir() if path.suffix == ".json"]
    except OSError:
        return []
    return sorted(path for path in found if path.name.count("-") == 2)


class Planned(NamedTuple):
    """Moves that one event tells of, and the bell that told of them."""

    bell: Bell
    moves: list[Move]


class Refs(NamedTuple):
    """Ids by ref: where each was *told* of last, and where it *stands*. *there* are the
    ids that the mirror has; *reaches* says whether one leads to another.
    """

    told: dict[str, str]
    stands: dict[str, str]
    there: set[str]
    reaches: Callable[[str, str], bool]

    def following(self, move: Move) -> Move | None:
        """*move*, if it begins where its ref was told of."""
        old, new, ref = move
        stood = self.told.get(ref, "0" * len(old))
        if not null_oid(new) and not ref.startswith("refs/heads/"):
            new = self.stands.get(ref, new)  # of a tag some forges name the commit
        # Of a deleted branch some forges do not say where it stood.
        follows = old == stood or (null_oid(old) and null_oid(new))
        return (stood, new, ref) if follows and new != stood else None

    def reaching(self, move: Move) -> Move | None:
        """The move from where the ref was told of to where *move* ends, if that is on
        the way to where it stands: a push between was missed, or was forced away before
        it could be fetched.
        """
        old, new, ref = move
        nothing = "0" * len(old)
        stood, stands = self.told.get(ref, nothing), self.stands.get(ref, nothing)
        if stood == stands or null_oid(new) != null_oid(stands):
            return None
        if null_oid(new):
            return stood, new, ref
        if not ref.startswith("refs/heads/"):
            return stood, stands, ref
        if not self.reaches(stands, new) or (
            new != stands and not null_oid(stood) and self.reaches(stood, new)
        ):
            return None
        return (stood, new, ref) if new != stood else None


def plan(bells: Sequence[Bell], refs: Refs) -> tuple[list[Planned], list[Bell]]:
    """What *bells* are to tell of, in the order in which it happened, and those that
    say what the mirror does not show: not yet, or not any more. What is known already
    is told of by none.
    """
    refs = refs._replace(told=dict(refs.told))
    waiting = [bell for bell in bells if not bell.ends <= refs.there]
    left = [bell for bell in bells if bell.ends <= refs.there]
    found: list[Planned] = []
    while left:
        count = len(found)
        for chosen in (refs.following, refs.reaching):
            for bell in left:
                moves = [move for each in bell.moves if (move := chosen(each))]
                if moves and (
                    chosen != refs.following or len(moves) == len(bell.moves)
                ):
                    found.append(Planned(bell, moves))
                    _apply(refs.told, moves)
                    if chosen == refs.reaching:
                        break  # others may follow now
            if len(found) > count:
                break
        if len(found) == count:
            break
        told = {planned.bell.path for planned in found[count:]}
        left = [bell for bell in left if bell.path not in told]
    return found, waiting


def _apply(told: dict[str, str], moves: list[Move]) -> None:
    for _, new, ref in moves:
        if null_oid(new):
            told.pop(ref, None)
        else:
            told[ref] = new
