"""What is said after a number and takes the verb's force away: `Fix #1 (partial)`,
`Closing #1 was a mistake`.

Every pattern is read at one place: in what follows a reference on its line, a few words
long, its blanks made single.
"""

import re
from typing import Final, NamedTuple

from oberonc.grammar.tables import alternatives

#: Where a clause is over: what ends it, or parts it from the next.
END: Final = r"[ ]?(?=\Z|[.,;:!?)\]\n*_|(–—]|-[ -]|and\b|but\b)"
#: What may stand between a number and what is said of it.
_JOINT: Final = r"[ ]?[,;:(–—-]?[ ]?"

_NUMBER: Final = r"(?:[0-9]{1,2}|one|two|three|i{1,3}|[a-c])"
_PARTIALLY: Final = (
    r"(?:(?:(?:but|only|just|at least|so far|for now|for the time being)[ ]){0,3}(?:"
    + alternatives(
        "partial",
        "partially, (?:partial(?:ly)?|incomplete) (?:fix(?:ed)?|solution|support|implementation|only|done), partly",
        "in parts?, mostly, almost, nearly, half, halfway, half(?: |-)way, incomplete, incompletely, somewhat",
        "for the most part, kind of, sort of, more or less, in (?:some|most|many|certain|a few) cases, largely",
        "to some (?:extent|degree), (?:the )?(?:first|1st|second|2nd|third|3rd|another|one) (?:part|half|step)",
        "(?:not|isn't) (?:quite |yet |really )?(?:fully|completely|entirely|wholly|totally|complete|finished|done)",
        r"w\.?i\.?p\.?, work in progress, unfinished, to be continued, more to (?:come|follow|do)",
    )
    + rf"|(?:part|pt\.?|step|phase)[ ]?{_NUMBER}(?:[ ]?(?:/|of)[ ]?{_NUMBER})?"
    + r"|[0-9]{1,2}[ ]?(?:/|of)[ ]?[0-9]{1,2}))"
)
#: In brackets a remark may follow; without them nothing may: `Fix #1 - Partial refresh
#: is slow` is a title.
_PARTIAL: Final = re.compile(
    rf"[*_~]{{0,3}}(?:[ ]?[(\[{{][ ]?({_PARTIALLY})(?![\w-])[ ]?"
    rf"(?:(?:[,;.:–—-]|(?:for|of|only|so far|but|at|in|on)\b)[^()\[\]\n]{{0,60}})?[)\]}}]"
    rf"|[ ]?[,;:–—-]?[ ]?(?:and[ ])?({_PARTIALLY}){END})",
    re.IGNORECASE,
)
_AS_WELL: Final = alternatives(
    "too, as well, also, now, already, yet, then, completely, properly, fully, or not, at all, for good, finally, here",
    "again, maybe, perhaps, right, correct, correctly, ok, yes, no, anyway, by (?:it|this|that|accident)",
)
#: A question mark right after the number, or after a few words that add nothing.
_QUESTION: Final = re.compile(
    rf"[ ]?,?[ ]?[(\[]?(?:{_AS_WELL}[ ]?,?[ ]?){{0,3}}[)*_]{{0,3}}[?？؟]",
    re.IGNORECASE,
)
_LATER_ON: Final = alternatives(
    "later, later on, next, soon, tomorrow, afterwards, separately, elsewhere, some ?day, one day",
    "(?:at )?(?:some other|another) (?:day|time), next (?:week|month|time|year|sprint|release|version|step)",
)
_OTHER_CHANGE: Final = (
    r"(?:later|future|separate|subsequent|next|upcoming|following|different|another|other|second)[ ]"
    r"(?:commits?|patch(?:es)?|prs?|mrs?|releases?|versions?|(?:pull|merge) requests?|sprint|week|month|branch|change)"
)
_LATER: Final = re.compile(
    rf"{_JOINT}(?:{_LATER_ON}{END}"
    rf"|(?:in|as|with|by)[ ](?:(?:an?|the|my|our|some|one of the)[ ])?(?:follow[ -]?ups?|{_OTHER_CHANGE})"
    r"(?:[ ]later)?(?![\w-]))",
    re.IGNORECASE,
)
_MISTAKE: Final = re.compile(
    rf"{_JOINT}(?:"
    + alternatives(
        "(?:by|in) (?:mistake|accident|error), by hand, by themselves, on their own"
    )
    + r"(?![\w-])|"
    + alternatives(
        "manually, too early, too soon, prematurely, accidentally, mistakenly, wrongly, erroneously, incorrectly",
        "unintentionally, (?:was|were|is) (?:a (?:mistake|bad idea)|wrong|premature)",
    )
    + rf"{END})",
    re.IGNORECASE,
)
_ADVERBS: Final = alternatives(
    "also, still, now, just, really, probably, properly, completely, alone, today, yesterday, here, there, then, only",
    "first, so early",
)
_VERBS: Final = alternatives(
    "is, was, are, were, will, would, can, could, cannot, should, may, might, must, has, had, have, does, did, do",
    "isn't, wasn't, won't, wouldn't, can't, couldn't, doesn't, didn't, hasn't, needs?, needed, requires?, required",
    "broke, breaks, made, makes, caused, causes, introduced, introduces, leads?, led, turned, turns, proved, proves",
    "seems?, seemed, looks?, looked, took, takes, depends, became, becomes, remains?, involves, means, meant, failed",
    "fails, helped, helps, resulted, results, revealed, reveals, uncovered, allowed, allows, got, gets",
    "harder, easier, simpler, impossible, possible, difficult, trivial",
)
#: A gerund with its number is the subject: `Closing #1 was a mistake`.
_GERUND_IS: Final = re.compile(
    rf"[ ](?:{_ADVERBS}[ ]){{0,2}}{_VERBS}(?!\w)", re.IGNORECASE
)
_FIX_WAS: Final = re.compile(
    r"[ ]"
    + alternatives(
        "was, were, wasn't, broke, caused, introduced, did, didn't, had, led, turned out",
        "is (?:wrong|incomplete|broken|insufficient|not (?:enough|sufficient|complete))",
    )
    + r"(?!\w)",
    re.IGNORECASE,
)


#: Characters looked at after a reference.
_WINDOW: Final = 120
_BLANKS: Final = re.compile(r"[^\S\n]+")


class Loss(NamedTuple):
    """Why a verb does not act, said after its number; and whether of the last number of
    the list alone.
    """

    why: str
    last: bool = False


def following(text: str, place: int) -> str:
    """What follows *place* on its line, up to some words of it, with single blanks;
    empty where nothing is said.
    """
    after = text[place : place + _WINDOW].partition("\n")[0]
    return "" if not after or after.isspace() else _BLANKS.sub(" ", after)


def loss_after(after: str, verb: str, *, heads: bool) -> Loss | None:
    """What takes the force of *verb* away in the text that follows its reference.

    *heads* says that the verb begins its clause.
    """
    partial = _PARTIAL.match(after)
    if partial:
        return Loss(
            f"only '{_plain(partial[1] or partial[2])}'", last=partial[1] is not None
        )
    if _QUESTION.match(after):
        return Loss("a question")
    for pattern, why in ((_MISTAKE, "takes it back"), (_LATER, "puts it off")):
        found = pattern.match(after)
        if found:
            return Loss(f"'{_plain(found[0])}' {why}")
    predicate = predicate_after(after, verb) if heads else ""
    return Loss(f"'{verb} ... {predicate}' tells of it") if predicate else None


def predicate_after(after: str, verb: str) -> str:
    """What a sentence says of fixing, whose subject *verb* is, in the text that follows
    its reference; or nothing.
    """
    pattern = (
        _GERUND_IS if verb.endswith("ing") else _FIX_WAS if verb == "fix" else None
    )
    found = pattern.match(after) if pattern else None
    return _plain(found[0]) if found else ""


def _plain(words: str) -> str:
    return " ".join(words.strip(" ,;:(–—-").split())
