"""Stretches of a message in which no verb acts: reverted titles, undone descriptions,
open tasks, struck-out text.

Found once for a message, by passes over its lines; none of them looks at a place more
than a few times.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from oberonc.grammar.tables import alternatives

_UNDO: Final = alternatives(
    "revert(?:s|ed|ing)?, undo(?:es|ne|ing)?, undid, roll(?:s|ed|ing)?(?: |-)?back, back(?:s|ed|ing)?(?: |-)?out",
    "unappl(?:y|ies|ied)",
)
_REVERT: Final = re.compile(
    rf"(?<![\w-])({_UNDO}|reapply|reapplies)[: ][^\S\n]*([\"“'])", re.IGNORECASE
)
_REVERT_SUBJECT: Final = re.compile(
    rf"\s*(?:{_UNDO})(?:(?:\([^()\n]{{0,100}}\))?!?:|[ \t]+\[[^\]\n]{{1,40}}\])[^\n]*",
    re.IGNORECASE,
)
#: A commit that is undone, by what names it, and the bracket or mark behind which its
#: title stands.
_UNDONE: Final = re.compile(
    rf"(?<![\w-])(?:{_UNDO})(?:[ \t]+of)?(?:[ \t]+the)?"
    r"(?:[ \t]+(?:cls?|changesets?|commits?|revisions?|rev|changes?|patch|pr|mr|(?:pull|merge)[ \t]request))?"
    r"[ \t]+(?:[r#!]?[0-9]{1,10}|[0-9a-f]{7,64})(?:[ \t]*/[ \t]*[0-9a-f]{6,64})?[ \t]*(?=[(\[:\"“'])",
    re.IGNORECASE,
)
_BRACKETS: Final = re.compile(r"[()\[\]]")
_MARKS: Final = re.compile(r"[\"“”']")
_INNER: Final = re.compile(rf"\s*[\"“]?(?:{_UNDO}|reapply)", re.IGNORECASE)

#: What quotes the whole message of the change that is undone.
_ORIGINAL: Final = re.compile(
    r"^[ \t]*«{1,3}[ \t]*original\b[^\n]*$", re.IGNORECASE | re.MULTILINE
)
_ORIGINAL_END: Final = re.compile(r"^[ \t]*»{1,3}[ \t]*$", re.MULTILINE)
_ORIGINAL_HEAD: Final = re.compile(
    r"^[^\w\n]{0,9}(?:the )?original (?:(?:cl|change|commit|issue|patch|pr)(?:['’]?s)? )?"
    r"(?:description|message|log|text)(?: was| follows| below)?[^\w\n]{0,9}$",
    re.IGNORECASE | re.MULTILINE,
)
_UNDOING_SUBJECT: Final = re.compile(
    rf"\s*(?:\[[^\]\n]{{0,40}}\][ \t]*|[\w./-]{{1,40}}:[ \t]+){{0,3}}(?:this[ \t]+)?(?:{_UNDO})\b",
    re.IGNORECASE,
)

_BULLET: Final = r"(?:[-*+•][ \t]+|[0-9]{1,3}[.)][ \t]+)"
_OPEN_BOX: Final = re.compile(
    rf"^[ \t]*{_BULLET}?(?:\[[ \t\u00a0]?\]|[☐□⬜])[^\n]*", re.MULTILINE
)
_ITEM: Final = re.compile(rf"[ \t]*{_BULLET}")
#: Words of a heading or a label that says: not done, or not all of it.
_OPEN: Final = (
    r"(?:(?:still|things|items|left|what['’]?s|remaining|also|open|known|more)[ \t]+){0,2}"
    + alternatives(
        "to-?dos?, to do, fixme, xxx, tbd, wip, draft, work in progress, next steps?, next up, pending, planned, later",
        "remaining(?: (?:work|issues|tasks|items))?, follow(?: |-)?ups?, future work, unresolved, unfixed",
        "open (?:issues|questions|tasks|items|points), still (?:open|missing|broken|left)",
        "not (?:yet|done|fixed|finished|included|covered|addressed|in scope)(?: yet)?",
        "out of scope, deferred, postponed, skipped, blocked, won't do",
        "known (?:issues|bugs|problems|limitations)",
    )
    + r"(?:[ \t]+(?:list|items?|left|next|first|by me))?"
)
_PARTIAL: Final = (
    r"(?:only[ \t]+)?(?:partial(?:ly)?(?:[ ]fix)?|partly|in part|incomplete|part[ ][0-9]{1,2}"
    r"(?:[ ]?(?:/|of)[ ]?[0-9]{1,2})?|(?:first|second|third|one|another)[ ](?:part|half))"
)
#: What has to be in a message for a label to be in it, in lower case; quickly said of
#: most messages.
_LABEL_HINT: Final = re.compile(
    r"(?:to(?: |-)?do|fixme|xxx|tbd|wip|draft|work in|next|remaining|pending|planned|later|follow|future|unresolved"
    r"|unfixed|out of|deferred|postponed|skipped|blocked|won|known |open |not |still "
    r"|partial|partly|part |incomplete|first |second |third |another |one |half)"
    rf"[^\n:\])–—-]{{0,60}}(?:[:\])–—-]|\n(?:[ \t]*\n)?[ \t]*{_BULLET})"
)
_LABEL: Final = re.compile(
    rf"(?:(^[ \t]*(?:(?:[-*+•>#/;%]+|[0-9]{{1,3}}[.)])[ \t]+)?)|[.;!?,–—][ \t]+|(?<!\w)(?=[(\[@]))"
    rf"[(\[@]?[*_]{{0,3}}"
    rf"(?:({_OPEN})|({_PARTIAL}))[*_]{{0,3}}(?:\([^()\n]{{1,40}}\))?[*_]{{0,3}}"
    rf"[ \t]*(?:[:\])][:*_]{{0,4}}|([–—-])(?=[ \t])|(?=\n(?:[ \t]*\n)?[ \t]*{_BULLET}))",
    re.IGNORECASE | re.MULTILINE,
)
#: Where what a label says ends: with its sentence, its bracket, its line.
_LABEL_END: Final = re.compile(r"[.!?;](?=\s)|\n|\)(?![\w(])")
_STRUCK: Final = re.compile(
    r"(?<![\w~])(~{1,2})(?=[^\s~])[^~\n]*(?<=[^\s~])\1(?![\w~])"
)


#: Why a verb in text that a commit undoes does not act; and in text that it brings
#: back.
REVERTED: Final = "in a reverted title"
UNDONE: Final = (
    REVERTED,
    "in the title of an undone change",
    "in the description of an undone change",
)
REAPPLIED: Final = "in a reapplied title"


class Stretch(NamedTuple):
    """Text whose verbs do not act. `undone` is whether what it says held once and no
    longer does.
    """

    start: int
    end: int
    why: str
    undone: bool = False

    @property
    def is_title(self) -> bool:
        """Whether it is the title of another commit, quoted or not."""
        return "title" in self.why


class Stretches:
    """The stretches of a message; they are looked for when the first verb asks, which
    most messages do not have.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0
        self._found: list[Stretch] | None = None

    def at(self, place: int) -> Stretch | None:
        """The stretch around *place*."""
        if self._found is None:
            self._found = find_stretches(self.text)
            self.steps = len(self.text)
        index = bisect_right(self._found, place, key=_start_of) - 1
        return (
            self._found[index]
            if index >= 0 and place < self._found[index].end
            else None
        )


def _start_of(stretch: Stretch) -> int:
    return stretch.start


def find_stretches(text: str) -> list[Stretch]:
    """The stretches of *text*, in order; none meets another."""
    lowered = text.lower()
    found: list[Stretch] = []
    if any(
        word in lowered
        for word in ("revert", "reappl", "back", "undo", "undid", "unappl")
    ):
        found += _reverted_titles(text)
        found += _undone_changes(text)
    if "original" in lowered:
        found += _undone_descriptions(text)
    if "[" in text or "☐" in text or "□" in text or "⬜" in text:
        found += [
            Stretch(box.start(), box.end(), "in an open box")
            for box in _OPEN_BOX.finditer(text)
        ]
    if _LABEL_HINT.search(lowered):
        found += _labelled(text)
    if "~" in text:
        found += [
            Stretch(match.start(), match.end(), "struck out")
            for match in _STRUCK.finditer(text)
        ]
    return _apart(found)


def _apart(stretches: list[Stretch]) -> list[Stretch]:
    """*stretches* in order, each without what lies in the one before it."""
    apart: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: (each.start, -each.end)):
        if apart and stretch.start < apart[-1].end:
            if stretch.end <= apart[-1].end:
                continue
            stretch = stretch._replace(start=apart[-1].end)
        apart.append(stretch)
    return apart


# What is undone


def _reverted_titles(text: str) -> Iterator[Stretch]:
    """The titles that the lines of *text* revert or reapply."""
    subject = _REVERT_SUBJECT.match(text)
    reached = line_end = -1
    if subject:
        reached = subject.end()
        yield Stretch(subject.start(), subject.end(), REVERTED, undone=True)
    for match in _REVERT.finditer(text):
        if match.start() < reached:
            continue  # a revert of a revert: its title is told by the first
        start = match.start(2)
        if start > line_end:  # looked for once a line
            line_end = _line_end(text, start)
        reached = _closing(text, start, line_end, match[2])
        again = match[1].lower().startswith("reappl") or _INNER.match(
            text, start + 1, reached
        )
        yield Stretch(
            start, reached, REAPPLIED if again else REVERTED, undone=not again
        )


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _closing(text: str, start: int, line_end: int, mark: str) -> int:
    """Where the quotation that starts at *start* ends, at *line_end* at the latest: it
    may hold quotes of its own.
    """
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
    """Whether the quotation mark at *place* opens: nothing, a blank or a bracket stands
    before it.
    """
    return (
        place == start
        or text[place] == "“"
        or (text[place] != "”" and text[place - 1] in ' \t([{"“')
    )


def _undone_changes(text: str) -> Iterator[Stretch]:
    """What stands in brackets or behind a colon after the number of a change that is
    undone: its title.
    """
    reached = line_end = -1
    for match in _UNDONE.finditer(text):
        start = match.end()
        if start < reached:
            continue
        if start > line_end:
            line_end = _line_end(text, start)
        mark = text[start]
        reached = line_end
        if mark in "([":
            reached = _bracket_end(text, start, line_end)
        elif mark != ":":
            reached = _closing(text, start, line_end, mark)
        yield Stretch(start, reached, UNDONE[1], undone=True)


def _bracket_end(text: str, start: int, line_end: int) -> int:
    """Where the bracket at *start* is closed, at *line_end* at the latest."""
    depth = 0
    for bracket in _BRACKETS.finditer(text, start, line_end):
        depth += 1 if bracket[0] in "([" else -1
        if depth == 0:
            return bracket.end()
    return line_end


def _undone_descriptions(text: str) -> Iterator[Stretch]:
    """The message of the change that is undone, where all of it is quoted."""
    head = _ORIGINAL.search(text) or (
        _UNDOING_SUBJECT.match(text) and _ORIGINAL_HEAD.search(text)
    )
    if head:
        end = _ORIGINAL_END.search(text, head.end())
        yield Stretch(
            head.start(), end.end() if end else len(text), UNDONE[2], undone=True
        )


# What is not done yet


def _labelled(text: str) -> Iterator[Stretch]:
    """What a label or a heading says is open, or done in part: to the end of its
    sentence, or of its list.
    """
    reached = 0
    for label in _LABEL.finditer(text):
        if label.start() < reached or (label[4] and label[1] is None):
            continue
        end = _LABEL_END.search(text, label.end())
        reached = end.start() if end else len(text)
        if (
            text[reached : reached + 1] == "\n"
            and not text[label.end() : reached].strip()
        ):
            reached = _list_end(text, reached)
        word = " ".join((label[2] or label[3]).split())
        yield Stretch(
            label.start(), reached, f"only '{word}'" if label[3] else f"after '{word}'"
        )


def _list_end(text: str, place: int) -> int:
    """Where the list that follows the heading whose line ends at *place* ends; a blank
    line may part them.
    """
    reached = place
    begin = place + 1
    if text[begin : _line_end(text, begin)].strip() == "":
        begin = _line_end(text, begin) + 1
    while begin < len(text):
        end = _line_end(text, begin)
        goes_on = (
            reached > place
            and text[begin : begin + 1] in (" ", "\t")
            and not text[begin:end].isspace()
        )
        if not (goes_on or _ITEM.match(text, begin, end)):
            break
        reached, begin = end, end + 1
    return reached
