"""A hook that runs the brokers costs its budget at the most, whatever the tracker does;
the rest stays kept.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from oberonc.delivery import spool
from tests.support.admin import PATIENT, Admin
from tests.support.command import Command
from tests.support.eventually import eventually
from tests.support.pushes import put_hook
from tests.support.repo import Repo
from tests.support.silent import Silent, silent

#: Seconds of a budget here, and the seconds after which a hook certainly did not keep
#: to it.
BUDGET, FAR_OVER = 3, 18
#: A budget for what waits for nobody: who waited all the same would be far over.
NO_HURRY = 120
GO_ON = "what is not done is kept, and the next push with work for it or `oberonc send --spooled` goes on"


@pytest.fixture
def tracker() -> Iterator[Silent]:
    with silent() as server:
        yield server


@pytest.fixture
def work(repo: Repo) -> Repo:
    """A repository with the hook of local commits."""
    put_hook(repo.path / ".git" / "hooks", "post-commit")
    return repo


@pytest.fixture
def served(repo: Repo, bare: Repo) -> Repo:
    """A clone of a bare repository, whose hook tells trackers of each push."""
    repo.commit("first")
    repo.git("push", "-q", str(bare.path), "HEAD:refs/heads/main")
    repo.git("remote", "add", "origin", str(bare.path))
    put_hook(bare.path / "hooks", "post-receive")
    return repo


def _push(repo: Repo, message: str) -> str:
    """What pushing a commit printed; it must not have taken far longer than the budget."""
    repo.git("commit", "-q", "--allow-empty", "-m", message)
    began = time.monotonic()
    said = repo.sh("git push -q origin HEAD:main")
    assert time.monotonic() - began < FAR_OVER
    assert said.count("\n") <= 1
    return said.removeprefix("remote: ").rstrip()


def _issues(admin: Admin, url: str, budget: float | None = BUDGET) -> None:
    """The issue broker on a tracker at *url*."""
    token = admin.secret("token", "secret")
    admin.configure(
        (f"hook_budget = {budget}\n" if budget else "")
        + f"[services.issues]\nbroker = 'issues'\ntracker = 'gitea'\nurl = '{url}'\ntoken = 'file:{token}'\n"
        + "project = 'web/shop'\n"
    )


def _commit(repo: Repo, message: str, **env: str) -> str:
    """What a commit printed; it must not have taken far longer than the budget."""
    began = time.monotonic()
    said = repo.sh(f"git commit -q --allow-empty -m '{message}'", 0, **env)
    assert time.monotonic() - began < FAR_OVER
    assert said.count("\n") <= 1
    return said


def _kept(admin: Admin) -> list[spool.Entry]:
    return [spool.read(path) for path in spool.listing(admin.state / "spool")]


@pytest.mark.parametrize(
    "message",
    ["fixes #1", "fixes #1, fixes #2, fixes #3, fixes #4", "refs #1 #2 #3 #4 #5 #6"],
)
def test_a_tracker_that_accepts_and_stays_silent_costs_the_budget_once(
    admin: Admin, served: Repo, tracker: Silent, message: str
) -> None:
    # enough to reach the tracker, also on a busy machine
    _issues(admin, tracker.url, 10)
    assert GO_ON in _push(served, message)
    assert tracker.requests
    [entry] = _kept(admin)
    state = entry["services"]["issues"]
    assert (state["attempts"], state["crashes"], state["running"]) == (1, 0, False)


def test_a_terminal_shows_who_is_waited_for_and_then_the_one_line(
    admin: Admin, work: Repo
) -> None:
    admin.handle("slow", "import time\ntime.sleep(60)", "")
    admin.configure("hook_budget = 8\n[services.slow]\nbroker = 'slow'\n")
    ours, theirs = os.openpty()
    committing = _start(work, "fixes #1", stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while read := os.read(ours, 4096):
            shown += read
    os.close(ours)
    assert committing.wait(FAR_OVER) == 0
    text = shown.decode()
    assert "oberonc: slow at work for 2 s; Ctrl-C keeps the rest for later" in text
    last = text.replace("\r\n", "\n").rstrip("\n").split("\n")[-1]
    assert GO_ON in last.rpartition("\r")[2]


def test_an_answer_that_never_ends_costs_the_budget_once(
    admin: Admin, served: Repo
) -> None:
    with silent(dribble=True) as tracker:
        _issues(admin, tracker.url)
        assert GO_ON in _push(served, "fixes #1")
    assert len(_kept(admin)) == 1


def test_commits_that_name_nothing_print_nothing_and_do_not_wait_for_what_is_kept(
    admin: Admin, served: Repo, tracker: Silent
) -> None:
    # enough to reach the tracker, also on a busy machine
    _issues(admin, tracker.url, 10)
    _push(served, "fixes #1")
    asked = len(tracker.requests)
    _issues(admin, tracker.url, NO_HURRY)
    assert _push(served, "an ordinary commit") == ""
    assert len(tracker.requests) == asked
    [entry] = _kept(admin)
    assert entry["services"]["issues"]["attempts"] == 1
    assert entry["payload"]["commits"][0]["message"] == "fixes #1\n"


def test_a_commit_with_work_for_the_service_has_the_older_work_tried_first_and_both_stay_kept(
    admin: Admin, served: Repo, tracker: Silent
) -> None:
    _issues(admin, tracker.url)
    _push(served, "fixes #1")
    asked = len(tracker.requests)
    # enough to reach the tracker, also on a busy machine
    _issues(admin, tracker.url, 10)
    assert GO_ON in _push(served, "fixes #2")
    assert b"/issues/1" in tracker.requests[asked]
    assert [entry["services"]["issues"]["attempts"] for entry in _kept(admin)] == [2, 0]


def test_old_work_of_a_service_is_not_tried_by_a_push_that_another_service_wants(
    admin: Admin, work: Repo
) -> None:
    admin.handle("down", "open(DONE, 'a').write('tried\\n')\nraise Retry('down')")
    admin.handle("well", "return 'well'")
    admin.configure(
        f"{PATIENT}[services.a]\nbroker = 'down'\npaths = ['a/*']\n[services.b]\nbroker = 'well'\npaths = ['b/*']\n"
    )
    for name in ("a", "b"):
        work.commit(name, f"{name}/file")
    assert admin.lines() == ["tried"]
    assert [list(entry["services"]) for entry in _kept(admin)] == [["a"]]


def test_another_process_at_work_is_not_waited_for_longer_than_the_budget_nor_at_all_without_work(
    admin: Admin, served: Repo, tracker: Silent
) -> None:
    _issues(admin, tracker.url)
    _push(served, "fixes #1")
    [lock] = (admin.state / "spool" / "lock").iterdir()
    asked = len(tracker.requests)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "earlier pushes of this repository come first" in _push(
            served, "fixes #2"
        )
        _issues(admin, tracker.url, NO_HURRY)
        assert _push(served, "an ordinary commit") == ""
    assert len(_kept(admin)) == 2
    assert len(tracker.requests) == asked


STUCK = {
    "ignores SIGTERM": (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
        "pass",
    ),
    "ignores SIGTERM and has a child": (
        "import os, signal, time\nif os.fork():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
        "pass",
    ),
    "hangs when it is loaded": ("pass", "__import__('time').sleep(600)"),
    "hangs when it is asked for its limit": (
        "pass",
        "timeout = 3 * __import__('time').sleep(600)",
    ),
}


@pytest.mark.parametrize("manner", STUCK)
def test_a_broker_that_is_stuck_costs_the_budget_and_is_not_charged(
    admin: Admin, work: Repo, manner: str
) -> None:
    body, attributes = STUCK[manner]
    admin.handle("stuck", body, attributes)
    admin.configure(f"hook_budget = {BUDGET}\n[services.one]\nbroker = 'stuck'\n")
    assert GO_ON in _commit(work, "one")
    [entry] = _kept(admin)
    assert (
        entry["services"]["one"]["crashes"],
        entry["services"]["one"]["running"],
    ) == (0, False)


def test_a_secret_whose_command_hangs_costs_the_budget(
    admin: Admin, work: Repo
) -> None:
    admin.handle("rec", "pass")
    admin.configure(
        f"hook_budget = {BUDGET}\n[services.one]\nbroker = 'rec'\na = 'cmd:sleep 600'\nb = 'cmd:sleep 600'\n"
    )
    assert GO_ON in _commit(work, "one")
    assert len(_kept(admin)) == 1


def test_several_stuck_services_cost_the_budget_once(admin: Admin, work: Repo) -> None:
    admin.handle("stuck", "import time; time.sleep(600)")
    admin.configure(
        f"hook_budget = {BUDGET}\n"
        + "".join(f"[services.s{n}]\nbroker = 'stuck'\n" for n in range(4))
    )
    said = _commit(work, "one")
    assert (said.count("not done yet"), said.count(GO_ON)) == (4, 1)
    assert len(_kept(admin)[0]["services"]) == 4


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"),
    reason="needs root for a name server of its own",
)
def test_a_name_server_that_stays_silent_costs_the_budget(
    admin: Admin, served: Repo, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.153", 53))
        (tmp_path / "resolv.conf").write_text(
            "nameserver 127.0.0.153\noptions timeout:30 attempts:5\n"
        )
        (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
        _issues(admin, "https://tracker.example.org")
        mounts = "; ".join(
            f"mount --bind {tmp_path / name} /etc/{name}"
            for name in ("resolv.conf", "nsswitch.conf")
        )
        served.git("commit", "-q", "--allow-empty", "-m", "fixes #1")
        script = f"{mounts}; git push -q origin HEAD:main"
        began = time.monotonic()
        said = served.sh(f'unshare -m sh -ec "{script}"')
        assert time.monotonic() - began < FAR_OVER
        server.settimeout(10)
        assert b"tracker" in server.recv(512)
    assert GO_ON in said
    assert len(_kept(admin)) == 1


@pytest.mark.parametrize(("bare", "seconds"), [(False, 5), (True, 20)])
def test_without_a_word_a_commit_waits_5_seconds_and_a_push_20(
    admin: Admin, work: Repo, bare: bool, seconds: int, tmp_path: Path
) -> None:
    admin.handle("stuck", "import time; time.sleep(600)")
    admin.configure("[services.one]\nbroker = 'stuck'\n")
    if bare:
        server = Repo.init(tmp_path / "server.git", bare=True)
        put_hook(server.path / "hooks", "post-receive")
        work.git(
            "-c",
            "core.hooksPath=/nowhere",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "one",
        )
        said = work.sh(f"git push -q {server.path} HEAD:main")
    else:
        said = work.sh("git commit -q --allow-empty -m one")
    # in 5 seconds a busy machine may not come to the line where it stands
    where = r" \(stuck\.py:5\)" if bare else r"( \(stuck\.py:5\))?"
    assert re.search(
        f"one: not done yet: not done within {seconds} s{where}; {GO_ON}", said
    )


def test_what_is_kept_is_done_once_the_tracker_answers(
    admin: Admin, work: Repo, oberonc: Command
) -> None:
    admin.handle(
        "rec",
        f"import time\nif not __import__('os').path.exists({str(admin.home / 'up')!r}):\n"
        "    time.sleep(600)\nopen(DONE, 'a').write(payload['commits'][0]['message'])",
    )
    admin.configure("hook_budget = 2\n[services.one]\nbroker = 'rec'\n")
    for message in ("one", "two"):
        _commit(work, message)
    (admin.home / "up").touch()
    oberonc("send", "--spooled")
    assert admin.lines() == ["one", "two"]
    assert _kept(admin) == []


def test_a_delay_that_a_broker_asks_for_is_kept_and_send_spooled_means_now(
    admin: Admin, work: Repo, oberonc: Command
) -> None:
    admin.handle(
        "later",
        "open(DONE, 'a').write('tried\\n')\nraise Retry('rate limit', after=3600)",
    )
    admin.configure(f"{PATIENT}[services.one]\nbroker = 'later'\n")
    assert "rate limit" in _commit(work, "one")
    said = _commit(work, "two")
    assert "waits behind an earlier delivery: waits until" in said
    assert "as its broker asked: rate limit" in said
    assert admin.lines() == ["tried"]
    oberonc("send", "--spooled", code=1)
    assert admin.lines() == ["tried", "tried"]


def _start(
    work: Repo, message: str, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """A commit in a process group of its own, as a terminal's foreground is one."""
    return subprocess.Popen(
        ["git", "commit", "-q", "--allow-empty", "-m", message],
        cwd=work.path,
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        # A shell's background command, such as a test run may be, ignores Ctrl-C, and
        # so would ours.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_ends_the_brokers_of_a_hook_and_keeps_the_rest(
    admin: Admin, work: Repo
) -> None:
    admin.handle(
        "stuck", "open(DONE, 'w').write('here\\n')\nimport time; time.sleep(600)"
    )
    admin.configure("hook_budget = 600\n[services.one]\nbroker = 'stuck'\n")
    with _start(work, "one") as child:
        eventually(lambda: admin.lines() == ["here"])
        os.killpg(child.pid, signal.SIGINT)
        assert child.stderr is not None
        said = child.stderr.read().decode()
    assert f"one: not done yet: interrupted; {GO_ON}" in said
    assert said.count("\n") == 1
    [entry] = _kept(admin)
    state = entry["services"]["one"]
    assert (state["running"], state["crashes"], state["orphans"]) == (False, 0, 0)


def test_no_moment_of_ctrl_c_loses_a_commit_or_prints_a_traceback(
    admin: Admin, work: Repo
) -> None:
    """A finger that stays on the keys, from the moment the commit is made."""
    admin.handle(
        "rec",
        "import time; time.sleep(1)\nopen(DONE, 'a').write(payload['commits'][0]['message'])",
    )
    admin.configure("[services.one]\nbroker = 'rec'\n")
    hook = work.path / ".git" / "hooks" / "post-commit"
    script = hook.read_text()
    began = admin.home / "began"
    hook.write_text(
        script.replace("#!/bin/sh\n", f"#!/bin/sh\ntrap : INT\ntouch {began}\n", 1)
    )
    with _start(work, "one") as child:
        eventually(began.exists)
        over = threading.Event()

        def press() -> None:
            while not over.wait(0.01):
                try:
                    os.killpg(child.pid, signal.SIGINT)
                except ProcessLookupError:
                    return

        finger = threading.Thread(target=press)
        finger.start()
        assert child.stderr is not None
        said = child.stderr.read().decode()
        over.set()
        finger.join()
    assert "Traceback" not in said
    assert [entry["payload"]["commits"][0]["message"] for entry in _kept(admin)] == [
        "one\n"
    ] or admin.lines() == ["one"]


def test_ctrl_c_while_it_is_given_back_to_who_had_it_prints_nothing() -> None:
    """A hook's shell has Ctrl-C ignored, and Python tells of one that it had already
    taken when that is put back: a window of microseconds, so it is met 3,000 times.
    """
    rounds = """
import os, signal
from oberonc.broker.budget import Budget
signal.signal(signal.SIGINT, signal.SIG_IGN)
us, finger = os.getpid(), os.fork()
while not finger and os.getppid() == us:
    os.kill(us, signal.SIGINT)
for _ in range(3000):
    with Budget().interruptible():
        pass
os.kill(finger, signal.SIGKILL)
os.wait()
"""
    run = subprocess.run(
        [sys.executable, "-I", "-c", rounds], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")


def _has_lines(admin: Admin, count: int) -> bool:
    return len(admin.lines()) == count


def test_ctrl_c_during_send_keeps_what_did_not_end_and_says_so(
    admin: Admin, work: Repo
) -> None:
    admin.handle(
        "stuck", "open(DONE, 'a').write('here\\n')\nimport time; time.sleep(600)"
    )
    admin.configure("[services.one]\nbroker = 'stuck'\n")
    for number, words in enumerate((["--message", "one"], ["--spooled"]), 1):
        with subprocess.Popen(
            [sys.executable, "-I", "-m", "oberonc", "send", *words],
            cwd=work.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        ) as child:
            eventually(partial(_has_lines, admin, number))
            os.killpg(child.pid, signal.SIGINT)
            out, err = child.communicate()
        assert child.returncode == 130
        assert b"interrupted" in out
        assert (
            err
            == b"oberonc: interrupted; what did not end is kept, and `oberonc send --spooled` goes on\n"
        )
        [entry] = _kept(admin)
        assert (
            entry["services"]["one"]["running"],
            entry["services"]["one"]["orphans"],
        ) == (False, 0)
