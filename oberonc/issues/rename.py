"""A repository has another name: its embedded issues follow, and what the ledger knows
of them.

The daemon runs this file as `python -m oberonc.issues.rename STATE OLD NEW`: it loads
nothing of this itself.
"""

import sys
from contextlib import closing
from pathlib import Path

from oberonc.errors import BadInput, OberoncError
from oberonc.issues import embedded, ledger
from oberonc.issues.sqlite_files import connect, writing

_TABLES = ("issue", "comment", "work", "change")
#: The embedded tracker's projects are called as their repositories are; those of others
#: keep the name they have there, so that what was done is known under both.
_MOVE = "UPDATE OR REPLACE step SET project = :new WHERE tracker = 'local' AND project = :old"
_COPY = """
INSERT OR IGNORE INTO step(tracker, project, issue, step, change, state, who, begun, mark, time)
SELECT tracker, :new, issue, step, change, state, who, begun, mark, time FROM step WHERE project = :old"""


def rename(state: Path, old: str, new: str) -> int:
    """Move what is in the folder *state*; how many issues there were. Done twice it
    changes nothing more.

    Raises BadInput where both have issues: their numbers would be the same.
    """
    names = {"old": old, "new": new}
    moved = 0
    if (state / "tracker.sqlite").exists():
        with (
            closing(connect(state / "tracker.sqlite", embedded.SCHEMA)) as db,
            writing(db),
        ):
            count = "SELECT count(*) FROM issue WHERE repository = ?"
            moved, there = (
                db.execute(count, (name,)).fetchone()[0] for name in (old, new)
            )
            if moved and there:
                raise BadInput(
                    f"{old} and {new} both have issues, whose numbers would be the same; nothing was moved"
                )
            for table in _TABLES:
                statement = (
                    f"UPDATE {table} SET repository = :new WHERE repository = :old"  # noqa: S608  ours
                )
                db.execute(statement, names)
    if (state / "ledger.sqlite").exists():
        with (
            closing(connect(state / "ledger.sqlite", ledger.SCHEMA)) as db,
            writing(db),
        ):
            db.execute(_MOVE, names)
            db.execute(_COPY, names)
    return moved


if __name__ == "__main__":
    try:
        print(rename(Path(sys.argv[1]), *sys.argv[2:4]))  # noqa: T201  its caller reads it
    except OberoncError as fault:
        print(fault, file=sys.stderr)  # noqa: T201
        sys.exit(fault.exit_code)
