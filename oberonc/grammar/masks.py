"""Dead text: code, quotes, comments. It is overwritten in place, so no offset moves.

Each kind of dead text is found by one pass over runs or lines; what is opened and never
closed is text.
"""

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Final, NamedTuple

from oberonc.grammar.quotes import can_close, can_open
from oberonc.grammar.tokens import FILLER


class Span(NamedTuple):
    """A stretch of dead text, and why it is dead."""

    start: int
    end: int
    why: str


_Finder = Callable[[str], list[Span]]

_FENCE: Final = re.compile(r"^[^\S\n]*(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_TICKS: Final = re.compile(r"`+")
_APOSTROPHE: Final = re.compile(r"[^\W\d_]`(?:t|s|m|d|re|ll|ve)(?!\w)", re.IGNORECASE)
_PARAGRAPH: Final = re.compile(r"\n[^\S\n]*(?=\n)")
#: HTML whose text is not the author's word for this commit, and why.
_TAGS: Final = {
    **dict.fromkeys(("code", "pre", "samp", "kbd", "tt"), "code"),
    **dict.fromkeys(("blockquote", "q"), "quoted HTML"),
    **dict.fromkeys(("del", "s", "strike"), "struck out"),
}
_TAG: Final = re.compile(
    rf"<(/?)({'|'.join(_TAGS)})(?:\s[^<>]{{0,500}})?>", re.IGNORECASE
)
_QUOTE: Final = re.compile(r"^[^\S\n]*>[^\n]*", re.MULTILINE)
_ANCHOR: Final = re.compile(r"\]\(#[^\s)]*")
_COMMIT: Final = re.compile(
    r"^[^\S\n]*(?:[-*][^\S\n]+)?fixes:[^\S\n]*(?:commit[^\S\n]+)?[0-9a-f]{7,64}(?!\w)[^\n]*",
    re.I | re.M,
)
_MERGE: Final = re.compile(
    r"(?:(?:Auto(?:matic)?|Rollup) )?(?:merge|merged|merging) "
    r"(?:(?:pull request|pull|pr|branch|branches|tag|tags|commit|commits|remote|remote-tracking|merge request|changes"
    r"|in|of #)\b|[#\"'“])"
    r"|Merge \S{1,100} into |See merge request ",
    re.IGNORECASE,
)
_NUMBERED: Final = re.compile(r"Merged PR #?[0-9]{1,10}:", re.IGNORECASE)
_INK: Final = re.compile(r"\S+")


class Masked(NamedTuple):
    """The text with its dead parts overwritten, those parts, and the work it took."""

    live: str
    spans: list[Span]
    steps: int


def mask(text: str, cut: bool = False) -> Masked:
    """*text* with its dead parts overwritten; *cut* says that the end of the text is
    missing.
    """
    live, dead, steps = text, list[Span](), 0
    for find in _finders(text, cut):
        spans = find(live)
        steps += sum(span.end - span.start for span in spans)
        live = _overwrite(live, spans)
        dead += spans
    dead.sort()
    return Masked(live, dead, steps)


def _finders(text: str, cut: bool) -> list[_Finder]:
    """The passes this text needs, in the order in which one hides the other."""
    found: list[_Finder] = []
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
    if "erged pr" in text[:200].lower():
        found.append(_merge_number)
    return found


def _overwrite(text: str, spans: list[Span]) -> str:
    """*text* with every character of *spans* but white space replaced; spans may lie
    inside each other.
    """
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
    """For each fence line, the longest closing run after it: no search starts that
    cannot end.
    """
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
    spans = []
    for runs in _by_paragraph(text):
        closers = _closing_runs(text, runs)
        index = 0
        while index < len(runs):
            closer = closers[index]
            if closer:
                spans.append(Span(runs[index].start(), runs[closer].end(), "code"))
            index = max(index, closer) + 1
    return spans


def _by_paragraph(text: str) -> list[list[re.Match[str]]]:
    """The runs of back-ticks of each paragraph, without those that stand for an
    apostrophe (don`t).
    """
    breaks = [match.start() for match in _PARAGRAPH.finditer(text)]
    paragraphs: dict[int, list[re.Match[str]]] = {}
    for run in _TICKS.finditer(text):
        if not _APOSTROPHE.match(text, max(0, run.start() - 1)):
            paragraphs.setdefault(bisect_left(breaks, run.start()), []).append(run)
    return list(paragraphs.values())


def _closing_runs(text: str, runs: list[re.Match[str]]) -> list[int]:
    """For each of *runs* the next that closes it, or 0.

    Of single back-ticks in odd number one is stray: each pairs with the nearest that
    looks like its answer.
    """
    stray = sum(len(run[0]) == 1 for run in runs) % 2 == 1
    last: dict[int, int] = {}
    closers = [0] * len(runs)
    for index in range(len(runs) - 1, -1, -1):
        place, size = runs[index].start(), len(runs[index][0])
        sided = stray and size == 1
        opens = not sided or can_open(text, place)
        closes = not sided or can_close(text, place)
        if opens:
            closers[index] = last.get(size - _escaped(text, place), 0)
        if closes:
            last[size] = index
        elif opens:
            last.pop(size, None)
    return closers


def _escaped(text: str, place: int) -> int:
    """1 when the character at *place* has a backslash before it that is not itself
    escaped.
    """
    return int(
        text[max(0, place - 1) : place] == "\\"
        and text[max(0, place - 2) : place] != "\\\\"
    )


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
    """Code, quotations and what is struck out, one inside the other too."""
    spans = []
    opened: dict[str, list[int]] = {name: [] for name in _TAGS}
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened[name].append(tag.start())
        elif opened[name]:
            spans.append(Span(opened[name].pop(), tag.end(), _TAGS[name]))
    return _outermost(spans)


def _outermost(spans: list[Span]) -> list[Span]:
    """*spans* without those that lie inside another, so that a character is dead once."""
    kept: list[Span] = []
    for span in sorted(spans):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept


def _merge_number(text: str) -> list[Span]:
    """`Merged PR 12:`; what follows is the pull request's own title, and as alive as
    any.
    """
    start = _first_ink(text)
    numbered = _NUMBERED.match(text, start)
    return (
        [Span(start, numbered.end(), "the number of a pull request")]
        if numbered
        else []
    )


def _first_ink(text: str) -> int:
    return len(text) - len(text.lstrip()) if text[:1].isspace() else 0


def merge_subject(live: str) -> int:
    """Where the subject ends that git or a forge wrote for a merge; 0 when it is no
    such subject.

    A number in it names a branch or a pull request, up to the first verb that changes
    the state of an issue.
    """
    start = _first_ink(live)
    if not _MERGE.match(live, start):
        return 0
    end = live.find("\n", start)
    return len(live) if end < 0 else end
