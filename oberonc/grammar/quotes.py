"""What stands between quotation marks: words that are quoted are not meant."""

import re
from typing import Final

#: Marks that open and close alike; which they do is told by what stands beside them.
_STRAIGHT: Final = re.compile(r"[\"\n]")
#: An apostrophe opens a quotation only before a word and not inside one, and closes it
#: after one.
_QUOTED: Final = re.compile(
    r"“[^“”\n]*”|„[^„“”\n]*[“”]|«[^«»\n]*»|‘[^‘’\n]*’(?!\w)|(?<![\w'])'(?=\w)[^'\n]*(?<=\S)'(?!\w)"
)


def quotations(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """What stands between quotation marks on one line, in order; none lies in another."""
    found = [match.span() for match in _QUOTED.finditer(text, begin, end)]
    straight = _straight(text, begin, end) if text.find('"', begin, end) >= 0 else []
    return _apart(sorted(found + straight)) if found and straight else found or straight


def _straight(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """Quotations between two `"` of a line; a mark that nothing answers to, as that of
    5", is left out.
    """
    spans: list[tuple[int, int]] = []
    line: list[int] = []
    for match in _STRAIGHT.finditer(text, begin, end):
        if match[0] == '"':
            line.append(match.start())
        elif line:
            spans += _paired(text, line)
            line = []
    return spans + _paired(text, line)


def _paired(text: str, marks: list[int]) -> list[tuple[int, int]]:
    spans, opened, odd = [], -1, len(marks) % 2 == 1
    for place in marks:
        if opened >= 0 and (not odd or can_close(text, place)):
            spans.append((opened, place + 1))
            opened = -1
        elif can_open(text, place) if odd else not text[place - 1 : place].isalnum():
            opened = place
    return spans


def can_open(text: str, place: int) -> bool:
    """Whether the mark at *place* may open: before ink, and not after a word."""
    after = text[place + 1 : place + 2]
    return (
        after != ""
        and not after.isspace()
        and not (place and text[place - 1].isalnum())
    )


def can_close(text: str, place: int) -> bool:
    """Whether the mark at *place* may close: after ink."""
    return place > 0 and not text[place - 1].isspace()


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    apart: list[tuple[int, int]] = []
    for start, end in spans:
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart
