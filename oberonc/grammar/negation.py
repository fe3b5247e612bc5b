"""Negation before a verb: bound to it through a few words that add nothing, or in its
subject.
"""

from itertools import pairwise
from typing import Final

from oberonc.grammar.tables import Tables, word_set

#: Words that may stand between a negator and its verb.
FILLERS: Final = word_set(
    "really yet even to be been being quite always itself attempt attempts try tries tried trying"
    " meant going gonna wanna having able also longer ever again anymore still do does did it will would have has had"
    " actually truly all completely help helps at here near way point circumstances means account"
)
#: Words that may stand between a negator and `to fix`, besides.
_INFINITIVE: Final = FILLERS | word_set(
    "a an the any in way enough sufficient time how intended intend intends intention supposed"
    " expected designed aim aims aimed sure clear possible ready want wants wanted need needs needed"
    " plan plans planned hope reason chance allowed allow allows enable required necessary know known"
    " good right proper correct best better great nice ideal real complete full viable sane safe clean"
    " appropriate idea approach solution method patch change thing place used worth us we you anyone one"
    " manage manages managed managing"
)
#: Who does nothing: `none of these changes`, `no part of this`, `not one of them`.
_NOBODY: Final = word_set("none neither nor nothing nobody no")
_HARDLY: Final = word_set("not hardly barely scarcely")
_ANY: Final = word_set("one all every everything any each a many much")
#: The words in which a message speaks of itself and its parts.
_ITS_PARTS: Final = word_set(
    "of in the this that these those it them here there two three both above one all any every each a single other"
    " my our last first second part parts piece pieces bit bits line lines thing things hunk hunks file files set"
    " change changes commit commits patch patches pr prs mr mrs branch series work code fix fixes version release"
    " so far alone yet about itself"
)
#: Of those, what `no` may stand before.
_PARTS: Final = word_set(
    "one part piece bit line thing hunk file change commit patch pr mr work code fix fixes commits patches changes"
)
#: What may stand between `no` and the rest: `under no circumstances`.
NO_WAY: Final = word_set(
    "way point circumstance circumstances means account condition conditions case event time"
)
#: After "not" these say that the commit does more, not less.
_NO_NEGATION: Final = frozenset({"only", "merely", "simply", "solely"})
AUXILIARIES: Final = word_set(
    "will would can could may might shall should must do does did has have had is was are were am be been"
)


def negated(_verb: str, clause: list[str], tables: Tables) -> str | None:
    """The negation the verb is bound to, through a few words that add nothing."""
    infinitive = "to" in clause[:2]
    fillers, reach = (_INFINITIVE, 6) if infinitive else (FILLERS, 3)
    skipped = _coordinated(clause, tables)
    for place, word in enumerate(clause[skipped : skipped + reach + 1], skipped):
        if negates(word, tables):
            # "closed or not fixes"
            alternative = clause[place + 1 : place + 2] == ["or"]
            return None if alternative and word == "not" else f"negated by '{word}'"
        if word not in fillers and not is_adverb(word):
            return None
    return None


def by_nobody(_verb: str, clause: list[str], _tables: Tables) -> str | None:
    """`None of these changes fixes`: the negation is in the subject."""
    after = ""
    for word, before in pairwise([*clause, ""]):
        denies = (
            (word in _NOBODY and (word != "no" or after in _PARTS))
            or (word in _HARDLY and after in _ANY)
            or (word in ("few", "little") and after == "of" and before != "a")
        )
        if denies:
            return f"negated by '{word} {after}'".replace(" '", "'")
        if word not in _ITS_PARTS and word not in AUXILIARIES:
            return None
        after = word
    return None


def negates(word: str, tables: Tables) -> bool:
    """Whether *word* says no."""
    return word in tables.negators or word.endswith("n't")


def _coordinated(clause: list[str], tables: Tables) -> int:
    """How many words to pass over for verbs the negation covers too: `does not close or
    fix`.
    """
    place = 0
    while (
        clause[place : place + 1]
        and clause[place] in ("or", "and")
        and len(clause) > place + 1
    ):
        if tables.verbs.known.get(clause[place + 1]) is None:
            break
        place += 2
    return place


def is_adverb(word: str) -> bool:
    """Whether *word* says how, and no more."""
    return word.endswith("ly") and word not in _NO_NEGATION
