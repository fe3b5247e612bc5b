"""The command as a whole: help, exit codes, streams that are gone, completion, text
that would steer.
"""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from oberonc import cli
from tests.support.admin import Admin, sample
from tests.support.command import Command
from tests.support.eventually import eventually
from tests.support.repo import Repo

RUN = [sys.executable, "-I", "-m", "oberonc"]
GROUPS = {
    "brokers": ["show", "run", "test", "new"],
    "hook": ["install", "uninstall", "status", "run"],
}


@pytest.mark.parametrize(
    "name", ["", "send", "brokers", "log", "hook", "init", "config", "doctor", "demo"]
)
def test_every_command_has_help_with_an_example(oberonc: Command, name: str) -> None:
    words = [name] if name else []
    said = oberonc(*words, "--help").out
    assert oberonc(*words, "-h").out == said
    assert not name or "Examples:\n  oberonc " in said or "Examples:" in said
    for inner in GROUPS.get(name, []):
        assert (
            f"oberonc {name} {inner}"
            in oberonc(name, inner, "--help").out.split("Examples:")[1]
        )


def test_help_loads_no_command() -> None:
    script = (
        "import sys; from oberonc import cli; cli._run(['--help']); cli._run(['--version']);"
        "sys.exit(any(m.startswith('oberonc.commands.') for m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert "oberonc 0." in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "Usage: oberonc"),
        (["sned"], 2, "there is no command 'sned'; did you mean 'send'?"),
        (["\x1b[31m"], 2, "\\x1b[31m"),
        (["send", "--no-such"], 2, "No such option"),
        (["hook", "nosuch"], 2, "No such command"),
        (["log", "xyz"], 65, "is not an id"),
        (["log", "abcdef"], 65, "no push or commit beginning with 'abcdef'"),
        (["--config", "/none", "config"], 78, "cannot read the configuration"),
    ],
)
def test_words_that_are_off_have_a_code_and_a_line(
    oberonc: Command, args: list[str], code: int, said: str
) -> None:
    done = oberonc(*args, code=code)
    assert said in done.err + done.out
    assert "\x1b" not in done.err + done.out


def test_a_bug_is_exit_3_with_a_log_and_no_traceback_on_the_screen(
    oberonc: Command, admin: Admin, tmp_path: Path
) -> None:
    admin.configure("")
    script = (
        "from oberonc import cli, commands\n"
        "def fail(self): raise RuntimeError('odd\\x1b[31m')\n"
        "commands.Session.config = property(fail)\n"
        "cli.main(['config'])"
    )
    python = [sys.executable, "-c", script]
    # With files of no size, as on a full disk, no temporary folder takes one.
    for limit, written in (("unlimited", "details are in"), ("0", "could not be")):
        done = subprocess.run(
            ["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh", *python],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            check=False,
        )
        assert done.returncode == 3
        assert done.stderr.startswith(
            "oberonc: unexpected RuntimeError: odd\\x1b[31m; the details "
        )
        assert written in done.stderr
        assert done.stderr.count("\n") == 1
    [log] = tmp_path.glob("oberonc-*.log")
    assert "RuntimeError" in log.read_text()
    log.unlink()


def _sh(
    script: str, stdin: "int | IO[bytes]" = subprocess.DEVNULL, **env: str
) -> subprocess.CompletedProcess[str]:
    line = " ".join(f"'{word}'" for word in RUN)
    return subprocess.run(
        ["/bin/bash", "-c", script.replace("oberonc", line)],
        stdin=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("oberonc config <&-", 0),
        ("oberonc config >&-", 0),
        ("oberonc config 2>&-", 0),
        ("oberonc config <&- >&- 2>&-", 0),
        ("oberonc nosuch <&- >&- 2>&-", 2),
        ("oberonc config >/dev/full", 74),
        ("oberonc nosuch 2>/dev/full", 2),
        ("oberonc config | true; exit ${PIPESTATUS[0]}", 0),
        ("oberonc config 2>&1 | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
    ],
)
def test_streams_that_are_gone_trouble_nobody(script: str, code: int) -> None:
    done = _sh(script)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_stdin_is_an_empty_message(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo.path)
    done = _sh("oberonc send <&-")
    assert (done.returncode, done.stderr) == (
        65,
        "oberonc: the commit message is empty\n",
    )


def test_a_terminal_that_knows_no_unicode_gets_every_line(admin: Admin) -> None:
    admin.configure("publish = ['größe–日本']")
    done = subprocess.run(
        [sys.executable, "-m", "oberonc", "config"],
        capture_output=True,
        encoding="latin-1",
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "größe\\u2013\\u65e5\\u672c" in done.stdout


def _is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or " Z " in stat.read_text()


def test_ctrl_c_is_exit_130_and_takes_the_broker_along(admin: Admin) -> None:
    admin.handle(
        "b",
        "import os, time\nopen(DONE, 'w').write(f'{os.getpid()}\\n')\ntime.sleep(60)",
    )
    admin.configure("[services.one]\nbroker = 'b'")
    for line in (["brokers", "run", "b", "--yes"], ["send", "--payload", "-"]):
        admin.done.unlink(missing_ok=True)
        with subprocess.Popen(
            [*RUN, *line],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            assert child.stdin is not None and child.stderr is not None
            child.stdin.write(__import__("json").dumps(sample()).encode())
            child.stdin.close()
            pid = admin.pid()
            os.killpg(child.pid, signal.SIGINT)
            said = child.stderr.read()
        assert child.returncode == 130
        assert b"Traceback" not in said
        eventually(partial(_is_gone, pid))


#: Runs the module of the first argument, and presses Ctrl-C when that of the second is
#: loaded.
_INTERRUPTED = """
import os, runpy, signal, sys
module, when, *sys.argv[1:] = sys.argv[1:]
class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == when:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Presses())
runpy.run_module(module, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "when"),
    [
        ("oberonc", "click"),
        ("oberonc", "oberonc.commands.send"),
        ("oberonc", "oberonc.source.repository"),
        ("oberonc.daemon", "asyncio"),
    ],
)
def test_ctrl_c_while_it_is_loaded_is_exit_130_without_a_word(
    repo: Repo, module: str, when: str
) -> None:
    repo.commit("fixes #1")
    line = ["send", "--rev", "HEAD"] if module == "oberonc" else []
    done = subprocess.run(
        [sys.executable, "-I", "-c", _INTERRUPTED, module, when, *line],
        cwd=repo.path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip()  # click ends the line of the "^C"
    assert (done.returncode, said) == (130, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(oberonc: Command, shell: str) -> None:
    assert "oberonc" in oberonc(env={"_OBERONC_COMPLETE": f"{shell}_source"}).out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("oberonc se", "plain,send"),
        ("oberonc hook in", "plain,install"),
        ("oberonc send --dr", "plain,--dry-run"),
        ("oberonc --ver", "plain,--version"),
    ],
)
def test_words_are_completed(oberonc: Command, words: str, found: str) -> None:
    env = {
        "_OBERONC_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    assert found in oberonc(env=env).out.splitlines()


EVIL = "\x1b[2J\x1b]0;owned\x07\r\u202egnp\u2066\u200b\x9b31m\x7f\nissues: done: all is well"


def test_no_command_obeys_what_others_wrote(
    admin: Admin, repo: Repo, oberonc: Command
) -> None:
    admin.handle(
        "b",
        "print(payload['commits'][0]['message'])\nraise Reject(payload['commits'][0]['message'])",
        f"'''{EVIL}'''".replace("\n", "\\n"),
    )
    admin.configure(
        "[services.one]\nbroker = 'b'\nrefs = ['\\u001b[31m', 'main']\n[services.two]\nbroker = 'issues'\n".replace(
            "'\\u001b[31m'", '"\\u001b[31m"'
        )
    )
    repo.commit(f"fixes #1 {EVIL}", GIT_AUTHOR_NAME="\x1b[31mEve")
    said = [
        oberonc("send", "--rev", "HEAD", "--dry-run", cwd=repo.path),
        oberonc("send", "--rev", "HEAD", cwd=repo.path, code=1),
        oberonc("log"),
        oberonc("log", "--json"),
        oberonc("brokers"),
        oberonc("brokers", "show", "b"),
        oberonc("brokers", "show", "one"),
        oberonc("brokers", "run", "b", "--yes", code=1),
        oberonc("config"),
        oberonc("config", "--json"),
        oberonc("doctor", cwd=repo.path, code=1),
    ]
    for done in said:
        for text in (done.out, done.err):
            assert not [
                c
                for c in text
                if (ord(c) < 0x20 and c != "\n")
                or 0x7F <= ord(c) < 0xA0
                or c in "\u202e\u2066\u200b"
            ], text
    assert not [
        line
        for line in oberonc("log").out.splitlines()
        if line.startswith("issues: done")
    ]
    for done in (said[3], said[9]):
        assert done.out.isascii()


def test_what_people_try_first_leads_on(oberonc: Command) -> None:
    for word, meant in (
        ("install", "hook install"),
        ("instal", "hook install"),
        ("versoin", "--version"),
        ("help", "--help"),
    ):
        assert f"did you mean 'oberonc {meant}'?" in oberonc(word, code=2).err
    assert oberonc("-V").out == oberonc("--version").out


def test_a_number_without_its_sign_is_hinted_at(oberonc: Command) -> None:
    assert "fixes #3" in oberonc("parse", stdin="done, fixes 3").out
    assert "has no #" not in oberonc("parse", stdin="fixes #3, fixes 4").out


def test_a_slip_in_the_name_of_a_secret_is_named_first(
    admin: Admin, oberonc: Command
) -> None:
    admin.configure(
        "[services.a]\nbroker = 'issues'\ntracker = 'github'\ntoekn = 'env:X'\n"
    )
    said = oberonc("brokers", "test", "a", code=1)
    assert "toekn (is it a slip; did you mean 'token'?)" in said.out + said.err


def test_doctor_keeps_its_exit_code_when_its_reader_goes_away(
    admin: Admin, repo: Repo
) -> None:
    admin.configure("state = '/proc/nothing'\n")
    line = f"'{sys.executable}' -I -m oberonc doctor | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=repo.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "1", done


def _unread(*words: str | Path) -> int:
    """The exit code of `oberonc *words*` whose reader is gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run([*RUN, *words], stdout=writer, check=False).returncode
    finally:
        os.close(writer)


def test_what_a_command_changes_it_changes_wholly_when_its_reader_goes_away(
    bare: Repo, repo: Repo, oberonc: Command, tmp_path: Path
) -> None:
    both = [bare.path, repo.path]
    assert _unread("hook", "install", *both) == 0
    rows = oberonc("hook", "status", "--json", *both).json
    assert {row["state"] for row in rows} == {"installed"}
    assert _unread("init", "--system", "--root", tmp_path / "root") == 0
    oberonc("init", "--system", "--root", tmp_path / "read")
    assert len({*(tmp_path / "root").rglob("*")}) == len(
        {*(tmp_path / "read").rglob("*")}
    )
    (repo.path / ".git" / "hooks" / "post-commit").chmod(0o644)
    assert _unread("hook", "status", *both) == 1
    assert _unread("hook", "uninstall", "--all") == 0
    assert "no repository" in oberonc("hook", "uninstall", "--all").err


def test_a_terminal_gets_colour_its_width_and_words_that_are_whole(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")

    def said(*args: str) -> str:
        ours, theirs = pty.openpty()
        done = subprocess.Popen([*RUN, *args], cwd=repo.path, stdout=theirs)
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):  # what a terminal says at its end
            while chunk := os.read(ours, 1 << 16):
                text += chunk
        os.close(ours)
        done.wait(60)
        return text.decode().replace("\r\n", "\n")

    doctor = said("doctor")
    assert "\x1b[32m\x1b[1mok\x1b[0m" in doctor
    long = [line for line in doctor.splitlines() if line.startswith("      ")]
    assert long
    monkeypatch.setenv("COLUMNS", "120")
    assert max(map(len, said("send", "--help").splitlines())) > 80
    piped = subprocess.run([*RUN, "doctor"], capture_output=True, check=False)
    assert b"\x1b" not in piped.stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    piped = subprocess.run([*RUN, "doctor"], capture_output=True, check=False)
    assert b"\x1b[32m" in piped.stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in said("doctor")
