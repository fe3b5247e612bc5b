"""Commits as a payload has them, read by one `git log` and never more of them than a
payload holds.
"""

from __future__ import annotations

import os
import time

from oberonc.errors import BadInput
from oberonc.payload.schema import LONGEST_NAME, LONGEST_PATH, dumps
from oberonc.source.commits import Commit, cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import sha256
    from typing import Any

    from oberonc.config import Limits
    from oberonc.payload.schema import Payload
    from oberonc.source.repository import Repository
else:
    # `hashlib` loads OpenSSL, which costs a hook more than all of this module.
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            from _sha256 import sha256  # Python before 3.12
        except ImportError:
            from hashlib import sha256

Entries = dict[str, "Payload"]
#: What a commit, a file of it, and the rest of a payload take besides their text;
#: roughly.
_COMMIT_BYTES, _FILE_BYTES, _FRAME_BYTES = 800, 40, 8192
#: `time.tzname` where local time is UTC, as on most servers.
_UTC = ("UTC", "UTC")
_TYPES = {"A": "added", "D": "removed"}
#: What review and sign-off add; the change stays the same without it.
_TRAILERS = ("signed-off-by:", "reviewed-by:", "tested-by:", "acked-by:", "change-id:")
#: Without one of these there is nothing in a message that `oberonc.source.traces` takes
#: out.
_TRACES = ("cherry", "backport", "back-port", "upstream", "[", "onflicts", "--hg--")


def read(
    repo: Repository,
    oids: list[str],
    branch: dict[str, str | None],
    limits: Limits,
    bare: Iterable[str] = (),
    known: Entries | None = None,
) -> Entries:
    """Entries of the commits *oids*, the most wanted first, then of *bare* without
    names of files, as far as `limits.bytes` goes: when file names have used it up no
    more are read, nor are messages when these have. Commits that are *known* need not
    be asked for.

    A partial clone has no trees, and nothing is fetched in a hook: its commits have no
    names of files either.
    """
    found: Entries = {}
    try:
        _read(repo, oids, branch, limits, found, known or {})
    except BadInput:
        pass
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
    try:
        _read(repo, oids[: limits.commits], {}, limits, found, {})
    except BadInput:
        pass
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
    known: Entries,
) -> None:
    for oid in oids:
        if oid in known:
            found[oid] = known[oid]
            found[oid]["branch"] = branch.get(oid)
    rest = [oid for oid in oids if oid not in known]
    room = limits.bytes - sum(map(weight, found.values())) if rest else 0
    commits = repo.git.log(rest, limits.message, limits.files)
    try:
        for commit in commits if room > 0 else ():
            found[commit.oid] = entry = commit_entry(
                commit, branch.get(commit.oid), repo.link
            )
            room -= weight(entry)
            if room <= 0:
                return
    finally:
        commits.close()


def _read_bare(
    repo: Repository,
    oids: list[str],
    branch: dict[str, str | None],
    limits: Limits,
    found: Entries,
) -> None:
    room = limits.bytes - sum(map(_weight, found.values()))
    commits = repo.git.log(oids, limits.message, 0, files=False)
    try:
        for commit in commits if oids and room > 0 else ():
            found[commit.oid] = entry = commit_entry(
                commit, branch.get(commit.oid), repo.link
            )
            room -= _weight(entry)
            if room <= 0:
                return
    finally:
        commits.close()


def weight(entry: Payload) -> int:
    """About how many bytes *entry* takes."""
    return _weight(entry) + sum(
        len(file["file"]) + _FILE_BYTES for file in entry["files"]
    )


def _weight(entry: Payload) -> int:
    """About how many bytes *entry* takes without its files."""
    return _COMMIT_BYTES + len(entry["message"])


def _lead_back(repo: Repository, found: Entries, limits: Limits) -> None:
    """Give what was picked from another commit the `change` of that one."""
    marked = [oid for oid in found if "from commit" in found[oid]["message"]]
    if not marked:
        return
    from oberonc.source import traces

    sources = {oid: traces.picked(found[oid]["message"]) for oid in marked}
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


def commit_entry(commit: Commit, branch: str | None, link: str) -> Payload:
    """One element of `commits` or `merged`;
    *link* has `{oid}` where the id goes, or is empty.
    """
    oid, parents, author, email, date, committer, mail, _, message, files, is_cut = (
        commit
    )
    people = [author, email, committer, mail]
    if len("".join(people)) > LONGEST_NAME:  # of each; nearly all are far below it
        author, email, committer, mail = (name[:LONGEST_NAME] for name in people)
        is_cut = is_cut or [author, email, committer, mail] != people
    changed = []
    for kind, path in files:
        if len(path) > LONGEST_PATH:
            path, is_cut = path[:LONGEST_PATH], True
        changed.append({"file": path, "type": _TYPES.get(kind, "modified")})
    raw_author = f"{author} <{email}>"
    stamp = _stamp(date[0], time.gmtime)
    entry = {
        "node": oid[:12],
        "raw_node": oid,
        "author": author,
        "raw_author": raw_author,
        "committer": f"{committer} <{mail}>",
        "message": message,
        "branch": branch,
        "parents": [parent[:12] for parent in parents],
        "files": changed,
        "timestamp": stamp if time.tzname == _UTC else _stamp(date[0], time.localtime),
        "utctimestamp": f"{stamp}+00:00",
        "revision": None,
        "size": -1,
        "url": link.replace("{oid}", oid),
        "change": change(raw_author, date, message),
    }
    if is_cut:
        entry["truncated"] = True
    return entry


def _stamp(seconds: int, zone: Any) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", zone(seconds))
    except (OverflowError, ValueError, OSError):
        # A commit may carry any number as its date.
        return "1970-01-01 00:00:00"


def message_entry(
    message: str, raw_author: str, branch: str | None, limits: Limits
) -> Payload:
    """The entry of a commit message that came without a commit:
    its ids are the null oid.
    """
    name, _, mail = raw_author.removesuffix(">").partition(" <")
    raw = message.encode("utf-8", "replace")
    text = cut(raw, limits.message)
    date = (int(time.time()), "+0000")
    commit = Commit(
        "0" * 40,
        [],
        name,
        mail,
        date,
        name,
        mail,
        date,
        text,
        [],
        len(raw) > limits.message,
    )
    return commit_entry(commit, branch, "") | {"change": digest(os.urandom(32))}


def change(raw_author: str, date: tuple[int, str], message: str) -> str:
    """The name of a change, the same after rebase,
    cherry-pick and backport: 40 hex digits.
    """
    text = message.replace("\r\n", "\n")
    lowered = text.lower()
    for trace in _TRACES:
        if trace in lowered:
            from oberonc.source import traces  # few messages are worth what it loads

            text = traces.removed(text)
            break
    kept = [line.rstrip() for line in text.splitlines()]
    if "-" in lowered:
        kept = [line for line in kept if not line.lower().startswith(_TRAILERS)]
    body = "\n".join(filter(None, kept))
    text = f"{raw_author}\n{date[0]} {date[1]}\n{body}"
    return digest(text.encode("utf-8", "replace"))


def digest(raw: bytes) -> str:
    """*raw* as 40 hex digits."""
    return sha256(raw).hexdigest()[:40]
