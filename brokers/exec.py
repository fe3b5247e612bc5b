"""Run a program with the push on its stdin."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from shutil import which
from typing import Any

from oberonc import BaseBroker, Check, Reject, Retry

#: Seconds the program gets to end after SIGTERM, and that are kept of the time limit
#: for ending it.
GRACE = 2.0
#: Exit codes: "try again later" of sysexits.h, and what shells say of a program that
#: cannot be run.
AGAIN, CANNOT_RUN = 75, (126, 127)


class Exec(BaseBroker):
    """Runs a program with the push as JSON on its stdin."""

    timeout = 300

    class Settings:
        command: list[str]  # the program and its arguments; no shell reads them
        folder: str = "/"  # where it runs
        # further variables; it has PATH, HOME, LANG and the like, and OBERONC_*
        environment: dict[str, str] = {}  # noqa: RUF012  never changed

    def verify(self) -> None:
        words = self.settings.command
        if not words:
            raise ValueError("setting 'command' must be a list of words, not empty")
        for name, value in self.settings.environment.items():
            if not name or set("=\0") & set(name) or "\0" in value:
                raise ValueError(f"setting 'environment': no program can get {name!r}")
        if "\0" in "".join(words):
            raise ValueError("setting 'command' has a NUL in it")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"run {self.settings.command[0]}"]

    def check(self) -> list[Check]:
        program = self.settings.command[0]
        mend = "give its whole path, and let this account run it"
        return [Check(which(program) is not None, f"{program} can be run", mend)]

    def handle(self, payload: dict[str, Any]) -> str:
        given = json.dumps({k: v for k, v in payload.items() if k != "service"})
        try:
            program = subprocess.Popen(
                self.settings.command,
                stdin=subprocess.PIPE,
                cwd=self.settings.folder,
                env=self._environment(payload),
                process_group=0,  # so that it can be ended with all that it started
            )
        except OSError as error:
            raise Reject(f"{self.settings.command[0]}: {error.strerror}") from None
        try:
            # What it prints goes where the broker's own output goes.
            program.communicate(given.encode(), max(self.remaining() - GRACE, 0.1))
        except subprocess.TimeoutExpired:
            raise Retry(f"{self.settings.command[0]} took too long") from None
        finally:
            _end(program)
        return _verdict(program.returncode, self.settings.command[0])

    def _environment(self, payload: dict[str, Any]) -> dict[str, str]:
        return {
            **os.environ,
            **self.settings.environment,
            "OBERONC_DELIVERY_ID": payload["delivery_id"],
            "OBERONC_ATTEMPT": str(payload["attempt"]),
            "OBERONC_SERVICE": self.service,
        }


def _verdict(code: int, name: str) -> str:
    if code == 0:
        return "exited with 0"
    if code in CANNOT_RUN:
        raise Reject(f"{name} cannot be run: it exited with {code}")
    if code == AGAIN:
        raise Retry(f"{name} asks to be run again: it exited with {code}")
    if code < 0:
        raise Retry(f"{name} was ended by {signal.Signals(-code).name}")
    raise Retry(f"{name} exited with {code}")


def _end(program: "subprocess.Popen[bytes]") -> None:
    """End what still runs of the program's group: first gently, then for good."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            program.wait(GRACE / 2)
            if sign == signal.SIGTERM and not _has_members(program.pid):
                return


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
