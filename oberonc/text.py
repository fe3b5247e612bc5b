"""Text that is not ours: commit messages, names, answers of servers. Pure functions.

`visible` is the one door from such text to a terminal or a
log line: what would steer the terminal is shown as an escape
instead. `one_line` is for places that have room for one.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping

#: C0 but newline and tab, DEL, C1, bidi marks, overrides and isolates, zero-width and
#: other format characters, line and paragraph separators, lone surrogates, tag
#: characters.
_UNSAFE = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


#: What stands at the end of a text that was cut.
CUT = "… [cut]"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """*text* with everything that would steer a terminal written as an escape;
    newline and tab stay.
    """
    if text.isprintable():
        return text
    import re  # most of what a hook says is plain

    return re.sub(_UNSAFE, _escape, text.replace("\r\n", "\n"))


def clean(text: str) -> str:
    """*text* as the system gave it, with U+FFFD for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def one_line(text: str, limit: int = 300) -> str:
    """*text* as one visible line of at most *limit* characters;
    what was cut ends with an ellipsis.
    """
    line = visible(" ".join(text[: limit * 4].split()))
    whole = len(line) <= limit and not text[limit * 4 :].strip()
    return line if whole else line[: limit - 1] + "…"


def shortened(text: str, limit: int) -> str:
    """*text* of at most *limit* characters; what was cut ends with `CUT`."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def counted(count: int, word: str, plural: str = "") -> str:
    """`1 commit`, `3 commits`; *plural* for a word that does not take an s."""
    return f"{count} {word if count == 1 else plural or word + 's'}"


def listed(names: list[str], most: int) -> str:
    """`#1, #2 and #3`; beyond *most* names only how many more there are."""
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def utc(seconds: float | None = None) -> str:
    """A moment given in seconds since 1970, or now, as `2026-01-01T10:00:00Z`; `never`
    where no calendar has it.
    """
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "never"


def span(seconds: float) -> str:
    """A length of time, with one unit."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def nearest(
    word: str, known: Iterable[str], meant: Mapping[str, str] | None = None
) -> str:
    """`; did you mean 'X'?` for a mistyped *word*, or an empty string. *meant*: other
    words than the *known* ones, and what is said for them.
    """
    import difflib  # only on the way to an error message

    meant = meant or {}
    close = difflib.get_close_matches(word, [*meant, *known], n=1, cutoff=0.6)
    return f"; did you mean '{meant.get(close[0], close[0])}'?" if close else ""
