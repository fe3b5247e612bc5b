"""The SQLite engine keeps the contract, and what is its own: opening, refusing, errors
of the disk.
"""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oberonc.errors import ConfigError, NotAccepted
from oberonc.queue.sqlite import reading
from oberonc.queue.sqlite.engine import SqliteQueue
from oberonc.queue.sqlite.opening import APPLICATION_ID, USER_VERSION
from oberonc.queue.values import EventQuery
from tests.queue.contract import Checker, Opener, QueueContract
from tests.queue.contract_rules import RulesContract
from tests.queue.contract_steering import SteeringContract
from tests.support.store_rules import violations
from tests.support.store_values import NOW, submission, take_one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "queue.sqlite"


@pytest.fixture
def opener(path: Path) -> Opener:
    return lambda: SqliteQueue(path)


@pytest.fixture
def checker() -> Checker:
    return violations  # type: ignore[return-value]  # of this engine only


class TestSqlite(QueueContract):
    """The contract, on a file."""


class TestSqliteRules(RulesContract):
    """What services say of their deliveries."""


class TestSqliteSteering(SteeringContract):
    """The rest of it."""

    def check_backup(self, target: Path) -> None:
        copy = SqliteQueue(target)
        assert violations(copy) == []
        assert take_one(copy).body == submission(1).body
        copy.close()


def test_files_are_private_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        queue = SqliteQueue(path)
        queue.accept(NOW, submission(1))
        modes = {
            file.name: stat.S_IMODE(file.stat().st_mode)
            for file in path.parent.iterdir()
        }
        queue.close()
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(modes, 0o600)
    assert not any(name.endswith("-shm") for name in modes)


def test_every_commit_is_synced_and_nobody_else_can_open_it(path: Path) -> None:
    queue = SqliteQueue(path)
    settings = {
        name: queue.database.con.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "locking_mode")
    }
    assert settings == {"synchronous": 2, "locking_mode": "exclusive"}
    with pytest.raises(NotAccepted, match="another process"):
        SqliteQueue(path)
    queue.close()


def test_a_second_active_lease_of_a_lane_is_refused_by_the_database(path: Path) -> None:
    queue = SqliteQueue(path)
    queue.accept(NOW, submission(1))
    queue.accept(NOW, submission(2))
    take_one(queue)
    with pytest.raises(sqlite3.IntegrityError):
        queue.database.con.execute(
            "UPDATE delivery SET state = 1, attempt = 1 WHERE id = 2"
        )
    queue.close()


def _foreign(path: Path) -> None:
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE theirs(x)")
    con.close()


def _newer(path: Path) -> None:
    SqliteQueue(path).close()
    con = sqlite3.connect(path)
    con.execute(f"PRAGMA user_version = {USER_VERSION + 1}")
    con.close()


def _no_database(path: Path) -> None:
    path.write_bytes(b"just some text, certainly no database " * 100)


def _damaged(path: Path) -> None:
    """A page in the middle overwritten, as seen after a kill."""
    _fill_and_kill(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(2, size // 4096 - 1):
            file.seek(page * 4096)
            file.write(b"\xa5" * 2048)


def _truncated(path: Path) -> None:
    _fill_and_kill(path)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def _fill_and_kill(path: Path) -> None:
    """Let another process write 200 events into the database file and die without
    closing it.
    """
    script = """
import os, sys
from pathlib import Path
from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.store_values import NOW, submission
queue = SqliteQueue(Path(sys.argv[1]))
with queue.batch():
    for number in range(200):
        queue.accept(NOW, submission(number, f"repo {number}"))
queue.maintain(idle=True)
os._exit(9)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=environment,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_foreign, "not a queue of oberonc"),
        (_newer, "another version"),
        (_no_database, "not a database"),
        (_damaged, "damaged"),
        (_truncated, "damaged"),
    ],
)
def test_what_is_not_a_sound_queue_is_refused_and_left_alone(
    path: Path, spoil: object, said: str
) -> None:
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=said) as refused:
        SqliteQueue(path)
    assert refused.value.exit_code == 78
    assert path.read_bytes() == before


def test_a_link_or_a_folder_is_no_queue(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(ConfigError):
        SqliteQueue(path)
    assert not (path.parent / "elsewhere").exists()


def test_a_log_cut_short_recovers_to_the_last_whole_commit(path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.store_values import NOW, submission
queue = SqliteQueue(Path(sys.argv[1]))
for number in range(50):
    queue.accept(NOW, submission(number))
os._exit(9)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=environment,
        timeout=60,
        check=False,
    )
    log = path.with_name(path.name + "-wal")
    os.truncate(log, log.stat().st_size - 100)  # torn within the last commit
    queue = SqliteQueue(path)
    events = queue.recent_events(100)
    assert [event.seq for event in events] == list(range(49, 0, -1))
    assert violations(queue) == []
    queue.close()


@pytest.mark.parametrize("version", range(1, USER_VERSION))
def test_a_queue_of_an_earlier_format_is_brought_up_to_date(
    path: Path, version: int
) -> None:
    """Whatever state its deliveries are in; and it then is what a new one is."""
    con = sqlite3.connect(path)
    con.execute("PRAGMA page_size = 1024")
    con.execute("PRAGMA auto_vacuum = INCREMENTAL")
    con.executescript((Path(__file__).parent / f"schema-{version}.sql").read_text())
    con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    con.execute(f"PRAGMA user_version = {version}")
    con.executescript("""
      INSERT INTO lane(id, service, repo, running, wake_ms) VALUES(1, 'tracker', 'a', 2, 5);
      INSERT INTO lane(id, service, repo) VALUES(2, 'chat', 'a');
      INSERT INTO meta VALUES('age', 7), ('last_ms', 1);
      INSERT INTO tally VALUES('tracker', 'accepted', 3), ('tracker', 'now.done', 1), ('tracker', 'now.leased', 1),
        ('tracker', 'now.ready', 1);
    """)
    for seq, state in ((1, 2), (2, 1), (3, 0)):
        ended = 1 if state == 2 else None
        event = (seq, bytes([seq]) * 16, b"x" * 32, NOW + seq, int(state != 2), ended)
        con.execute(
            "INSERT INTO event VALUES(?, ?, ?, 'a', 'push', 'socket', 0, ?, '[]', ?, ?, 0)",
            event,
        )
        con.execute("INSERT INTO body VALUES(?, x'00')", (seq,))
        con.execute(
            "INSERT INTO delivery(id, seq, lane, state, attempt, due_ms, ended_ms) VALUES(?, ?, 1, ?, ?, 5, ?)",
            (seq, seq, state, int(state == 1), ended),
        )
    con.execute(
        "INSERT INTO attempt(delivery, number, generation, worker, began_ms) VALUES(2, 1, 1, 'w', 5)"
    )
    if version > 1:
        con.execute("UPDATE lane SET oldest = 2 WHERE id = 1")
    if version > 2:
        con.execute("UPDATE delivery SET born_age = 7")
    con.execute("UPDATE sqlite_sequence SET seq = 9 WHERE name = 'delivery'")
    con.commit()
    con.close()
    queue = SqliteQueue(path)
    assert violations(queue) == []
    assert [len(queue.delivery(id).attempts) for id in (1, 2, 3)] == [0, 1, 0]  # type: ignore[union-attr]
    ages = queue.database.con.execute("SELECT DISTINCT born_age FROM delivery")
    assert ages.fetchall() == [(7,)], "what waits is as old as the upgrade"
    queue.accept(NOW, submission(10))
    assert max(found.id for found in queue.deliveries()) == 10, "no id is used again"
    assert queue.stats(NOW).services["tracker"].oldest_ms == NOW + 2
    new = SqliteQueue(path.with_name("new.sqlite"))
    assert _shape(queue) == _shape(new)
    for made in (queue, new):
        made.close()
    SqliteQueue(path).close()


def _shape(queue: SqliteQueue) -> dict[str, list[object]]:
    """Every table and index with its columns."""
    names = queue.database.con.execute(
        "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'"
    ).fetchall()
    pragma = {"table": "table_xinfo", "index": "index_xinfo"}
    return {
        name: queue.database.con.execute(f"PRAGMA {pragma[kind]}({name})").fetchall()
        for kind, name in names
    }


def test_a_search_for_a_repository_looks_at_so_much_and_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = SqliteQueue(path)
    monkeypatch.setattr(reading, "LOOKED", 4)
    for number in range(1, 11):
        queue.accept(NOW, submission(number, "a" if number < 3 else "b"))
    query, answers = EventQuery("a"), []
    while True:
        found = queue.list_events(query)
        answers.append([event.seq for event in found.events])
        if found.next is None:
            break
        query = query._replace(before=found.next)
    assert answers == [[], [], [2, 1]]
    queue.close()
