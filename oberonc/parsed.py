"""TOML as it was parsed before: the parser alone costs a hook more than its git children.

Kept are whole texts and what they said, so nothing in there can be out of date. The
file is believed where nobody but this account can have written it, as the compiled
files of Python are; whatever is wrong with it, the text is parsed.
"""

from __future__ import annotations

import marshal
import os
import stat

from oberonc import files, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How the file begins; another form gets another number.
_MAGIC = b"oberonc parsed 1\n"
_FILE = "parsed"
#: Texts that are kept, characters of one, and bytes of the file that are read.
_MOST = 8
_LONGEST = 1 << 17
_SIZE_LIMIT = 1 << 24
#: What every Python that runs oberonc writes and reads.
_MARSHAL = 4


def toml(text: str, keep: bool) -> dict[str, Any]:
    """What *text* says; *keep*: look it up first, and keep it for the next time.
    Raises as `tomllib.loads` does.
    """
    known = _known() if keep else {}
    if text in known:
        return known[text]
    import tomllib

    values = tomllib.loads(text)
    if keep and len(text) <= _LONGEST:
        _keep({**dict([*known.items()][1 - _MOST :]), text: values})
    return values


def _known() -> dict[str, dict[str, Any]]:
    folder = paths.cache()
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(os.path.join(folder, _FILE), flags)
        try:
            facts = os.fstat(handle)
            if (
                not stat.S_ISREG(facts.st_mode)
                or facts.st_nlink != 1
                or not (_is_mine(facts) and _is_mine(os.stat(folder)))
            ):
                return {}
            raw = os.read(handle, _SIZE_LIMIT)
        finally:
            os.close(handle)
        if not raw.startswith(_MAGIC):
            return {}
        known = marshal.loads(raw[len(_MAGIC) :])  # noqa: S302  our own
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


def _is_mine(facts: os.stat_result) -> bool:
    """Whether nobody but this account, and root, can write what has *facts*."""
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022


def _keep(known: dict[str, dict[str, Any]]) -> None:
    """Write *known*, where this account has a place of its own for it."""
    folder = paths.cache()
    place = folder
    try:
        raw = _MAGIC + marshal.dumps(known, _MARSHAL)
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        # A home that is not there is not made; nor does root, who came with `sudo`,
        # leave folders in the home of somebody else.
        if folder.count("/") - place.count("/") > 2 or not _is_mine(os.stat(place)):
            return
        files.make_private(folder)
        file = os.path.join(folder, _FILE)
        fresh = f"{file}.{os.getpid()}-{os.urandom(4).hex()}"
        files.put_private(file, raw, fresh, durable=False)
    except (OSError, ValueError):  # ValueError: a date, which is no setting
        return
