"""What was done to which issue for which change, so that it is done once.

A step is claimed before it is acted on and marked done afterwards. Whoever finds a
claim that a dead worker, or an attempt whose answer was lost, left behind gets it as
*doubtful*: the tracker has to be asked before acting again.
"""

import os
import platform
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from oberonc.issues.sqlite_files import connect, writing

#: Its tables.
SCHEMA = """
CREATE TABLE IF NOT EXISTS step (
    tracker TEXT NOT NULL, project TEXT NOT NULL, issue TEXT NOT NULL, step TEXT NOT NULL, change TEXT NOT NULL,
    state TEXT NOT NULL, who TEXT NOT NULL, begun REAL NOT NULL, mark TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (tracker, project, issue, step, change)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS step_time ON step (tracker, time)
"""
#: Seconds after which a claim is doubtful even though its worker seems to live.
CLAIM_LIMIT = 900.0
_FIND = """SELECT state, who, begun, mark, time FROM step
    WHERE (tracker, project, issue, step, change) = (?, ?, ?, ?, ?)"""
_MARK = """UPDATE step SET state = ?, time = ?
    WHERE (tracker, project, issue, step, change, who) = (?, ?, ?, ?, ?, ?)"""
_RELEASE = "DELETE FROM step WHERE (tracker, project, issue, step, change, who) = (?, ?, ?, ?, ?, ?)"

Verdict = Literal["fresh", "done", "busy", "doubtful"]


class Step(NamedTuple):
    """One thing to do once: the key of the ledger."""

    tracker: str
    project: str
    issue: str
    step: str
    change: str


class Claim(NamedTuple):
    """The answer to a claim: act (`fresh`), leave (`done`), wait (`busy`) or ask the
    tracker first (`doubtful`).

    `mark` and `begun` are those of the first attempt: what its traces carry, and when
    it began.
    """

    verdict: Verdict
    mark: str
    begun: float


class Ledger:
    """One worker's view of the ledger; `close` it so that claims it leaves behind count
    as doubtful at once.

    What an import was held back from counts as done, unless somebody asks for it
    *by_hand*.
    """

    def __init__(
        self,
        state: Path,
        now: Callable[[], float] = time.time,
        *,
        by_hand: bool = False,
    ) -> None:
        self._settled = ("done",) if by_hand else ("done", "held")
        self.path = state / "ledger.sqlite"
        self.now = now
        self.who = f"{platform.node()}/{os.getpid()}/{_started(os.getpid())}/{uuid.uuid4().hex}"
        self._db = connect(self.path, SCHEMA)
        _HERE.add(self.who)

    def close(self) -> None:
        _HERE.discard(self.who)
        self._db.close()

    def is_done(self, step: Step) -> bool:
        return self._find(step)[0] in self._settled

    def is_doubtful(self, step: Step) -> bool:
        """Whether an attempt at *step* failed, and it was not done since."""
        return self._find(step)[0] == "doubtful"

    def hold(self, steps: Iterable[Step]) -> None:
        """Note that *steps*, as far as nothing is known of them, are not to be done."""
        rows = [(*step, "held", self.who, 0.0, "", 0.0) for step in steps]
        with writing(self._db):
            self._db.executemany(
                "INSERT OR IGNORE INTO step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )

    def claim(self, step: Step, mark: str) -> Claim:
        """Claim *step* for this worker, unless it is done or a living worker has it."""
        now = self.now()
        with writing(self._db):
            state, who, begun, kept, touched = self._find(step)
            if state in self._settled:
                return Claim("done", kept, begun)
            if state == "begun" and now - touched < CLAIM_LIMIT and _alive(who):
                return Claim("busy", kept, begun)
            begun_before = state not in ("", "held")
            claim = (
                Claim("doubtful", kept, begun)
                if begun_before
                else Claim("fresh", mark, now)
            )
            row = (*step, "begun", self.who, claim.begun, claim.mark, now)
            self._db.execute(
                "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
            )
        return claim

    def done(self, step: Step) -> None:
        """The tracker has it."""
        self._mark(step, "done")

    def doubt(self, step: Step) -> None:
        """Nobody knows whether the tracker has it: the next one asks."""
        self._mark(step, "doubtful")

    def release(self, step: Step) -> None:
        """The tracker certainly does not have it: as if never claimed."""
        with writing(self._db):
            self._db.execute(_RELEASE, (*step, self.who))

    def _mark(self, step: Step, state: str) -> None:
        with writing(self._db):
            self._db.execute(_MARK, (state, self.now(), *step, self.who))

    def _find(self, step: Step) -> tuple[str, str, float, str, float]:
        row = self._db.execute(_FIND, step).fetchone()
        return row or ("", "", 0.0, "", 0.0)

    def wait_for(self, tracker: str, writes: int, seconds: float) -> float:
        """How long to wait until *tracker* has seen fewer than *writes* steps in the
        last *seconds*.
        """
        query = "SELECT time FROM step WHERE tracker = ? AND time > ? ORDER BY time DESC LIMIT 1 OFFSET ?"
        now = self.now()
        row = self._db.execute(query, (tracker, now - seconds, writes - 1)).fetchone()
        return max(0.0, float(row[0]) + seconds - now) if row else 0.0


#: The ledgers of this process that are in use: tells its own threads' claims from those
#: it left behind.
_HERE: set[str] = set()


def _alive(who: str) -> bool:
    """Whether the worker may still be at it; one on another machine is believed to be
    until the limit.
    """
    host, pid, started, _ = who.split("/")
    if host != platform.node():
        return True
    if int(pid) == os.getpid() and started == _started(os.getpid()):
        return who in _HERE
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(int(pid)) in (started, "")


def _started(pid: int) -> str:
    """When the process began, in the kernel's ticks: tells it from a later one with the
    same id.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
