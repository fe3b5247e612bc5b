"""The look-back from a reference to its verb, over a gap and perhaps a noun."""

from typing import Final, NamedTuple

from oberonc.issues.items import Item
from oberonc.issues.tokens import Gap, Tokens
from oberonc.issues.vocabulary import Tables, fold

QUOTES: Final = frozenset("\"'“”„‘’`«»")
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
    if gap is None:
        return None
    if tokens.is_word(gap.place, tables.nouns) and not _heads_line(tokens, tables, gap):
        further = tokens.gap(gap.place)
        verb = _verb(tokens, tables, further) if further else None
        if verb:
            return verb._replace(gap=gap) if gap.bullet else verb
    verb = _verb(tokens, tables, gap)
    return verb if verb and (not item.bare or _takes_numbers(verb, tables)) else None


def _heads_line(tokens: Tokens, tables: Tables, gap: Gap) -> bool:
    """Whether the noun before *gap* is the head of a trailer (`Bug: #12`), whatever the line above ends with."""
    return gap.colon and fold(tokens.text(gap.place)) in tables.trailers and tokens.begins_line(gap.place)


def _takes_numbers(verb: Verb, tables: Tables) -> bool:
    """Whether a number alone may follow: the trailer itself names a noun (`Closes-Bug: 12`)."""
    return verb.trailer and verb.phrase.rpartition("-")[2] in tables.nouns


def _verb(tokens: Tokens, tables: Tables, gap: Gap) -> Verb | None:
    found = tokens.phrase(gap.place, tables.verbs)
    if found and (gap.colon or found[0] not in tables.colon_verbs):
        phrase, first = found
        start = tokens.starts[first] + tokens.lead(first)
        return Verb(tables.verbs.known[phrase], phrase, first, start, gap) if _may_follow(tokens, first) else None
    head = fold(tokens.text(gap.place))
    if gap.colon and head in tables.trailers and tokens.begins_line(gap.place):
        return Verb(tables.trailers[head], head, gap.place, tokens.starts[gap.place], gap, trailer=True)
    return None


def _may_follow(tokens: Tokens, first: int) -> bool:
    """Whether a verb may stand after what is before token *first*; a quotation mark is judged later."""
    before = tokens.live[tokens.starts[first] - 1 : tokens.starts[first]] if first else ""
    return not before or before.isspace() or before in _LEFT
