"""What is quoted, and what a reverted title quotes: text that repeats a verb and does not mean it."""

import re
from typing import Final, NamedTuple

_REVERT: Final = re.compile(
    r"(?<![\w-])(revert|reverts|reverted|reapply|reapplies|rollback|roll back|backed out|back out"
    r"|backs out)[: ][^\S\n]*([\"“'])",
    re.IGNORECASE,
)
_REVERT_SUBJECT: Final = re.compile(r"\s*(?:revert|reverts)(?:\([^()\n]{0,100}\))?!?:[^\n]*", re.IGNORECASE)
#: An apostrophe opens a quotation only before a word and not inside one, and closes it after one.
_QUOTED: Final = re.compile(
    r"\"[^\"\n]*\"|“[^“”\n]*”|„[^„“”\n]*[“”]|«[^«»\n]*»|‘[^‘’\n]*’(?!\w)|(?<![\w'])'(?=\w)[^'\n]*(?<=\S)'(?!\w)"
)
_MARKS: Final = re.compile(r"[\"“”']")
_INNER: Final = re.compile(r"\s*[\"“]?(?:revert|reapply|backed out)", re.IGNORECASE)


class Title(NamedTuple):
    """A title that a revert quotes. `undone` is whether what it says no longer holds."""

    start: int
    end: int
    undone: bool


def reverted_titles(text: str) -> list[Title]:
    """The titles that the lines of *text* revert or reapply."""
    lowered = text.lower()
    if not ("revert" in lowered or "reappl" in lowered or "back" in lowered):
        return []
    subject = _REVERT_SUBJECT.match(text)
    titles = [Title(subject.start(), subject.end(), True)] if subject else []
    line_end = -1
    for match in _REVERT.finditer(text):
        if titles and match.start() < titles[-1].end:
            continue  # a revert of a revert: its title is told by the first
        start = match.start(2)
        if start > line_end:  # looked for once a line
            line_end = text.find("\n", start)
            line_end = len(text) if line_end < 0 else line_end
        end = _closing(text, start, line_end, match[2])
        undone = match[1].lower() not in ("reapply", "reapplies") and not _INNER.match(text, start + 1, end)
        titles.append(Title(start, end, undone))
    return titles


def _closing(text: str, start: int, line_end: int, mark: str) -> int:
    """Where the quotation that starts at *start* ends, at *line_end* at the latest: it may hold quotes of its own."""
    wanted = "“”" if mark == "“" else mark
    depth, last = 0, line_end
    for quote in _MARKS.finditer(text, start, line_end):
        if quote[0] not in wanted:
            continue
        opens = _opens(text, quote.start(), start)
        depth += 1 if opens else -1
        last = quote.end()
        if depth <= 0:
            return last
    return last if depth <= 0 else line_end


def _opens(text: str, place: int, start: int) -> bool:
    """Whether the quotation mark at *place* opens: nothing, a blank or a bracket stands before it."""
    return place == start or text[place] == "“" or (text[place] != "”" and text[place - 1] in ' \t([{"“')


def quotations(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """What stands between quotation marks on one line."""
    return [match.span() for match in _QUOTED.finditer(text, begin, end)]
