"""The installed hook where the environment is poor, hostile or strange: one line at
most, exit 0, nothing lost.
"""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.pushes import Catch, Server, chain, fast_import, oids, put_hook
from tests.support.repo import Repo


class Run:
    """The installed post-receive hook, run by hand over a repository whose main is
    already there.
    """

    def __init__(self, home: Path, bare: Repo) -> None:
        self.bare = bare
        self.catch = Catch(home)
        self.hook = bare.path / "hooks" / "post-receive"
        put_hook(self.hook.parent, self.hook.name)
        fast_import(bare, chain(1))
        self.oid = bare.git("rev-parse", "main")
        self.line = f"{'0' * 40} {self.oid} refs/heads/main\n"

    def __call__(
        self, shell: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run *shell*, in which `hook` is the hook."""
        done = subprocess.run(
            ["/bin/sh", "-c", f'hook() {{ "{self.hook}" "$@"; }}\n{shell}'],
            input=self.line.encode(),
            cwd=self.bare.path,
            env={"GIT_DIR": "."} | (dict(os.environ) if env is None else env),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(b"\n") <= 1, done.stderr
        return done

    def told(self) -> bool:
        """Whether the hook made the payload of its commit."""
        return [oids(payload["commits"]) for payload in self.catch.take()] == [
            [self.oid]
        ]


@pytest.fixture
def run(home: Path, bare: Repo) -> Run:
    return Run(home, bare)


@pytest.mark.parametrize(
    "shell",
    ["hook 2>&-", "hook >&-", "hook >&- 2>&-", "hook 2>/dev/full", "umask 0; hook"],
)
def test_a_hook_with_closed_or_full_outputs_still_tells(run: Run, shell: str) -> None:
    run(shell)
    assert run.told()


#: /bin/sh, and what it is elsewhere: on Fedora, Alpine, OpenBSD, and where somebody
#: likes another.
SHELLS = ("sh", "bash", "busybox", "mksh", "yash", "ksh93")


@pytest.mark.parametrize("shell", SHELLS)
def test_in_every_shell_a_hook_whose_stdin_is_closed_has_nothing_to_tell(
    run: Run, shell: str
) -> None:
    put_shell(run.hook, shell)
    for stdin in ("<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-", "</dev/null"):
        assert run(f"hook {stdin}").stderr == b""
    assert run.catch.take() == []
    assert run("hook >&- 2>&-").stderr == b""
    assert run.told()


@pytest.mark.parametrize("shell", SHELLS)
def test_in_every_shell_what_a_terminal_is_told_through_stays_open(
    run: Run, shell: str, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n{ true 9>&3; } 2>/dev/null && echo 3 is open\n")
    python.chmod(0o755)
    put_shell(run.hook, shell)
    lines = run.hook.read_text().splitlines(keepends=True)
    named = [f"python={python}\n" if "python=" in line[:7] else line for line in lines]
    run.hook.write_text("".join(named))
    assert run("hook").stderr == b"3 is open\n"


def put_shell(hook: Path, shell: str) -> None:
    """Let *hook* run in *shell*, or skip the test where there is none."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell}")
    how = {"bash": " --posix", "busybox": " sh"}.get(shell, "")
    hook.write_text(hook.read_text().replace("#!/bin/sh", f"#!{path}{how}", 1))


def test_a_hook_reads_its_stdin_to_the_end_also_when_it_is_refused(
    home: Path, bare: Repo
) -> None:
    server = Server(home, bare)
    server.bare.git("config", "oberonc.enabled", "false")
    fast_import(server.work, chain(1))
    heads = "".join(
        f"create refs/heads/{'x' * 80}{n:04} refs/heads/main\n" for n in range(600)
    )
    server.work.sh("printf '%s' \"$HEADS\" | git update-ref --stdin", HEADS=heads)
    assert "SIGPIPE" not in server.work.push("refs/heads/*")


def test_a_local_hook_does_not_read_stdin(home: Path, repo: Repo) -> None:
    catch = Catch(home)
    put_hook(repo.path / ".git" / "hooks", "post-commit")
    repo.commit("one")
    catch.take()
    read, write = os.pipe()  # never written to, never closed: who reads it hangs
    done = subprocess.run(
        [".git/hooks/post-commit"], stdin=read, cwd=repo.path, timeout=60, check=True
    )
    os.close(read)
    os.close(write)
    assert done.returncode == 0
    assert len(catch.take()) == 1


def test_a_hook_without_home_uses_the_users_own(run: Run) -> None:
    config = Path(os.environ["HOME"]) / ".config" / "oberonc" / "config.toml"
    env = {
        "PATH": os.environ["PATH"],
        "OBERONC_CONFIG": str(config),
        "OBERONC_CONFIG_NOSYSTEM": "1",
        # the account's real home stays as it is
        "XDG_CACHE_HOME": str(config.parent / "cache"),
    }
    run(
        "hook",
        env
        | {"GIT_CONFIG_NOSYSTEM": "1", "XDG_CONFIG_HOME": str(config.parent / "none")},
    )
    assert run.told()


def test_a_hook_without_path_finds_git_all_the_same(run: Run) -> None:
    run("hook", {"HOME": os.environ["HOME"], "OBERONC_CONFIG_NOSYSTEM": "1"})
    assert run.told()


def test_a_hook_where_git_is_not_on_the_path_says_so(run: Run, tmp_path: Path) -> None:
    done = run(
        "hook",
        {
            "HOME": os.environ["HOME"],
            "PATH": str(tmp_path),
            "OBERONC_CONFIG_NOSYSTEM": "1",
        },
    )
    assert b"cannot find git" in done.stderr
    assert b"nothing was delivered" in done.stderr


@pytest.mark.parametrize(
    "lang", [{"LANG": "C"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "nonsense"}]
)
def test_a_hook_in_any_locale_reads_and_says_unicode(
    home: Path, bare: Repo, lang: dict[str, str]
) -> None:
    server = Server(home, bare)
    server.work.commit("caf\u00e9 \U0001f600", "na\u00efve.txt")
    payload = server.push("main:refs/heads/\u00fcber", **lang)
    assert payload["commits"][0]["message"] == "caf\u00e9 \U0001f600\n"
    assert payload["commits"][0]["files"][0]["file"] == "na\u00efve.txt"
    assert payload["updates"][0]["name"] == "\u00fcber"


@pytest.mark.parametrize(
    "hostile",
    [
        {"PYTHONPATH": "EVIL", "PYTHONSTARTUP": "EVIL/json.py", "PYTHONHOME": ""},
        {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "oberonc.enabled",
            "GIT_CONFIG_VALUE_0": "false",
        },
        {"GIT_INDEX_FILE": "/nowhere", "GIT_WORK_TREE": "/nowhere", "GIT_PREFIX": "x/"},
        {
            "GIT_OBJECT_DIRECTORY": "/nowhere",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nowhere",
        },
        {"GIT_TRACE": "1", "GIT_PAGER": "false", "GIT_EXTERNAL_DIFF": "false"},
    ],
    ids=["python", "config", "places", "objects", "tools"],
)
def test_the_environment_of_the_push_changes_nothing(
    run: Run, tmp_path: Path, hostile: dict[str, str]
) -> None:
    (tmp_path / "json.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(1)\n"
    )
    (run.bare.path / "json.py").write_text("raise SystemExit(1)\n")
    given = {
        name: value.replace("EVIL", str(tmp_path))
        for name, value in hostile.items()
        if value
    }
    shell = "".join(
        f"{name}='{value}'; export {name}\n" for name, value in given.items()
    )
    run(shell + "hook")
    assert run.told()
    assert not (tmp_path / "ran").exists()


def test_under_umask_0_what_is_kept_is_the_users_alone(run: Run, home: Path) -> None:
    run("umask 0; hook")
    (kept,) = (home / "spool" / "new").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "spool").stat().st_mode) == 0o700


def test_quarantine_is_refused(run: Run) -> None:
    done = run("GIT_QUARANTINE_PATH=/q; export GIT_QUARANTINE_PATH; hook")
    assert b"before the push is accepted" in done.stderr
    assert run.catch.take() == []


def test_a_repository_that_is_gone_is_one_line(run: Run) -> None:
    assert b"nothing was delivered" in run("GIT_DIR=/nowhere/at/all hook").stderr
    assert (
        b"nothing was delivered" in run("GIT_DIR= ; export GIT_DIR; cd /; hook").stderr
    )


def test_a_full_spool_is_one_line_and_no_failure(run: Run, home: Path) -> None:
    (home / "spool").write_text("not a folder")
    assert b"cannot keep the push in" in run("hook").stderr
