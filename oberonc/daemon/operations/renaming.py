"""A repository has another name: what the daemon's account keeps under the old one
follows, all of it or nothing.

Its embedded issues and ledger are moved by a process of their own, since the daemon
loads nothing of brokers, and while nothing of either name can start; a crash between is
mended by asking again.
"""

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from oberonc import files, paths
from oberonc.config import Config
from oberonc.daemon.lock import Lock
from oberonc.daemon.queue_link import now_ms
from oberonc.delivery import spool
from oberonc.errors import BadInput, Failed, NotAccepted
from oberonc.payload.schema import LONGEST_REPOSITORY, renamed
from oberonc.queue.contract import Queue
from oberonc.queue.engines import open_queue
from oberonc.text import one_line

#: Seconds for moving the issues: nothing is accepted meanwhile.
LIMIT: Final = 10.0
#: Seconds to wait for a push that is under way.
PATIENCE: Final = 10.0


def check(old: str, new: str) -> None:
    """Raise BadInput for names that no repository can have, or that are the same."""
    for name in (old, new):
        if (
            not name
            or len(name) > LONGEST_REPOSITORY
            or not name.isprintable()
            or name != name.strip("/")
        ):
            raise BadInput(f"'{one_line(name, 80)}' is no name of a repository")
    if old == new:
        raise BadInput("the old and the new name are the same")


def in_queue(queue: Queue, state: Path, old: str, new: str) -> dict[str, int]:
    """Move issues, ledger and lanes; {"issues", "deliveries"}. Raises BadInput,
    NotAccepted, Failed: nothing moved.
    """
    issues: list[int] = []
    waiting = queue.rename(old, new, lambda: issues.append(_issues(state, old, new)))
    return {"issues": issues[0], "deliveries": waiting}


def without_daemon(config: Config, old: str, new: str) -> dict[str, int]:
    """The same where no daemon runs, spool included. Raises NotAccepted where one does,
    or a push is under way.
    """
    _refuse_others(config.spool, old)
    if not (config.state / "queue.sqlite").exists():
        moved = {"issues": _issues(config.state, old, new), "deliveries": 0}
    else:
        with (
            Lock(config.state / "daemon.lock", f"the state folder {config.state}"),
            closing(open_queue(str(config.state / "queue.sqlite"))) as queue,
        ):
            queue.recover(now_ms())
            moved = in_queue(queue, config.state, old, new)
    return moved | {"spooled": _spooled(config.spool, old, new)}


def _refuse_others(folder: Path, old: str) -> None:
    """Raise NotAccepted where other accounts keep pushes of *old* in the spool: written
    anew they would be our word.
    """
    kept = spool.listing(folder, old)
    if (
        kept
        and files.is_drop_box(kept[0].parent.stat())
        and any(path.lstat().st_uid != os.geteuid() for path in kept)
    ):
        raise NotAccepted(
            f"pushes of other accounts wait in {folder}: start the daemon, which takes them in, then rename"
        )


def _issues(state: Path, old: str, new: str) -> int:
    line = [
        sys.executable,
        *paths.isolation(),
        "-m",
        "oberonc.issues.rename",
        str(state),
        old,
        new,
    ]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(
            f"the issues of {old} could not be moved: {one_line(str(error))}"
        ) from None
    if done.returncode != 0:
        kind = BadInput if done.returncode == BadInput.exit_code else Failed
        raise kind(one_line(done.stderr) or f"the issues of {old} could not be moved")
    return int(done.stdout)


def _spooled(folder: Path, old: str, new: str) -> int:
    """Give what is kept in the spool for *old* to *new*, in its place in the order; how
    much that was.
    """
    if not spool.listing(folder, old):
        return 0
    count = 0
    with spool.lane(folder, old, time.monotonic() + PATIENCE) as free:
        if not free:
            raise NotAccepted(
                f"a push to {old} is under way: try again when it has ended"
            )
        for path in spool.listing(folder, old):
            try:
                entry = spool.read(path)
            except (OSError, spool.Damaged):
                continue  # whoever takes the spool in deals with it
            payload: dict[str, Any] = entry["payload"]
            if payload["repository"]["full_name"] == old:
                moment = path.name.partition("-")[0]
                name = f"{moment}-{spool.mark(new)}-{payload['id']}.ob"
                spool.put(folder, entry | {"payload": renamed(payload, new)}, name)
                spool.remove(path)
                count += 1
    return count
