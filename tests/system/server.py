"""A git server as an administrator sets it up: accounts, sshd, repositories, oberonc
from its wheel, shipped units.
"""

import re
import shutil
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import recorded
from tests.support.blocks import commands
from tests.support.eventually import eventually
from tests.system.machine import Machine

PUSHERS = ("ann", "bob")
#: Everybody with an account: who pushes, who administers, who is nobody in particular,
#: whose desks they all sit at.
ACCOUNTS = (*PUSHERS, "carol", "admin", "eve", "git", "desk")
LEDGER = "/var/lib/oberonc/ledger.jsonl"
RECORDER = '''
import json
from oberonc import BaseBroker

class Recorder(BaseBroker):
    """Records every push it is given."""

    class Settings:
        ledger: str

    def handle(self, payload):
        row = {key: payload[key] for key in ("id", "user", "updates", "delivery_id")}
        row |= {"repo": payload["repository"]["full_name"], "submitter": payload.get("submitter")}
        row["messages"] = [commit["message"] for commit in payload["commits"]]
        with open(self.settings.ledger, "ab", buffering=0) as ledger:
            ledger.write(b"\\n%s\\n" % json.dumps(row).encode())
        return "recorded"
'''
SERVICE = f'\n[services.recorder]\nbroker = "recorder"\nledger = "{LEDGER}"\n'
SSHD = """
Port 22
ListenAddress 127.0.0.1
HostKey /etc/ssh/test_host_key
UsePAM no
StrictModes yes
PasswordAuthentication no
PermitUserEnvironment OBERONC_*
MaxStartups 100
PidFile none
"""


_NUMBERS = count()


class Said(NamedTuple):
    """A push as its pusher saw it: what git reached, and oberonc's line about it."""

    accepted: bool
    line: str
    text: str
    new: str

    @property
    def short(self) -> str:
        """The first digits of the event's id, as the line names it."""
        found = re.search(r"\(([0-9a-f]{8})\)", self.line)
        assert found, f"the line names no event: {self.text}"
        return found[1]


class Server:
    """What tests do on the machine *machine*."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.run, self.sh = machine.run, machine.sh

    # -- setting up
    # ----------------------------------------------------------------------------------------------

    def make_accounts(self) -> None:
        """People, their keys, and the desk at which all of them sit."""
        for name in ACCOUNTS:
            self.sh(f"useradd --create-home --shell /bin/bash --password '*' {name}")
        self.run("groupadd", "developers")
        for name in (*PUSHERS, "carol", "git", "eve"):
            self.run("usermod", "-aG", "developers", name)
        self.sh("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/test_host_key")
        hosts = ""
        for name in ACCOUNTS:
            self.sh(
                f"mkdir -p ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/{name}",
                user="desk",
            )
            self.authorize(name, name)
            if name in PUSHERS:
                self.authorize("git", name)
            hosts += f"Host {name}\n  User {name}\n  IdentityFile ~/.ssh/{name}\n"
            hosts += f"Host git-{name}\n  User git\n  IdentityFile ~/.ssh/{name}\n"
        hosts += "Host *\n  HostName 127.0.0.1\n  LogLevel ERROR\n"
        hosts += "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
        self.machine.write("/home/desk/.ssh/config", hosts, 0o600, "desk")
        self.sh(
            "git config --global user.name Desk; git config --global user.email desk@example.org;"
            " git config --global init.defaultBranch main",
            user="desk",
        )

    def authorize(self, account: str, key: str, options: str = "") -> None:
        """Let *key* in as *account*, with *options* of authorized_keys; for `git`
        beside other keys.
        """
        folder = f"{self._home(account)}/.ssh"
        public = self.machine.path(f"/home/desk/.ssh/{key}.pub").read_text()
        file = self.machine.path(f"{folder}/authorized_keys")
        kept = file.read_text() if account == "git" and file.exists() else ""
        self.run("install", "-d", "-m", "0700", "-o", account, "-g", account, folder)
        self.machine.write(
            f"{folder}/authorized_keys",
            f"{kept}{options} {public}".lstrip(),
            0o600,
            account,
        )

    def _home(self, account: str) -> str:
        return self.sh(f"getent passwd {account} | cut -d: -f6").out.strip()

    def follow(self, section: str, page: str = "daemon.md") -> None:
        """Do what a page of docs/ says under *section*, word for word, as root."""
        for script in commands(page, section):
            self.sh(script)

    def record(self) -> None:
        """A service that records every push."""
        self.machine.write("/etc/oberonc/brokers/recorder.py", RECORDER)
        config = self.machine.path("/etc/oberonc/config.toml")
        config.write_text(config.read_text() + SERVICE)
        self.run("oberonc", "reload")

    def take_wheels(self, folder: Path) -> None:
        """What pip installs from on this machine, which has no network."""
        shutil.copytree(folder, self.machine.path("/srv/wheels"))
        self.machine.write(
            "/etc/pip.conf", "[global]\nno-index = true\nfind-links = /srv/wheels\n"
        )

    def repository(self, name: str, group: str = "developers") -> None:
        """A bare repository that the group pushes to, and everybody's clone of it."""
        where = f"/srv/git/{name}.git"
        self.sh(
            f"git init -q --bare -b main --shared=group {where}; git -C {where} config core.logAllRefUpdates always;"
            f" git config --system --replace-all safe.directory '*'; chgrp -R {group} {where}"
        )
        self.clone(name)
        self.push("ann", name, "main")

    def clone(self, name: str, *by: str) -> None:
        """Clones of the repository at the desk, one for each way in: `NAME-ann` comes
        from ann's account.
        """
        for host in by or (*PUSHERS, "carol", "eve", "git-ann", "git-bob"):
            self.sh(
                f"git clone -q {host}:/srv/git/{name}.git ~/{name}-{host}", user="desk"
            )

    # -- running
    # -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Have sshd listen."""
        self.machine.write("/etc/ssh/test_sshd_config", SSHD, 0o600)
        self.machine.sh("mkdir -p /run/sshd && chmod 755 /run/sshd")
        self.machine.spawn(
            "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/test_sshd_config"
        )
        eventually(
            lambda: self.sh("ss -Hltn 'sport = :22'").out, what="sshd does not listen"
        )

    def start(self) -> None:
        """Boot: sshd, the folders in /run, and the units that are enabled."""
        self.listen()
        self.sh("systemd-tmpfiles --create --boot")
        self.up()

    def up(self) -> None:
        """The daemon, ready."""
        self.sh("systemctl start oberonc.socket oberonc-control.socket oberonc.service")

    def down(self) -> None:
        """No daemon, and no socket that would start one."""
        self.sh("systemctl stop oberonc.socket oberonc-control.socket oberonc.service")

    def facts(self) -> dict[str, str]:
        """What systemd would say of the service."""
        return dict(
            line.split("=", 1)
            for line in self.run("systemctl", "show", "oberonc").out.splitlines()
        )

    def push(self, host: str, repo: str, branch: str, code: int | None = 0) -> Said:
        """Commit in *host*'s clone of *repo* and push *branch*."""
        script = f"""
            cd ~/{repo}-{host}
            git checkout -q {branch} 2>/dev/null || git checkout -q -b {branch}
            git commit -q --allow-empty -m "change {next(_NUMBERS)} from {host}"
            git rev-parse HEAD
            LC_ALL=C git push origin {branch} 2>&1
        """
        said = self.sh(script, code, user="desk")
        new, _, text = said.out.partition("\n")
        lines = re.findall(r"(?m)^remote: oberonc: (.*?) *$", text)
        assert len(lines) <= 1, text
        return Said(said.code == 0, lines[0] if lines else "", text, new)

    # -- what became of it
    # ---------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """What the recording broker was given, in order."""
        return recorded.rows(self.machine.path(LEDGER))

    def row(self, said: Said, within: float = 60) -> dict[str, Any]:
        """The record of the push *said* tells of, once it is there."""

        def look() -> dict[str, Any]:
            found = [
                row
                for row in self.rows()
                if row["id"].replace("-", "").startswith(said.short)
            ]
            return found[0] if found else {}

        found = eventually(
            look, within, f"never delivered: {said.text}\n{self.machine.journal()}"
        )
        assert said.new in {update["new"] for update in found["updates"]}, (
            f"the line names another push: {said.text}"
        )
        return found

    def moves(self, repo: str, ref: str) -> list[str]:
        """What *ref* was moved to, in order, as git's own log of the repository has it."""
        log = self.machine.path(f"/srv/git/{repo}.git/logs/{ref}").read_text()
        return [line.split()[1] for line in log.splitlines()]

    def told(self, repo: str, ref: str) -> list[str]:
        """What the broker was told *ref* was moved to, in order; of a push delivered
        twice the first counts.
        """
        seen: dict[str, list[str]] = {}
        for row in self.rows():
            if row["repo"] == repo and row["id"] not in seen:
                seen[row["id"]] = [
                    update["new"] for update in row["updates"] if update["ref"] == ref
                ]
        return [new for news in seen.values() for new in news]

    def all_told(self, repo: str, *refs: str, within: float = 90) -> None:
        """Until the broker was told of every move of *refs*, in their order."""
        for ref in refs:
            eventually(
                lambda ref=ref: len(self.told(repo, ref)) >= len(self.moves(repo, ref)),  # type: ignore[misc]
                within,
                f"{ref}: some were lost\n{self.machine.journal()}",
            )
            assert self.told(repo, ref) == self.moves(repo, ref), ref
