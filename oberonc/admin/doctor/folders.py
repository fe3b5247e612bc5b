"""State and spool as the account sees them that looks: what it needs to hand in, and
what only their owner can tell.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from oberonc import accounts, rights
from oberonc.admin.doctor.mends import SET_RIGHT, join, may_push
from oberonc.admin.finding import Finding
from oberonc.config import Config


def examine(config: Config) -> Iterator[Finding]:
    """The folders of the configuration."""
    if config.delivery != "daemon":
        for name, folder in (("state", config.state), ("spool", config.spool)):
            yield _own(name, folder)
            yield from _private(name, folder)
    else:
        yield from _of_daemon(config.state)
        yield from _drop_box(config, config.spool)
    # Seen as one where they are on one file system.
    places = {
        os.statvfs(place).f_fsid: place
        for place in (_there(config.spool), _there(config.state))
    }
    for place in places.values():
        yield _room(place, config.daemon.low_space)


def _there(folder: Path) -> Path:
    """*folder*, or what is there of the way to it."""
    return next(place for place in (folder, *folder.parents) if os.path.exists(place))  # noqa: PTH110


def _own(name: str, folder: Path) -> Finding:
    """A folder that whoever runs brokers here has to write."""
    there = _there(folder)
    ok = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Finding(
        ok,
        f"{name} folder {folder} can{'' if ok else 'not'} be written",
        "" if ok else _way_in(name, folder, there),
    )


def _way_in(name: str, folder: Path, there: Path) -> str:
    """What somebody does who may not write *there*; never what would take it from those
    who may.
    """
    facts, me = there.stat(), rights.account(os.geteuid())
    another = f"set `{name}` to a folder of your own"
    if there != folder or not there.is_dir():
        return f"as the administrator: install -d -m 0700 -o {me.name} {folder}; or {another}"
    if facts.st_mode & stat.S_IWGRP and facts.st_uid != me.uid:
        return f"{join(facts, 3)}; or {another}"
    if facts.st_uid == me.uid:
        return f"chmod u+rwx {folder}"
    return (
        f"run this as {accounts.person(facts.st_uid)}, whose folder it is; or {another}"
    )


def _private(name: str, folder: Path) -> Iterator[Finding]:
    if os.path.isdir(folder) and stat.S_IMODE(folder.stat().st_mode) & 0o007:  # noqa: PTH112
        yield Finding(
            False,
            f"{name} folder {folder} is open to everybody",
            f"chmod o-rwx {folder}",
        )


def _of_daemon(state: Path) -> Iterator[Finding]:
    """The daemon's folder: its own matter, so that others look at its outside only."""
    try:
        facts = state.stat()
    except FileNotFoundError:
        yield Finding(
            None, f"state folder {state} is not there yet: the daemon makes it"
        )
        return
    except OSError as error:
        yield Finding(None, f"state folder {state} cannot be seen: {error.strerror}")
        return
    yield from _private("state", state)
    owner = accounts.person(facts.st_uid)
    if not os.access(state, os.R_OK | os.X_OK):
        yield Finding(
            None, f"state folder {state} is for {owner} alone, which runs the daemon"
        )
        return
    strange = [
        item.name
        for item in os.scandir(state)
        if item.stat(follow_symlinks=False).st_uid != facts.st_uid
    ]
    what = (
        f"everything in state folder {state} belongs to {owner}, which runs the daemon"
    )
    mend = f"as the administrator: chown -h {owner} {' '.join(f'{state}/{name}' for name in sorted(strange)[:5])}"
    yield Finding(not strange, what, mend)


def _drop_box(config: Config, spool: Path) -> Iterator[Finding]:
    """Where pushes are kept while no daemon answers: who hands in may create files, and
    need not list them.
    """
    there = _there(spool)
    if there != spool and not os.access(there, os.X_OK):
        yield may_push(
            config,
            False,
            f"spool folder {spool}: you may not pass {there}",
            join(there.stat(), 1),
        )
    elif there != spool and (_server(config) or not os.access(there, os.W_OK)):
        yield Finding(False, f"spool folder {spool} is not there", SET_RIGHT)
    elif there != spool:
        yield Finding(True, f"spool folder {spool} can be made")
    else:
        yield from _private("spool", spool)
        facts, boxes = spool.stat(), [spool / name for name in ("tmp", "new")]
        others = _server(config) if os.geteuid() == 0 else None
        if others:
            # Root may do everything: what counts is
            # what the daemon and those who push may.
            yield Finding(
                _lets_push(facts, boxes, others),
                f"spool folder {spool} takes pushes of others",
                SET_RIGHT,
            )
            return
        ok = all(os.access(box, os.W_OK | os.X_OK) for box in boxes)
        mend = SET_RIGHT if os.access(spool, os.X_OK) else join(facts, 1)
        yield may_push(
            config,
            ok,
            f"spool folder {spool} takes pushes of {accounts.person(os.geteuid())}",
            mend,
        )


def _server(config: Config) -> rights.Account | None:
    """Whose daemon serves several accounts here, where it is not the one that looks; a
    spool in `state` is for one.
    """
    try:
        owner = config.state.stat().st_uid
    except OSError:
        return None
    shared = owner != os.geteuid() and not config.spool.is_relative_to(config.state)
    return rights.account(owner) if shared else None


def _lets_push(
    facts: os.stat_result, boxes: list[Path], daemon: rights.Account
) -> bool:
    """Whether a group may pass the spool's folder, put files into *boxes*, and the
    daemon may take them out.
    """
    if facts.st_uid != daemon.uid or not facts.st_gid or not facts.st_mode & 0o010:
        return False
    try:
        return all(
            box.stat().st_uid == daemon.uid and box.stat().st_mode & 0o003 == 0o003
            for box in boxes
        )
    except FileNotFoundError:
        return False


def _room(folder: Path, least: int) -> Finding:
    """Space, beside the threshold under which the daemon takes nothing more."""
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    what = f"{free >> 20} MiB are free at {folder} (at least {least >> 20} are wanted)"
    return Finding(free >= least, what, "remove what is not needed, or give it more")
