"""P8, P11, P15: broker code may crash, hang, fork, lie and leak; it costs its own
delivery and nobody else's.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oberonc.daemon.generation.worker_link import MAX_USE
from oberonc.delivery import frames
from tests.support.daemon_site import Site, alive, descendants, kill, push, recorder
from tests.support.eventually import eventually

WAIT = "while not os.path.exists(GATE): time.sleep(0.01)"


def _gate(site: Site) -> tuple[Path, str]:
    gate = site.folder / "gate"
    return gate, WAIT.replace("GATE", repr(str(gate)))


def _dead_after_crash(site: Site) -> str:
    [row] = site.call("delivery.list", state="ready")["deliveries"]
    return str(
        site.call("dead.show", delivery=row["id"])["delivery"]["attempts"][-1]["note"]
    )


def test_what_ends_a_worker_is_a_crash_and_told(site: Site) -> None:
    """F11: crashes are counted, and the daemon serves on."""
    ends = {
        "os._exit(7)": "exit status 7",
        "os.kill(os.getpid(), signal.SIGSEGV)": "signal 11",
        "sys.exit(3)": "exit(3)",
        "bytearray(1 << 31)": "MemoryError",
        "os.closerange(3, 256)": "",
    }
    names = [f"b{n}" for n in range(len(ends))]
    for name, work in zip(names, ends, strict=True):
        site.write(name, recorder(work))
    site.configure(site.services("rec", *names))
    running = site.start()
    event = site.submit()

    def all_failed() -> bool:
        counters = [site.stats()["services"][name]["counters"] for name in names]
        return all(row["retry"] + row["crash"] for row in counters)

    eventually(all_failed, 60, running.log)
    shown = site.call("event.show", id=event)["event"]["deliveries"]
    notes = {row["service"]: row["attempts"][0]["note"] for row in shown}
    for name, why in zip(names, ends.values(), strict=True):
        assert why in notes[name], (name, notes[name])
    assert running.process.poll() is None
    later = site.submit(push("another/one"))
    eventually(lambda: later in site.ended("rec"), 60)


def _until_crashed(site: Site, delivery: int, crashes: int) -> None:
    def look() -> bool:
        row = site.call("dead.show", delivery=delivery)["delivery"]
        return bool(row["crashes"] == crashes and row["state"] != "leased")

    eventually(look, 60)


def test_killed_five_times_it_is_a_dead_letter_and_its_lane_goes_on(site: Site) -> None:
    """P8, F11: `queue retry` stands for the waiting between the crashes."""
    site.write(
        "rec", recorder("if 'poison' in payload['commits'][0]['message']: os._exit(1)")
    )
    site.start()
    poison, good = push(message="poison\n"), push(message="fine\n")
    site.submit(poison)
    site.submit(good)
    for crashes in range(1, 6):
        [number] = [
            r["id"]
            for r in site.call("delivery.list")["deliveries"]
            if r["event"] == poison["id"]
        ]
        _until_crashed(site, number, crashes)
        if crashes < 5:
            site.call("dead.retry", delivery=number)
    site.wait_for(good["id"])
    site.settled(dead=1, done=1)
    [letter] = site.call("delivery.list", state="dead")["deliveries"]
    assert letter["event"] == poison["id"]
    row = next(row for row in site.rows() if row["id"] == good["id"])
    assert row["order"] == {"gap": True}


def test_a_hung_worker_and_all_it_started_are_ended(site: Site) -> None:
    """F12: it ignores SIGTERM, forks, and its grandchild leaves the group and holds the
    pipe.
    """
    work = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pid = os.fork()
        if not pid:
            os.setsid()
        self.note("pid " + str(os.getpid()), payload)
        while True: time.sleep(1)"""
    site.write("hung", recorder(work))
    site.configure(site.services("rec") | site.services("hung", timeout=1))
    running = site.start()
    site.submit()
    eventually(lambda: site.stats()["services"]["hung"]["counters"]["crash"] == 1, 60)
    pids = [
        int(row["what"].split()[1])
        for row in site.rows()
        if row["what"].startswith("pid")
    ]
    assert len(pids) == 2
    eventually(lambda: not any(map(alive, pids)), what="the grandchild escaped")
    assert "time limit" in _dead_after_crash(site)
    eventually(
        lambda: all(map(alive, descendants(running.pid))), what="a zombie is left"
    )


@pytest.mark.parametrize(
    "deed", ["", "os.setsid()", "os.setsid(); os.fork() and os._exit(0)"]
)
def test_what_a_broker_leaves_running_is_ended_soon(site: Site, deed: str) -> None:
    """P11: else hundreds of them, one of each delivery, would wait for their worker to
    be replaced.
    """
    work = f"""
        if not os.fork():
            {deed or "pass"}
            self.note("left " + str(os.getpid()), payload)
            time.sleep(600)
        while not any('"left ' in line for line in open(self.settings.ledger)): time.sleep(0.01)"""
    site.write("rec", recorder(work))
    site.start()
    site.wait_for(site.submit())
    [pid] = [
        int(row["what"].split()[1])
        for row in site.rows()
        if row["what"].startswith("left")
    ]
    eventually(lambda: not alive(pid), what="it runs on")
    site.wait_for(site.submit())
    site.settled(done=2)


def test_a_slow_broker_costs_no_other_anything(site: Site) -> None:
    """P11, P5: all workers but one may be slow; the last is for the others, also when
    they come later.
    """
    gate, wait = _gate(site)
    site.write("slow", recorder(wait))
    site.configure(
        site.services("rec", repositories=["r/*"])
        | site.services("slow", repositories=["s/*"]),
        workers=2,
    )
    site.start()
    for n in range(5):
        site.submit(push(f"s/{n}"))
    eventually(site.begun)
    eventually(
        lambda: site.stats()["workers"]["running"] == 1, what="rounds never ended"
    )
    events = [site.submit(push(f"r/{n}")) for n in range(8)]
    eventually(lambda: set(site.ended("rec")) == set(events), 60)
    assert site.ended("slow") == []
    gate.touch()
    site.settled(done=13)


def test_what_was_leased_ahead_does_not_wait_for_a_slow_delivery_while_workers_are_free(
    site: Site,
) -> None:
    """P5, P11: two services, so that the one whose deliveries turn slow has half of the
    workers at first.
    """
    gate, wait = _gate(site)
    wait_if_slow = wait.replace(
        "while ", "while 'slow' in payload['commits'][0]['message'] and "
    )
    site.write("rec", recorder(wait_if_slow))
    services = {
        n: {"broker": "rec", "ledger": str(site.ledger), "repositories": [f"{n}/*"]}
        for n in "ab"
    }
    site.configure(services, workers=8)
    site.start()
    for n in range(3):
        site.wait_for(site.submit(push(f"a/{n}")))
    site.call("lane.pause", service="a")
    for n in range(4):
        site.submit(push(f"a/slow{n}", "slow"))
    quick = [site.submit(push(f"a/quick{n}")) for n in range(10)]
    site.call("lane.resume", service="a")
    site.wait_for(*quick)
    gate.touch()
    site.settled(done=17)


def test_a_retry_is_not_forgotten_when_another_delivery_begins(site: Site) -> None:
    """P7: it runs when it is due, though a slow delivery of another repository was
    leased meanwhile.
    """
    gate, wait = _gate(site)
    site.write(
        "again", recorder("if payload['attempt'] == 1: raise Retry('again', after=2)")
    )
    site.write("slow", recorder(wait))
    site.configure(
        site.services("again", repositories=["a/*"])
        | site.services("slow", repositories=["b/*"])
    )
    site.start()
    event = site.submit(push("a/a"))
    eventually(lambda: site.stats()["services"]["again"]["counters"]["retry"] == 1)
    site.submit(push("b/b"))
    site.wait_for(event)
    gate.touch()
    site.settled(done=2)


def test_a_worker_that_cannot_be_started_costs_no_slot(site: Site) -> None:
    """P11: for a while there is no file descriptor for one; afterwards as many
    deliveries run at once as before.
    """
    gate, wait = _gate(site)
    site.write("rec", recorder(wait))
    site.configure(workers=3)
    pid = site.start().pid
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(site.socket))
        channel.sendall(frames.encode({"op": "ping"}))
        assert b"true" in channel.recv(65536)
        limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        resource.prlimit(
            pid,
            resource.RLIMIT_NOFILE,
            (min(set(range(len(used) + 1)) - used), limit[1]),
        )
        for n in range(3):  # the worker that verified the service takes the first
            channel.sendall(frames.encode({"op": "submit", "payload": push(f"r/{n}")}))
            assert b"accepted" in channel.recv(65536)
        eventually(lambda: "no worker" in site.daemons[0].log)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    eventually(lambda: len(site.begun()) == 3)
    gate.touch()
    site.settled(done=3)
    eventually(lambda: site.stats()["workers"]["running"] == 0)


def test_one_lane_in_order_many_at_once(site: Site) -> None:
    """P4."""
    site.write("rec", recorder("time.sleep(0.002)"))
    site.start()
    sent: dict[str, list[str]] = {}
    for n in range(60):
        repo = f"r/{n % 6}"
        sent.setdefault(repo, []).append(site.submit(push(repo)))
    site.settled(done=60)
    open_lanes: set[str] = set()
    seen: dict[str, list[str]] = {}
    for row in site.rows():
        if row["what"] == "begin":
            assert row["repo"] not in open_lanes, "two at once in one lane"
            open_lanes.add(row["repo"])
            seen.setdefault(row["repo"], []).append(row["id"])
        else:
            open_lanes.discard(row["repo"])
    assert seen == sent


def test_a_forged_lease_changes_nothing_but_a_counter(site: Site) -> None:
    """P15: what broker code writes to the channel itself is late, and ends the worker."""
    work = """
        if payload["attempt"] == 1:
            from oberonc.delivery import frames
            import socket
            channel = next(fd for fd in range(3, 40) if is_socket(fd))
            answer = {"lease": 0, "outcome": {"kind": "done", "note": "", "after": None, "progress": False}}
            os.write(channel, frames.encode(answer))
            time.sleep(60)"""
    head = """
import os, stat
def is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
"""
    site.write("rec", recorder(work, head=head))
    site.start()
    event = site.submit()
    eventually(lambda: site.stats()["late_results"] == 1)
    eventually(lambda: site.stats()["services"]["rec"]["counters"]["crash"] == 1)
    [row] = site.call("event.show", id=event)["event"]["deliveries"]
    assert row["state"] == "ready"
    site.call("dead.retry", delivery=row["id"])
    site.wait_for(event)
    assert site.settled(done=1)["late_results"] == 1


def test_a_copy_of_the_worker_answers_for_no_delivery(site: Site) -> None:
    """P15: what the broker forked comes back from `handle` first; the worker's own end
    is the one that counts.
    """
    work = """
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            raise Reject("not this one")"""
    site.write("rec", recorder(work))
    site.start()
    event = site.submit()
    assert site.settled(dead=1)["late_results"] == 0
    [row] = site.call("event.show", id=event)["event"]["deliveries"]
    assert [(a["outcome"], a["note"]) for a in row["attempts"]] == [
        ("dead", "not this one")
    ]


def test_a_broker_that_replaces_its_streams_does_its_work_once(site: Site) -> None:
    trap = "type('Trap', (), {'flush': lambda self: os._exit(1)})()"
    for name, deed in (
        ("none", "sys.stdout = sys.stderr = None"),
        ("trap", f"sys.stdout = sys.stderr = {trap}"),
    ):
        site.write(name, recorder(deed))
    site.configure(site.services("none", "trap"))
    site.start()
    site.submit()
    site.settled(done=2)
    assert sorted(row["service"] for row in site.rows() if row["what"] == "begin") == [
        "none",
        "trap",
    ]


def test_a_stopped_worker_is_ended_and_the_second_run_counts(site: Site) -> None:
    """F14: SIGSTOP past the limit; the second attempt's end is the one that counts."""
    site.write(
        "rec",
        recorder("if payload['attempt'] == 1: os.kill(os.getpid(), signal.SIGSTOP)"),
    )
    site.configure(site.services("rec", timeout=1))
    site.start()
    event = site.submit()
    eventually(lambda: site.stats()["services"]["rec"]["counters"]["crash"] == 1, 60)
    [row] = site.rows()
    kill(row["pid"], signal.SIGCONT)
    site.call("dead.retry", delivery=1)
    site.wait_for(event)
    site.settled(done=1)
    assert [(r["what"], r["attempt"]) for r in site.rows()] == [
        ("begin", 1),
        ("begin", 2),
        ("end", 2),
    ]


def test_output_is_kept_capped_and_secrets_are_not(site: Site) -> None:
    """S7: no secret of a service in notes or output; none of another service in its
    worker.
    """
    for name in ("one", "two"):
        (site.folder / name).write_text(f"canary-{name}")
        (site.folder / name).chmod(0o600)
    work = """
        print("said", str(self.settings.token), "\\x1b[31m")
        os.write(1, b"x" * 200000)
        leaked = dict(os.environ)
        others = [v for v in leaked.values() if "canary" in v]
        raise RuntimeError("with " + str(self.settings.token) + str(others))"""
    site.write("one", recorder(work))
    site.write("two", recorder("print(sorted(os.environ))"))
    one, two = (
        site.services(name, token=f"file:{site.folder}/{name}")
        for name in ("one", "two")
    )
    site.configure(one | two)
    running = site.start(CANARY="canary-environment")
    event = site.submit()
    eventually(lambda: site.stats()["services"]["one"]["counters"]["retry"] == 1)
    site.settled(ready=1)
    shown = site.call("event.show", id=event)["event"]["deliveries"]
    first = {row["service"]: row["attempts"][0] for row in shown}
    assert "said *** \\x1b[31m" in first["one"]["output"]
    assert len(first["one"]["output"]) <= 64 * 1024
    assert "with ***" in first["one"]["note"]
    assert "CANARY" not in first["two"]["output"]
    everything = (
        running.log + str(shown) + str(site.call("brokers")) + str(site.stats())
    )
    assert "canary" not in everything
    database = b"".join(
        path.read_bytes() for path in site.state.iterdir() if path.is_file()
    )
    assert b"canary" not in database


def test_limits_of_a_worker(site: Site) -> None:
    site.write("rec", recorder("""
        import resource
        self.note("files " + str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]), payload)
        self.note("session " + str(os.getsid(0) == os.getpid()), payload)
        self.note("stdin " + str(len(sys.stdin.read())), payload)
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        self.note("privs " + status["NoNewPrivs"].strip(), payload)
        self.note("umask " + oct(os.umask(0)), payload)"""))  # fmt: skip
    os.umask(0)
    site.start()
    site.wait_for(site.submit())
    said = {row["what"] for row in site.rows()}
    assert {"files 256", "session True", "stdin 0", "privs 1", "umask 0o77"} <= said


def test_retry_reject_and_progress(site: Site) -> None:
    site.write(
        "later",
        recorder(
            "if payload['attempt'] < 3: raise Retry('soon', after=0.1, progress=True)"
        ),
    )
    site.write("never", recorder("raise Reject('not for us')"))
    site.configure(site.services("later", "never"))
    site.start()
    event = site.submit()
    site.settled(done=1, dead=1)
    rows = {
        row["service"]: row
        for row in site.call("event.show", id=event)["event"]["deliveries"]
    }
    assert [a["outcome"] for a in rows["later"]["attempts"]] == [
        "progress",
        "progress",
        "done",
    ]
    assert rows["later"]["tries"] == 0
    assert rows["never"]["note"] == "not for us"


def parent(pid: int) -> int:
    """The process that started *pid*."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def busy(site: Site, service: str) -> list[int]:
    """The workers that have begun and not ended a delivery of *service*, each
    delivery's last attempt.
    """
    last = {row["id"]: row for row in site.rows() if row["service"] == service}
    return [
        row["pid"]
        for row in last.values()
        if row["what"] == "begin" and alive(row["pid"])
    ]


def _keeps_signals_in() -> bool:
    """Whether this kernel lets a process signal only its own."""
    script = (
        "from oberonc.broker import confine; confine._libc.prctl(38, 1, 0, "
        "0, 0); exit(not confine.keep_signals_in())"
    )
    return subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.skipif(
    not _keeps_signals_in(),
    reason="this kernel cannot keep signals in: Linux 6.12 with Landlock can",
)
def test_a_broker_reaches_no_process_of_ours_and_of_others(site: Site) -> None:
    """Neither its own host nor what stands above and beside that; what it started
    itself it may end.
    """
    work = """
        import subprocess
        mine = subprocess.Popen(["sleep", "60"])
        mine.kill()
        self.note("mine " + str(mine.wait()), payload)
        chain = [os.getppid()]  # host, root, daemon
        while len(chain) < 3:
            chain.append(int(open(f"/proc/{chain[-1]}/stat").read().rpartition(")")[2].split()[1]))
        hosts = open(f"/proc/{chain[1]}/task/{chain[1]}/children").read().split()
        self.note("hosts " + str(len(hosts)), payload)
        reached = []
        for pid in {*chain, *map(int, hosts)}:
            for call in (os.kill, os.killpg):
                try:
                    call(pid, 0)
                    reached.append(pid)
                except PermissionError:
                    pass
                except ProcessLookupError:
                    assert call is os.killpg  # no group has that number
        self.note("reached " + str(reached), payload)"""
    site.write("rec", recorder(work))
    site.write("other", recorder())
    site.configure(site.services("rec", "other"))
    site.start()
    site.submit()
    site.settled(done=2)
    said = {row["what"] for row in site.rows()}
    assert {"mine -9", "hosts 2", "reached []"} <= said


def test_whatever_ends_a_host_costs_other_brokers_nothing(site: Site) -> None:
    """The one that ran there is charged; what runs of another broker does not notice."""
    gate = site.folder / "gate"
    wait = f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    site.write(
        "killer", recorder("time.sleep(600) if payload['attempt'] == 1 else None")
    )
    site.write("rec", recorder(wait))
    site.configure(site.services("rec", "killer"))
    running = site.start()
    event = site.submit()
    eventually(lambda: busy(site, "killer") and busy(site, "rec"))
    kill(parent(busy(site, "killer")[0]))
    eventually(lambda: site.stats()["services"]["killer"]["counters"]["crash"] == 1)
    gate.touch()
    eventually(lambda: event in site.ended("rec"))
    shown = {
        row["service"]: row
        for row in site.call("event.show", id=event)["event"]["deliveries"]
    }
    assert [attempt["outcome"] for attempt in shown["rec"]["attempts"]] in (
        ["done"],
        [None],
    )
    site.call("dead.retry", delivery=shown["killer"]["id"])
    site.settled(done=2)
    assert (
        "the host of broker killer ended with status -9; starting it again in 0.5 s"
        in running.log
    )


def test_of_two_that_ran_when_their_host_ended_none_is_charged_and_they_run_apart(
    site: Site,
) -> None:
    gate = site.folder / "gate"
    site.write(
        "rec", recorder(f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    )
    site.start()
    events = [site.submit(push(f"r/{number}")) for number in range(2)]
    eventually(lambda: len(busy(site, "rec")) == 2)
    kill(parent(busy(site, "rec")[0]))
    eventually(lambda: len(site.begun()) == 3)
    eventually(lambda: len(busy(site, "rec")) == 1)
    assert site.stats()["deliveries"]["leased"] == 1, (
        "one at a time until it is known whose fault it was"
    )
    gate.touch()
    site.wait_for(*events)
    counters = site.settled(done=2)["services"]["rec"]["counters"]
    assert (counters["crash"], counters["interrupted"]) == (0, 2)


def test_a_host_is_started_again_later_each_time_until_a_delivery_succeeds(
    site: Site,
) -> None:
    site.write(
        "rec",
        recorder("if 'stay' in payload['commits'][0]['message']: time.sleep(600)"),
    )
    running = site.start()

    def end_it() -> None:
        before = running.log.count("starting it again")
        eventually(lambda: busy(site, "rec"))
        kill(parent(busy(site, "rec")[0]))
        eventually(lambda: running.log.count("starting it again") > before)

    site.submit(push("r/1", "stay"))
    end_it()
    site.settled(ready=1)
    site.call("dead.retry", delivery=1)
    end_it()
    site.wait_for(site.submit(push("r/2")))
    site.settled(ready=1, done=1)
    site.call("dead.retry", delivery=1)
    end_it()
    waits = [
        line.rpartition(" in ")[2]
        for line in running.log.splitlines()
        if "starting it again" in line
    ]
    assert waits == ["0.5 s", "1 s", "0.5 s"]


def test_a_worker_ends_after_its_uses_and_all_that_was_above_it_comes_back(
    site: Site,
) -> None:
    running = site.start()
    # One lane, and so one worker at a time; that it was tried counts as well.
    site.wait_for(*(site.submit() for _ in range(MAX_USE)))
    pids = {row["pid"] for row in site.rows()}
    assert len(pids) >= 2, "no worker was replaced"
    kill(descendants(running.pid)[0])  # the root that all is forked from
    # Until then a worker that is warm may still do something.
    eventually(lambda: "starting it again" in running.log)
    site.wait_for(site.submit(), within=60)
