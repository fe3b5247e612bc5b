"""What is said before a verb and takes its force away: negation, doubt, what is not
done yet, what others do.

A guard looks at no more than seven words before the verb, in its own clause, nearest
first. What it turns away still refers to the issue. Each rule answers with its reason,
or None.
"""

from itertools import pairwise
from typing import Final

from oberonc.grammar.negation import (
    AUXILIARIES,
    FILLERS,
    NO_WAY,
    by_nobody,
    is_adverb,
    negated,
    negates,
)
from oberonc.grammar.tables import Tables, is_commit, word_set

_SMALL: Final = word_set(
    "also really just now then yet still even finally actually already ever again soon once too"
)

_PRONOUNS: Final = word_set("this that it these those we i you he she they one there")
_DETERMINERS: Final = word_set("the a an my our your his their its any some every each")
_CHANGES: Final = word_set(
    "patch patches commit commits change changes pr prs mr fix version release code work"
)
#: Who fixes it when it is somebody else.
_OTHERS: Final = word_set(
    "user users people someone somebody anyone anybody everyone everybody others they he she upstream"
    " maintainer maintainers reviewer reviewers admin admins administrator administrators developer developers"
    " customer customers contributor contributors vendor vendors them him her"
)

#: Half a fix in several words, nearest first.
_PARTLY: Final = (
    ["part", "in"],
    ["of", "sort"],
    ["of", "kind"],
    ["less", "or", "more"],
)
#: Of which change it is said that it fixes, when it is not this one.
_ANOTHER: Final = word_set(
    "next later subsequent future separate another upcoming previous earlier prior"
)

_CONDITIONS: Final = word_set(
    "if whether unless until till when whenever before after assuming provided suppose supposing lest how why who what"
)
#: Conditions whose subject may be any noun: `until mozilla fixes`.
_BINDING: Final = word_set("whether unless until till once")
_DOUBTS: Final = word_set(
    "doubt doubts doubted doubtful unsure unclear unlikely uncertain wonder wonders wondering questionable dubious"
    " wish wishes wished claim claims claimed claiming pretend pretends pretended pretending"
)
_BELIEFS: Final = word_set(
    "think thinks thinking believe believes sure certain convinced confident expect expects guess know knows clear say"
    " tell see obvious feel suppose assume imagine guaranteed look looks seem seems appear appears"
)
_WRONG_BELIEFS: Final = word_set("thought believed assumed hoped guessed")

_NEED: Final = word_set(
    "have has need needs got gotta want wants remains remain left plan plans planning planned todo yet"
    " refuse refuses refused decline declines declined impossible infeasible unfeasible premature pointless unwise"
)
_TODO: Final = word_set("todo todos to-do fixme tbd wip xxx")
_PREPARES: Final = word_set(
    "prerequisite prerequisites precondition preparation preparations prep groundwork step steps progress preliminary"
    " foundation basis start starts started starting begin begins began beginning continue continues scaffolding"
    " prepare prepares prepared preparing requirement requisite needed necessary required help helps helped helping"
    " allow allows allowed allowing enable enables enabled enabling lets letting possible easier harder easy hard"
    " simpler able ready way ways how when where whether what why ability opportunity infrastructure means option"
    " options trying tried attempting attempted"
)
#: Those of them after which somebody else may be named: `allows users to close`.
_LETS: Final = word_set(
    "allow allows allowed allowing enable enables enabled enabling help helps helping lets way ways possible easier"
    " harder easy hard wait waits waited waiting ask asks asked asking tell tells told remind reminds reminder request"
    " requests requested urge urges urged want wants expect force forces require requires need needs"
)
_TRY: Final = word_set("try attempt attempts effort efforts")
_EARLIER: Final = word_set(
    "when while after before failed previous earlier original last wrong prior former first second the old"
    " broken incomplete another bad poor futile abandoned users user"
)
_MEANT: Final = word_set(
    "supposed meant intended designed expected thought believed assumed planned scheduled"
)
_PAST: Final = word_set("was were wasn't weren't been had")

_BEFORE_GERUND: Final = word_set(
    "in before until at for toward towards after without of on while when start starts started"
    " starting continue continues continued continuing step wip from as about"
    " avoid avoids avoided prevent prevents prevented stop stops stopped"
    " make makes made making simplify simplifies simplified ease eases allow allows allowed enable enables enabled"
    " require requires required requiring need needs worth consider considers considered considering suggest suggests"
    " suggested discuss discusses discussed despite undo undoing undoes postpone postpones postponed delay delays"
    " delayed defer defers deferred skip skips skipped propose proposes proposed regarding easier harder help helps"
    " since to helping begin begins began keep keeps kept mind risk risks mention mentions describe describes document"
    " documents"
)
#: What came of a fix, before `by fixing`.
_CAUSED: Final = word_set("broken broke caused introduced regressed triggered")
_BEFORE_PARTICIPLE: Final = word_set(
    "after the a an already previously recently newly been which that had for"
)
_BEFORE_NOUN: Final = word_set(
    "the a an previous original proper earlier prior former old existing initial first last upstream"
    " real correct for before until after since from of awaiting awaits pending mistaken wrong failed broken bad"
    " incomplete needs requires drop drops dropped dropping remove removes removed removing delete deletes deleted"
    " disable disables disabled discard discards discarded in improve improves improved amend amends amended refine"
    " refines refined tweak tweaks tweaked rework reworks reworked simplify simplifies simplified cover covers"
    " covered verify verifies verified document documents documented"
)
#: `PR for fix #1` is the fix itself; `test for fix #1` is not.
_ITSELF: Final = word_set(
    "pr prs mr patch patches commit commits change changes code branch request pull-request"
)
_NOUNS: Final = frozenset({"fix", "close", "resolve"})
_MISTAKES: Final = word_set(
    "accidentally wrongly mistakenly incorrectly erroneously falsely prematurely inadvertently unintentionally"
)
_REMOVALS: Final = word_set(
    "drop drops dropped dropping remove removes removed removing delete deletes deleted deleting undo undoes undid"
    " undone undoing revert reverts reverted reverting rollback rollbacks discard discards discarded disable disables"
    " disabled disabling omit omits omitted strip strips stripped kill kills cancel cancels rid backout"
    " unapply lose loses"
)
#: Two words that take something away: `roll back`, `take out`.
_PAIRS: Final = {
    "back": word_set("roll rolls rolled rolling"),
    "out": word_set(
        "back backs backed backing take takes took taking comment comments commented commenting cut rip throw"
    ),
}


def guard(verb: str, clause: list[str], tables: Tables) -> str | None:
    """Why *verb* does not act after the words of *clause*, nearest first; None when it
    does.
    """
    if not clause:
        return None
    for rule in _RULES:
        found = rule(verb, clause, tables)
        if found:
            return found
    return None


def _partial(verb: str, clause: list[str], tables: Tables) -> str | None:
    for phrase in _PARTLY:
        if clause[: len(phrase)] == phrase:
            return f"only '{' '.join(reversed(phrase))}'"
    for word in clause[:4]:
        if word in tables.partials or (word == "partial" and verb in _NOUNS):
            return f"only '{word}'"
        if word not in FILLERS and not is_adverb(word):
            return None
    return None


def _mistaken(_verb: str, clause: list[str], _tables: Tables) -> str | None:
    found = next((word for word in clause[:3] if word in _MISTAKES), None)
    return f"'{found}' takes it back" if found else None


def _doubted(verb: str, clause: list[str], tables: Tables) -> str | None:
    """`if this fixes`, `until upstream fixes`, `I doubt this fixes`, `I don't think
    that it fixes`.
    """
    infinitive = "to" in clause[:2]
    unknown = determined = 0
    for place, word in enumerate(clause):
        if word in _DOUBTS and any(
            negates(other, tables) for other in clause[place + 1 : place + 3]
        ):
            return None  # "no doubt this fixes"
        if word in _DOUBTS or (word in _WRONG_BELIEFS and place and not infinitive):
            return f"'{word}' doubts it"
        if word in _BELIEFS and any(
            negates(other, tables) for other in clause[place + 1 : place + 4]
        ):
            return f"'{word}', negated, doubts it"
        if word in _CONDITIONS or word in _BINDING:
            bound = (
                word in ("how", "why")
                if place == 0
                else word in _BINDING or not unknown or determined
            )
            return (
                f"'{word}' leaves it open"
                if bound and not (word in _BINDING and place == 1 and unknown > 1)
                else None
            )
        if word in ("case", "soon", "long") and clause[place + 1 : place + 2] in (
            ["in"],
            ["as"],
        ):
            return f"'{word}' leaves it open"
        determined += word in _DETERMINERS
        if _is_light(word) or (
            infinitive
            and word in ("to", "enough", "sufficient", "want", "wants", "need", "needs")
        ):
            continue
        unknown += 1
        if unknown > 1 or infinitive or word.endswith(("ed", "ing")):
            return None
    return None


def _is_light(word: str) -> bool:
    """Whether *word* says little of who does something: pronouns, auxiliaries, adverbs."""
    light = (
        word in _PRONOUNS
        or word in _DETERMINERS
        or word in AUXILIARIES
        or word in _SMALL
        or word in _CHANGES
    )
    return light or word in _OTHERS or is_adverb(word)


def _asked(verb: str, clause: list[str], tables: Tables) -> str | None:
    """`Does this fix #1`, `in no way does this fix #1`: the auxiliary stands before its
    subject.
    """
    words = _without_adverbs(clause)
    if (
        not words
        or verb.endswith("s")
        or words[0] not in _PRONOUNS | _CHANGES | _OTHERS
    ):
        return None
    place = 2 if words[1:2] and words[1] in _DETERMINERS | _PRONOUNS else 1
    auxiliary = words[place] if len(words) > place else ""
    inverted = auxiliary in AUXILIARIES - {"be", "been"} or auxiliary.endswith("n't")
    rest = words[place + 1 :]
    before = rest[0] if rest else ""
    negator = rest[1] if before in NO_WAY and len(rest) > 1 else before
    if inverted and negator and negates(negator, tables):
        return f"negated by '{negator}'"
    return (
        f"'{auxiliary} {words[0]}' asks"
        if inverted and before in ("", "so", "but", "and", "or", "then")
        else None
    )


def _without_adverbs(clause: list[str]) -> list[str]:
    return [word for word in clause if word not in _SMALL and not is_adverb(word)]


def _to_do(verb: str, clause: list[str], _tables: Tables) -> str | None:
    """What stands before `to fix`, and says that it is not done, or not by this."""
    if clause[0] in _TODO:
        return f"'{clause[0]}' is not done yet"
    if clause[0] in ("help", "helps", "helped", "lets"):
        return f"'{clause[0]}' does a part of it"
    if clause[0] in _OTHERS | {"us", "me", "else"} and {"let", "lets", "letting"} & set(
        clause[1:3]
    ):
        return None if clause[:2] == ["us", "let"] else "'let' leaves it to others"
    if clause == ["be", "to"]:
        return "'to be' is not done yet"
    if "to" in clause[:3] and "yet" in clause[1:4]:
        return "'yet to' is not done yet"
    words = _before_infinitive(clause)
    if not words:
        return None
    word = words[0]
    if word in _NEED:
        return f"'{word} to' is not done yet"
    if word in _PREPARES:
        return f"'{word} to' prepares it"
    if word in _TRY and any(other in _EARLIER for other in words[1:3]):
        return f"'{words[1]} {word}' tells of it"
    if word in _MEANT and any(other in _PAST for other in words[1:3]):
        return f"'{word} to' tells of it"
    if is_commit(word) and words[1:2] and words[1] in ("in", "by", "with", "since"):
        return f"'{words[1]} {word}' tells of it"
    helper = next((other for other in words[1:5] if other in _LETS), None)
    if helper and (
        word in _OTHERS | _PRONOUNS | {"us", "me"} or helper in _LETS - _PREPARES
    ):
        return f"'{helper}' leaves it to others"
    return None


def _before_infinitive(clause: list[str]) -> list[str]:
    """The words before the `to` of the verb, without adverbs; empty when it has none."""
    words = _without_adverbs(clause)
    # to be fixed, to have fixed
    while words and words[0] in ("be", "been", "have", "get"):
        words = words[1:]
    return words[1:] if words[:1] == ["to"] else []


def _others(verb: str, clause: list[str], _tables: Tables) -> str | None:
    """`Users can close #1`: what somebody else does, or may do."""
    words = _without_adverbs(clause)
    if not words:
        return None
    place = 1 if words[0] in AUXILIARIES or words[0] == "cannot" else 0
    who = words[place] if len(words) > place else ""
    # not "this one will fix"
    anyone = who == "you" or (who == "one" and len(words) == 2)
    if place and anyone and words[0] not in ("has", "have", "had", "did"):
        return f"'{who} {words[0]}' leaves it to others"
    rest = [
        word
        for word in words[place + 1 :]
        if word not in _DETERMINERS and word not in ("and", "but", "so", "our")
    ]
    if who in _OTHERS and not rest:
        return f"'{who}' leaves it to others"
    carries = who in _CHANGES or (place and who in ("follow-up", "followup"))
    if carries and not verb.endswith("ing"):
        return _by_another(who, rest, bool(place))
    return None


def _by_another(change: str, rest: list[str], helped: bool) -> str | None:
    """`The next commit will fix #1`; *helped* says that an auxiliary follows."""
    if change in ("follow-up", "followup") and not rest:
        return f"'{change}' leaves it to another"
    named = len(rest) == 1 and rest[0] in _ANOTHER
    if named and (helped or change not in ("release", "version")):
        return f"'{rest[0]} {change}' leaves it to another"
    return None


def _conditional(verb: str, clause: list[str], _tables: Tables) -> str | None:
    """`should have fixed #1`."""
    if (
        verb.endswith("ed")
        and clause[0] == "have"
        and clause[1:2]
        and clause[1] in ("should", "would", "could")
    ):
        return f"'{clause[1]} have' did not"
    return None


def _removed(verb: str, clause: list[str], _tables: Tables) -> str | None:
    """`Drop the hunk that fixes #1`, `rollback fix #1`."""
    first, second = clause[0], clause[1] if len(clause) > 1 else ""
    if first in _PAIRS and second in _PAIRS[first]:
        return f"'{second} {first}' undoes it"
    if first == "of" and second in _REMOVALS | {"reversal", "reversion", "removal"}:
        return f"'{second} of' undoes it"
    words = _without_adverbs(clause)
    while words and words[0] in ("has", "had", "have"):
        words = words[1:]
    if words[:1] not in (["that"], ["which"], ["what"]):
        return None
    for word, before in pairwise([*words[1:], ""]):
        if word in _REMOVALS or (word in _PAIRS and before in _PAIRS[word]):
            return f"'{word}' takes it out"
    return None


def _told(verb: str, clause: list[str], _tables: Tables) -> str | None:
    """Gerunds, participles and nouns that tell of a fix: `before fixing`, `already
    fixed`, `the fix`.
    """
    word = _past_adverbs(clause)
    if is_commit(word):
        tells = True
    elif verb.endswith("ing"):
        caused = word == "by" and bool(_CAUSED & set(clause[1:2]))
        tells = caused or word in _BEFORE_GERUND
    elif verb.endswith("ed"):
        tells = word in _BEFORE_PARTICIPLE
    else:
        tells = (
            verb in _NOUNS
            and word in _BEFORE_NOUN
            and not (word == "for" and clause[1:2] and clause[1] in _ITSELF)
        )
    return f"'{word} {verb}' tells of it" if tells else None


def _past_adverbs(clause: list[str]) -> str:
    """The nearest word that is no adverb."""
    for word in clause[:3]:
        if not is_adverb(word) or word in _BEFORE_PARTICIPLE:
            return word
    return ""


_RULES: Final = (
    *(
        negated,
        by_nobody,
        _partial,
        _mistaken,
        _told,
        _removed,
        _asked,
        _doubted,
        _to_do,
        _conditional,
        _others,
    ),
)


# A verb at the end of a line


#: What may stand before a verb whose number is on the next line.
_SUBJECTS: Final = (
    _PRONOUNS
    | _CHANGES
    | word_set("and which also to will should may might could would hopefully please")
)
_PERFECT: Final = word_set("have has had i've we've")
_PLURALS: Final = word_set(
    "various some several many few minor small other more bug these those the all any misc typo style doc docs lint"
    " test tests build security quick hot critical important crash new of and with for"
)


def ends_sentence(verb: str, clause: list[str]) -> bool:
    """Whether *verb*, at the end of a line, ends its sentence there: `The window is
    closed`, `various fixes`.

    *clause* is what stands before it, nearest first.
    """
    words = _without_adverbs(clause)
    if not words:
        return clause[:1] == ["too"]
    if verb.endswith("ed"):
        subject = words[0] in _PRONOUNS and (
            len(words) == 1 or words[1] in ("and", "so", "that", "then", "but")
        )
        return not (
            subject
            or words[0] in _PERFECT
            or words[0] in ("which", "commit", "patch", "change", "pr")
        )
    if verb.endswith("ing"):
        return words[0] not in ("by", "thereby", "thus", "hence", "also", "therefore")
    if verb.endswith("s"):
        return words[0] in _PLURALS
    return clause[0] == "too" or words[0] not in _SUBJECTS | {
        "let's",
        "do",
        "does",
        "did",
        "not",
        "can",
        "must",
        "shall",
    }
