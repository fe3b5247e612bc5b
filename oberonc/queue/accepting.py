"""Events come in: deduplicated, kept, one delivery per route at the end of its lane."""

import hashlib
import json
import re
from typing import Final

from oberonc.errors import BadInput
from oberonc.queue.base import Answer, Order, Route, Submission
from oberonc.queue.store import READY, Store, durable

_ORDERS: Final = ("bounded", "strict", "none")
_TEXT_LIMIT: Final = 512
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_OID: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")

KNOWN = "SELECT seq, digest FROM event WHERE id = ?"
NEW_EVENT = """
INSERT INTO event(id, digest, repo, kind, origin, peer_uid, accepted_ms, decisions, live, ended_age)
VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
NEW_BODY = "INSERT INTO body VALUES(?, ?)"
NEW_COMMIT = "INSERT OR IGNORE INTO event_commit VALUES(?, ?)"
NEW_DELIVERY = "INSERT INTO delivery(seq, lane, due_ms) VALUES(?, ?, ?)"
#: The lane, and whether a head stands before the newcomer: then its wake time stays as it is.
FIND_LANE = """
SELECT id, hold_ms, wake_ms,
  EXISTS(SELECT 1 FROM delivery WHERE lane = lane.id AND state = 0 AND parked = 0) AS head
FROM lane WHERE service = ? AND repo = ? AND ordinal = 0"""
#: Without order every delivery has its own lane, which is paused when the repository's is.
NEW_LANE = """
INSERT INTO lane(service, repo, ordinal, hold_ms, paused, wake_ms)
VALUES(:service, :repo, :ordinal, :hold, coalesce(
  (SELECT paused FROM lane WHERE service = :service AND repo = :repo AND ordinal = 0), 0), :now)"""


class Accepting(Store):
    """`accept`."""

    @durable
    def accept(self, now: int, submission: Submission) -> Answer:
        _check(submission)
        digest = hashlib.sha256(submission.body).digest()
        known = self.con.execute(KNOWN, (submission.id,)).fetchone()
        if known:
            return self._known(known, digest)
        if self.storage_low:
            self.tallies.add("", "storage_low")
            return Answer("storage_low")
        seq = self._keep(now, submission, digest)
        for route in submission.routes:
            self._deliver(now, seq, submission.repo, route)
        self.tallies.add("", "accepted")
        self.wrote(len(submission.body))
        return Answer("accepted", seq)

    def _known(self, known: tuple[int, bytes], digest: bytes) -> Answer:
        if known[1] != digest:
            self.tallies.add("", "conflicts")
            return Answer("conflict")
        self.tallies.add("", "duplicates")
        return Answer("duplicate", known[0])

    def _keep(self, now: int, submission: Submission, digest: bytes) -> int:
        live = len(submission.routes)
        row = (
            submission.id,
            digest,
            submission.repo,
            submission.kind,
            submission.origin,
            submission.peer_uid,
            now,
            json.dumps(submission.decisions),
            live,
            None if live else self.age,
        )
        seq = self.con.execute(NEW_EVENT, row).lastrowid
        if seq is None:
            raise RuntimeError("SQLite gave a new event no number")
        self.con.execute(NEW_BODY, (seq, submission.body))
        self.con.executemany(NEW_COMMIT, [(bytes.fromhex(oid), seq) for oid in submission.commits])
        return seq

    def _deliver(self, now: int, seq: int, repo: str, route: Route) -> None:
        self.con.execute(NEW_DELIVERY, (seq, self._lane(now, seq, repo, route), now))
        self.tallies.add(route.service, "accepted")
        self.tallies.place(route.service, READY, 0)

    def _lane(self, now: int, seq: int, repo: str, route: Route) -> int:
        """The id of the lane this route's delivery joins, ready for one more at its end."""
        hold = route.hold_ms if route.order == "bounded" else None
        if route.order == "none":
            return self._new_lane(now, route.service, repo, seq, None)
        found = self.con.execute(FIND_LANE, (route.service, repo)).fetchone()
        if not found:
            return self._new_lane(now, route.service, repo, 0, hold)
        lane, known_hold, wake, head = found
        if known_hold != hold:
            self.con.execute("UPDATE lane SET hold_ms = ? WHERE id = ?", (hold, lane))
        if not head and (wake is None or now < wake):
            self.con.execute("UPDATE lane SET wake_ms = ? WHERE id = ?", (now, lane))
        return int(lane)

    def _new_lane(self, now: int, service: str, repo: str, ordinal: int, hold: int | None) -> int:
        values = {"service": service, "repo": repo, "ordinal": ordinal, "hold": hold, "now": now}
        return self.con.execute(NEW_LANE, values).lastrowid or 0


def _check(submission: Submission) -> None:
    """Raise BadInput for what SQLite would refuse half-way or store as something else."""
    if len(submission.id) != 16:
        raise BadInput("an event id has 16 bytes")
    if not submission.repo:
        raise BadInput("an event needs a repository")
    for what, text in (("repository", submission.repo), ("kind", submission.kind), ("origin", submission.origin)):
        if len(text) > _TEXT_LIMIT or not _storable(text):
            raise BadInput(f"the {what} of an event is too long or holds characters that cannot be kept")
    if len({route.service for route in submission.routes}) != len(submission.routes):
        raise BadInput("an event is routed twice to one service")
    for route in submission.routes:
        _check_order(route.order)
    if not all(map(_OID.fullmatch, submission.commits)):
        raise BadInput("a commit id is 40 or 64 hex digits")


def _check_order(order: Order) -> None:
    if order not in _ORDERS:
        raise BadInput(f"order must be one of {', '.join(_ORDERS)}")


def _storable(text: str) -> bool:
    # SQLite stops reading text at NUL, and a lone surrogate cannot be bound at all.
    return not _UNSTORABLE.search(text)
