"""Somebody with a new account and the README: from the installation to closed issues, a
broker of their own, and back to nothing. What is typed stands in the pages.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.admin import PATIENT
from tests.support.blocks import blocks, commands
from tests.support.children import end
from tests.support.transcript import steps
from tests.system.machine import PATH, Machine
from tests.system.wheels import TOP

README = "../README.md"
#: GitHub with one issue; says where it listens.
GITHUB = """
import signal
from tests.support.trackers.forges import GitHubContract
server = GitHubContract()
server.new()
print(f"http://127.0.0.1:{server.port}", flush=True)
signal.pause()
"""
#: What somebody who works with git and GitHub has. A clone of a repository of theirs,
#: and `gh`, which knows a token.
BEFORE = """
git config --global user.name New; git config --global user.email new@example.org
git init -q --bare ~/hello.git
git config --global url.$HOME/hello.git.insteadOf git@github.com:octo/hello.git
git clone -q git@github.com:octo/hello.git 2>/dev/null
git -C hello commit -q --allow-empty -m first
git -C hello push -q
mkdir -p ~/.local/bin
printf '#!/bin/sh\\necho token-1\\n' >~/.local/bin/gh
chmod 755 ~/.local/bin/gh
"""

Shell = Callable[[str, str], str]


@pytest.fixture
def machine(memory: Path, fresh: Machine) -> Iterator[Machine]:
    """A machine with pipx, and an account that was just made."""
    with Machine(memory / "newcomer", (fresh,)) as machine:
        machine.sh(
            "python3 -m venv /opt/pipx; /opt/pipx/bin/pip install --quiet pipx;"
            " ln -s /opt/pipx/bin/pipx /usr/local/bin/pipx;"
            " useradd --create-home --shell /bin/bash newcomer"
        )
        # This machine may be busy, and it is not a hook's budget that is tried.
        machine.write("/etc/patient.toml", PATIENT)
        yield machine


@pytest.fixture
def shell(machine: Machine) -> Shell:
    """Type a line in a folder below the newcomer's home; gives what is printed. Files
    are for their owner alone, as many administrators have it.
    """

    def run(line: str, folder: str) -> str:
        return machine.sh(
            f"umask 077; cd ~/{folder}; {line} 2>&1",
            user="newcomer",
            env={
                "PATH": f"/home/newcomer/.local/bin:{PATH}",
                "OBERONC_CONFIG": "/etc/patient.toml",
            },
        ).out

    return run


@pytest.fixture
def github(machine: Machine) -> Iterator[str]:
    """Where GitHub is: of the machine it has the network alone."""
    enter = ["nsenter", f"--net=/proc/{machine.pid}/ns/net", "--"]
    words = [*enter, sys.executable, "-c", GITHUB]
    process = subprocess.Popen(words, cwd=TOP, stdout=subprocess.PIPE)
    assert process.stdout
    yield process.stdout.readline().decode().strip()
    end(process)


def _follow(section: str, shell: Shell, instead: dict[str, str]) -> None:
    """Shell what the README's *section* shows; *instead* has lines for some of them."""
    folder = "."
    [text] = [b.text for b in blocks(README, section) if b.kind == "console"]
    for step in steps(text):
        if step.line.startswith("cd "):
            folder = step.line.removeprefix("cd ")
        else:
            step.check(shell(instead.get(step.line, step.line), folder))


def _plugin(folder: Path) -> Path:
    """The wheel of the broker of docs/plugins.md, in *folder*."""
    page = TOP.joinpath("docs", "plugins.md").read_text()
    for name in ("deploy.py", "pyproject.toml"):
        [text] = re.findall(rf"`{name}`:\n\n```\w+\n(.*?)^```$", page, re.M | re.S)
        (folder / name).write_text(text)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=folder, check=True)
    [made] = folder.glob("dist/*.whl")
    return made


def test_from_the_installation_to_closed_issues_a_broker_and_out_again(
    machine: Machine, github: str, shell: Shell, tmp_path: Path
) -> None:
    shell(f"({BEFORE})", ".")
    [install, _] = commands(README, "Installation")[0].splitlines()
    shell(install, ".")
    _follow("For a developer", shell, {})

    line = "oberonc init --tracker github"
    _follow("A tracker of your own", shell, {line: f"{line} --url {github}"})

    wheel = _plugin(tmp_path)
    machine.sh("mkdir dist", user="newcomer", cwd="/home/newcomer")
    shutil.copy(wheel, machine.path("/home/newcomer/dist"))
    page = TOP.joinpath("docs", "plugins.md").read_text()
    [inject] = re.findall(r"`(pipx inject oberonc dist/[^`]*)`", page)
    shell(inject, ".")
    said = shell("oberonc brokers show deploy", ".")
    assert said.startswith("deploy (entry point of oberonc-deploy), time limit 60 s")

    [undo] = [text for text in commands(README, "Undo") if "uninstall" in text]
    for line in undo.splitlines():
        shell(line, ".")
    left = "find ~ -name '*oberonc*' ! -path '*/.cache/*' ! -path '*/pipx/*'"
    assert shell(left, ".").split() == ["/home/newcomer/dist/" + wheel.name]
