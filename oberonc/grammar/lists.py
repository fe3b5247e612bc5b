"""Lists of references: what separates their items, and how to tell that an item has
left.
"""

import re
from bisect import bisect_left
from typing import Final

from oberonc.grammar.items import Item
from oberonc.grammar.tables import Tables, alternatives, fold, word_set
from oberonc.grammar.tails import END, following
from oberonc.grammar.tokens import BLANK, BULLETS, NEWLINE, OTHER, WORD, Tokens

_TAIL: Final = word_set(
    "is are was were be isn aren wasn weren remain remains remained still need needs needed not stay"
    " stays will would should must may might can cannot could has have had does do did doesn don didn"
    " pending"
)
_PLURAL: Final = word_set("are were remain need stay have")
#: What a sentence says of a later item, besides: `#2 more on the way`, `#2 (pending)`,
#: `#2: next week`.
_SAID: Final = re.compile(
    r"[ ]?[:(\[–—-]?[ ]?(?:"
    + alternatives(
        "also, still, just, now, probably, currently, already, only, maybe, perhaps, will, soon"
    )
    + r"[ ]){0,2}(?:"
    + alternatives(
        "more (?:on|to|work|in|later|is|are|coming), to (?:follow|come|do|be|go), to-?do, soon, coming, comes?",
        "follows?, tbd, wip, in progress, on the way, on (?:its|their) way, under ?way, pending, needs?, untouched",
        "unresolved, unfixed, unclear, blocked, waiting, awaits",
        "awaiting, already, maybe, perhaps, requires?, depends, goes",
        "gets?, seems?, looks?, appears?, keeps?, persists?, stays?, asks?, says?, describes?, reports?, explains?",
        "shows?, covers?, tracks?, mentions?, wants?",
        "adds?, isn't, for (?:later|now|next|another), separately, tomorrow",
        "(?:in|for) (?:a|the|my|our|another) (?:follow(?: |-)?ups?|next|separate|later|future), elsewhere",
        "next (?:week|month|time|year|release|version)",
    )
    + rf"|(?:more|open|half|left|next|later){END})(?![\w-])",
    re.IGNORECASE,
)
#: What is said of one item, which its list goes on after: `#12 (crash), #13 (leak)`.
_REMARK: Final = re.compile(r"[^\S\n]?(?:\([^()\n]{1,80}\)|\[[^\[\]\n]{1,80}\])")
#: The same of an item in a list of bullets: `- #12: crash`.
_TO_BULLET: Final = re.compile(
    r"[^\S\n]?[:–—-][^\n]{1,120}(?=\n[^\S\n]{0,8}[-*+•][^\S\n])"
)
#: Tokens that the longest separator has: `,` newline `and` newline, with their blanks.
_LONGEST: Final = 8


def separator_before(
    tokens: Tokens, tables: Tables, after: int, item: Item, bullet: bool
) -> str | None:
    """What separates *item* from the list that ended at token *after*: a mark, or an
    empty string for blanks.

    None when it is no separator. *bullet* says that the list is one of bullets.
    """
    end = _noun_before(tokens, tables, item)
    after = tokens.over_emphasis(after, 1)
    mark = tokens.over_blanks(after, 1)
    if end - mark > _LONGEST or end < mark:
        return None
    if mark == end:
        return "" if mark > after else None
    if bullet and is_alone(tokens, item) and over_space(tokens, mark) == end:
        return "\n"  # a line of its own is as good as a bullet
    reached = _over_mark(tokens, tables, mark, mark > after, bullet)
    tokens.steps += reached - after
    return tokens.text(mark) if reached == end and reached > mark else None


def _noun_before(tokens: Tokens, tables: Tables, item: Item) -> int:
    """The first token of *item* with the emphasis and the noun before it."""
    before = tokens.over_emphasis(item.first - 1)
    place = tokens.over_blanks(before)
    has_noun = not item.noun and place < before and tokens.is_word(place, tables.nouns)
    return tokens.over_emphasis(place - 1) + 1 if has_noun else before + 1


def _over_mark(
    tokens: Tokens, tables: Tables, mark: int, spaced: bool, bullet: bool
) -> int:
    """The token after the separator at *mark*; *mark* when there is none."""
    if tokens.kind(mark) == NEWLINE:
        place = over_space(tokens, mark)
        if bullet and tokens.text(place) in BULLETS:
            return over_space(tokens, place + 1)
        wrapped = tokens.text(place) in (",", ";", "&") or _is_joiner(
            tokens, tables, place
        )
        return _over_mark(tokens, tables, place, True, bullet) if wrapped else mark
    if tokens.kind(mark) == OTHER:
        if tokens.text(mark) not in ",;&+/":
            return mark
        place = over_space(tokens, mark + 1)
        if bullet and tokens.text(place) in BULLETS and tokens.begins_line(place):
            return over_space(tokens, place + 1)
        joined = tokens.text(mark) in ",;" and _is_joiner(tokens, tables, place)
        return over_space(tokens, place + 1) if joined else place
    return (
        over_space(tokens, mark + 1)
        if spaced and _is_joiner(tokens, tables, mark)
        else mark
    )


def _is_joiner(tokens: Tokens, tables: Tables, index: int) -> bool:
    return tokens.is_word(index, tables.joiners) or tokens.text(index) == "&"


def over_space(tokens: Tokens, index: int) -> int:
    """The first token from *index* on that is neither blank nor line break."""
    while tokens.kind(index) in (BLANK, NEWLINE):
        index += 1
    return index


def goes_on(tokens: Tokens, tables: Tables, item: Item) -> bool:
    """Whether a sentence goes on after *item*, a number alone: `bug 12, 3 more`."""
    after = tokens.over_blanks(item.after, 1)
    word = fold(tokens.text(after)) if tokens.kind(after) == WORD else ""
    return word.isalpha() and word not in tables.joiners and word != "as"


def is_alone(tokens: Tokens, item: Item) -> bool:
    """Whether *item* has a line of its own."""
    after = tokens.over_blanks(item.after, 1)
    return tokens.begins_line(item.first) and tokens.kind(after) in (0, NEWLINE)


def past_remark(tokens: Tokens, after: int) -> int:
    """The token past what stands in brackets at token *after*; *after* where nothing
    does.
    """
    found = _REMARK.match(tokens.live, tokens.starts[after], tokens.starts[-1])
    return bisect_left(tokens.starts, found.end(), after) if found else after


def past_line(tokens: Tokens, after: int) -> int:
    """The line break after token *after*, where a bullet follows it; else *after*."""
    found = _TO_BULLET.match(tokens.live, tokens.starts[after], tokens.starts[-1])
    return bisect_left(tokens.starts, found.end(), after) if found else after


def is_subject(tokens: Tokens, item: Item, said: int) -> bool:
    """Whether a sentence says something of *item* at token *said*: `#2 is still open`;
    over a line break in lower case only.
    """
    after = over_space(tokens, said)
    wrapped = tokens.kind(after - 1) == NEWLINE or tokens.kind(after - 2) == NEWLINE
    if wrapped and not tokens.text(after)[:1].islower():
        return False
    if after > item.after and tokens.is_word(after, _TAIL):
        return True
    return _SAID.match(following(tokens.live, tokens.starts[said])) is not None


def is_plural(tokens: Tokens, item: Item) -> bool:
    """Whether that sentence speaks of the item before, too: `#2 and #3 are still open`."""
    return tokens.is_word(over_space(tokens, item.after), _PLURAL)
