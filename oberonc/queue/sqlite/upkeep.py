"""What the queue does for itself: the clock, retention, the consistency check, a copy."""

import os
import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from oberonc.errors import BadInput
from oberonc.policy import HOUR, LONGEST_MS
from oberonc.queue.sqlite.ending import DIED, PROBE_LAST_MS
from oberonc.queue.sqlite.reading import ONE
from oberonc.queue.sqlite.space import sync_folder
from oberonc.queue.sqlite.steering import Steering
from oberonc.queue.sqlite.store import DEAD, NOW, READY, durable
from oberonc.queue.values import (
    DEDUPE_MS,
    UNCLAIMED_GRACE_MS,
    Delivery,
    Recovered,
    Swept,
    Unreported,
)

#: Two looks at the clock add at most this to the observed age: a leap expires nothing.
_STEP_MS: Final = HOUR

FAR = "UPDATE delivery SET due_ms = :limit WHERE state = 0 AND due_ms > :limit"
FAR_LANES = "UPDATE lane SET wake_ms = :limit WHERE wake_ms > :limit"
FAR_PROBES = "UPDATE service SET probe_due_ms = :limit WHERE probe_due_ms > :limit"
EXPIRED = "SELECT seq FROM event WHERE ended_age <= ? AND ended_age IS NOT NULL AND stub = 0 LIMIT ?"
EXPIRED_STUBS = "SELECT seq FROM event WHERE ended_age <= ? AND stub = 1 LIMIT ?"
OF_EVENT = """
SELECT d.lane, l.ordinal, l.service, d.state FROM delivery d JOIN lane l ON l.id = d.lane WHERE d.seq = ?"""
UNCLAIMED = """
INSERT INTO service(name, unclaimed_age) VALUES(:name, :age)
ON CONFLICT DO UPDATE SET unclaimed_age = coalesce(unclaimed_age, :age) RETURNING unclaimed_age"""
WAITING = """
SELECT d.id, d.seq FROM lane l CROSS JOIN delivery d ON d.lane = l.id
WHERE l.service = :service AND d.state = 0 AND d.parked = {} LIMIT :limit"""
BURY = "UPDATE delivery SET state = 3, suspect = 0, ended_ms = ?, note = ? WHERE id = ?"


class Upkeep(Steering):
    """`tick`, `sweep`, `backup`; and `recover`, which starts with a look at the clock."""

    @durable
    def recover(self, now: int) -> Recovered:
        recovered = super().recover(now)
        self.tick(now)
        return recovered

    @durable
    def tick(self, now: int) -> int:
        return self._pull(now) if self._observe(now) else 0

    def _observe(self, now: int) -> bool:
        """Grow the observed age; True when the clock went back."""
        last = self._meta("last_ms") or now
        self.age = self._age_at(now)
        self._set_meta("age", self.age)
        self._set_meta("last_ms", now)
        return now < last

    def _age_at(self, now: int) -> int:
        last = self._meta("last_ms") or now
        return self.age + max(0, min(now - last, _STEP_MS))

    def _pull(self, now: int) -> int:
        """Bring what is due too far ahead to within the longest back-off. Reads all
        that is ready.
        """
        limit = {"limit": now + LONGEST_MS}
        pulled = self.con.execute(FAR, limit).rowcount
        self.con.execute(FAR_LANES, limit)
        self.con.execute(FAR_PROBES, {"limit": now + PROBE_LAST_MS})
        return pulled

    @durable
    def unclaimed(self, configured: Collection[str]) -> dict[str, int]:
        waiting = {
            name: counts.get(NOW + "ready", 0)
            for name, counts in self.tallies.by_service().items()
        }
        return {
            name: n
            for name, n in waiting.items()
            if n and name and name not in configured
        }

    @durable
    def sweep(
        self, now: int, configured: Collection[str], keep_ms: int, limit: int = 500
    ) -> Swept:
        expired = self._rows_of(EXPIRED, self.age - keep_ms, limit)
        dead = sum(self._empty(seq) for seq in expired)
        # The rest of an event goes when it has answered duplicates long enough.
        self.con.executemany(
            "UPDATE event SET stub = 1 WHERE seq = ?", [(seq,) for seq in expired]
        )
        stubs = self._rows_of(EXPIRED_STUBS, self.age - max(keep_ms, DEDUPE_MS), limit)
        self.con.executemany(
            "DELETE FROM event WHERE seq = ?", [(seq,) for seq in stubs]
        )
        self.tallies.add("", "pruned_events", len(expired))
        self.tallies.add("", "pruned_dead", dead)
        buried = self._bury_unclaimed(now, configured, limit)
        return Swept(
            len(expired),
            dead,
            tuple(buried),
            limit in (len(expired), len(stubs), len(buried)),
        )

    def _rows_of(self, sql: str, before: int, limit: int) -> list[int]:
        return [seq for (seq,) in self.con.execute(sql, (before, limit))]

    def _empty(self, seq: int) -> int:
        """Remove all of an event but its row; returns how many dead letters went with
        it.
        """
        rows = self.con.execute(OF_EVENT, (seq,)).fetchall()
        for table in ("delivery", "body", "event_commit"):
            self.con.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))  # noqa: S608 - names from above
        for lane, ordinal, service, state in rows:
            self.tallies.place(service, state, 0, -1)
            self.tallies.add(service, "pruned")
            if ordinal:
                self.con.execute("DELETE FROM lane WHERE id = ?", (lane,))
        return sum(state == DEAD for *_, state in rows)

    def _bury_unclaimed(
        self, now: int, configured: Collection[str], limit: int
    ) -> list[Delivery]:
        names = self._rows("SELECT name FROM service WHERE unclaimed_age IS NOT NULL")
        waiting = self.unclaimed(configured)
        gone = [(name,) for (name,) in names if name not in waiting]
        self.con.executemany(
            "UPDATE service SET unclaimed_age = NULL WHERE name = ?", gone
        )
        buried: list[Delivery] = []
        for name in waiting:
            (since,) = self._row(UNCLAIMED, name=name, age=self.age)
            if self.age - since >= UNCLAIMED_GRACE_MS:
                buried += self._bury(now, name, limit - len(buried))
        return buried

    def _bury(self, now: int, service: str, limit: int) -> list[Delivery]:
        buried: list[Delivery] = []
        for parked in (0, 1):
            for id, seq in self._rows(
                WAITING.format(parked), service=service, limit=limit - len(buried)
            ):
                self.con.execute(
                    BURY, (now, "no service of this name is configured any more", id)
                )
                self.con.execute(DIED, (id,))
                self.fewer([seq])
                self.tallies.place(service, READY, parked, -1)
                self.tallies.place(service, DEAD, parked)
                self.tallies.add(service, "dead")
                self._refresh_of(id)
                buried += self._brief([id])
        return buried

    @durable
    def unreported(self, now: int, limit: int) -> Unreported:
        (count,) = self._row("SELECT count(*) FROM untold")
        rows = self._rows(
            "SELECT delivery FROM untold ORDER BY delivery LIMIT :limit", limit=limit
        )
        told = self._meta("told_age")
        return Unreported(
            count,
            self._brief([id for (id,) in rows]),
            self._age_at(now) - told + 1 if told else None,
        )

    def _brief(self, ids: Iterable[int]) -> tuple[Delivery, ...]:
        """Deliveries that exist, without their attempts."""
        return tuple(self._delivery(self._row(ONE, id=id)) for id in ids)

    @durable
    def mark_reported(self, now: int) -> None:
        self.con.execute("DELETE FROM untold")
        # One more, because 0 stands for never.
        self._set_meta("told_age", self._age_at(now) + 1)

    def backup(self, target: Path) -> None:
        if self.in_batch:
            raise RuntimeError("a backup inside a batch")
        partial = target.with_name(target.name + ".part")
        try:
            # Made by us first, so that its mode never depends on the umask; VACUUM INTO
            # takes an empty file.
            os.close(
                os.open(
                    partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600
                )
            )
        except OSError as error:
            raise BadInput(f"{partial}: {error.strerror}") from error
        try:
            self._copy(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _copy(self, partial: Path, target: Path) -> None:
        try:
            self.con.execute("VACUUM INTO ?", (str(partial),))
            _sync(partial)
            # A link, not a rename: it never replaces a file that is already there.
            os.link(partial, target)
            sync_folder(target.parent)
        except FileExistsError as error:
            raise BadInput(f"{target}: is already there") from error
        except (OSError, sqlite3.Error) as error:
            # The copy failed, perhaps on another disk; that says nothing about the
            # queue's own.
            raise BadInput(f"{target}: cannot write the copy: {error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
