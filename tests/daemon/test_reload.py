"""P9: a reload that fails changes nothing; a good one loses, reorders and refuses
nothing and mixes no versions.
"""

import os
import signal
import threading
from pathlib import Path

import pytest

from oberonc.broker.registry import Place
from oberonc.daemon.generation import snapshot
from oberonc.errors import ConfigError, NotAccepted
from tests.support.command import Command
from tests.support.daemon_site import Site, descendants, push, recorder
from tests.support.eventually import eventually
from tests.support.store_rounds import rounds

#: Sources that must be rejected, and what the verdict must say.
BROKEN = {
    "syntax": ("def (:\n", "broken.py:1"),
    "two arguments": (
        "from oberonc import BaseBroker\nclass B(BaseBroker):\n    def handle(self, payload, more):\n        pass\n",
        "broken.py:3: B.handle must be def handle(self, payload)",
    ),
    "exit": ("import sys\nsys.exit(9)\n", "broken.py:2"),
    "hard exit": ("import os\nos._exit(3)\n", "exit status 3"),
    "crash": ("import os\nos.kill(os.getpid(), 11)\n", "signal 11"),
    "memory": ("x = bytearray(1 << 31)\n", "MemoryError"),
    "missing dependency": ("import no_such_library_here\n", "no_such_library_here"),
    "no class": ("x = 1\n", "one subclass of BaseBroker"),
    "bad limit": (
        "from oberonc import BaseBroker\nclass B(BaseBroker):\n    timeout = -1\n    def handle(self, p): ...\n",
        "timeout",
    ),
}


def test_broken_brokers_change_nothing(site: Site, oberonc: Command) -> None:
    """F19."""
    running = site.start()
    before = descendants(running.pid)
    for name, (source, why) in BROKEN.items():
        site.write("broken", source)
        report = site.reload()
        assert not report["accepted"], name
        [row] = [row for row in report["brokers"] if row["verdict"] == "broken"]
        assert row["broker"] == "broken"
        assert why in row["why"], (name, row)
        assert str(site.brokers / "broken.py") in row["why"], row
        site.wait_for(site.submit())
    said = oberonc("--config", site.file, "reload", code=1)
    assert "broken.py" in said.out
    assert "nothing changed" in said.err
    assert site.stats()["generation"] == 1
    eventually(
        lambda: set(descendants(running.pid)) <= set(before),
        what="the old generation changed",
    )


def test_a_broker_that_hangs_at_import_is_named(site: Site) -> None:
    """F19: the others answer meanwhile."""
    site.start()
    site.write("broken", "import time\ntime.sleep(600)\n")
    reports: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: reports.append(site.reload()))
    thread.start()
    for _ in range(5):
        site.wait_for(site.submit())
    thread.join(60)
    assert "took more than" in str(reports[0]["brokers"])
    assert not reports[0]["accepted"]


def test_a_broker_that_starts_threads_is_not_forked(site: Site) -> None:
    head = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    site.write("rec", recorder(head=head))
    site.start()
    [row] = [row for row in site.reload()["brokers"] if row["broker"] == "rec"]
    assert row["mode"] == "exec"
    site.wait_for(site.submit())


def test_a_broker_never_loaded_before(site: Site) -> None:
    """F23: the first push after the reload reaches it, earlier ones do not."""
    site.start()
    early = site.submit()
    site.wait_for(early)
    site.write("fresh", recorder())
    site.configure(site.services("rec", "fresh"))
    assert site.reload()["accepted"]
    late = site.submit()
    eventually(lambda: site.ended("fresh") == [late])


def test_settings_and_secrets_reload(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write("rec", recorder("self.note(str(self.settings.token), payload)"))
    secret = site.folder / "secret"
    secret.write_text("first")
    secret.chmod(0o600)
    site.configure(site.services("rec", token=f"file:{secret}"))
    site.start()
    site.wait_for(site.submit())
    secret.write_text("second")
    assert site.reload()["accepted"]
    site.wait_for(site.submit())
    assert [
        row["what"] for row in site.rows() if row["what"] not in ("begin", "end")
    ] == ["first", "second"]


def test_settings_that_do_not_fit_are_rejected(site: Site) -> None:
    site.start()
    site.configure(site.services("rec", legder="typo"))
    report = site.reload()
    assert not report["accepted"]
    assert "legder" in report["message"]
    assert str(site.file) in report["message"]
    site.wait_for(site.submit())


@pytest.mark.parametrize(
    "work",
    [
        "print(t); raise ValueError('x' * 290 + t)",
        "print(json.dumps(t), base64.b64encode(f'bot:{t}'.encode()).decode(), flush=True); os.kill(os.getpid(), 9)",
        "print('y' * 70_000 + t, flush=True); os._exit(3)",
        "raise RuntimeError(urllib.parse.quote(t))",
        "raise ValueError('no answer from ' + self.settings.url)",
    ],
)
def test_what_verify_says_and_prints_holds_no_secret(
    site: Site, oberonc: Command, work: str
) -> None:
    """Not in the report, the log or the database, in whatever form and wherever it is
    cut.
    """
    (site.folder / "token").write_text("hunter2/hunter2-hunter2")
    (site.folder / "token").chmod(0o600)
    site.write(
        "telling",
        "import base64, json, os, urllib.parse\nfrom oberonc import BaseBroker, Secret\nclass B(BaseBroker):\n"
        "    class Settings:\n        token: Secret\n        url: str\n"
        f"    def verify(self):\n        t = self.settings.token\n        {work}\n    def handle(self, payload): ...\n",
    )
    site.configure()
    running = site.start()
    table = {
        "broker": "telling",
        "token": f"file:{site.folder}/token",
        "url": "http://bot:sesame123@127.0.0.1:9",
    }
    site.configure({"told": table})
    said = oberonc("--config", site.file, "reload", code=1)
    database = b"".join(path.read_bytes() for path in site.state.glob("queue.sqlite*"))
    for text in (said.out, said.err, running.log, database.decode(errors="replace")):
        # "hunter2-hu" in base64, at each of its three places, and the password of the
        # address.
        for part in ("hunter2", "aHVudGVy", "h1bnRlcj", "odW50ZXIy", "sesame"):
            assert part not in text


def test_what_cannot_change_is_refused_by_name(site: Site) -> None:
    site.start()
    text = site.file.read_text()
    control = f'control = "{site.folder}/control.sock"'
    for key, old, new in (
        ("state", f'state = "{site.state}"', f'state = "{site.folder}/other"'),
        (
            "daemon.socket",
            f'socket = "{site.socket}"',
            f'socket = "{site.folder}/o.sock"\n{control}',
        ),
    ):
        site.file.write_text(text.replace(old, new))
        report = site.reload()
        assert not report["accepted"]
        assert f"'{key}' cannot change" in report["message"]
        site.file.write_text(text)
    site.wait_for(site.submit())


def test_check_changes_nothing(site: Site) -> None:
    site.start()
    site.write("rec", recorder(mark="2"))
    report = site.reload(check=True)
    assert report["accepted"]
    site.wait_for(site.submit())
    assert site.rows()[-1]["mark"] == "1"
    assert site.stats()["generation"] == 1
    assert len(list((site.state / "generations").iterdir())) == 1


def test_partial_keeps_the_old_code_of_what_is_broken(site: Site) -> None:
    site.write("other", recorder(mark="1"))
    site.configure(site.services("rec", "other"))
    site.start()
    site.write("rec", "broken (\n")
    site.write("other", recorder(mark="2"))
    report = site.reload(partial=True)
    assert report["accepted"]
    assert {row["broker"]: row["verdict"] for row in report["brokers"]} == {
        "rec": "kept",
        "other": "ok",
    }
    event = site.submit()
    wanted = {("rec", "1"), ("other", "2")}
    eventually(
        lambda: (
            {(r["service"], r["mark"]) for r in site.rows() if r["id"] == event}
            == wanted
        )
    )
    # What was kept is kept again by the next one, and mended by a good file.
    assert site.reload(partial=True)["accepted"]
    site.write("rec", recorder(mark="3"))
    assert site.reload()["accepted"]
    event = site.submit()
    site.settled()
    assert {
        r["mark"] for r in site.rows() if r["id"] == event and r["service"] == "rec"
    } == {"3"}


def test_start_with_a_broken_broker_runs_the_rest_as_it_ran(site: Site) -> None:
    site.write("other", recorder(mark="1"))
    site.configure(site.services("rec", "other"))
    site.start().stop()
    site.write("rec", "broken (\n")
    running = site.start()
    assert "rec.py:1" in running.log
    event = site.submit()
    eventually(
        lambda: (
            len(
                [
                    row
                    for row in site.rows()
                    if row["id"] == event and row["what"] == "end"
                ]
            )
            == 2
        )
    )


def test_a_service_without_its_broker_waits(site: Site) -> None:
    """P3: what was promised stays, and starts when the broker is there."""
    site.configure(site.services("rec", "later"))
    site.start()
    event = site.submit()
    eventually(lambda: site.ended("rec") == [event])
    stats = site.stats()
    assert stats["services"]["later"]["ready"] == 1
    assert "later" in stats["services"]["later"]["problem"]
    site.write("later", recorder())
    assert site.reload()["accepted"]
    eventually(lambda: site.ended("later") == [event])


def test_versions_never_mix_in_one_process(site: Site) -> None:
    """F20: an old worker that imports a helper late gets the helper it was loaded with."""
    gate = site.folder / "gate"
    work = f"""
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)
        from . import _helper
        self.note(MARK + _helper.MARK, payload)"""
    (site.brokers / "_helper.py").write_text('MARK = "old"\n')
    site.write("rec", recorder(work, mark="old-"))
    site.start()
    first = site.submit()
    eventually(site.begun)
    (site.brokers / "_helper.py").write_text('MARK = "new"\n')
    site.write("rec", recorder(work, mark="new-"))
    assert site.reload()["accepted"]
    second = site.submit()
    gate.touch()
    site.wait_for(first, second)
    said = [row["what"] for row in site.rows() if row["what"] not in ("begin", "end")]
    assert said == ["old-old", "new-new"]


def test_a_second_reload_during_a_drain_is_told_so(site: Site) -> None:
    gate = site.folder / "gate"
    site.write(
        "rec", recorder(f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    )
    site.start()
    event = site.submit()
    eventually(site.begun)
    assert site.reload()["accepted"]
    with pytest.raises(NotAccepted, match="generation 1 is draining, 1 in flight"):
        site.reload()
    gate.touch()
    site.wait_for(event)
    eventually(lambda: site.stats()["draining"] is None)
    assert site.reload()["accepted"]


def test_reload_under_load(site: Site) -> None:
    """F18: none refused, none lost, none out of order, each done by one version."""
    site.start()
    stop = threading.Event()
    sent: list[list[str]] = [[] for _ in range(4)]

    def work(n: int) -> None:
        while not stop.is_set():
            sent[n].append(site.submit(push(f"load/{n}")))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for n in range(rounds(5)):
        site.write("rec", recorder(mark=str(n)))
        assert site.reload()["accepted"]
    stop.set()
    for thread in threads:
        thread.join()
    site.settled(within=120, done=sum(map(len, sent)))
    begun: dict[str, list[str]] = {}
    marks: dict[str, set[str]] = {}
    for row in site.rows():
        marks.setdefault(row["id"], set()).add(row["mark"])
        if row["what"] == "begin":
            begun.setdefault(row["repo"], []).append(row["id"])
    assert [begun[f"load/{n}"] for n in range(4)] == sent
    assert all(len(mark) == 1 for mark in marks.values())


@pytest.mark.parametrize(
    "point", ["snapshot", "probe", "warm", "commit", "committed", "swapped"]
)
def test_killed_at_every_step_of_a_reload(site: Site, point: str) -> None:
    """F21: exactly one generation is active afterwards, and it serves."""
    site.start().stop()
    running = site.start(wait=False, OBERONC_CRASH_AT=point)
    assert running.wait_end() == -signal.SIGKILL
    site.start()
    active = [
        row
        for row in site.call("generation")["generations"]
        if row["state"] == "active"
    ]
    assert [row["number"] for row in active] == [site.stats()["generation"]]
    site.wait_for(site.submit())
    kept = {
        path.name.partition("-")[0] for path in (site.state / "generations").iterdir()
    }
    assert str(active[0]["number"]) in kept


def test_links_that_leave_the_folder_are_refused(site: Site) -> None:
    """S17."""
    site.start()
    (site.brokers / "_data").symlink_to("/etc/passwd")
    report = site.reload()
    assert not report["accepted"]
    assert "leaves its folder" in report["message"]
    (site.brokers / "_data").unlink()
    (site.brokers / "rec.py").chmod(0o666)
    assert "rec.py is refused" in site.reload()["message"]
    assert Path(site.brokers / "rec.py").exists()


def test_what_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    """A disk's image named by mistake, of which most is a hole."""
    site.start()
    image = site.brokers / "_image"
    image.touch()
    os.truncate(image, 1 << 40)
    report = site.reload()
    assert not report["accepted"]
    assert "more than a folder of brokers should" in report["message"]


def test_folders_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST_ENTRIES", 20)
    brokers = tmp_path / "brokers"
    for number in range(30):
        (brokers / f"_{number}").mkdir(parents=True)
    (brokers / "rec.py").write_text(recorder())
    with pytest.raises(ConfigError, match="more than a folder of brokers should"):
        snapshot.take(
            {"rec": Place("rec", str(brokers / "rec.py"), None, str(brokers))},
            tmp_path / "copy",
        )


def test_whoever_owns_a_state_folder_can_remove_it(site: Site) -> None:
    (site.brokers / "parts").mkdir()
    (site.brokers / "parts" / "more.py").write_text("")
    site.start().stop()
    folders = [Path(folder) for folder, _, _ in os.walk(site.state)]
    assert site.state / "generations" in folders
    closed = [folder for folder in folders if folder.stat().st_mode & 0o300 != 0o300]
    assert not closed, "`rm -rf` fails there for everybody but root"


def test_what_waits_follows_the_rules_of_the_reload(site: Site) -> None:
    site.start()
    site.call("lane.pause", service="rec")
    first, *others = [site.submit(push("a")) for _ in range(3)]
    rec = {"broker": "rec", "ledger": str(site.ledger), "digest": "1s"}
    site.configure({"rec": rec})
    assert site.reload()["accepted"]
    site.call("lane.resume", service="rec")
    site.settled(done=3)
    assert site.ended() == [first], "all of them are one delivery"
    rows = site.call("delivery.list", state="done")["deliveries"]
    assert [row["joined"] for row in rows] == [None, rows[0]["id"], rows[0]["id"]]
    assert {row["event"] for row in rows} == {first, *others}
