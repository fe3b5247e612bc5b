"""The whole way of a push through a running daemon, and how it starts and stops."""

import os
import pwd
import signal
from pathlib import Path
from typing import Any

import pytest

from oberonc.delivery import handover
from oberonc.errors import BadInput
from tests.support.command import Command
from tests.support.daemon_site import Site, descendants, push, recorder
from tests.support.eventually import eventually


def test_a_push_is_handled(site: Site) -> None:
    site.start()
    made = push(message="great, all done, fixes #42")
    site.submit(made)
    site.wait_for(made["id"])
    stats = site.settled(done=1)
    assert stats["events"]["accepted"] == 1
    assert stats["services"]["rec"]["done"] == 1
    assert [row["attempt"] for row in site.rows()] == [1, 1]


def test_same_id_is_a_duplicate_and_other_bytes_are_refused(site: Site) -> None:
    """P6."""
    site.start()
    made = push()
    assert handover.submit(site.config, made, 20).status == "accepted"
    assert handover.submit(site.config, made, 20).status == "duplicate"
    other = push() | {"id": made["id"]}
    try:
        handover.submit(site.config, other | {"user": "eve"}, 20)
        raise AssertionError("the conflict was taken")
    except BadInput as error:
        assert "used before" in str(error)
    assert site.settled(done=1)["events"]["duplicates"] == 1


def test_a_service_that_does_not_match_is_recorded_with_the_reason(site: Site) -> None:
    services = site.services("rec") | {
        "other": {"broker": "rec", "ledger": "", "repositories": ["nothing/*"]}
    }
    site.configure(services)
    site.start()
    event = site.submit()
    site.wait_for(event)
    [row] = site.call("log", key=event)["events"]
    assert row["services"]["rec"]["outcome"] in ("runs", "done")
    assert "nothing" not in row["services"]["rec"]
    assert "repositories" in row["services"]["other"]["why"]


def test_trimmed_payload_and_order_reach_the_broker(site: Site) -> None:
    site.configure({"rec": site.services("rec")["rec"] | {"refs": ["refs/heads/main"]}})
    site.write(
        "rec", recorder("assert [u['name'] for u in payload['updates']] == ['main']")
    )
    site.start()
    made = push()
    extra = made["updates"][0] | {"ref": "refs/heads/topic", "name": "topic"}
    made["updates"] = [*made["updates"], extra]
    site.wait_for(site.submit(made))


def test_stop_is_clean_and_leaves_nothing(site: Site) -> None:
    running = site.start()
    site.wait_for(site.submit())
    assert running.stop() == 0
    assert not site.socket.exists()
    assert not (site.folder / "control.sock").exists()
    assert "stopped" in running.log


def test_two_threads_and_no_growth(site: Site) -> None:
    """Exactly the event loop and the writer; no file or child stays behind, whatever
    went through.
    """
    running = site.start()
    site.wait_for(site.submit())
    site.reload()
    site.settled()
    threads = Path(f"/proc/{running.pid}/task")
    files = Path(f"/proc/{running.pid}/fd")
    eventually(lambda: len(list(threads.iterdir())) == 2, what="more threads than two")
    before = len(list(files.iterdir())), len(descendants(running.pid))
    for _ in range(3):
        site.wait_for(*[site.submit(push(f"r/{n}")) for n in range(10)])
        site.reload()
    site.wait_for(site.submit())
    site.settled()
    eventually(
        lambda: (
            len(list(files.iterdir())) <= before[0] + 1
            and len(descendants(running.pid)) <= before[1] + 1
        ),
        what="files or children were left",
    )


def test_sighup_reloads(site: Site) -> None:
    running = site.start()
    site.write("rec", recorder(mark="2"))
    running.signal(signal.SIGHUP)
    eventually(lambda: site.stats()["generation"] == 2)
    site.wait_for(site.submit())
    assert site.rows()[-1]["mark"] == "2"


def test_commands_without_a_daemon_exit_69(site: Site, oberonc: Command) -> None:
    for words in ("stats", "reload", "queue list", "queue pause rec", "backup copy"):
        said = oberonc("--config", site.file, *words.split(), code=69)
        assert "no daemon answers" in said.err


def test_what_happened_in_each_minute_outlives_the_daemon(
    site: Site, oberonc: Command
) -> None:
    def shown(*words: str) -> Any:
        return oberonc("--config", site.file, "stats", *words, "--json").json

    running = site.start()
    for _ in range(3):
        site.submit()
    site.settled(done=3)
    running.kill()
    site.start()
    hours = shown("--hours", "2")["hours"]
    assert sum(row["accepted"] for row in hours) == 3
    assert {row["service"] for row in hours} == {""}
    assert all(0 < row["latency"] < 300 for row in hours if row["done"])
    minutes = shown("--minutes", "60", "--service", "rec")["minutes"]
    assert sum(row["done"] for row in minutes) == 3
    assert {row["service"] for row in minutes} == {"rec"}
    each = site.call("stats", minutes=60, each=True)["stats"]["minutes"]
    assert {row["service"] for row in each} == {"", "rec"}
    said = oberonc("--config", site.file, "stats", "--minutes", "60").out.splitlines()
    assert said[0].split() == [
        *("since", "accepted", "done", "retried", "dead", "latency")
    ]
    assert len(said) > 1
    for wrong in (
        "--minutes 5 --hours 5",
        "--service rec",
        "--minutes 5 --service nobody",
    ):
        oberonc("--config", site.file, "stats", *wrong.split(), code=2)


def test_commands(site: Site, oberonc: Command) -> None:
    running = site.start()
    event = site.submit()
    site.wait_for(event)
    site.settled(done=1)
    found = oberonc("--config", site.file, "stats", "--json").json
    assert {
        "generation",
        "uptime",
        "events",
        "deliveries",
        "services",
        "spool",
        "late_results",
    } <= set(found)
    assert "rec" in oberonc("--config", site.file, "stats").out
    assert (
        'oberonc_events_total{result="accepted"} 1'
        in oberonc("--config", site.file, "stats", "--prometheus").out
    )
    assert (
        oberonc(
            "--config", site.file, "queue", "list", "--state", "done", "--json"
        ).json[0]["event"]
        == event
    )
    assert "attempt 1" in oberonc("--config", site.file, "queue", "show", "1").out
    assert "ready" in oberonc("--config", site.file, "queue", "retry", "1").out
    eventually(lambda: len(site.ended()) == 2)
    oberonc("--config", site.file, "queue", "pause", "rec")
    waiting = site.submit()
    [row] = oberonc(
        "--config", site.file, "queue", "list", "--state", "ready", "--json"
    ).json
    assert row["event"] == waiting
    assert row["paused"]
    oberonc("--config", site.file, "queue", "drop", str(row["id"]))
    oberonc("--config", site.file, "queue", "resume", "rec")
    oberonc("--config", site.file, "queue", "show", "99", code=65)
    assert "generation 2" in oberonc("--config", site.file, "reload").out
    oberonc("--config", site.file, "backup", site.folder / "copy")
    assert (site.folder / "copy").stat().st_mode & 0o777 == 0o600
    assert running.stop() == 0


def test_a_service_that_is_gone_is_listed_and_can_still_be_resumed(
    site: Site, oberonc: Command
) -> None:
    site.configure(site.services("rec", "old"))
    site.write("old", recorder())
    site.start()
    oberonc("--config", site.file, "queue", "pause", "old")
    site.configure()
    site.reload()
    assert "paused, not configured" in oberonc("--config", site.file, "brokers").out
    oberonc("--config", site.file, "queue", "resume", "old")
    assert site.stats()["services"]["old"]["paused"] is False
    assert "not configured" in oberonc("--config", site.file, "stats").out


def test_pause_and_resume_of_a_name_nobody_has_are_refused(
    site: Site, oberonc: Command
) -> None:
    """And leave nothing behind that lists it from then on."""
    site.start()
    for word in ("pause", "resume"):
        said = oberonc("--config", site.file, "queue", word, "recc", code=65)
        assert "no service called 'recc'; did you mean 'rec'?" in said.err
    assert list(site.stats()["services"]) == ["rec"]
    oberonc("--config", site.file, "brokers")


def test_a_stopped_daemon_leaves_its_socket_to_nobody(site: Site) -> None:
    """A stale socket is replaced; what is no socket is not touched."""
    first = site.start()
    first.kill()
    assert site.socket.exists()
    site.start().stop()
    site.socket.write_text("mine")
    second = site.start(wait=False)
    assert second.wait_end() == 78
    assert "is no socket" in second.log
    assert site.socket.read_text() == "mine"
    site.socket.unlink()


def test_a_state_folder_of_strangers_is_refused(site: Site) -> None:
    """S15."""
    site.state.mkdir()
    site.state.chmod(0o777)
    running = site.start(wait=False)
    assert running.wait_end() == 78
    assert f"everybody may write the state folder {site.state}" in running.log


@pytest.mark.skipif(
    os.geteuid() != 0, reason="gives a folder to another account, which needs root"
)
def test_a_state_folder_of_another_account_is_left_to_it(site: Site) -> None:
    """Its line must not have root take the folder from the daemon whose it is."""
    site.state.mkdir()
    os.chown(site.state, pwd.getpwnam("nobody").pw_uid, -1)
    running = site.start(wait=False)
    assert running.wait_end() == 78
    assert (
        "belongs to nobody: run the daemon as nobody, or give root a `state` of its own"
        in running.log
    )
    assert "chown" not in running.log


def test_bad_configuration_exits_78(site: Site) -> None:
    site.file.write_text("nonsense = 1\n")
    running = site.start(wait=False)
    assert running.wait_end() == 78
    assert "nonsense" in running.log


def test_private_files(site: Site) -> None:
    """S16: what is kept is for the daemon's user alone, whatever the umask was."""
    os.umask(0)
    site.start()
    site.wait_for(site.submit())
    open_to_others = [
        path
        for path in site.state.rglob("*")
        if path.lstat().st_mode & 0o077 and not path.is_dir()
    ]
    assert open_to_others == []
    assert site.state.stat().st_mode & 0o077 == 0
