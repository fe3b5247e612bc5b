"""Append the push to a file, a line of JSON each, for other programs to read."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from oberonc import BaseBroker, Check

#: Bytes at the end of the file in which a line that is there already is looked for.
_LOOK_BACK = 4 * 1024 * 1024


class Jsonl(BaseBroker):
    """Appends a push to a file, a line of JSON each."""

    class Settings:
        path: str  # of the file; its folder must exist
        size: int = 64 * 1024 * 1024  # bytes at which a new file is begun
        keep: int = 4  # full files that are kept, as PATH.1 (the newest), PATH.2 ...

    def verify(self) -> None:
        if not Path(self.settings.path).is_absolute():
            raise ValueError("setting 'path' must be absolute")
        if self.settings.size < 1 or self.settings.keep < 0:
            raise ValueError("'size' must be positive, and 'keep' not below 0")

    def plan(self, payload: dict[str, Any]) -> list[str]:
        return [f"append to {self.settings.path}"]

    def check(self) -> list[Check]:
        folder = Path(self.settings.path).parent
        mend = "let this account write there"
        return [Check(os.access(folder, os.W_OK), f"{folder} can be written", mend)]

    def handle(self, payload: dict[str, Any]) -> str:
        ours = ("service", "broker", "attempt", "order")
        kept = {key: value for key, value in payload.items() if key not in ours}
        mark = json.dumps({"delivery_id": kept.pop("delivery_id")})[:-1]
        line = (mark + "," + json.dumps(kept)[1:] + "\n").encode()
        path = Path(self.settings.path)
        # The lock is on a file that is never renamed: several workers, one rotation.
        with Path(f"{path}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with path.open("ab+") as file:
                whole = file.seek(0, os.SEEK_END)
                file.seek(max(0, whole - _LOOK_BACK))
                tail = file.read()
                if mark.encode() + b"," in tail:
                    return "nothing: the line is there already"
                if tail and not tail.endswith(b"\n"):
                    # Somebody was ended in the middle of a line.
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                full = file.tell() >= self.settings.size
            if full:
                self._rotate(path)
        return f"appended {len(line)} bytes"

    def _rotate(self, path: Path) -> None:
        for number in range(self.settings.keep, 0, -1):
            newer = Path(f"{path}.{number - 1}") if number > 1 else path
            if newer.exists():
                newer.replace(f"{path}.{number}")
        if not self.settings.keep:
            path.unlink()
