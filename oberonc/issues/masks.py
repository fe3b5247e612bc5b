"""Dead text: code, quotes, comments, merge subjects. It is overwritten in place, so no offset moves.

Each kind of dead text is found by one pass over runs or lines; what is opened and never closed is text.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from oberonc.issues.tokens import FILLER


class Span(NamedTuple):
    """A stretch of dead text, and why it is dead."""

    start: int
    end: int
    why: str


_Finder = Callable[[str], list[Span]]

_FENCE: Final = re.compile(r"^[^\S\n]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_TICKS: Final = re.compile(r"`+")
_PARAGRAPH: Final = re.compile(r"\n[^\S\n]*(?=\n)")
_TAG: Final = re.compile(r"<(/?)(code|pre)(?:[ \t][^<>]{0,200})?>", re.IGNORECASE)
_QUOTE: Final = re.compile(r"^[^\S\n]*>[^\n]*", re.MULTILINE)
_ANCHOR: Final = re.compile(r"\]\(#[^\s)]*")
_COMMIT: Final = re.compile(
    r"^[^\S\n]*(?:[-*][^\S\n]+)?fixes:[^\S\n]*(?:commit[^\S\n]+)?[0-9a-f]{7,64}(?!\w)[^\n]*", re.I | re.M
)
_MERGE: Final = re.compile(
    r"(?:Auto(?:matic)? )?(?:merge|merged|merging) "
    r"(?:(?:pull request|pull|pr|branch|branches|tag|tags|commit|remote|remote-tracking|merge request|in|of)\b|[#\"'“]"
    r")"
    r"|Merge \S{1,100} into |See merge request ",
    re.IGNORECASE,
)
_NUMBERED: Final = re.compile(r"Merged PR #?[0-9]{1,10}:", re.IGNORECASE)
_SUBJECT: Final = re.compile(r"\s*([^\n]*)")
_INK: Final = re.compile(r"\S+")


class Masked(NamedTuple):
    """The text with its dead parts overwritten, those parts, and the work it took."""

    live: str
    spans: list[Span]
    steps: int


def mask(text: str, comment_char: str = "", cut: bool = False) -> Masked:
    """*text* with its dead parts overwritten; *cut* says that the end of the text is missing."""
    live, dead, steps = text, list[Span](), 0
    for find in _finders(text, comment_char, cut):
        spans = find(live)
        steps += sum(span.end - span.start for span in spans)
        live = _overwrite(live, spans)
        dead += spans
    dead.sort()
    return Masked(live, dead, steps)


def _finders(text: str, comment_char: str, cut: bool) -> list[_Finder]:
    """The passes this text needs, in the order in which one hides the other."""
    found: list[_Finder] = []
    if comment_char:
        found.append(lambda live: _comment_lines(live, comment_char))
    if "```" in text or "~~~" in text:
        found.append(lambda live: _fences(live, cut))
    if "`" in text:
        found.append(_code_spans)
    if "<" in text:
        found += [_html_comments, _html_code]
    if ">" in text:
        found.append(lambda live: _each(_QUOTE, live, "a quoted line"))
    if "](#" in text:
        found.append(lambda live: _each(_ANCHOR, live, "a link's target"))
    if "ixes:" in text.lower():
        found.append(lambda live: _each(_COMMIT, live, "'Fixes:' with a commit"))
    return [*found, _merge_subject]


def _overwrite(text: str, spans: list[Span]) -> str:
    """*text* with every character of *spans* but white space replaced; spans may lie inside each other."""
    if not spans:
        return text
    parts, done = [], 0
    for start, end, _ in sorted(spans):
        if end <= done:
            continue
        parts.append(text[done:start])
        start = max(start, done)
        parts.append(_INK.sub(_fill, text[start:end]))
        done = end
    return "".join([*parts, text[done:]])


def _fill(match: re.Match[str]) -> str:
    return FILLER * len(match[0])


def _each(pattern: re.Pattern[str], text: str, why: str) -> list[Span]:
    return [Span(match.start(), match.end(), why) for match in pattern.finditer(text)]


def _comment_lines(text: str, comment_char: str) -> list[Span]:
    """In a commit-msg hook: comments, and everything under the scissors line."""
    spans, place = [], 0
    for line in text.split("\n"):
        if line.startswith(comment_char):
            scissors = " >8 " in line and line.strip(comment_char + " ->8") == ""
            spans.append(Span(place, len(text) if scissors else place + len(line), "a comment line"))
            if scissors:
                break
        place += len(line) + 1
    return spans


def _fences(text: str, cut: bool) -> list[Span]:
    """Code fences, each closed by a run at least as long as the one that opened it."""
    lines = list(_FENCE.finditer(text))
    reach = _closers_ahead(lines)
    spans, index = [], 0
    while index < len(lines):
        opener = lines[index]
        is_span = opener[1][0] == "`" and "`" in opener[2]
        closer = 0 if is_span else _closer(lines, index, reach)
        index += 1
        if is_span:
            continue
        if closer:
            spans.append(Span(opener.start(), lines[closer].end(), "a code block"))
            index = closer + 1
        elif cut:
            spans.append(Span(opener.start(), len(text), "a code block"))
            break
    return spans


def _closers_ahead(lines: list[re.Match[str]]) -> list[dict[str, int]]:
    """For each fence line, the longest closing run after it: no search starts that cannot end."""
    ahead: dict[str, int] = {"`": 0, "~": 0}
    reach = []
    for line in reversed(lines):
        reach.append(ahead)
        if not line[2].strip():
            char = line[1][0]
            ahead = {**ahead, char: max(ahead[char], len(line[1]))}
    return reach[::-1]


def _closer(lines: list[re.Match[str]], index: int, reach: list[dict[str, int]]) -> int:
    """The fence line that closes the one at *index*; 0 when there is none."""
    run = lines[index][1]
    if reach[index][run[0]] < len(run):
        return 0
    for place in range(index + 1, len(lines)):
        line = lines[place]
        if line[1][0] == run[0] and len(line[1]) >= len(run) and not line[2].strip():
            return place
    return 0


def _code_spans(text: str) -> list[Span]:
    """Code between runs of equally many back-ticks in one paragraph."""
    runs = list(_TICKS.finditer(text))
    closers = _equal_runs(text, runs)
    spans, index = [], 0
    while index < len(runs):
        closer = closers[index]
        if closer:
            spans.append(Span(runs[index].start(), runs[closer].end(), "code"))
        index = max(index, closer) + 1
    return spans


def _equal_runs(text: str, runs: list[re.Match[str]]) -> list[int]:
    """For each run of back-ticks the next one of its length in its paragraph, or 0."""
    breaks = [match.start() for match in _PARAGRAPH.finditer(text)]
    last: dict[int, int] = {}
    closers = [0] * len(runs)
    for index in range(len(runs) - 1, -1, -1):
        run = runs[index]
        while breaks and breaks[-1] > run.start():
            breaks.pop()
            last = {}
        closers[index] = last.get(len(run[0]) - _escaped(text, run.start()), 0)
        last[len(run[0])] = index
    return closers


def _escaped(text: str, place: int) -> int:
    """1 when the character at *place* has a backslash before it that is not itself escaped."""
    return int(text[max(0, place - 1) : place] == "\\" and text[max(0, place - 2) : place] != "\\\\")


def _html_comments(text: str) -> list[Span]:
    spans, place = [], 0
    while (start := text.find("<!--", place)) >= 0:
        end = text.find("-->", start + 4)
        if end < 0:
            break
        place = end + 3
        spans.append(Span(start, place, "an HTML comment"))
    return spans


def _html_code(text: str) -> list[Span]:
    """`<code>` and `<pre>`, one inside the other too."""
    spans = []
    opened: dict[str, list[int]] = {"code": [], "pre": []}
    for tag in _TAG.finditer(text):
        stack = opened[tag[2].lower()]
        if not tag[1]:
            stack.append(tag.start())
        elif stack:
            spans.append(Span(stack.pop(), tag.end(), "code"))
    return _outermost(spans)


def _outermost(spans: list[Span]) -> list[Span]:
    """*spans* without those that lie inside another, so that a character is dead once."""
    kept: list[Span] = []
    for span in sorted(spans):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept


def _merge_subject(text: str) -> list[Span]:
    subject = _SUBJECT.match(text)
    numbered = _NUMBERED.match(subject[1]) if subject else None
    if subject and numbered:
        # What follows is the pull request's own title, and as alive as any.
        return [Span(subject.start(1), subject.start(1) + numbered.end(), "the number of a pull request")]
    if subject and _MERGE.match(subject[1]):
        return [Span(subject.start(1), subject.end(1), "the subject of a merge")]
    return []
