"""Payloads made from a repository: what each has, and commits as it has them, read by
one `git log` and never more of them than a payload holds.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable
from typing import Any

from oberonc import accounts
from oberonc.config import Limits
from oberonc.errors import BadInput
from oberonc.payload.schema import (
    LONGEST_NAME,
    LONGEST_PATH,
    SCHEMA,
    Payload,
    dumps,
    new_id,
    now,
)
from oberonc.source.git import Commit, cut
from oberonc.source.repository import Repository
from oberonc.text import clean

Entries = dict[str, Payload]
#: What a commit, a file of it, and the rest of a payload take besides their text;
#: roughly.
_COMMIT_BYTES, _FILE_BYTES, _FRAME_BYTES = 800, 40, 8192
#: How `git cherry-pick -x` and those who backport name the commit a change comes from.
_PICKED = re.compile(
    r"^[ \t]*\((?:cherry picked|backported) from commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b",
    re.M,
)
_TYPES = {"A": "added", "D": "removed"}
#: What rebase, cherry-pick, review, sign-off and backports add; the change stays the
#: same without it.
_ADDED_LINES = re.compile(
    r"""^(
    (signed-off-by|reviewed-by|tested-by|acked-by|change-id):.* |
    [([]?\ *(cherry[ -]?picked|back-?ported|backport\ of|upstream)\b.*\b[0-9a-f]{7,64}\b.* |
    commit\ [0-9a-f]{7,64}\ upstream\W*
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
#: `[name: what I changed]`, also over several lines; the list of conflicts up to a
#: blank line; Mercurial's own lines.
_NOTES = re.compile(r"(?<=\n)\[[^\[\]\n]{1,80}: [^\[\]]*\][ \t]*$", re.MULTILINE)
_CONFLICTS = re.compile(
    r"(?<=\n)#?[ \t]*conflicts\b[^\n]*:[ \t]*$(?:\n[ \t]*\S[^\n]*)*",
    re.IGNORECASE | re.MULTILINE,
)
_MERCURIAL = re.compile(r"^--HG--[ \t]*$", re.MULTILINE)
#: `[PATCH 1/2]`, `[8.2.x]`: `git am` takes it off.
_PREFIX = re.compile(r"\s*(?:\[[^\[\]\n]{1,80}\]\s*)+(?=\S)")


def frame(about: Payload, canon_url: str, event: str) -> Payload:
    """What every payload has, with empty lists for what only a push brings; *about* is
    its `repository`.
    """
    return {
        "schema": SCHEMA,
        "id": new_id(),
        "event": event,
        "time": now(),
        "user": pusher(),
        "submitter": submitter(),
        "canon_url": canon_url,
        "repository": about,
        "updates": [],
        "commits": [],
        "merged": [],
        "foreign": [],
        "dropped": [],
        "dropped_total": 0,
        "push_options": [],
    }


def pusher() -> str | None:
    """Who pushed, as the server in front of git knows them; else the system's user.

    OBERONC_USER is for servers where all share one account: `authorized_keys` sets it
    per key. Whoever has a shell may set any of them; the daemon believes them of
    accounts that run git for others only.
    """
    for name in (
        "GL_USERNAME",
        "GITEA_PUSHER_NAME",
        "GL_USER",
        "OBERONC_USER",
        "REMOTE_USER",
    ):
        if os.environ.get(name):
            return clean(os.environ[name])
    return accounts.name(os.geteuid()) or os.environ.get("USER") or None


def submitter() -> dict[str, Any]:
    """Whose process this is, as the daemon will say it:
    {"uid": N, "name": "account" or null}.
    """
    return {"uid": os.geteuid(), "name": accounts.name(os.geteuid())}


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


def commit_entry(commit: Commit, branch: str | None, link: str) -> Payload:
    """One element of `commits` or `merged`;
    *link* has `{oid}` where the id goes, or is empty.
    """
    people = [
        commit.author,
        commit.author_email,
        commit.committer,
        commit.committer_email,
    ]
    author, author_email, committer, committer_email = short = [
        name[:LONGEST_NAME] for name in people
    ]
    files = [(kind, file[:LONGEST_PATH]) for kind, file in commit.files]
    raw_author = f"{author} <{author_email}>"
    entry = {
        "node": commit.oid[:12],
        "raw_node": commit.oid,
        "author": author,
        "raw_author": raw_author,
        "committer": f"{committer} <{committer_email}>",
        "message": commit.message,
        "branch": branch,
        "parents": [parent[:12] for parent in commit.parents],
        "files": [
            {"file": file, "type": _TYPES.get(kind, "modified")} for kind, file in files
        ],
        "timestamp": _stamp(commit.author_date[0], time.localtime),
        "utctimestamp": _stamp(commit.author_date[0], time.gmtime) + "+00:00",
        "revision": None,
        "size": -1,
        "url": link.replace("{oid}", commit.oid),
        "change": change(raw_author, commit.author_date, commit.message),
    }
    if commit.cut or short != people or files != commit.files:
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
    text = _MERCURIAL.split(message.replace("\r\n", "\n"), maxsplit=1)[0]
    text = (
        _PREFIX.sub("", _CONFLICTS.sub("", _NOTES.sub("", text)), count=1)
        if "[" in text or "onflicts" in text
        else text
    )
    kept = (line.rstrip() for line in text.splitlines())
    body = "\n".join(line for line in kept if line and not _ADDED_LINES.match(line))
    text = f"{raw_author}\n{date[0]} {date[1]}\n{body}"
    return digest(text.encode("utf-8", "replace"))


def digest(raw: bytes) -> str:
    """*raw* as 40 hex digits."""
    # costs a hook more than all of this module; a push that no service wants does not
    # pay it
    import hashlib

    return hashlib.sha256(raw).hexdigest()[:40]
