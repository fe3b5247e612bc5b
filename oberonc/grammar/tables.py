"""What the parser looks words up in, made from a vocabulary once; and how words are
compared.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from oberonc.grammar.vocabulary import Words

#: A word as the tokenizer sees it: letters, digits, `_`, hyphens, and the marks scripts
#: combine them with.
WORD: Final = "\\w\\-\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u109f"


class Phrases(NamedTuple):
    """Phrases of one or more words, each with what it means."""

    known: dict[str, str]
    #: For the last word of each phrase, how many words the longest such phrase has.
    longest: dict[str, int]


class Tables(NamedTuple):
    """What the parser looks words up in; made from `Words` once."""

    words: Words
    verbs: Phrases
    states: dict[str, str]
    colon_verbs: frozenset[str]
    trailers: dict[str, str]
    nouns: frozenset[str]
    numbers_after: frozenset[str]
    joiners: frozenset[str]
    suffixes: dict[str, str]
    keys: frozenset[str]
    aliases: dict[str, str]
    prefixes: frozenset[str]
    mono: frozenset[str]
    bases: tuple[str, ...]
    others: Phrases
    colours: frozenset[str]
    negators: frozenset[str]
    partials: frozenset[str]
    transitions: dict[str, str]
    trigger: re.Pattern[str]
    candidate: re.Pattern[str]


def word_set(words: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(words.split())


def alternatives(*lines: str) -> str:
    """The phrases of *lines*, parted by commas, as one pattern; their apostrophes may
    be missing.
    """
    phrases = ", ".join(lines).split(", ")
    return f"(?:{'|'.join(phrases)})".replace("'", "['’]?").replace(" ", "[ ]")


def is_commit(word: str) -> bool:
    """Whether *word* can be an abbreviated commit id: hexadecimal, with a digit."""
    return (
        7 <= len(word) <= 64
        and not word.strip("0123456789abcdef")
        and not word.isalpha()
    )


def fold(word: str) -> str:
    """*word* without regard to case, and to how its accents are written."""
    if word.isascii():
        return word.lower()
    from unicodedata import normalize  # rarely needed

    return normalize("NFC", normalize("NFC", word).casefold())


def _phrase(words: str) -> str:
    return fold(" ".join(words.split()))


def _folded(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_phrase(word) for word in words)


def _phrases(known: dict[str, str]) -> Phrases:
    longest: dict[str, int] = {}
    for phrase in known:
        parts = phrase.split(" ")
        longest[parts[-1]] = max(longest.get(parts[-1], 0), len(parts))
    return Phrases(known, longest)


def _verbs(words: Words) -> dict[str, str]:
    """Every verb with its action; a verb that needs its colon is written with one
    (`LP:`).
    """
    verbs: dict[str, str] = {}
    for action in ("reference", "duplicate", "invalid", "wontfix", "reopen", "close"):
        verbs.update((_phrase(word), action) for word in getattr(words, action))
    return verbs | {_phrase(word): "state" for word, _ in words.states}


def base(url: str) -> str:
    """*url* without its scheme and its last slash, folded: what addresses are compared
    by.
    """
    return url.partition("://")[2].rstrip("/").lower() or url.rstrip("/").lower()


def _trigger(words: Words) -> re.Pattern[str]:
    """What a paragraph must hold to be worth reading: a reference of some form."""
    if words.numbers:
        return re.compile("[1-9]")
    bases = [re.escape(base(url)) for url in words.urls]
    return re.compile("|".join(["#[1-9]", *bases, *_heads(words)]), re.IGNORECASE)


def _candidate(words: Words) -> re.Pattern[str]:
    """What lies in every token that may be a reference; other addresses keep their
    place in a list.
    """
    forms = ["#[0-9]", "://", *_heads(words), *(["[0-9]+"] if words.numbers else [])]
    return re.compile("|".join(forms), re.IGNORECASE)


def _heads(words: Words) -> list[str]:
    heads = (*(f"{key}-" for key in words.keys), *words.prefixes, *words.mono)
    return [re.escape(head) + "[1-9]" for head in heads if not head.endswith("#")]


#: The tables asked for last: hashing `Words` for every message costs more than reading
#: a short one.
_recent: "tuple[Words, Tables] | None" = None


def tables(words: Words) -> Tables:
    """The tables of *words*."""
    global _recent
    recent = _recent
    if recent is None or recent[0] is not words:
        try:
            made = _made(words)
        # lists, sets or dicts in it; what can change is not remembered
        except TypeError:
            return _made(_frozen(words))
        recent = _recent = (words, made)
    return recent[1]


def _frozen(words: Words) -> Words:
    """*words* with every list, set and dict as a tuple."""
    fields: dict[str, Any] = {}
    for name, value in words._asdict().items():
        if isinstance(value, Mapping):
            value = tuple(value.items())
        elif isinstance(value, (list, set, frozenset)):
            value = tuple(
                tuple(item) if isinstance(item, list) else item for item in value
            )
        fields[name] = value
    return Words(**fields)


@lru_cache(maxsize=64)
def _made(words: Words) -> Tables:
    spoken = _verbs(words)
    return Tables(
        words=words,
        verbs=_phrases({verb.rstrip(":"): action for verb, action in spoken.items()}),
        states={_phrase(word): status for word, status in words.states},
        colon_verbs=frozenset(verb[:-1] for verb in spoken if verb.endswith(":")),
        trailers={_phrase(word): action for word, action in words.trailers},
        nouns=_folded(words.nouns),
        numbers_after=_folded(words.numbers_after),
        joiners=_folded(words.joiners),
        suffixes={_phrase(word): action for word, action in words.suffixes},
        keys=frozenset(words.keys),
        aliases={fold(alias): alias for alias in words.aliases},
        prefixes=_folded(words.prefixes),
        mono=frozenset(words.mono),
        bases=tuple(base(url) for url in words.urls),
        others=_phrases(dict.fromkeys(_folded(words.others), "")),
        colours=_folded(words.colours),
        negators=_folded(words.negators),
        partials=_folded(words.partials),
        transitions={_phrase(name): name for name in words.transitions},
        trigger=_trigger(words),
        candidate=_candidate(words),
    )
