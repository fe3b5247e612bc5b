"""What takes the force out of a verb: negation, "partially", gerunds, participles, nouns.

A guard looks at no more than seven words before the verb, in its own clause. What it turns away still
refers to the issue.
"""

from typing import Final

from oberonc.issues.vocabulary import Tables, is_commit, word_set

#: Words that may stand between a negator and its verb.
_FILLERS: Final = word_set(
    "really yet even to be been being quite always itself attempt attempts try tries tried trying"
    " meant going able also longer ever again anymore still do does did it will would have has had"
)
#: Words that may stand between a negator and `to fix`, besides.
_INFINITIVE: Final = _FILLERS | word_set(
    "a an the any in way enough sufficient time how intended intend intends intention supposed"
    " expected designed aim aims aimed sure clear possible ready want wants wanted need needs"
    " plan plans planned hope reason chance allowed"
)
_BEFORE_GERUND: Final = word_set(
    "in before until at for toward towards after without of on while when start starts started"
    " starting continue continues continued continuing step wip from as about"
    " avoid avoids avoided prevent prevents prevented stop stops stopped"
)
#: After "not" these say that the commit does more, not less.
_NO_NEGATION: Final = frozenset({"only", "merely", "simply", "solely"})
_BEFORE_PARTICIPLE: Final = word_set("after the a an already previously recently newly been which that")
_BEFORE_NOUN: Final = word_set(
    "the a an previous original proper earlier prior former old existing initial first last upstream"
    " real correct for before until after since from"
)
_NOUNS: Final = frozenset({"fix", "close", "resolve"})


def guard(verb: str, clause: list[str], tables: Tables) -> str | None:
    """Why *verb* does not act after the words of *clause*, nearest first; None when it does."""
    if not clause:
        return None
    negator = _negator(clause, tables)
    if negator:
        return f"negated by '{negator}'"
    partial = _partial(verb, clause, tables)
    if partial:
        return f"only '{partial}'"
    word = _past_adverbs(clause)
    if _is_noun_like(verb, word):
        return f"'{word} {verb}' tells of it"
    return None


def _negator(clause: list[str], tables: Tables) -> str | None:
    """The negation the verb is bound to, through a few words that add nothing."""
    infinitive = clause[0] == "to"
    fillers, reach = (_INFINITIVE, 6) if infinitive else (_FILLERS, 3)
    for word in clause[: reach + 1]:
        if word in tables.negators or word.endswith("n't"):
            return word
        if word not in fillers and not _is_adverb(word):
            return None
    return None


def _partial(verb: str, clause: list[str], tables: Tables) -> str | None:
    for word in clause[:4]:
        if word in tables.partials or (word == "partial" and verb in _NOUNS):
            return word
        if word not in _FILLERS and not _is_adverb(word):
            return None
    return None


def _is_adverb(word: str) -> bool:
    return word.endswith("ly") and word not in _NO_NEGATION


def _past_adverbs(clause: list[str]) -> str:
    """The nearest word that is no adverb."""
    for word in clause[:3]:
        if not _is_adverb(word) or word in _BEFORE_PARTICIPLE:
            return word
    return ""


def _is_noun_like(verb: str, word: str) -> bool:
    if is_commit(word):
        return True
    if verb.endswith("ing"):
        return word in _BEFORE_GERUND
    if verb.endswith("ed"):
        return word in _BEFORE_PARTICIPLE
    return verb in _NOUNS and word in _BEFORE_NOUN
