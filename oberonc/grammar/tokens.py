"""A paragraph as tokens: runs of one character class each, so that no input makes the
tokenizer try again.

Tokens are kept as two parallel lists, kinds and starts; token `i` ends where token `i +
1` starts. All look-back of the parser goes through here, and is counted.
"""

import re
from bisect import bisect_right
from typing import Final

from oberonc.grammar.tables import WORD as WORD_CLASS
from oberonc.grammar.tables import Phrases, fold, is_commit

WORD: Final = 1
HASH: Final = 2
BLANK: Final = 3
NEWLINE: Final = 4
URL: Final = 5
DEAD: Final = 6
OTHER: Final = 7

#: What dead text is replaced by: it joins nothing, and no commit message can hold it.
FILLER: Final = "\0"

_TOKEN: Final = re.compile(
    rf"([{WORD_CLASS}]+)"
    r"|(#\w*)"
    r"|([^\S\n]+)"
    r"|(\n)"
    r"|(://[^\s<>()\[\]{}\"`,;|\0]*)"
    r"|(\0+)"
    r"|(.)",
    re.DOTALL,
)

BULLETS: Final = frozenset("-*+•")
_EMPHASIS: Final = frozenset("*_~")


class Tokens:
    """The tokens of `live[begin:end]`, with the ways to look back and ahead."""

    __slots__ = ("count", "kinds", "live", "starts", "steps")

    def __init__(self, live: str, begin: int, end: int) -> None:
        matches = list(_TOKEN.finditer(live, begin, end))
        self.live = live
        self.kinds = [match.lastindex or OTHER for match in matches]
        self.starts = [match.start() for match in matches]
        self.starts.append(end)
        self.count = len(matches)
        self.steps = end - begin

    def has(self, text: str) -> bool:
        """Whether *text* stands somewhere in the paragraph; the rest of the message is
        not looked at.
        """
        return self.live.find(text, self.starts[0], self.starts[-1]) >= 0

    def candidates(self, pattern: re.Pattern[str]) -> list[int]:
        """The tokens in which *pattern* is found, in order."""
        found = pattern.finditer(self.live, self.starts[0], self.starts[-1])
        return list(
            dict.fromkeys(
                bisect_right(self.starts, match.start()) - 1 for match in found
            )
        )

    def kind(self, index: int) -> int:
        """The kind of token *index*; 0 outside the paragraph."""
        return self.kinds[index] if 0 <= index < self.count else 0

    def text(self, index: int) -> str:
        """The text of token *index*; empty outside the paragraph."""
        return (
            self.live[self.starts[index] : self.starts[index + 1]]
            if 0 <= index < self.count
            else ""
        )

    def is_word(self, index: int, known: "frozenset[str] | dict[str, str]") -> bool:
        """Whether token *index* is one of the *known* words."""
        return self.kind(index) == WORD and fold(self.text(index)) in known

    def over_blanks(self, index: int, step: int = -1) -> int:
        """*index*, or the one past a blank there."""
        return index + step if self.kind(index) == BLANK else index

    def begins_line(self, index: int) -> bool:
        """Whether only blanks and at most one bullet stand before token *index* on its
        line.
        """
        inside = self.over_emphasis(index - 1)
        before = self.over_blanks(inside)
        if before < inside and self.text(before) in BULLETS:
            before = self.over_blanks(before - 1)
        return self.kind(before) in (0, NEWLINE)

    def phrase(self, index: int, phrases: Phrases) -> "tuple[str, int] | None":
        """The longest known phrase that ends at token *index*, and its first token."""
        if self.kind(index) != WORD:
            return None
        last = self.bare_word(index)
        longest = phrases.longest.get(last, 0)
        firsts = [index]
        words = [last]
        while (
            len(words) < longest
            and self.kind(firsts[-1] - 1) == BLANK
            and self.kind(firsts[-1] - 2) == WORD
        ):
            firsts.append(firsts[-1] - 2)
            words.append(self.bare_word(firsts[-1]))
        self.steps += len(words)
        for size in range(len(words), 0, -1):
            phrase = " ".join(reversed(words[:size]))
            if phrase in phrases.known:
                return phrase, firsts[size - 1]
        return None

    def bare_word(self, index: int) -> str:
        """The folded word at *index* without the underscores around it or the bullet
        before it.
        """
        word, lead = self.text(index), self.lead(index)
        marks = word[:lead]
        paired = marks.startswith("_") and word.endswith(marks)
        return fold(word[lead:-lead] if paired else word[lead:])

    def lead(self, index: int) -> int:
        """How many characters of the word at *index* are Markdown: `_fixes`, or
        `-fixes` as a bullet.
        """
        word = self.text(index)
        bare = word.lstrip("_")
        if (
            bare == word
            and word.startswith("-")
            and self.kind(self.over_blanks(index - 1)) in (0, NEWLINE)
        ):
            bare = word[1:]
        return len(word) - len(bare)

    def gap(self, index: int) -> "Gap | None":
        """What separates token *index* from the word before it, where that may be a
        verb's gap.

        Emphasis may close after the word or its colon, and open before the token:
        `**Fixes:** **#12**`.
        """
        if index < 1 or (
            self.kinds[index - 1] in (WORD, OTHER)
            and self.live[self.starts[index - 1]] not in ":*_"
        ):
            return None
        inside = self.over_emphasis(index - 1)
        place = self.over_blanks(inside)
        bullet = (
            place < inside
            and self.text(place) in BULLETS
            and not self._closes_emphasis(place)
        )
        place = self.over_blanks(place - 1) if bullet else self._over_closing(place)
        wrapped = self.kind(place) == NEWLINE
        if wrapped:
            place = self._over_closing(self.over_blanks(place - 1))
        colon = self.text(place) == ":"
        if colon:
            place = self._over_closing(self.over_blanks(place - 1))
        self.steps += index - place
        apart = colon or wrapped or self.kind(inside) == BLANK
        if not apart or (bullet and not (wrapped and colon)):
            return None
        return Gap(place, colon, bullet, wrapped)

    def over_emphasis(self, index: int, step: int = -1) -> int:
        """The token beyond the stars and underscores that begin, or with step -1 end,
        at token *index*.
        """
        first = index
        while (
            abs(first - index) < 3
            and 0 <= index < self.count
            and self.live[self.starts[index]] in "*_"
        ):
            if self.text(index).strip("*_"):
                break
            index += step
        return index

    def _closes_emphasis(self, index: int) -> bool:
        return self.text(index) == "*" and self.kind(index - 1) not in (
            0,
            BLANK,
            NEWLINE,
        )

    def _over_closing(self, index: int) -> int:
        """The token before the emphasis that closes at token *index*, glued to what it
        emphasises.
        """
        before = self.over_emphasis(index)
        return before if self.kind(before) not in (0, BLANK, NEWLINE) else index

    def clause(self, index: int, crossing: bool) -> list[str]:
        """At most seven words before token *index* in its clause, nearest first."""
        words: list[str] = []
        place = index - 1
        while place >= 0 and len(words) < 7:
            kind = self.kinds[place]
            if kind == WORD:
                first = self._contraction(place)
                word = fold(
                    self.live[self.starts[first] : self.starts[place + 1]]
                ).replace("’", "'")
                if not word.strip("-") or (
                    word.strip("-_")[0:1].isdigit() and not is_commit(word)
                ):
                    break
                words.append(word.strip("_"))
                place = first
            elif not self._passes(place, kind, crossing):
                break
            place -= 1
        self.steps += index - place
        return words

    def _contraction(self, place: int) -> int:
        """The first token of the word that ends at *place*: `doesn't` is three tokens."""
        if self.text(place - 1) in ("'", "’") and self.kind(place - 2) == WORD:
            return place - 2
        return place

    def _passes(self, place: int, kind: int, crossing: bool) -> bool:
        if kind == BLANK:
            return True
        if kind == NEWLINE:
            return crossing
        return self.text(place) in _EMPHASIS and not self.begins_line(place)


class Gap:
    """The place of the word before a gap, and what the gap holds."""

    __slots__ = ("bullet", "colon", "place", "wrapped")

    def __init__(self, place: int, colon: bool, bullet: bool, wrapped: bool) -> None:
        self.place = place
        self.colon = colon
        self.bullet = bullet
        self.wrapped = wrapped
