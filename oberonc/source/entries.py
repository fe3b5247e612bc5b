"""Commits as the payload has them, read by one `git log` and never more of them than a
payload holds.
"""

import contextlib
import re
from collections.abc import Iterable

from oberonc.config import Limits
from oberonc.errors import BadInput
from oberonc.payload.schema import Payload, commit_entry, dumps
from oberonc.source.repository import Repository

Entries = dict[str, Payload]
#: What a commit, a file of it, and the rest of a payload take besides their text;
#: roughly.
_COMMIT_BYTES, _FILE_BYTES, _FRAME_BYTES = 800, 40, 8192
#: How `git cherry-pick -x` and those who backport name the commit a change comes from.
_PICKED = re.compile(
    r"^[ \t]*\((?:cherry picked|backported) from commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b",
    re.M,
)


def read(
    repo: Repository,
    oids: list[str],
    branch: dict[str, str | None],
    limits: Limits,
    bare: Iterable[str] = (),
) -> Entries:
    """Entries of the commits *oids*, the most wanted first, then of *bare* without
    names of files, as far as `limits.bytes` goes: when file names have used it up no
    more are read, nor are messages when these have.

    A partial clone has no trees, and nothing is fetched in a hook: its commits have no
    names of files either.
    """
    found: Entries = {}
    with contextlib.suppress(BadInput):
        _read(repo, oids, branch, limits, found)
    nameless = [oid for oid in oids if oid not in found]
    _read_bare(repo, nameless, branch, limits, found)
    for oid in nameless:
        if oid in found:
            found[oid]["truncated"] = True
    _read_bare(repo, [oid for oid in bare if oid not in found], branch, limits, found)
    _lead_back(repo, found, limits)
    return found


def portion(repo: Repository, oids: list[str], limits: Limits) -> list[Payload]:
    """Entries of as many of the commits *oids*, from the first on, as one payload can
    hold; at least one.
    """
    found: Entries = {}
    with contextlib.suppress(BadInput):
        _read(repo, oids[: limits.commits], {}, limits, found)
    if found:
        _lead_back(repo, found, limits)
    else:
        found = read(repo, oids[: limits.commits], {}, limits)
    entries: list[Payload] = []
    room = limits.bytes - _FRAME_BYTES
    for oid, entry in found.items():
        room -= len(dumps(entry)) + len(oid) + 4
        if entries and room < 0:
            break
        entries.append(entry)
    return entries


def _read(
    repo: Repository,
    oids: list[str],
    branch: dict[str, str | None],
    limits: Limits,
    found: Entries,
) -> None:
    room = limits.bytes
    with contextlib.closing(
        repo.git.log(oids, limits.message, limits.files)
    ) as commits:
        for commit in commits if oids else ():
            found[commit.oid] = entry = commit_entry(
                commit, branch.get(commit.oid), repo.link
            )
            room -= _weight(entry) + sum(
                len(file["file"]) + _FILE_BYTES for file in entry["files"]
            )
            if room <= 0:
                return


def _read_bare(
    repo: Repository,
    oids: list[str],
    branch: dict[str, str | None],
    limits: Limits,
    found: Entries,
) -> None:
    room = limits.bytes - sum(map(_weight, found.values()))
    with contextlib.closing(
        repo.git.log(oids, limits.message, 0, files=False)
    ) as commits:
        for commit in commits if oids and room > 0 else ():
            found[commit.oid] = entry = commit_entry(
                commit, branch.get(commit.oid), repo.link
            )
            room -= _weight(entry)
            if room <= 0:
                return


def _weight(entry: Payload) -> int:
    """About how many bytes *entry* takes without its files."""
    return _COMMIT_BYTES + len(entry["message"])


def _lead_back(repo: Repository, found: Entries, limits: Limits) -> None:
    """Give what was picked from another commit the `change` of that one."""
    sources = {
        oid: _PICKED.findall(entry["message"])
        for oid, entry in found.items()
        if "from commit" in entry["message"]
    }
    asked = {source for named in sources.values() for source in named} - found.keys()
    there = repo.git.peel_all(asked)
    changes = {oid: str(entry["change"]) for oid, entry in found.items()}
    if there:
        for commit in repo.git.log(there.values(), limits.message, 0, files=False):
            changes[commit.oid] = str(commit_entry(commit, None, "")["change"])
    for oid, named in sources.items():
        # Of several the first is where the change was made.
        found[oid]["change"] = next(
            (changes[source] for source in named if source in changes), changes[oid]
        )
