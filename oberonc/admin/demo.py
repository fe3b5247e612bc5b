"""The demonstration: a real repository, hook, issue, commit and push in a temporary
folder.

It has its own home, identity and branch name, so nothing of the user's machine is read
or changed, and works with this very interpreter.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from oberonc import paths, process
from oberonc.errors import Failed

Say = Callable[[str], None]
#: What the demonstration's git reads instead of the user's configuration.
GITCONFIG = """\
[user]
    name = Ann Example
    email = ann@example.org
[init]
    defaultBranch = trunk
[advice]
    detachedHead = false
"""


class Demo:
    """One demonstration in *folder*; *say* prints a line."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder, self.say = folder, say
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / ".gitconfig").write_text(GITCONFIG)
        self.env = self._environment()

    def _environment(self) -> dict[str, str]:
        kept = {
            k: v
            for k, v in process.environment().items()
            if not k.startswith(("XDG_", "OBERONC_", "GIT_CONFIG"))
        }
        return kept | {
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "OBERONC_CONFIG_NOSYSTEM": "1",
        }

    def step(self, title: str) -> None:
        """Begin a step."""
        self.say(f"\n# {title}")

    def run(self, line: str, folder: str = ".") -> str:
        """Show *line*, run it in *folder* and show
        what it said; raises Failed when it fails.
        """
        self.say(f"$ {line}")
        done = self._sh(line, folder)
        for printed in done.stdout.splitlines():
            self.say(printed.rstrip())
        if done.returncode != 0:
            raise Failed(
                f"the demonstration stopped: '{line}' ended with {done.returncode}"
            )
        return done.stdout

    def quietly(self, line: str) -> str:
        """What *line* says, without showing anything; empty when it fails."""
        done = self._sh(line, ".")
        return done.stdout if done.returncode == 0 else ""

    def _sh(self, line: str, folder: str) -> subprocess.CompletedProcess[str]:
        oberonc = f'"{sys.executable}" {" ".join(paths.isolation())} -m oberonc'
        script = (
            line.replace("oberonc ", f"{oberonc} ", 1)
            if line.startswith("oberonc ")
            else line
        )
        return subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=self.folder / folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )

    def repositories(self) -> None:
        """The server's repository with the hook, and a clone."""
        self.step(
            "A bare repository, as on a server, with oberonc's hook, and somebody's clone of it"
        )
        self.run("git init -q --bare shop.git")
        self.run("oberonc hook install shop.git")
        self.run("git clone -q shop.git shop 2>/dev/null")

    def push(self, file: str, message: str) -> None:
        """A commit and a push of it."""
        path = self.folder / "shop" / file
        path.write_text(path.read_text() + "more\n" if path.exists() else "first\n")
        self.run(f"git add {file}", "shop")
        self.run(f"git commit -q -m '{message}'", "shop")
        self.run("git push -q origin trunk", "shop")


def main_job(demo: Demo) -> None:
    """An issue, a push that fixes it, the closed issue."""
    demo.repositories()
    demo.step("Two issues in the embedded tracker")
    demo.run("oberonc issues new 'crash on start' --repository shop")
    demo.run("oberonc issues new 'slow search' --repository shop")
    demo.step("A commit whose message says what it does, pushed for real")
    demo.push("start.txt", "great, all done, fixes #1")
    demo.push("search.txt", "hm, needs more work, references #2")
    demo.step(
        "The first issue is closed by a comment that names the commit; the second has a comment"
    )
    shown = demo.run("oberonc issues show 1 --repository shop")
    demo.run("oberonc issues show 2 --repository shop")
    demo.step("What happened, and why")
    demo.run("oberonc log")
    if "closed" not in shown:
        raise Failed("the demonstration ended, but issue 1 is still open")


def run(say: Say, keep: bool, job: Callable[[Demo], None] = main_job) -> None:
    """Run *job* in a temporary folder, and clean up unless *keep*."""
    if shutil.which("git") is None:
        raise Failed("the demonstration needs git, which is not on PATH")
    folder = Path(tempfile.mkdtemp(prefix="oberonc-demo-"))
    try:
        job(Demo(folder, say))
    finally:
        if keep:
            say(f"\n# Everything is in {folder} (HOME={folder}/home)")
        else:
            shutil.rmtree(folder, ignore_errors=True)
