"""What waits, what failed, and what the daemon
says of it, as far as this account may ask.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import oberonc
from oberonc import accounts, rights
from oberonc.admin.doctor.mends import join, may_push
from oberonc.admin.finding import Finding
from oberonc.admin.install.reach import hidden
from oberonc.config import Config
from oberonc.delivery import handover, runs, spool
from oberonc.errors import NotAllowed, OberoncError
from oberonc.text import counted, one_line
from oberonc.web.page import words

#: Folders of the spool that should be empty: name, what is in it, what to do.
_SHOULD_BE_EMPTY = (
    (
        "bad",
        ("file", "files"),
        "that could not be read",
        "look at the .why beside each, then: rm {folder}/*",
    ),
    (
        "dead",
        ("delivery", "deliveries"),
        "given up",
        "oberonc send --payload FILE sends one again; then: rm {folder}/FILE",
    ),
)
#: Runs of the log that are looked at, and failures
#: in a row that tell of more than chance.
RUNS = 200
IN_VAIN = 3
FAILED = ("retry", "dead", "crash")


def examine(config: Config) -> Iterator[Finding]:
    """Spool and log; in daemon mode the daemon."""
    yield from _spool(config)
    yield from _mirrors(config)
    if config.delivery == "here":
        yield from _runs(config)
    elif config.delivery == "daemon":
        yield from _daemon(config)
    else:
        yield _peer(config)


def _mirrors(config: Config) -> Iterator[Finding]:
    """Mirrors of hosted repositories: what the last fetch said."""
    if not config.webhooks:
        return
    from oberonc.mirror import mirrors, origins

    for one in mirrors.every(origins.state_folder(config)):
        about = one.about()
        error, when = about.get("error"), about.get("fetched") or "never"
        yield Finding(
            not error,
            f"mirror of {one_line(one.repository, 80)}: {error or f'fetched {when}'}",
            f"put right what is named, then: oberonc mirror fetch {quote(one.repository)}",
        )


def _peer(config: Config) -> Finding:
    """Whether another machine takes pushes from here."""
    from oberonc.delivery import sending

    why = sending.check(config)
    if why:
        return Finding(False, why, "pushes wait in the spool; put right what is named")
    return Finding(True, f"{config.delivery} takes pushes from here")


def _spool(config: Config) -> Iterator[Finding]:
    new = config.spool / "new"
    if not os.access(new, os.R_OK | os.X_OK) and (hidden(new) or new.is_dir()):
        yield Finding(
            None, f"what waits in {config.spool} only {_owner(config.spool)} can tell"
        )
        return
    waiting = spool.listing(config.spool)
    shut = [path for path in waiting if rights.hurdle(path, _reader(config))]
    if shut:
        mend = f"as the administrator: look at {shut[0]}, then chgrp and chmod g+r what is good"
        yield Finding(
            False,
            f"{counted(len(shut), 'push', 'pushes')} in {new} cannot be read by {_reader(config).name}",
            mend,
        )
    if waiting:
        mend = (
            "the daemon takes them in once it runs and has room"
            if config.delivery == "daemon"
            else "oberonc send --spooled"
        )
        yield Finding(
            False,
            f"{counted(len(waiting), 'push', 'pushes')} not taken in yet, in {config.spool}",
            mend,
        )
    yield from _unclaimed(config, [path for path in waiting if path not in shut])
    for name, thing, what, mend in _SHOULD_BE_EMPTY:
        folder = config.spool / name
        number = (
            len(list(folder.glob("*.[oj]*")))
            if os.access(folder, os.R_OK | os.X_OK)
            else 0
        )
        if number:
            yield Finding(
                False,
                f"{folder} holds {counted(number, *thing)} {what}",
                mend.format(folder=folder),
            )


def _owner(folder: Path) -> str:
    try:
        return accounts.person(folder.stat().st_uid)
    except OSError:
        return "its owner"


def _reader(config: Config) -> rights.Account:
    """Who takes the spool in."""
    if config.delivery == "daemon":
        return rights.account(config.spool.stat().st_uid)
    return rights.account(os.geteuid())


def _unclaimed(config: Config, waiting: list[Path]) -> Iterator[Finding]:
    """Services that entries wait for and nobody serves."""
    lost: dict[str, int] = {}
    for path in waiting[:RUNS]:
        try:
            services = spool.read(path)["services"] or {}
        except (OSError, KeyError, spool.Damaged):
            continue
        for name in services if isinstance(services, dict) else ():
            if name not in config.services:
                lost[name] = lost.get(name, 0) + 1
    for name, number in lost.items():
        mend = "configure it again, or remove the files"
        yield Finding(False, words.unserved(name, number), mend)


def _runs(config: Config) -> Iterator[Finding]:
    """Services that failed every time of late."""
    try:
        records = runs.recent(config, RUNS)
    except NotAllowed as error:
        yield Finding(None, str(error))
        return
    for name in config.services:
        rows = [record["services"].get(name) or {} for record in records]
        ended = [row for row in rows if row.get("outcome")][-IN_VAIN:]
        if len(ended) == IN_VAIN and all(row["outcome"] in FAILED for row in ended):
            note = one_line(str(ended[-1].get("note") or ""), 200)
            yield Finding(
                False,
                f"service {name} failed the last {IN_VAIN} times: {note}",
                "oberonc log shows each",
            )


def _daemon(config: Config) -> Iterator[Finding]:
    path = str(config.daemon.socket)
    if len(path.encode()) > 107:
        yield Finding(
            False,
            f"the socket path {path} is longer than 107 bytes",
            "set [daemon] socket to a shorter one",
        )
        return
    answer: dict[str, Any] = {}
    try:
        answer = handover.call(config, "ping")
        yield Finding(True, f"the daemon answers at {path}")
    except NotAllowed as error:
        yield may_push(config, False, str(error), _join(config.daemon.socket))
    except OberoncError as error:
        yield Finding(False, str(error), _start(config))
        return
    try:
        stats = handover.call(config, "stats")["stats"]
    except OberoncError as error:
        yield Finding(None, f"what the daemon has to do it does not tell you: {error}")
        stats = {}
    yield from _versions(str(stats.get("version") or answer.get("version") or ""))
    yield from _services(stats)
    for one in words.alarms(stats) if stats else ():
        yield Finding(False, one.text, one.mend)


def _start(config: Config) -> str:
    """How the daemon is started, and by whom: its own account runs it, which is not
    always the one that looks.
    """
    if config.state.exists() and config.state.stat().st_uid == os.geteuid():
        return "systemctl start oberonc, or run `oberonc daemon`"
    who = "" if os.geteuid() == 0 else "as the administrator: "
    return f"{who}systemctl start oberonc, or what else starts it here"


def _join(socket: Path) -> str:
    try:
        return join(socket.stat(), 2)
    except OSError:
        return "as the administrator: look at the modes of its folder"


def _versions(daemon: str) -> Iterator[Finding]:
    mine = oberonc.__version__
    if daemon:
        mend = "systemctl restart oberonc, after an upgrade; `oberonc hook install` where hooks name another one"
        what = (
            f"have one version, {mine}"
            if daemon == mine
            else f"have versions of their own, {daemon} and {mine}"
        )
        yield Finding(daemon == mine, f"daemon and command {what}", mend)


def _services(stats: dict[str, Any]) -> Iterator[Finding]:
    for name, row in stats.get("services", {}).items():
        what, error = f"service {name}", one_line(str(row.get("last_error") or ""), 200)
        listing = f"oberonc queue list --service {name}"
        if row.get("problem"):
            yield Finding(
                False,
                f"{what} cannot run: {one_line(str(row['problem']), 200)}",
                "mend it; oberonc reload",
            )
        # What failed before it was taken out of the configuration is nobody's matter
        # any more.
        served = row.get("broker") is not None
        if served and (
            row.get("breaker", "closed") != "closed"
            or row.get("failures", 0) >= IN_VAIN
        ):
            yield Finding(
                False,
                f"{what} failed the last {row['failures']} times: {error}",
                listing,
            )
        if row.get("dead"):
            mend = f"{listing} --state dead; then oberonc queue retry or drop"
            yield Finding(
                False, f"{what} has {counted(row['dead'], 'dead letter')}", mend
            )
        if row.get("paused"):
            yield Finding(False, f"{what} is paused", f"oberonc queue resume {name}")
