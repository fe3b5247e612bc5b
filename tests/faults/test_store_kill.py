"""F1: SIGKILL at any moment loses nothing that was answered, and invents nothing (P1,
P3, P6).
"""

import random
from pathlib import Path

from oberonc.queue.sqlite.engine import SqliteQueue
from tests.support.store_history import History, kill, start
from tests.support.store_process import NOW
from tests.support.store_rounds import rounds
from tests.support.store_rules import violations


def test_sigkill_under_load_loses_nothing_answered(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    history = History()
    for _ in range(rounds(4)):
        with start(
            path, "--again", history.unanswered[:30_000].rpartition(",")[0]
        ) as process:
            assert process.stdout
            history.read(process.stdout, answers=random.randint(1, 400))
            kill(process, history)
        queue = SqliteQueue(path)
        assert history.lost(queue) == []
        assert history.invented(queue) == []
        queue.recover(NOW)
        assert violations(queue) == []
        queue.close()
    assert history.done, "the worker loop took part"
