"""The text of a hook file: what we write, and whether what is there is that. Nothing of
a file is ever run.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from oberonc import files, paths

#: Stands in every file we write, and in no other.
SIGNATURE = "# oberonc hook 1."
#: The folder, beside a hook file, in which the hook that was there before is kept.
KEPT = "oberonc"
#: The folder that oberonc is imported from.
ROOT = str(Path(paths.__file__).parents[1])


class Filled(NamedTuple):
    """What a hook file was filled with."""

    name: str
    python: str
    flags: str
    root: str


#: What `flags` may have said where a hook was installed.
_FLAGS = ("-I -S", "-E -P")


def flags() -> str:
    """Isolated mode, without `site` until brokers run; where oberonc lives in the
    user's own site folder, with it.
    """
    return "-I -S" if paths.isolation() == ["-I"] else " ".join(paths.isolation())


def script(hook: str) -> str:
    """The hook file's text for this interpreter."""
    text = _template()
    for mark, value in zip(
        _MARKS, Filled(hook, sys.executable, flags(), ROOT), strict=True
    ):
        text = text.replace(mark, shlex.quote(value))
    return text


_MARKS = ("'@NAME@'", "'@PYTHON@'", "'@FLAGS@'", "'@ROOT@'")


def _template() -> str:
    return (paths.bundled("hooks") / "hook").read_text()


def boot() -> str:
    """The program that the hook file has the interpreter run. With the arguments
    `ROOT check` it shows what is wrong.
    """
    return _template().partition("boot='")[2].partition("'")[0]


def read_text(file: Path) -> str:
    """The beginning of a hook file, whatever is in it; empty for what is no plain file."""
    return os.fsdecode(files.read(file) or b"")


def read_ours(file: Path) -> str:
    """The text of a file that we wrote, this
    version or another; empty for every other file.
    """
    text = read_text(file)
    return text if SIGNATURE in text[:400] else ""


def filled(text: str) -> Filled | None:
    """What *text* was filled with; None where it is not what this version writes, byte
    by byte.
    """
    pattern = re.escape(_template())
    for mark in _MARKS:
        pattern = pattern.replace(re.escape(mark), "([^\n]*)")
    found = re.fullmatch(pattern, text)
    words = [_word(value) for value in found.groups()] if found else []
    return Filled(*words) if words and all(words) and words[2] in _FLAGS else None


def _word(quoted: str) -> str:
    """The one word that *quoted* is for a shell; empty for anything else a shell would
    make of it.
    """
    try:
        words = shlex.split(quoted)
    except ValueError:
        return ""
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == quoted else ""
