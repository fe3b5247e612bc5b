"""The stand-in for systemd does what systemd does, and refuses what it does not know."""

import pytest

from tests.support.eventually import eventually
from tests.system.server import Server

DROP_IN = "/etc/systemd/system/oberonc.service.d/own.conf"


def test_a_directive_it_does_not_know_is_refused(server: Server) -> None:
    server.machine.write(DROP_IN, "[Service]\nMagic=yes\n")
    assert "Magic" in server.run("systemctl", "daemon-reload", code=5).err
    server.machine.write(DROP_IN, "[Service]\nExecStart=%h/bin/x\n")
    assert "specifiers" in server.run("systemctl", "daemon-reload", code=5).err


def test_the_service_runs_as_its_unit_says(server: Server) -> None:
    pid = server.facts()["MainPID"]
    status = server.run("cat", f"/proc/{pid}/status").out
    uid, admin = server.sh(
        "id -u oberonc; getent group oberonc-admin | cut -d: -f3"
    ).out.split()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == [uid] * 4
    assert admin in facts["Groups"].split()
    assert (facts["NoNewPrivs"], facts["CapBnd"], facts["Umask"]) == (
        "1",
        "0" * 16,
        "0077",
    )
    assert "hidepid=invisible" in server.run("cat", f"/proc/{pid}/mounts").out
    assert server.sh("stat -c '%a %U' /var/lib/oberonc").out == "700 oberonc\n"
    inside = [
        "nsenter",
        f"--target={pid}",
        "--mount",
        "setpriv",
        f"--reuid={uid}",
        "--clear-groups",
        "--",
        "sh",
        "-c",
    ]
    for line in ("touch /etc/x", "touch /run/oberonc/x", "ls /home/ann", "ls /root"):
        assert server.run(*inside, line, code=None).code != 0, line
    server.run(*inside, "touch /var/lib/oberonc/x && touch /tmp/x")
    assert not server.machine.path("/tmp/x").exists()


def test_a_configuration_that_cannot_be_used_is_not_tried_again_and_again(
    server: Server,
) -> None:
    server.sh(
        "systemctl stop oberonc; sed -i '1i wrong = 1' /etc/oberonc/config.toml; systemctl start oberonc",
        None,
    )
    facts = server.facts()
    assert (facts["ActiveState"], facts["NRestarts"]) == ("failed", "0"), (
        server.machine.journal()
    )
    server.sh("sed -i '/wrong = 1/d' /etc/oberonc/config.toml")
    server.up()
    assert server.facts()["ActiveState"] == "active"


def test_what_dies_too_often_is_given_up(server: Server) -> None:
    server.machine.write(
        DROP_IN, "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=100ms\n"
    )
    server.sh("systemctl daemon-reload && systemctl restart oberonc", None)
    eventually(lambda: server.facts()["Result"] == "start-limit-hit")
    assert server.facts()["ActiveState"] == "failed"
    said = server.push("ann", "app", "ann")
    assert said.line.startswith("spooled"), said.text
    server.sh(
        f"rm {DROP_IN} && systemctl daemon-reload && systemctl reset-failed oberonc"
    )
    server.up()
    server.row(said)


@pytest.mark.parametrize("line", ["true", "false"])
def test_a_reload_tells_whether_it_worked(server: Server, line: str) -> None:
    server.machine.write(DROP_IN, f"[Service]\nExecReload=\nExecReload=/bin/{line}\n")
    server.run("systemctl", "daemon-reload")
    server.run("systemctl", "reload", "oberonc", code=int(line == "false"))
    assert server.facts()["ActiveState"] == "active"
