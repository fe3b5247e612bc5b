"""Real repositories for tests: `repo.sh` reads like a terminal."""

import os
import subprocess
from pathlib import Path
from typing import Self

import pytest

#: The option with which `Repo.init` and `clone` keep refs as git 3.0 does.
REFTABLE = "--ref-format=reftable"


class Repo:
    """A repository at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def init(cls, path: Path, bare: bool = False, *options: str) -> Self:
        """Make a new one."""
        subprocess.run(
            ["git", "init", "-q", *(["--bare"] if bare else []), *options, str(path)],
            check=True,
        )
        return cls(path)

    def needs_reftable(self) -> None:
        """Skip the test where git knows no `REFTABLE`."""
        if "--ref-format" not in self.sh("git init -h || true"):
            pytest.skip("this git knows no reftable")

    def clone(self, path: Path, *options: str) -> "Repo":
        """A clone of it at *path*."""
        subprocess.run(
            ["git", "clone", "-q", *options, str(self.path), str(path)],
            check=True,
            capture_output=True,
        )
        return Repo(path)

    def sh(self, script: str, code: int = 0, **env: str) -> str:
        """Run a shell script in it; returns stdout and stderr together."""
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", script],
            cwd=self.path,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace")
        assert done.returncode == code, f"{script}: exit {done.returncode}\n{said}"
        return said

    def git(self, *args: str, **env: str) -> str:
        """Run git in it; returns its stdout, stripped."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.path,
            env={**os.environ, **env},
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (
            f"git {args}: {done.stderr.decode('utf-8', 'replace')}"
        )
        return done.stdout.decode("utf-8", "replace").strip()

    def commit(
        self, message: str, file: str = "file.txt", text: str | None = None, **env: str
    ) -> str:
        """Commit a change of *file* with *message*; returns the commit's oid."""
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        path.write_text(before + "line\n" if text is None else text)
        self.git("add", "--", file)
        self.git(
            "commit",
            "-q",
            "--allow-empty",
            "--allow-empty-message",
            "--cleanup=verbatim",
            "-m",
            message,
            **env,
        )
        return self.git("rev-parse", "HEAD")

    def push(self, *refs: str, code: int = 0) -> str:
        """Push *refs* to origin; returns what was printed, hook's lines among it."""
        return self.sh("git push origin " + " ".join(f"'{ref}'" for ref in refs), code)
