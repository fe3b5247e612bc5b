"""`oberonc log`: what happened to a push, per service, and why nothing happened where
nothing did.
"""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from oberonc import config as configuration
from oberonc.commands import (
    Session,
    example,
    offer,
    pass_session,
    show_json,
    show_line,
    submitter,
)
from oberonc.config import Config
from oberonc.delivery import handover, runs
from oberonc.errors import (
    BadInput,
    NotAccepted,
    NotAllowed,
    OberoncError,
    Unreachable,
    UsageError,
)
from oberonc.payload import filters
from oberonc.source import memory, repository
from oberonc.source.git import Git, null_oid
from oberonc.text import counted, listed

Record = dict[str, Any]

#: Runs shown when no id is given, and characters an id must have at least.
RECENT = 20
#: The latest runs among which a push whose commits
#: were not listed is looked for by its commits.
UNREAD = 500
SHORTEST = 4
#: Seconds between two looks of --follow, and pushes that have not ended which it looks
#: at again.
INTERVAL = 1.0
WATCHED = 100
#: What became of a delivery that was not done.
_FAILED = ("dead", "retry", "crash")


@click.command(
    "log",
    epilog=example(
        "oberonc log",
        "oberonc log 1f2e3d4c",
        "oberonc log HEAD",
        "oberonc log --failed --repository web/shop main~5..main",
        "oberonc log --json 5f0c1a52",
        "oberonc log -f",
        "oberonc log --actions",
    ),
)
@click.argument(
    "key",
    metavar="[ID|COMMIT|BRANCH|A..B]",
    required=False,
    shell_complete=offer("event"),
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C."
)
@click.option(
    "--repository", "name", metavar="NAME", help="Only pushes to this repository."
)
@click.option("--failed", is_flag=True, help="Only what a service has not done.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=RECENT,
    show_default=True,
    help="How many, the latest.",
)
@click.option(
    "--actions",
    is_flag=True,
    help="What people had the daemon do: who, what, when.",
)
@click.option(
    "--git-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The repository to ask about COMMIT.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON; with --follow one document a line.",
)
@pass_session
def command(
    session: Session,
    key: str | None,
    follow: bool,
    name: str | None,
    failed: bool,
    limit: int,
    actions: bool,
    git_dir: Path | None,
    as_json: bool,
) -> None:
    """Show what happened to the push or commit whose id begins with ID or COMMIT, or
    that HEAD, a branch or a range names; without one, the latest runs.

    A running daemon is asked: who administers it sees every push, everybody else those
    they handed in.
    """
    config = session.reach
    own = configuration.learn(session.config_path)
    if not own.fault and own.files != config.files:
        config = own  # the machine's does not count for who can hand nothing in
    if actions:
        if key is not None or follow:
            raise UsageError(
                "--actions tells of all of them: give only --limit with it"
            )
        _show_actions(config, limit, as_json)
        return
    if follow:
        if key is not None:
            raise BadInput("--follow tells of every push: give no id with it")
        for entry in _followed(config):
            if as_json:
                show_json(entry, line=True)
            else:
                _print(entry)
        return
    if key is None:
        # Filters choose among more than is shown.
        count = UNREAD if name or failed else limit
        found = _gathered(config, _read(config, max(count, limit)), limit=count)
    else:
        found = _about_all(config, key, git_dir)
    found = [
        entry
        for entry in found
        if name in (None, entry["repository"]) and (not failed or _has_failed(entry))
    ][-limit:]
    if as_json:
        show_json(found)
    else:
        for entry in found:
            _print(entry)
        if not found:
            which = " of these" if name or failed else ""
            show_line(f"no push{which} is in the log", err=True)


# Where records come from


def _has_daemon(config: Config) -> bool:
    return config.delivery == "daemon" or os.path.exists(config.daemon.control)  # noqa: PTH110  never raises


def _ask(config: Config, **wanted: Any) -> dict[str, Any]:
    """The daemon's answer: as an administrator, else as somebody who hands pushes in.
    Raises OberoncError.
    """
    try:
        return handover.call(config, "log", at=config.daemon.control, **wanted)
    except (NotAllowed, Unreachable):
        return handover.call(config, "log", at=config.daemon.socket, **wanted)


def _gathered(
    config: Config, own: list[Record] | NotAllowed, **wanted: Any
) -> list[Record]:
    """What the daemon says to *wanted*, and *own* of the log that hooks write
    themselves, in order.

    Where there is a daemon, that log need not be readable; one of them must answer.
    """
    found = [] if isinstance(own, NotAllowed) else own
    if _has_daemon(config):
        try:
            found = [*found, *_ask(config, **wanted)["events"]]
            return sorted(found, key=lambda entry: str(entry["time"]))
        except OberoncError as error:
            if not found:
                raise
            show_line(f"oberonc: the daemon's part is missing: {error}", err=True)
    elif isinstance(own, NotAllowed):
        raise own
    return found


def _read(config: Config, count: int) -> list[Record] | NotAllowed:
    try:
        return runs.recent(config, count)
    except NotAllowed as error:
        return error


def _has_failed(entry: Record) -> bool:
    rows = entry["services"].values()
    return any(row.get("outcome", "done") in _FAILED for row in rows)


def _about_all(config: Config, key: str, git_dir: Path | None) -> list[Record]:
    """The records of what *key* names: an id, or what git takes for commits."""
    if len(key) >= SHORTEST and set(key.lower()) <= set("0123456789abcdef"):
        return _about(config, key.lower(), git_dir)
    oids: list[str] = []
    for place in _standing(git_dir)[:1]:
        git = Git(place)
        first, dots, last = key.partition("..")
        tips = [git.peel(rev or "HEAD") for rev in ((first, last) if dots else (key,))]
        if all(tips):
            oids = git.between(*tips) if dots else tips
    if not oids:
        here = "names no commit, branch or range with commits of the repository you stand in"
        if not _standing(git_dir):
            here = "you stand in no git repository that could know it"
        raise BadInput(
            f"'{key}' is not an id (at least {SHORTEST} hex digits of a push or commit), and {here}"
        )
    found: dict[str, Record] = {}
    faults = []
    for oid in oids[-WATCHED:]:
        try:
            found |= {entry["id"]: entry for entry in _about(config, oid, git_dir)}
        except BadInput as error:
            faults.append(error)
    if not found:
        raise faults[-1]
    return sorted(found.values(), key=lambda entry: str(entry["time"]))


def _about(config: Config, key: str, git_dir: Path | None) -> list[Record]:
    """The records of the push or commit *key*; raises BadInput where there is none."""
    if len(key) < SHORTEST or not set(key) <= set("0123456789abcdef"):
        raise BadInput(
            f"'{key}' is not an id: give at least {SHORTEST} hex digits of a push or commit"
        )
    own: list[Record] | NotAllowed
    try:
        own = runs.find(config, key)
    except NotAllowed as error:
        own = error
    found: list[Record] = []
    for entry in _gathered(config, own, key=key):
        # Found by the end of a ref, it may not say whether it brought this commit.
        ids = (entry["id"], *entry["commits"])
        if _lists_not_all(entry) and not any(oid.startswith(key) for oid in ids):
            found += list(_within([entry], key, git_dir)) or [entry]
        else:
            found.append(entry)
    if not found:
        unread = _gathered(config, _read(config, UNREAD), cut=True)
        found = list(_within(filter(_lists_not_all, unread), key, git_dir))
    if not found:
        whose = ""
        if _has_daemon(config):
            whose = "the log of the daemon, as far as you may read it, or in "
        raise BadInput(
            f"no push or commit beginning with '{key}' is in {whose}{config.state / 'log'}"
            f"{_why_not(key, git_dir)}"
        )
    return found


def _why_not(key: str, git_dir: Path | None) -> str:
    """Why the commit *key* of the repository one stands in has no record; empty where
    there is no such commit.
    """
    for place in _standing(git_dir)[:1]:
        git, common = Git(place), repository.common_dir(place)
        oid = git.peel(key)
        if not oid:
            continue
        if not repository.is_enabled(git.config()):
            return f": oberonc is switched off in {common} (git config oberonc.enabled)"
        if not memory.is_kept(common):
            return (
                f": no hook of oberonc ran in {common} yet, or none since it was switched off;"
                " `oberonc hook status` says whether there are any"
            )
        with memory.hold(common) as held:
            tips = {told.oid for told in held.memory.refs.values()}
        sends = f"; `oberonc send --rev {oid[:12]}` sends it"
        if any(git.is_ancestor(oid, tip) for tip in tips):
            return (
                ": it was there before the hooks were, or came while oberonc was switched off"
                f" or passed over (OBERONC=0), or is older than what the log keeps{sends}"
            )
        return f": no hook told of it yet (it is on no branch that one ran for){sends}"
    return ""


# Commits that no record lists


def _lists_not_all(entry: Record) -> bool:
    """Whether the push brought commits that its record does not list: it was not read,
    or cut to the limits.
    """
    return entry["via"] == "nowhere" or bool(entry.get("truncated"))


def _within(
    entries: Iterable[Record], key: str, git_dir: Path | None
) -> Iterator[Record]:
    """Those of *entries* that brought commit *key*, as the repository says: a hook did
    not list it.

    A log may be written by others. So the repository it names is opened only if its
    owner is the reader or root; the one that is named or stood in always is.
    """
    trusted = _standing(git_dir)
    for entry in entries:
        for place in dict.fromkeys([*trusted, *_owned(entry.get("git_dir"))]):
            git = Git(place)
            oid = _brought(git, key, entry["updates"])
            if oid:
                yield entry | {"unlisted": oid, "names": _names(git, oid)}
                break


def _standing(git_dir: Path | None) -> list[str]:
    if git_dir is not None:
        return [repository.find_git_dir(git_dir)]
    try:
        return [repository.find_git_dir()]
    except OberoncError:
        return []


def _owned(git_dir: Any) -> list[str]:
    try:
        if isinstance(git_dir, str) and os.stat(git_dir).st_uid in (0, os.geteuid()):  # noqa: PTH116
            return [git_dir]
    except (OSError, ValueError):
        pass  # it has gone
    return []


def _brought(git: Git, key: str, updates: list[dict[str, str]]) -> str:
    """The commit *key* stands for, if one of
    *updates* brought it; else an empty string.
    """
    try:
        oid = git.peel(key)
        for update in updates if oid else ():
            old, new = update["old"], update["new"]
            if null_oid(new) or not git.is_ancestor(oid, new):
                continue
            if null_oid(old) or not git.is_ancestor(oid, old):
                return oid
    except OberoncError:
        pass  # the repository has gone, or knows nothing of it
    return ""


def _names(git: Git, oid: str) -> list[str]:
    """The issues that the message of commit *oid* names."""
    try:
        return filters.named(
            [commit.message for commit in git.log([oid], 1 << 16, 0, files=False)]
        )
    except OberoncError:
        return []


# Following


def _followed(config: Config) -> Iterator[Record]:
    """The latest records, then each one as it comes; for ever."""
    return _of_daemon(config) if _has_daemon(config) else _of_files(config)


def _of_files(config: Config) -> Iterator[Record]:
    tail = runs.Tail(config)
    latest = runs.recent(config, RECENT)
    yield from latest
    while True:
        yield from (entry for entry in tail.fresh() if entry not in latest)
        time.sleep(INTERVAL)


def _of_daemon(config: Config) -> Iterator[Record]:
    """A push is told of again whenever it is told of differently, until it has ended."""
    forms: dict[str, str] = {}  # by id, of the pushes that have not ended
    wanted: dict[str, Any] = {}
    answers = True
    while True:
        try:
            answer = _ask(config, **wanted)
        except (Unreachable, NotAccepted) as error:
            if not wanted and answers and isinstance(error, Unreachable):
                raise
            if answers:
                show_line(f"oberonc: {error}; waiting for it", err=True)
            answers = False
            time.sleep(INTERVAL)
            continue
        answers = True
        for entry in answer["events"]:
            form = _form(entry)
            if forms.get(entry["id"]) != form:
                yield entry
            outcomes = {row.get("outcome") for row in entry["services"].values()}
            if outcomes & {"waits", "runs"}:
                forms[entry["id"]] = form
            else:
                forms.pop(entry["id"], None)
        wanted = {
            "after": max(wanted.get("after", 0), int(answer["last"])),
            "ids": list(forms)[-WATCHED:],
        }
        time.sleep(INTERVAL)


def _form(entry: Record) -> str:
    """What is worth telling again: outcomes and notes, not that an attempt has begun."""
    rows = entry["services"].items()
    return repr(
        [
            (name, str(row.get("outcome")).replace("runs", "waits"), row.get("note"))
            for name, row in rows
        ]
    )


# Printing


def _show_actions(config: Config, limit: int, as_json: bool) -> None:
    """The latest *limit* actions, oldest first."""
    found = handover.call(config, "actions", limit=limit)["actions"][::-1]
    if as_json:
        show_json(found)
        return
    for row in found:
        by = f"{row['by']} through " if row.get("by") else ""
        why = f": {row['reason']}" if row.get("reason") else ""
        show_line(
            f"{row['time']} {by}{row['account']}: {row['action']} {row['about']}{why} ({row['result']})"
        )


def _print(entry: Record) -> None:
    refs = ", ".join(str(update["ref"]) for update in entry["updates"])
    how = []
    if entry["via"] != "nowhere":
        how.append(counted(len(entry["commits"]), "commit"))
    if entry.get("truncated"):
        how.append(f"cut to the limits from {entry.get('commits_total') or 'more'}")
    how.append(entry["via"])
    user = entry.get("user")
    by = ""
    if user and user != (entry.get("submitter") or {}).get("name"):
        by = f" by {user}"
    show_line(
        f"{entry['time']} {entry['id'][:8]} {entry['event']} {entry['repository']} "
        f"{refs}{by} ({', '.join(how)}{submitter(entry)})"
    )
    if "unlisted" in entry:
        show_line(f"  {_unlisted(entry)}")
    for name, row in entry["services"].items():
        show_line(f"  {name}: {_row(row)}", state=row.get("outcome") or "")


def _unlisted(entry: Record) -> str:
    oid, names = entry["unlisted"][:12], entry["names"]
    named = f", which names {listed(names, filters.NAMED)}" if names else ""
    if entry["via"] == "nowhere":
        return f"commit {oid}{named} was not read: no service could want it"
    return (
        f"commit {oid}{named} was cut away, as the push was larger than the limits: "
        f"`oberonc send --rev {oid}` sends it"
    )


def _row(row: Record) -> str:
    if not row.get("outcome"):
        return f"nothing: {row.get('why', '')}"
    attempt = f", attempt {row['attempt']}" if row.get("attempt") else ""
    took = f", {row['took_ms']} ms" if row.get("took_ms") is not None else ""
    # What the filters kept back of the push stands behind "matches; ".
    kept_back = str(row.get("why") or "").partition("matches; ")[2]
    notes = [note for note in (row.get("note"), kept_back) if note]
    note = f": {'; '.join(notes)}" if notes else ""
    return f"{row['outcome']}{attempt}{took}{note}"
