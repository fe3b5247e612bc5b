"""The look-back from a reference to its verb, over a gap and perhaps a noun."""

from typing import Final, NamedTuple

from oberonc.grammar.items import Item
from oberonc.grammar.lists import goes_on
from oberonc.grammar.tables import Tables, fold, word_set
from oberonc.grammar.tokens import BLANK, NEWLINE, Gap, Tokens

QUOTES: Final = frozenset("\"'“”„‘’`«»")
#: Words between a verb and a noun, or the first of two numbers, that add nothing.
_DETERMINERS: Final = word_set("the this these that those our my both all following")
_BOTH: Final = frozenset({"both"})
#: What a number does whose bug is another.
_CAUSES: Final = word_set(
    "introduced introduces caused causes created creates brought left added exposed revealed uncovered made had has"
)
_LEFT: Final = frozenset("([{,;:!?.*_~|–—…\ufeff") | QUOTES


class Verb(NamedTuple):
    """A verb, or the head of a trailer, found before a reference."""

    action: str
    phrase: str
    first: int
    start: int
    gap: Gap
    trailer: bool = False


def verb_before(tokens: Tokens, tables: Tables, item: Item) -> Verb | None:
    """The verb that *item* belongs to; what may take its force away is not judged here."""
    gap = tokens.gap(item.first)
    if gap and not gap.colon and tokens.is_word(gap.place, _BOTH):
        gap = _before(tokens, gap)
    if gap is None:
        return None
    if tokens.is_word(gap.place, tables.nouns) and not _heads_line(tokens, tables, gap):
        verb = _verb_over_noun(tokens, tables, gap, item)
        if verb:
            return verb._replace(gap=gap) if gap.bullet else verb
    verb = _verb(tokens, tables, gap)
    if (
        verb
        and item.bare
        and not (takes_numbers(verb, tables) and _means_number(tokens, tables, item))
    ):
        return None
    return verb


def _verb_over_noun(
    tokens: Tokens, tables: Tables, gap: Gap, item: Item
) -> Verb | None:
    """The verb before the noun at *gap*: `fixes bug #12`, `fixed the issue #12`."""
    further = _before(tokens, gap)
    if further and not further.colon and tokens.is_word(further.place, _DETERMINERS):
        after = tokens.over_blanks(item.after, 1)
        caused = tokens.is_word(after, _CAUSES)  # "fix the bug #12 introduced"
        further = None if caused else _before(tokens, further)
    return _verb(tokens, tables, further) if further else None


def _before(tokens: Tokens, gap: Gap) -> Gap | None:
    """The gap before the word that *gap* follows, wrapped where either is."""
    further = tokens.gap(gap.place)
    if further:
        further.wrapped |= gap.wrapped
    return further


def _heads_line(tokens: Tokens, tables: Tables, gap: Gap) -> bool:
    """Whether the noun before *gap* is the head of a trailer (`Bug: #12`), whatever the
    line above ends with.
    """
    return (
        gap.colon
        and fold(tokens.text(gap.place)) in tables.trailers
        and tokens.begins_line(gap.place)
    )


def takes_numbers(verb: Verb, tables: Tables) -> bool:
    """Whether numbers alone may follow: the trailer names a noun (`Closes-Bug: 12`), or
    the tracker wants it so.
    """
    if verb.trailer:
        return verb.phrase.rpartition("-")[2] in tables.nouns
    return verb.gap.colon and verb.phrase in tables.numbers_after


def _means_number(tokens: Tokens, tables: Tables, item: Item) -> bool:
    """Whether a number alone is an issue's and counts nothing: `Closes: 3 bugs`."""
    return len(item.issue or "") > 3 or not goes_on(tokens, tables, item)


def _verb(tokens: Tokens, tables: Tables, gap: Gap) -> Verb | None:
    found = tokens.phrase(gap.place, tables.verbs)
    if found and (gap.colon or found[0] not in tables.colon_verbs):
        phrase, first = found
        first = _over_alternatives(tokens, tables, first, tables.verbs.known[phrase])
        start = tokens.starts[first] + tokens.lead(first)
        return (
            Verb(tables.verbs.known[phrase], phrase, first, start, gap)
            if _may_follow(tokens, first)
            else None
        )
    head = fold(tokens.text(gap.place))
    if gap.colon and head in tables.trailers and tokens.begins_line(gap.place):
        return Verb(
            tables.trailers[head],
            head,
            gap.place,
            tokens.starts[gap.place],
            gap,
            trailer=True,
        )
    return None


def _over_alternatives(tokens: Tokens, tables: Tables, first: int, action: str) -> int:
    """The first token of `Fixes/Closes/Resolves`, whose last word begins at token
    *first*.
    """
    for _ in range(5):
        before = (
            tokens.phrase(first - 2, tables.verbs)
            if tokens.text(first - 1) == "/"
            else None
        )
        if before is None or tables.verbs.known[before[0]] != action:
            break
        first = before[1]
    return first


def _may_follow(tokens: Tokens, first: int) -> bool:
    """Whether a verb may stand after what is before token *first*; a quotation mark is
    judged later.
    """
    before = (
        tokens.live[tokens.starts[first] - 1 : tokens.starts[first]] if first else ""
    )
    if before == "/":  # a quick action: `/close #12`
        return tokens.kind(first - 2) in (0, BLANK, NEWLINE)
    return not before or before.isspace() or before in _LEFT or _is_pictogram(before)


def _is_pictogram(character: str) -> bool:
    """Whether *character* ends a pictogram: `🐛fix #12`."""
    if character.isascii():
        return False
    from unicodedata import category  # rarely needed

    return character == "\ufe0f" or category(character) in ("So", "Sk")
