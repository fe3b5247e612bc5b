"""Killed at each of its steps, a turn loses nothing and tells nothing twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from oberonc import config as configuration
from oberonc.delivery import spool
from oberonc.mirror.origins import Origin
from oberonc.mirror.work import Worker
from tests.mirror.conftest import NAME, Mirrored

#: Takes a turn, and kills itself before the step of that number.
_SCRIPT = """
import os, signal, sys
from pathlib import Path
from oberonc import config
from oberonc.mirror.origins import Origin
from oberonc.mirror.work import Worker

state, spool, url, last = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
steps = 0

def step(event, args):
    global steps
    if event in ("os.rename", "os.remove", "os.mkdir", "subprocess.Popen") or (
        event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    ):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

worker = Worker(config.load()._replace(spool_folder=str(spool)), state)
origin = Origin("shop", url, ("web/*",))
sys.addaudithook(step)
turn = worker.turn(origin, "web/shop", all_moves=False, patience=10)
sys.exit(turn.error or 0)
"""


@pytest.mark.long
def test_killed_at_any_step_each_push_is_told_of_once(
    shop: Mirrored, tmp_path: Path
) -> None:
    stands = [shop.clone.commit(f"number {number}") for number in range(3)]
    shop.clone.push("main")
    events = [shop.push(*stands[:2]), shop.push(*stands[1:])]
    each = 1 if "OBERONC_TEST_ROUNDS" in os.environ else 7
    for last in range(1, 200, each):
        state, kept = tmp_path / f"state-{last}", tmp_path / f"spool-{last}"
        shutil.copytree(shop.state, state)
        argv = [sys.executable, "-c", _SCRIPT, str(state), str(kept)]
        argv += [shop.forge.url, str(last)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        worker = Worker(configuration.load()._replace(spool_folder=str(kept)), state)
        origin = Origin("shop", shop.forge.url, ("web/*",))
        turn = worker.turn(origin, NAME, all_moves=True, patience=10)
        assert (turn.error, turn.waits) == ("", False)
        told = defaultdict(set)
        for path in spool.listing(kept):
            payload = spool.read(path)["payload"]
            told[payload["id"]].add(json.dumps(payload))
        # Two files of one event are one: the daemon knows the second by id and bytes.
        assert {event: len(each) for event, each in told.items()} == dict.fromkeys(
            events, 1
        ), last
        commits = [json.loads(*told[event])["commits"] for event in events]
        assert [[c["message"] for c in each] for each in commits] == [
            ["number 1\n"],
            ["number 2\n"],
        ], last
        assert not list((state / "bells").iterdir())
        if done.returncode == 0:
            assert last > 30
            return
    raise AssertionError("it never came to its end")
