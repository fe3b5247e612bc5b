"""What other processes wrote into a file, read while they may still be writing it, or
were killed in the middle.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def whole_lines(file: Path) -> list[str]:
    """The lines of *file* that have their end; a last one that is half written is not
    there yet, nor is the file.
    """
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return []
    return raw[: raw.rfind(b"\n") + 1].decode().split("\n")[:-1]


def rows(file: Path) -> list[dict[str, Any]]:
    """The JSON objects of *file*, one a line; what a killed writer left of a line is
    passed over.
    """
    found = []
    for line in whole_lines(file):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found
