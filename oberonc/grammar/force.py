"""Whether a verb acts: where it stands, what is said around it, and what the options
ask for.
"""

import re
from bisect import bisect_right
from typing import Final, NamedTuple

from oberonc.grammar.guards import ends_sentence, guard
from oberonc.grammar.quotes import quotations
from oberonc.grammar.stretches import Stretches
from oberonc.grammar.tables import Tables
from oberonc.grammar.tokens import Tokens
from oberonc.grammar.verbs import QUOTES, Verb
from oberonc.grammar.vocabulary import CHANGES

#: A participle with the number, commit or version it belongs to, before `to fix`.
_ADDED_TO: Final = re.compile(
    r"(\w+(?:ed|made|done|put|built|written|got)[ \t]+(?:in|by|with|since|via)[ \t]+[\w#!/.-]{0,60}[0-9][\w.]{0,40})"
    r"\s{1,9}to[ \t]{1,9}(?:\w{1,20}ly[ \t]{1,9})?\Z",
    re.IGNORECASE,
)


#: What is given as an example, and the title of what is undone, after a label.
_LABELLED: Final = re.compile(
    r"(?<!\w)(?:(for example|for instance|e\.?g\.?)[ \t]?[,:]?"
    r"|(revert(?:s|ed|ing)?|undo(?:es|ne)?|roll(?:s|ed)?[ -]?back|back(?:s|ed)? out)[ \t]?:)[ \t]{1,4}\Z",
    re.IGNORECASE,
)
#: Who is quoted, before what they say.
_SAID: Final = re.compile(
    r"\w[ \t]+(wrote|writes|said|says|asked|asks|replied|commented|claims|claimed)[ \t]?:\s{0,3}\Z",
    re.IGNORECASE,
)

Spans = list[tuple[int, int]]


class Verdict(NamedTuple):
    """What a verb asks for, the rule that decided, and the change of state that the
    rule kept back.
    """

    action: str
    why: str
    wanted: str | None = None


class Force:
    """Judges the verbs of one paragraph."""

    def __init__(
        self, text: str, tokens: Tokens, tables: Tables, stretches: Stretches
    ) -> None:
        self.text = text
        self.tokens = tokens
        self.tables = tables
        self.words = tables.words
        self.stretches = stretches
        self._quoted: Spans | None = None
        self._envelopes: Spans | None = None

    def governs(self, verb: Verb) -> bool:
        """Whether *verb* belongs to its reference: a sentence that ends with its line
        does not go on in the next.
        """
        if not verb.gap.wrapped or verb.gap.colon or verb.action not in CHANGES:
            return True
        return not ends_sentence(
            verb.phrase, self.tokens.clause(verb.first, crossing=True)
        )

    def verdict(self, verb: Verb) -> Verdict:
        """What *verb* asks for, after everything that may take its force away."""
        written = f"'{verb.phrase}{':' if verb.gap.colon else ''}'"
        wanted = verb.action if verb.action in CHANGES else None
        stretch = self.stretches.at(verb.start)
        if stretch and (wanted or stretch.is_title):
            if (
                stretch.undone
                and verb.action == "close"
                and self.words.on_revert == "reopen"
            ):
                return Verdict("reopen", f"{written} {stretch.why}")
            return Verdict("reference", f"{written} {stretch.why}", wanted)
        if self._is_quoted(verb):
            return Verdict("mention", f"{written} is quoted", wanted)
        if self.words.envelope and not self._is_enveloped(verb):
            return Verdict(
                "mention", f"{written} stands outside of {self.words.envelope}", wanted
            )
        lost = self._lost_force(verb) if wanted else None
        return (
            Verdict("reference", f"{written}: {lost}", wanted)
            if lost
            else Verdict(verb.action, written)
        )

    def _lost_force(self, verb: Verb) -> str | None:
        tokens = self.tokens
        if self.words.trailers_only and not (
            verb.gap.colon and tokens.begins_line(verb.first)
        ):
            return "not at the head of a line, with a colon"
        if self.words.strict and tokens.clause(verb.first, crossing=False):
            return "not at the start of a clause"
        told = _SAID.search(tokens.live, max(0, verb.start - 20), verb.start)
        if told:
            return f"'{told[1]}:' tells of it"
        label = _LABELLED.search(tokens.live, max(0, verb.start - 20), verb.start)
        if label:
            return (
                f"'{label[1]}' gives an example"
                if label[1]
                else f"'{label[2]}:' undoes it"
            )
        crossing = not verb.gap.colon and self.text[verb.start].islower()
        clause = tokens.clause(verb.first, crossing)
        return guard(verb.phrase, clause, self.tables) or self._of_another(verb, clause)

    def _of_another(self, verb: Verb, clause: list[str]) -> str | None:
        """`was added in #1 to fix #2`: the purpose of a change that has a name of its
        own.
        """
        if "to" not in clause[:2]:
            return None
        found = _ADDED_TO.search(self.tokens.live, max(0, verb.start - 100), verb.start)
        return f"'{' '.join(found[1].split())}' tells of it" if found else None

    def _is_quoted(self, verb: Verb) -> bool:
        token = self.tokens.starts[verb.first]
        if token > 0 and self.text[token - 1] in QUOTES:
            return True
        if self._quoted is None:
            self._quoted = quotations(
                self.tokens.live, self.tokens.starts[0], self.tokens.starts[-1]
            )
        return _inside(self._quoted, verb.start)

    def _is_enveloped(self, verb: Verb) -> bool:
        if self._envelopes is None:
            begin, end = self.tokens.starts[0], self.tokens.starts[-1]
            self._envelopes = _envelopes(
                self.tokens.live, begin, end, self.words.envelope
            )
        return _inside(self._envelopes, verb.start)


def _inside(spans: Spans, place: int) -> bool:
    """Whether *place* is inside one of *spans*, which are in order and do not meet."""
    index = bisect_right(spans, (place, 1 << 62)) - 1
    return index >= 0 and place < spans[index][1]


def _envelopes(live: str, begin: int, end: int, marks: str) -> Spans:
    """What stands between the two *marks*, without marks of its own."""
    spans: Spans = []
    opened = -1
    for place in range(begin, end):
        if live[place] == marks[0]:
            opened = place
        elif live[place] == marks[-1] and opened >= 0:
            spans.append((opened, place))
            opened = -1
    return spans
