"""What the documents tell an operator to type, typed: word for word, in their order, on
a fresh machine.
"""

from pathlib import Path

import pytest

from tests.support.blocks import blocks, commands
from tests.support.eventually import eventually
from tests.system.machine import Machine
from tests.system.server import LEDGER, PUSHERS, RECORDER, SERVICE, Server
from tests.system.wheels import LATER


def test_a_server_is_set_up_by_the_documents_steps(
    memory: Path, fresh: Machine
) -> None:
    """From an empty machine to a push that was handled, by nothing but docs/daemon.md."""
    with Machine(memory / "documented", (fresh,)) as machine:
        made = Server(machine)
        made.listen()
        made.repository("app")
        made.follow("On a server, step by step")
        for host in ("ann", "git-bob"):
            said = made.push(host, "app", host)
            assert said.line.startswith("queued 1 commit ("), said.text
        assert made.facts()["ActiveState"] == "active"
        assert (
            made.sh("ls -A /etc/oberonc; stat -c '%U %a' /etc/oberonc/brokers").out
            == "brokers\nconfig.toml\nroot 755\n"
        )


def test_an_upgrade_by_the_documents_steps(server: Server) -> None:
    server.machine.write(
        "/etc/pip.conf",
        "[global]\nno-index = true\nfind-links = /srv/wheels /srv/wheels/later\n",
    )
    server.follow("Upgrading")
    assert server.sh("oberonc --version").out == f"oberonc {LATER}\n"
    assert LATER in server.sh("oberonc stats --json").out
    server.row(server.push("ann", "app", "ann"))


def test_a_server_without_systemd_by_the_documents_steps(
    memory: Path, fresh: Machine
) -> None:
    with Machine(memory / "plain", (fresh,)) as machine:
        made = Server(machine)
        made.listen()
        made.repository("app")
        made.sh(commands("daemon.md", "On a server, step by step")[0])
        made.follow("Without systemd")
        made.sh(
            "oberonc init --system && usermod -aG oberonc-submit ann && oberonc hook install /srv/git/app.git"
        )
        [line] = [
            block.text
            for block in blocks("daemon.md", "Without systemd")
            if block.kind == "text"
        ]
        made.sh(f"{line.strip()} > /var/log/oberonc.log 2>&1 &")
        eventually(
            lambda: "ready" in made.sh("cat /var/log/oberonc.log").out,
            60,
            "the daemon is not ready",
        )
        try:
            said = made.push("ann", "app", "ann")
            assert said.line.startswith("queued 1 commit ("), said.text
            assert (
                "FAIL"
                not in made.run(
                    "su", "-s", "/bin/sh", "-l", "ann", "-c", "oberonc doctor"
                ).out
            )
            assert made.sh("oberonc doctor").out.count("FAIL") == 0
        finally:
            made.sh(
                "pid=$(cat /var/lib/oberonc/daemon.lock); kill $pid; tail --pid=$pid -f /dev/null"
            )


def test_people_who_share_one_folder_without_a_daemon_by_the_documents_steps(
    memory: Path, fresh: Machine
) -> None:
    with Machine(memory / "shared", (fresh,)) as machine:
        made = Server(machine)
        made.listen()
        made.repository("app")
        made.sh(commands("daemon.md", "On a server, step by step")[0])
        made.sh("usermod -aG git ann && usermod -aG git bob")
        made.follow("Several users push", "hooks.md")
        [setting] = [
            block.text
            for block in blocks("hooks.md", "Several users push")
            if block.kind == "toml"
        ]
        machine.write("/etc/oberonc/config.toml", setting + SERVICE)
        machine.write("/etc/oberonc/brokers/recorder.py", RECORDER)
        made.sh(
            f"install -m 0666 /dev/null {LEDGER}; oberonc hook install /srv/git/app.git"
        )
        for host in (*PUSHERS, "git-ann", *PUSHERS):
            said = made.push(host, "app", host)
            assert said.line.startswith("recorder: recorded ("), said.text
            made.row(said)


@pytest.mark.parametrize("section", ["Many repositories", "GitLab"])
def test_hooks_for_many_by_the_documents_steps(server: Server, section: str) -> None:
    server.follow(section, "hooks.md")
    server.row(server.push("ann", "app", "ann"))


@pytest.mark.parametrize("page", ["daemon.md", "hooks.md"])
def test_every_command_for_an_operator_is_typed_here(page: str) -> None:
    """A block that shows a dialogue or a file is no `sh` block; every other one is in a
    section that a test follows.
    """
    assert {block.section for block in blocks(page) if block.kind == "sh"} <= FOLLOWED[
        page
    ]


FOLLOWED = {
    "daemon.md": {"On a server, step by step", "Upgrading", "Without systemd"},
    "hooks.md": {
        "Many repositories",
        "GitLab",
        "Several users push",
        "gitolite: all repositories",
        "gitolite: chosen repositories",
    },
}
