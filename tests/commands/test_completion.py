"""Completion in real shells, at a real terminal: names and ids are offered, and nothing
else is ever written.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oberonc.complete import KINDS, offers
from tests.support.admin import Admin
from tests.support.command import Command
from tests.support.daemon_site import Site, push
from tests.support.eventually import eventually

#: How each shell is started without anybody's settings, and what it is told first.
SHELLS = {
    "bash": (
        ["bash", "--noprofile", "--norc", "-i"],
        'eval "$(_OBERONC_COMPLETE=bash_source oberonc)"',
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -u -D; eval "$(_OBERONC_COMPLETE=zsh_source oberonc)"',
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        "_OBERONC_COMPLETE=fish_source oberonc | source",
    ),
}


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self.seen = ""
        self._terminal, self._theirs = os.openpty()
        # Who leads a session gets the first terminal that it opens. Not `pty.fork`:
        # Python warns of it where a test before left a thread.
        opening = ["sh", "-c", 'exec "$@" <>"$0" >&0 2>&0', os.ttyname(self._theirs)]
        self._shell = subprocess.Popen(
            [*opening, *words], env=env, start_new_session=True
        )

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def shows(self, text: str, within: float = 60) -> None:
        """Wait until *text* is on the screen; what was there before no longer counts."""

        def look() -> bool:
            while select.select([self._terminal], [], [], 0.02)[0]:
                self.seen += os.read(self._terminal, 65536).decode(errors="replace")
            return text in self.seen

        eventually(look, within, f"{text!r} is not in {self.seen!r}")
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._theirs)
        os.close(self._terminal)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """An interactive shell that has loaded the completion."""
    words, load = SHELLS[request.param]
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not here")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "oberonc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m oberonc "$@"\n')
    command.chmod(0o755)
    env = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "TERM": "dumb",
        "PS1": "$ ",
        "TMPDIR": str(tmp_path),
    }
    terminal = Terminal(words, env)
    try:
        terminal.type(f"{load}\n")
        terminal.type("echo rea''dy\n")
        terminal.shows("ready\r\n")
        yield terminal
    finally:
        terminal.close()


def test_services_brokers_repositories_words_and_ids_are_offered(
    shell: Terminal, admin: Admin, oberonc: Command, repo: object, tmp_path: Path
) -> None:
    admin.handle("deployer", "pass")
    admin.configure("[services.chat-room]\nbroker = 'deployer'\n")
    oberonc("send", "--message", "x", cwd=tmp_path / "app")
    [record] = oberonc("log", "--json").json
    for typed, wanted in (
        ("oberonc brokers test cha", "t-room"),
        ("oberonc queue pause ch", "at-room"),
        ("oberonc brokers show depl", "oyer"),
        ("oberonc queue list --repository ap", "p"),
        ("oberonc parse --words bugz", "illa"),
        (f"oberonc log {record['id'][:5]}", record["id"][5:8]),
    ):
        shell.type(typed)
        shell.shows(typed)
        shell.type("\t")
        shell.shows(wanted)
        shell.type("\x15\n")  # the line away, and a fresh prompt


def test_nothing_is_written_whatever_is_broken(oberonc: Command, admin: Admin) -> None:
    def ask(words: str) -> tuple[str, str]:
        env = {
            "_OBERONC_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        done = oberonc(env=env)
        return done.out, done.err

    admin.configure("[services.chat]\nbroker = 'nobody'\n")
    assert ask("oberonc queue pause ") == ("plain,chat\n", "")
    assert ask("oberonc nonsense ")[1] == ""
    assert ask("oberonc queue nonsense ")[1] == ""
    file = admin.configure("[services.chat\nbroker = ")
    for words in (
        "queue pause ",
        "log ",
        "brokers show ",
        "queue show ",
        "--config /none queue pause ",
        "issues show ",
    ):
        assert ask(f"oberonc {words}")[1] == "", words
    file.unlink()
    file.mkdir()
    assert ask("oberonc log ") == ("\n", "")


def test_what_a_stranger_named_steers_no_shell(state: Path, oberonc: Command) -> None:
    (state / "log").mkdir(parents=True)
    line = (
        '{"time":"t","id":"abcd","via":"here","event":"push","repository":"%s",'
        '"updates":[],"commits":[],"services":{}}'
    )
    names = ("a\\nplain,b", "x\\u001b[2J", "y\\u202ez", "fine/name")
    (state / "log" / "2026-01-01.jsonl").write_text(
        "".join(f"{line % name}\n" for name in names)
    )
    env = {
        "_OBERONC_COMPLETE": "bash_complete",
        "COMP_WORDS": "oberonc queue list --repository ",
        "COMP_CWORD": "4",
    }
    assert oberonc(env=env).out == "plain,fine/name\n"


def test_the_daemon_is_asked_and_is_not_waited_for_long(site: Site) -> None:
    site.start()
    event = site.submit(push("far/away"))
    site.settled(done=1)
    for kind, wanted in (
        ("event", event[:8]),
        ("repository", "far/away"),
        ("service", "rec"),
    ):
        assert wanted in offers(kind, str(site.file)), kind
    assert offers("delivery", str(site.file)) == {}
    os.kill(site.daemons[-1].pid, signal.SIGSTOP)
    began = time.monotonic()
    for kind in KINDS:
        offers(kind, str(site.file))
    # a few questions of half a second, and room for a busy machine
    assert time.monotonic() - began < 30
    os.kill(site.daemons[-1].pid, signal.SIGCONT)
