"""`oberonc log`: what happened to a push, per service, and why nothing happened where
nothing did.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

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
from oberonc.delivery import handover, log
from oberonc.errors import BadInput, NotAccepted, NotAllowed, OberoncError, Unreachable
from oberonc.payload import filters
from oberonc.source import repository
from oberonc.source.git import Git, null_oid
from oberonc.text import counted, listed

Record = dict[str, Any]

#: Runs shown when no id is given, and characters an id must have at least.
RECENT = 20
#: The latest runs among which a push whose commits were not listed is looked for by its
#: commits.
UNREAD = 500
SHORTEST = 4
#: Seconds between two looks of --follow, and pushes that have not ended which it looks
#: at again.
INTERVAL = 1.0
WATCHED = 100


@click.command(
    "log",
    epilog=example(
        "oberonc log",
        "oberonc log 1f2e3d4c",
        "oberonc log --json 5f0c1a52",
        "oberonc log -f",
    ),
)
@click.argument(
    "key", metavar="[ID|COMMIT]", required=False, shell_complete=offer("event")
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C."
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
    session: Session, key: str | None, follow: bool, git_dir: Path | None, as_json: bool
) -> None:
    """Show what happened to the push or commit whose id begins with ID or COMMIT;
    without one, the latest runs.

    A running daemon is asked: who administers it sees every push, everybody else those
    they handed in.
    """
    config = session.reach
    if key is not None:
        if follow:
            raise BadInput("--follow tells of every push: give no id with it")
        found = _about(config, _checked(key), git_dir)
    elif follow:
        found = []
        for entry in _followed(config):
            show_json(entry, line=True) if as_json else _print(entry)
    else:
        found = _latest(config)
    if as_json and not follow:
        show_json(found)
    for entry in [] if as_json else found:
        _print(entry)


def _checked(key: str) -> str:
    if len(key) < SHORTEST or not all(c in "0123456789abcdef" for c in key.lower()):
        raise BadInput(
            f"'{key}' is not an id: give at least {SHORTEST} hex digits of a push or commit"
        )
    return key.lower()


# Where records come from


def _has_daemon(config: Config) -> bool:
    return config.delivery == "daemon" or os.path.exists(config.daemon.control)  # noqa: PTH110  never raises


def _ask(config: Config, **asked: Any) -> dict[str, Any]:
    """The daemon's answer: as an administrator, else as somebody who hands pushes in.
    Raises OberoncError.
    """
    try:
        return handover.call(config, "log", at=config.daemon.control, **asked)
    except (NotAllowed, Unreachable):
        return handover.call(config, "log", at=config.daemon.socket, **asked)


def _gathered(
    config: Config, own: list[Record] | NotAllowed, **asked: Any
) -> list[Record]:
    """What the daemon says to *asked*, and *own* of the log that hooks write
    themselves, in order.

    Where there is a daemon, that log need not be readable; one of them must answer.
    """
    found = [] if isinstance(own, NotAllowed) else own
    if _has_daemon(config):
        try:
            return _in_order([*found, *_ask(config, **asked)["events"]])
        except OberoncError as error:
            if not found:
                raise
            show_line(f"oberonc: the daemon's part is missing: {error}", err=True)
    elif isinstance(own, NotAllowed):
        raise own
    return found


def _in_order(found: list[Record]) -> list[Record]:
    return sorted(found, key=lambda entry: str(entry["time"]))


def _latest(config: Config) -> list[Record]:
    return _gathered(config, _read(config, RECENT), limit=RECENT)[-RECENT:]


def _read(config: Config, count: int) -> list[Record] | NotAllowed:
    try:
        return log.recent(config, count)
    except NotAllowed as error:
        return error


def _about(config: Config, key: str, git_dir: Path | None) -> list[Record]:
    """The records of the push or commit *key*; raises BadInput where there is none."""
    own: list[Record] | NotAllowed
    try:
        own = log.find(config, key)
    except NotAllowed as error:
        own = error
    found = _gathered(config, own, key=key)
    if not found:
        unread = [
            entry
            for entry in _gathered(config, _read(config, UNREAD), cut=True)
            if _lists_not_all(entry)
        ]
        found = list(_within(unread, key, git_dir))
    else:
        found = [
            entry
            for known in found
            for entry in (
                list(_within(_unlisting(known, key), key, git_dir)) or [known]
            )
        ]
    if found:
        return found
    whose = (
        "the log of the daemon, as far as you may read it"
        if _has_daemon(config)
        else "the log"
    )
    raise BadInput(
        f"no push or commit beginning with '{key}' is in {whose} or in {config.state / 'log'}"
    )


# Commits that no record lists


def _lists_not_all(entry: Record) -> bool:
    """Whether the push brought commits that its record does not list: it was not read,
    or cut to the limits.
    """
    return entry["via"] == "nowhere" or bool(entry.get("truncated"))


def _unlisting(entry: Record, key: str) -> list[Record]:
    """*entry* in a list, if it was found by the end of a ref and does not say whether
    it brought commit *key*.
    """
    is_listed = any(oid.startswith(key) for oid in (entry["id"], *entry["commits"]))
    return [] if is_listed or not _lists_not_all(entry) else [entry]


def _within(entries: list[Record], key: str, git_dir: Path | None) -> Iterator[Record]:
    """Those of *entries* that brought commit *key*, as the repository says: a hook did
    not list it.

    A log may be written by others. So the repository it names is opened only if its
    owner is the reader or root; the one that is named or stood in always is.
    """
    trusted = _standing(git_dir)
    for entry in entries:
        for door in [
            Git(place)
            for place in dict.fromkeys([*trusted, *_owned(entry.get("git_dir"))])
        ]:
            oid = _brought(door, key, entry["updates"])
            if oid:
                yield entry | {"unlisted": oid, "names": _names(door, oid)}
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


def _brought(door: Git, key: str, updates: list[dict[str, str]]) -> str:
    """The commit *key* stands for, if one of *updates* brought it; else an empty
    string.
    """
    try:
        oid = door.peel(key)
        return (
            oid
            if oid and any(_moved_over(door, oid, update) for update in updates)
            else ""
        )
    except OberoncError:
        return ""  # the repository has gone, or knows nothing of it


def _moved_over(door: Git, oid: str, update: dict[str, str]) -> bool:
    old, new = update["old"], update["new"]
    is_in = not null_oid(new) and door.is_ancestor(oid, new)
    return is_in and (null_oid(old) or not door.is_ancestor(oid, old))


def _names(door: Git, oid: str) -> list[str]:
    """The issues that the message of commit *oid* names."""
    try:
        return filters.named(
            [commit.message for commit in door.log([oid], 1 << 16, 0, files=False)]
        )
    except OberoncError:
        return []


# Following


def _followed(config: Config) -> Iterator[Record]:
    """The latest records, then each one as it comes; for ever."""
    return _of_daemon(config) if _has_daemon(config) else _of_files(config)


def _of_files(config: Config) -> Iterator[Record]:
    tail = log.Tail(config)
    told = log.recent(config, RECENT)
    yield from told
    while True:
        yield from (entry for entry in tail.fresh() if entry not in told)
        time.sleep(INTERVAL)


def _of_daemon(config: Config) -> Iterator[Record]:
    """A push is told of again whenever it is told of differently, until it has ended."""
    told: dict[str, str] = {}
    last: int | None = None
    answers = True
    while True:
        try:
            answer = _ask(
                config,
                **(
                    {}
                    if last is None
                    else {"after": last, "ids": list(told)[-WATCHED:]}
                ),
            )
        except (Unreachable, NotAccepted) as error:
            if last is None and answers and not isinstance(error, NotAccepted):
                raise
            if answers:
                show_line(f"oberonc: {error}; waiting for it", err=True)
            answers = False
            time.sleep(INTERVAL)
            continue
        answers = True
        for entry in answer["events"]:
            form = _form(entry)
            if told.get(entry["id"]) != form:
                yield entry
            told[entry["id"]] = form
            if not any(
                row.get("outcome") in ("waits", "runs")
                for row in entry["services"].values()
            ):
                del told[entry["id"]]
        last = max(last or 0, int(answer["last"]))
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


def _print(entry: Record) -> None:
    refs = ", ".join(str(update["ref"]) for update in entry["updates"])
    read = (
        [] if entry["via"] == "nowhere" else [counted(len(entry["commits"]), "commit")]
    )
    cut = (
        [f"cut to the limits from {entry.get('commits_total') or 'more'}"]
        if entry.get("truncated")
        else []
    )
    user = entry.get("user")
    by = (
        f" by {user}"
        if user and user != (entry.get("submitter") or {}).get("name")
        else ""
    )
    how = ", ".join([*read, *cut, entry["via"]]) + submitter(entry)
    show_line(
        f"{entry['time']} {entry['id'][:8]} {entry['event']} {entry['repository']} {refs}{by} ({how})"
    )
    if "unlisted" in entry:
        show_line(f"  {_unlisted(entry)}")
    for name, row in entry["services"].items():
        show_line(f"  {name}: {_row(row)}")


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
    left = str(row.get("why") or "").partition("matches; ")[2]
    said = "; ".join(filter(None, (row.get("note"), left)))
    return f"{row['outcome']}{attempt}{took}{': ' if said else ''}{said}"
