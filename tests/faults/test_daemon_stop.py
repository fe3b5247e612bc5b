"""P10, P14: stopping, being stopped, and the second daemon."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oberonc.delivery import handover
from tests.support.daemon_site import Running, Site, push, recorder
from tests.support.eventually import eventually
from tests.support.store_rounds import rounds

HANGS = "if 'hang' in payload['commits'][0]['message']: time.sleep(600)\n        else: time.sleep(1)"


def test_stop_with_work_in_flight(site: Site) -> None:
    """F24: five end, five hang and go back uncharged; exit 0 within the time."""
    site.write("rec", recorder(HANGS))
    site.configure(workers=10, stop_timeout=3)
    running = site.start()
    for n in range(10):
        site.submit(push(f"r/{n}", message="hang\n" if n % 2 else "end\n"))
    eventually(lambda: len(site.begun()) == 10)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 3 + 5 + 10
    site.write("rec", recorder())
    site.start()
    site.settled(done=10)
    events = {row["id"]: row["message"] for row in site.rows()}
    for event, message in events.items():
        [row] = site.call("event.show", id=event)["event"]["deliveries"]
        outcomes = [attempt["outcome"] for attempt in row["attempts"]]
        assert outcomes == (["interrupted", "done"] if "hang" in message else ["done"])
        assert (row["tries"], row["crashes"], row["orphans"]) == (0, 0, 0)


def test_a_second_term_does_not_wait(site: Site) -> None:
    site.write("rec", recorder("time.sleep(600)"))
    running = site.start()
    site.submit()
    eventually(site.begun)
    running.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in running.log)
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    assert running.wait_end() == 0
    assert time.monotonic() - began < 30


def test_a_second_daemon_is_refused_and_harms_nothing(site: Site) -> None:
    """F33: it exits 75 with the pid of the first, whose socket stays."""
    first = site.start()
    second = site.start(wait=False)
    assert second.wait_end() == 75
    assert f"pid {first.pid}" in second.log
    site.wait_for(site.submit())


@pytest.mark.parametrize("shared", ["socket", "control"])
def test_a_second_daemon_with_a_state_folder_of_its_own_does_not_take_the_sockets(
    site: Site, shared: str
) -> None:
    """The lock of the state folder cannot see it: each socket has a lock of its own."""
    first = site.start()
    own = {
        "socket": site.folder / "own.sock",
        "control": site.folder / "own-control.sock",
    }
    taken = {"socket": site.socket, "control": site.folder / "control.sock"}
    places = own | {shared: taken[shared]}
    second = site.folder / "second.toml"
    lines = [
        f'state = "{site.folder / "second"}"',
        "[daemon]",
        *(f'{key} = "{path}"' for key, path in places.items()),
    ]
    second.write_text("\n".join(lines))
    done = _run_daemon(second)
    assert done.returncode == 75
    assert f"pid {first.pid}" in done.stderr
    assert not own["socket"].exists()
    assert not own["control"].exists()
    site.wait_for(site.submit())
    assert site.stats()["pid"] == first.pid
    first.kill()
    site.start().stop()


def test_sockets_that_systemd_holds_are_not_taken_while_no_daemon_runs(
    site: Site,
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.socket))
        listener.listen(1)
        before = site.socket.stat().st_ino
        done = _run_daemon(site.file)
        assert done.returncode == 75
        assert "somebody listens on" in done.stderr
        assert site.socket.stat().st_ino == before
    site.start()


def _run_daemon(file: Path) -> "subprocess.CompletedProcess[str]":
    """A daemon that is expected to end by itself."""
    words = [sys.executable, "-m", "oberonc", "--config", str(file), "daemon"]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60, cwd="/"
    )


def test_two_starts_at_once(site: Site) -> None:
    """F33: exactly one owner, over a stale socket too."""
    for _ in range(rounds(3)):
        both = [site.start(wait=False), site.start(wait=False)]
        processes = [running.process for running in both]
        eventually(lambda them=processes: any(one.poll() is not None for one in them))  # type: ignore[misc]
        [loser] = [running for running in both if running.process.poll() is not None]
        [winner] = [running for running in both if running is not loser]
        assert loser.wait_end() == 75
        winner.wait_ready()
        site.submit()
        winner.kill()
    site.start()


def test_a_damaged_or_foreign_queue_is_left_alone(site: Site) -> None:
    """F35: exit 78 with the reason; clients spool, and nothing is lost once it is
    mended.
    """
    site.state.mkdir()
    database = site.state / "queue.sqlite"
    database.write_bytes(b"this is no database" * 1000)
    running = site.start(wait=False)
    assert running.wait_end() == 78
    assert "queue.sqlite" in running.log
    made = push()
    assert handover.submit(site.config, made, 2).status == "spooled"
    assert database.read_bytes().startswith(b"this is no database")
    database.unlink()
    site.start()
    site.wait_for(made["id"])


def test_socket_activation(site: Site) -> None:
    """F25: the listening sockets outlive the daemon; who connects meanwhile is answered
    by the next one.
    """
    listeners = []
    for path in (site.socket, site.folder / "control.sock"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        listeners.append(listener)
    sent = []
    for _ in range(2):
        running = _activated(site, [listener.fileno() for listener in listeners])
        running.wait_ready()
        sent.append(site.submit())
        site.wait_for(sent[-1])
        assert running.stop() == 0
        assert site.socket.exists(), "systemd's socket was removed"
    for listener in listeners:
        listener.close()
    for path in (site.socket, site.folder / "control.sock"):
        path.unlink()


def _activated(site: Site, fds: list[int]) -> Running:
    """A daemon started as systemd does: the sockets are its descriptors 3 and 4."""
    script = (
        "import fcntl, os, sys\n"
        "fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 50) for fd in sys.argv[1].split(',')]\n"
        "for place, fd in enumerate(fds, 3):\n    os.dup2(fd, place)\n"
        "os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='submit:control')\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'oberonc', '--config', sys.argv[2], 'daemon'])\n"
    )
    running = Running.__new__(Running)
    running.site = site
    running.log_file = site.folder / f"log-{len(site.daemons)}"
    with running.log_file.open("wb") as log:
        running.process = subprocess.Popen(
            [sys.executable, "-c", script, ",".join(map(str, fds)), str(site.file)],
            pass_fds=fds,
            stdout=log,
            stderr=log,
        )
    site.daemons.append(running)
    return running


def test_what_systemd_is_told(site: Site) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(site.folder / "notify"))
        manager.settimeout(30)
        running = site.start(
            NOTIFY_SOCKET=str(site.folder / "notify"), WATCHDOG_USEC="400000"
        )

        def until(word: str) -> str:
            while word not in (datagram := manager.recv(4096).decode()):
                pass
            return datagram

        until("READY=1")
        until("WATCHDOG=1")
        running.signal(signal.SIGHUP)
        until("RELOADING=1")
        assert "STATUS=generation 2, 1 service; 1 ok" in until("READY=1")
        running.process.terminate()
        until("STOPPING=1")
        assert running.wait_end() == 0


def test_units_pass_systemd(tmp_path: Path) -> None:
    """F42."""
    import oberonc.daemon

    folder = Path(oberonc.daemon.__file__).parent
    for path in folder.glob("*.*"):
        if path.suffix in (".service", ".socket", ".timer"):
            (tmp_path / path.name).write_text(path.read_text())
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for path in sorted(tmp_path.iterdir()):
        verified = subprocess.run(
            ["systemd-analyze", "verify", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert [
            line
            for line in verified.stderr.splitlines()
            if "oberonc" in line and "not executable" not in line
        ] == []
    for path in sorted(tmp_path.glob("*.service")):
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=20", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert rated.returncode == 0, rated.stdout[-300:]


def test_files_run_out(site: Site) -> None:
    """F10: with few descriptors it says so, pauses, loses nothing, and goes on when
    there are some again.
    """
    running = site.start()
    used = len(os.listdir(f"/proc/{running.pid}/fd"))
    _, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (used + 6, hard))
    clients = []
    for _ in range(20):
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(str(site.socket))
        clients.append(channel)
    for channel in clients:
        channel.close()
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (1024, hard))
    site.wait_for(site.submit())
    assert json.dumps(site.stats()["deliveries"]["dead"]) == "0"
