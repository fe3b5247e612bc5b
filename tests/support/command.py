"""The installed command and the installed hook, run as subprocesses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Done(NamedTuple):
    """What a run left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Command:
    """`oberonc ...` with this interpreter."""

    module = "oberonc"

    @property
    def argv(self) -> list[str]:
        """What is run, without the command's own arguments."""
        return [sys.executable, "-I", "-m", self.module]

    @property
    def account(self) -> dict[str, Any]:
        """Arguments of `subprocess.run` that say who runs it."""
        return {}

    def __call__(
        self,
        *args: str | Path,
        code: int = 0,
        stdin: str | bytes = "",
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> Done:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*self.argv, *map(str, args)],
            input=raw,
            capture_output=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=120,
            check=False,
            **self.account,
        )
        said = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert said.code == code, (
            f"{args}: exit {said.code}, not {code}\n{said.out}\n{said.err}"
        )
        assert "Traceback" not in said.err, said.err
        return said


class Hook(Command):
    """`python -m oberonc.hook NAME`, with what git gives a hook."""

    module = "oberonc.hook"
