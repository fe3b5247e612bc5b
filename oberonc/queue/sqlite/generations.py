"""The generations of broker code: what a restart begins with, and what there was."""

from oberonc.errors import BadInput
from oberonc.queue.sqlite.database import Part, durable
from oberonc.queue.values import Generation, GenerationState

NEWEST = """
SELECT number, digest, created_ms, state, report FROM generation
WHERE state = 'active' OR number > (SELECT max(number) FROM generation) - :limit
ORDER BY number DESC"""


class Generations(Part):
    """What a reload asks of the queue."""

    @durable
    def new_generation(self, now: int, digest: str) -> int:
        """See `Queue.new_generation`."""
        sql = (
            "INSERT INTO generation(digest, created_ms, state) VALUES(?, ?, 'probing')"
        )
        return self._con.execute(sql, (digest, now)).lastrowid or 0

    @durable
    def reject_generation(self, number: int, report: str) -> None:
        """See `Queue.reject_generation`."""
        self._turn(number, ("probing",), "rejected", report)

    @durable
    def commit_generation(self, number: int, report: str = "") -> None:
        """See `Queue.commit_generation`."""
        self._turn(number, ("probing", "retired"), "active", report)

    @durable
    def retire_generation(self, number: int) -> None:
        """See `Queue.retire_generation`."""
        self._turn(number, ("draining", "active"), "retired")

    def _turn(
        self,
        number: int,
        old: tuple[GenerationState, ...],
        new: GenerationState,
        report: str = "",
    ) -> None:
        find = "SELECT state FROM generation WHERE number = ?"
        row = self._con.execute(find, (number,)).fetchone()
        if not row or row[0] not in old:
            state = row[0] if row else "unknown"
            raise BadInput(f"generation {number} is {state}: it cannot become {new}")
        if new == "active":
            # The old one first: there is never a second active one, not even between
            # two statements.
            self._con.execute(
                "UPDATE generation SET state = 'draining' WHERE state = 'active'"
            )
        sql = "UPDATE generation SET state = ?, report = coalesce(nullif(?, ''), report) WHERE number = ?"
        self._con.execute(sql, (new, report, number))

    @durable
    def generations(self, limit: int = 20) -> list[Generation]:
        """See `Queue.generations`."""
        rows = self._database.rows(NEWEST, limit=limit)
        return [Generation(*row) for row in rows]
