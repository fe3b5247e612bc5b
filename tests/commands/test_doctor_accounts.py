"""`oberonc doctor` on a server: the daemon, those who push and strangers are accounts
of their own.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import oberonc
from oberonc import config
from oberonc.delivery import handover, spool
from oberonc.errors import OberoncError
from tests.brokers_for_tests import source
from tests.support.accounts import (
    DAEMON,
    PUSHER,
    PUSHERS,
    STRANGER,
    STRANGERS,
    Elsewhere,
    needs_root,
)
from tests.support.admin import sample
from tests.support.eventually import eventually
from tests.support.repo import Repo

pytestmark = needs_root


class Server:
    """A configuration, the daemon's folders as they are shipped, and the command for
    every account.
    """

    def __init__(self, folder: Path, oberonc: Elsewhere) -> None:
        self.folder, self.oberonc = folder, oberonc
        self.file, self.state, self.spool = (
            folder / "config.toml",
            folder / "state",
            folder / "spool",
        )
        folder.chmod(0o755)
        self.configure('[services.issues]\nbroker = "issues"\n')
        (folder / "run").mkdir()
        os.chown(folder / "run", DAEMON, PUSHERS)
        for name, mode, group in (
            ("state", 0o700, DAEMON),
            ("spool", 0o710, PUSHERS),
            ("spool/tmp", 0o3733, DAEMON),
            ("spool/new", 0o3733, DAEMON),
            ("spool/bad", 0o700, DAEMON),
            ("spool/dead", 0o700, DAEMON),
            ("spool/lock", 0o700, DAEMON),
        ):
            (folder / name).mkdir()
            os.chown(folder / name, DAEMON, group)
            (folder / name).chmod(mode)

    def configure(self, services: str) -> None:
        """Write the machine's configuration."""
        head = f'delivery = "daemon"\nstate = "{self.state}"\nspool = "{self.spool}"\n'
        head += f'[daemon]\nsocket = "{self.folder}/run/submit.sock"\n'
        self.file.write_text(
            f'{head}[brokers]\ndirectories = ["{self.folder}/brokers"]\n{services}'
        )
        (self.folder / "brokers").mkdir(exist_ok=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A daemon, whose sockets are for the group of those who push."""
        groups = [PUSHERS, DAEMON]
        argv = [*self.oberonc.argv, "--config", str(self.file), "daemon"]
        with (self.folder / "log").open("wb") as log:
            started = subprocess.Popen(
                argv,
                stdout=log,
                stderr=log,
                cwd="/",
                user=DAEMON,
                group=PUSHERS,
                extra_groups=groups,
            )
        try:
            eventually(lambda: self._answers() or started.poll() is not None, 60)
            assert started.poll() is None, (self.folder / "log").read_text()
            yield
        finally:
            started.terminate()
            started.wait(60)

    def _answers(self) -> bool:
        with suppress(OberoncError):
            return bool(handover.call(config.load(str(self.file)), "ping")["ok"])
        return False

    def findings(self, who: int, cwd: Path | None = None) -> list[dict[str, Any]]:
        """What doctor finds for *who*."""
        command = self.oberonc.by(who)
        done = subprocess.run(
            [*command.argv, "--config", str(self.file), "doctor", "--json"],
            cwd=cwd or "/",
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HOME": "/none"},
            **command.account,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        assert done.returncode == (1 if any(row["ok"] is False for row in found) else 0)
        return found

    def wrong(self, who: int, cwd: Path | None = None) -> dict[str, str]:
        """What it says is wrong, and the mend."""
        return {
            row["what"]: row["mend"]
            for row in self.findings(who, cwd)
            if row["ok"] is False
        }

    def unknown(self, who: int) -> str:
        """What it says only others know."""
        return "\n".join(row["what"] for row in self.findings(who) if row["ok"] is None)


@pytest.fixture
def server(short_dir: Path, open_oberonc: Elsewhere) -> Server:
    """A server whose daemon does not run yet."""
    return Server(short_dir, open_oberonc)


def test_who_is_set_up_rightly_finds_nothing_wrong(
    server: Server, tmp_path: Path
) -> None:
    repo = Repo.init(server.folder / "shop.git", bare=True)
    server.oberonc("--config", server.file, "hook", "install", repo.path)
    with server.running():
        for who in (PUSHER, DAEMON, 0):
            assert server.wrong(who) == {}, who
        # Of a repository that is another account's git itself says so.
        assert server.wrong(PUSHER, repo.path) == {}
        assert "only daemon can tell" in server.unknown(PUSHER)
        assert "the daemon has to do" in server.unknown(PUSHER)
        assert server.unknown(0) == server.unknown(DAEMON) == ""


def test_no_mend_would_take_a_folder_from_the_daemon(server: Server) -> None:
    server.spool.chmod(0o700)
    for who in (PUSHER, STRANGER, 0):
        assert not [
            mend
            for mend in server.wrong(who).values()
            if "chown $USER" in mend or "chown games" in mend
        ]


def test_who_is_not_in_the_group_is_told_which(server: Server) -> None:
    with server.running():
        wrong = server.wrong(STRANGER)
    assert [mend for what, mend in wrong.items() if "you may not use" in what] == [
        "as the administrator: usermod -aG games nobody; then log in again"
    ]
    [mend] = [mend for what, mend in wrong.items() if "spool folder" in what]
    assert mend == "as the administrator: usermod -aG games nobody; then log in again"


def test_who_administers_and_does_not_push_lacks_nothing(server: Server) -> None:
    with server.running():
        for name in ("control.sock", "submit.sock"):
            os.chown(server.folder / "run" / name, DAEMON, DAEMON)
            (server.folder / "run" / name).chmod(0o660)
        os.chown(server.folder / "run" / "control.sock", DAEMON, STRANGERS)
        assert server.wrong(STRANGER) == {}
        assert "spool folder" in server.unknown(STRANGER)


def test_a_daemon_of_another_version_is_told_to_who_pushes_too(server: Server) -> None:
    with server.running():
        [said] = [
            row["what"]
            for row in server.findings(PUSHER)
            if "have one version" in row["what"]
        ]
    assert said == f"daemon and command have one version, {oberonc.__version__}"


def test_what_root_left_in_the_state_of_the_daemon_is_found_by_root_and_the_mend_works(
    server: Server,
) -> None:
    (server.state / "tracker.sqlite").touch(0o600)
    [mend] = (
        server.wrong(0)[
            f"everything in state folder {server.state} belongs to daemon, which runs the daemon"
        ],
    )
    assert "the embedded tracker" not in str(server.wrong(PUSHER))
    subprocess.run(mend.removeprefix("as the administrator: "), shell=True, check=True)
    assert not [what for what in server.wrong(0) if "state folder" in what]


def test_root_has_brokers_checked_by_the_account_that_runs_them(server: Server) -> None:
    (server.folder / "brokers" / "who.py").write_text(source("who"))
    server.configure('[services.who]\nbroker = "who"\n')
    assert f"service who: I am {DAEMON}" in [row["what"] for row in server.findings(0)]
    said = server.oberonc("--config", server.file, "brokers", "test", "who").out
    assert f"I am {DAEMON}" in said
    refused = server.oberonc.by(PUSHER)(
        "--config", server.file, "brokers", "test", "who", code=77
    ).err
    assert "sudo -u daemon oberonc" in refused


def test_a_push_in_the_spool_that_the_daemon_cannot_read_is_found(
    server: Server,
) -> None:
    file = spool.put(server.spool, {"payload": sample(), "services": None})
    file.chmod(0o600)
    os.chown(file, PUSHER, PUSHERS)
    assert f"1 push in {server.spool}/new cannot be read by daemon" in server.wrong(0)
    assert f"what waits in {server.spool} only daemon can tell" in server.unknown(
        PUSHER
    )


FAILING = (
    "from oberonc import BaseBroker, Reject, Retry\nclass "
    "B(BaseBroker):\n    def handle(self, payload):\n        {}\n"
)


def test_what_fails_waits_for_nobody_or_is_given_up_is_found(server: Server) -> None:
    for name, line in (
        ("dies", "raise Reject('no')"),
        ("fails", "raise Retry('not now', after=0.01)"),
    ):
        (server.folder / "brokers").mkdir(exist_ok=True)
        (server.folder / "brokers" / f"{name}.py").write_text(FAILING.format(line))
    server.configure(
        "".join(
            f'[services.{name}]\nbroker = "{name}"\n'
            for name in ("dies", "fails", "gone", "held")
        )
        .replace('broker = "gone"', 'broker = "fails"')
        .replace('broker = "held"', 'broker = "dies"')
    )
    settings = config.load(str(server.file))
    with server.running():
        handover.call(settings, "lane.pause", service="gone")
        handover.call(settings, "lane.pause", service="held")
        handover.submit(settings, sample(), 20)
        eventually(
            lambda: (
                handover.call(settings, "stats")["stats"]["services"]["fails"][
                    "failures"
                ]
                >= 3
            ),
            60,
            "",
        )
        server.file.write_text(
            server.file.read_text().replace('[services.gone]\nbroker = "fails"\n', "")
        )
        handover.call(settings, "reload")
        wrong = server.wrong(0)
        server.configure('[services.dies]\nbroker = "dies"\n')
        handover.call(settings, "reload")
        assert "service fails failed" not in str(server.wrong(0)), (
            "nobody needs it any more"
        )
    text = "\n".join(wrong)
    assert "service dies has 1 dead letter" in wrong
    assert "oberonc queue retry or drop" in wrong["service dies has 1 dead letter"]
    assert "service fails failed the last" in text
    assert "nobody serves gone: 1 delivery waits" in wrong
    assert "service held is paused" in wrong


def test_who_may_start_the_daemon_is_told_how_and_others_whom_to_ask(
    server: Server,
) -> None:
    """Run by anybody else, root too, `oberonc daemon` would be refused the state
    folder.
    """
    mends = {
        who: next(
            mend
            for what, mend in server.wrong(who).items()
            if "no daemon answers" in what
        )
        for who in (DAEMON, 0, PUSHER)
    }
    assert "oberonc daemon" in mends[DAEMON]
    assert mends[0].startswith("systemctl start oberonc")
    assert mends[PUSHER].startswith("as the administrator: systemctl start oberonc")
    assert "oberonc daemon" not in mends[0] + mends[PUSHER]


@pytest.mark.parametrize(
    "wrong",
    [
        "chmod 0755 new",
        "chmod 0700 .",
        "chown 0:0 . new tmp; chmod 0700 .",
        "rm -r tmp",
        "rm -r ../spool",
    ],
)
def test_a_spool_that_takes_no_pushes_is_seen_by_everybody_and_mended_by_no_group(
    server: Server, wrong: str
) -> None:
    """Root may write everywhere and would see nothing; nobody who pushes is to join
    root's group.
    """
    subprocess.run(wrong, shell=True, cwd=server.spool, check=True)
    for who in (0, PUSHER):
        [mend] = [
            mend
            for what, mend in server.wrong(who).items()
            if what.startswith(f"spool folder {server.spool}")
        ]
        assert mend.startswith(
            "as the administrator: give it the owner and modes it was set up with"
        ), who
