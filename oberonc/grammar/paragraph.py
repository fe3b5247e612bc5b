"""One paragraph, read from left to right: which verb each reference belongs to, and
whether it acts.

A reference looks back for its verb over a gap and a noun, or joins the list of the
reference before it. The rules that may take a verb's force away come after that:
`Force` before the reference, `loss_after` behind it.
"""

from bisect import bisect_left
from typing import Final

from oberonc.grammar.duration import time_at
from oberonc.grammar.force import Force, Verdict
from oberonc.grammar.items import SPACED_RANGE, Forms, Item
from oberonc.grammar.lists import (
    goes_on,
    is_alone,
    is_plural,
    is_subject,
    past_line,
    past_remark,
    separator_before,
)
from oberonc.grammar.reference import Note, Reference
from oberonc.grammar.stretches import Stretches
from oberonc.grammar.tables import Tables, fold
from oberonc.grammar.tails import following, loss_after, predicate_after
from oberonc.grammar.tokens import BLANK, Tokens
from oberonc.grammar.verbs import Verb, takes_numbers, verb_before
from oberonc.grammar.vocabulary import CHANGES


class Statement:
    """A verb with the references that follow it as a list."""

    __slots__ = (
        "action",
        "argument",
        "bare",
        "bullet",
        "heads",
        "places",
        "settled",
        "size",
        "verb",
        "wanted",
        "why",
    )

    def __init__(self, action: str, why: str, *, bare: bool = False) -> None:
        self.action = action
        self.why = why
        self.bare = bare
        self.argument: str | None = None
        self.wanted: str | None = None
        self.verb = ""
        #: Whether the verb begins its clause.
        self.heads = False
        self.bullet = False
        self.places: list[int] = []
        #: How many of them have had words of their own: `#38 as invalid`, `#12 (crash)`.
        self.settled = 0
        self.size = 0


_SPENT: Final = frozenset({"spent", "took"})
#: What `as wontfix` may follow.
_CLOSING: Final = CHANGES - {"reopen", "state"}
_RANGE_MARKS: Final = frozenset({"-", "..", "...", *"\u2010\u2011\u2012–—\u2015\u2212"})
_COLOUR_DIGITS: Final = frozenset({3, 4, 6, 8})
_COLOUR: Final = "a colour"
#: The action of a list that is none of issues: `PRs #3 and #4`.
_OTHER: Final = "other"
#: Characters between a reference and the verb of the next that goes on after it.
_NEAR: Final = 60
_MERGE: Final = "it stands in the subject of a merge"


class Paragraph:
    """Reads the references of `text[begin:end]`, `live` being the same text without its
    dead parts.
    """

    def __init__(
        self,
        text: str,
        live: str,
        begin: int,
        end: int,
        tables: Tables,
        stretches: Stretches,
        merge_end: int,
    ) -> None:
        self.text = text
        self.tables = tables
        self.words = tables.words
        self.tokens = Tokens(live, begin, end)
        self.forms = Forms(text, self.tokens, tables)
        self.force = Force(text, self.tokens, tables, stretches)
        self.merge_end = merge_end
        self.references: list[Reference] = []
        self.warnings: list[Note] = []
        self.near_misses: list[Note] = []
        self.statement: Statement | None = None
        self.last: Item | None = None

    def read(self, limit: int) -> None:
        """Find the references, at most *limit* of them."""
        forms, reached = self.forms, 0
        candidates = self.tokens.candidates(self.tables.candidate)
        if forms.links:
            candidates = sorted({*candidates, *forms.links})
        for index in candidates:
            if len(self.references) >= limit:
                break
            item = forms.item(index) if index >= reached else None
            if item and item.first >= reached:
                reached = max(reached, self._take(item))
        self.near_misses += [Note(*refused) for refused in forms.refused]

    def _take(self, item: Item) -> int:
        """Find out what *item* is for; the token to go on at."""
        if self._is_range_end(item):
            self._emit(item)
        elif not self._joins(item) and (item.listed or not self._begin(item)):
            return _after_refusal(item)
        elif self._leaves(item):
            self._leave(item)
        else:
            self._emit(item)
        self.last = item
        return self._after(item)

    # Lists

    def _joins(self, item: Item) -> bool:
        """Whether *item* goes on with the list of the reference before it."""
        if self.statement is None or self.last is None:
            return False
        statement = self.statement
        if (statement.action == "mention" and not item.bare) or (
            statement.action == _OTHER and not item.plain
        ):
            return False
        separator = separator_before(
            self.tokens, self.tables, self.last.after, item, statement.bullet
        )
        if not separator and 0 < statement.settled == len(statement.places):
            return False  # after words of its own a list goes on over a mark only
        if item.bare:
            return (
                bool(separator)
                and statement.bare
                and not goes_on(self.tokens, self.tables, item)
            )
        return separator is not None

    def _leaves(self, item: Item) -> bool:
        """Whether *item*, not the first of its list, is the subject of a sentence: `#2
        is still open`.
        """
        if (
            self.statement is None
            or self.statement.size < 1
            or self.statement.action not in CHANGES
        ):
            return False
        if self.statement.heads and predicate_after(
            following(self.tokens.live, item.end), self.statement.verb
        ):
            return False  # said of the whole list: `Closing #1 and #2 was a mistake`
        return is_subject(self.tokens, item, item.after) or is_subject(
            self.tokens, item, past_remark(self.tokens, item.after)
        )

    def _leave(self, item: Item) -> None:
        why = "it has left the list: what follows is said of it"
        statement, self.statement = self.statement, Statement("mention", why)
        self._emit(item)
        if is_plural(self.tokens, item) and statement and len(statement.places) > 1:
            place = statement.places[-1]
            self.references[place] = self.references[place]._replace(
                action="mention", why=why
            )
        self.statement = None

    # Verbs

    def _begin(self, item: Item) -> bool:
        """Look back from *item* for its verb; False when it is no reference at all."""
        self.statement = None
        verb = verb_before(self.tokens, self.tables, item)
        if verb and not self.force.governs(verb):
            verb = None
        statement = self._statement(verb, item) if verb else None
        if item.start < self.merge_end:
            if statement is None or statement.action not in CHANGES:
                return self._other(item, _MERGE)
            self.merge_end = 0  # from here on, a person speaks
        if statement is None:
            return self._mention(item)
        self.statement = statement
        return True

    def _statement(self, verb: Verb, item: Item) -> Statement:
        verdict = self.force.verdict(verb)
        if verdict.action in CHANGES and self._is_alternative(verb):
            why = f"{verdict.why}: the verb before 'or' does not act"
            verdict = Verdict("reference", why, verdict.action)
        bare = item.bare or item.noun or takes_numbers(verb, self.tables)
        statement = Statement(verdict.action, verdict.why, bare=bare)
        statement.wanted = verdict.wanted
        gap = verb.gap
        statement.bullet = gap.bullet or (
            gap.colon and gap.wrapped and is_alone(self.tokens, item)
        )
        if verdict.action in CHANGES:
            statement.verb = verb.phrase
            statement.heads = not self.tokens.clause(verb.first, crossing=False)
        statement.argument = (
            self.tables.states.get(verb.phrase) if verdict.action == "state" else None
        )
        return statement

    def _is_alternative(self, verb: Verb) -> bool:
        """Whether *verb* shares the fate of one that was turned away: `does not close #3
        or fix #4`.
        """
        return (
            bool(self.references and self.references[-1].wanted)
            and verb.start - self.references[-1].end < _NEAR
            and self.tokens.clause(verb.first, crossing=True) == ["or"]
        )

    # References without a verb

    def _mention(self, item: Item) -> bool:
        """A reference on its own; False when it is something else."""
        if item.issue is None:
            return False
        why = self._refusal(item) if item.plain else ""
        if why:
            return self._other(item, why)
        if item.bare or not self.forms.strict_left(item):
            return False
        self.statement = Statement("mention", "no verb before it", bare=item.noun)
        return True

    def _other(self, item: Item, why: str) -> bool:
        """*item* is no issue, and so is the rest of its list; always False."""
        if item.issue is not None:
            self.near_misses.append(Note(item.start, item.end, why))
        if why is not _COLOUR:
            self.statement, self.last = Statement(_OTHER, why), item
        return False

    def _refusal(self, item: Item) -> str:
        """Why a bare `#12` is no issue: the word before it makes it something else, or
        a colour.
        """
        gap = self.tokens.gap(item.first)
        other = (
            self.tokens.phrase(gap.place, self.tables.others)
            if gap and not gap.bullet
            else None
        )
        if other:
            return f"'{other[0]}' makes it something else than an issue"
        return _COLOUR if self._is_colour(item) else ""

    def _is_colour(self, item: Item) -> bool:
        if (
            len(item.issue or "") not in _COLOUR_DIGITS
            or item.end - item.start != len(item.issue or "") + 1
        ):
            return False
        gap = self.tokens.gap(item.first)
        if gap and self.tokens.is_word(gap.place, self.tables.colours):
            return True
        if len(item.issue or "") < 6:
            return False
        if (
            self.near_misses
            and self.near_misses[-1].text == _COLOUR
            and item.start - self.near_misses[-1].end < 12
        ):
            return True  # from one colour to another
        words = self.tokens.clause(item.first, crossing=False)[:4]
        return not self.tables.colours.isdisjoint(words)

    # Writing down

    def _emit(self, item: Item) -> None:
        """Write *item* down under the current statement."""
        statement = self.statement
        if statement is None:
            return
        statement.size += 1
        statement.bare = statement.bare or item.noun
        if item.issue is None:
            return
        if statement.action == _OTHER:
            self.near_misses.append(Note(item.start, item.end, statement.why))
            return
        action, why = self._own_force(item, statement)
        wanted = statement.wanted or (
            statement.action if action != statement.action else None
        )
        if action == "mention":
            action = self.words.mentions
        if action == "none":
            return
        statement.places.append(len(self.references))
        what = (action, item.repository, item.key, item.issue)
        self.references.append(
            Reference(
                *what, item.start, item.end, None, why, statement.argument, wanted
            )
        )

    def _own_force(self, item: Item, statement: Statement) -> tuple[str, str]:
        """The statement's action and rule, unless *item* is a range's end or a
        possessive.
        """
        why = (
            statement.why
            if statement.size == 1
            else f"{statement.why}, item {statement.size} of its list"
        )
        in_range = self.forms.is_range(item) or self._is_range_end(item)
        if in_range and self.forms.is_range(item):
            self.warnings.append(
                Note(
                    item.start,
                    item.end,
                    "a range is not expanded: only the ends are referenced",
                )
            )
        if statement.action not in CHANGES:
            return statement.action, why
        if in_range and self.words.ranges != "ends":
            return "reference", f"{why}: a range"
        if self.forms.is_possessive(item):
            return "reference", f"{why}: a possessive"
        return statement.action, why

    def _is_range_end(self, item: Item) -> bool:
        last = self.last
        if last is None or self.statement is None or item.start - last.end > 9:
            return False
        between = self.text[last.end : item.start]
        is_mark = between in _RANGE_MARKS or SPACED_RANGE.fullmatch(between)
        return bool(is_mark) and self.forms.is_range(last)

    def _after(self, item: Item) -> int:
        """Read the time, and what else is said of *item* after it; the token to go on
        at.
        """
        after = self._time(item)
        said = self._suffix(after) or past_remark(self.tokens, after)
        self._loss(self.tokens.starts[after])
        statement = self.statement
        if statement and statement.bullet:
            said = past_line(self.tokens, said)
        if said > after and statement:
            statement.settled = len(statement.places)
        if said > item.after:
            self.last = item._replace(after=said)
        return after

    def _loss(self, place: int) -> None:
        """Take back what the list asked for, where what follows it at *place* says so."""
        statement = self.statement
        if statement is None or not statement.verb or not statement.places:
            return
        after = following(self.tokens.live, place)
        loss = (
            loss_after(after, statement.verb, heads=statement.heads) if after else None
        )
        if loss is None:
            return
        for index in statement.places[-1:] if loss.last else statement.places:
            reference = self.references[index]
            if reference.action in CHANGES:
                why = f"{reference.why}: {loss.why}"
                self.references[index] = reference._replace(
                    action="reference", why=why, wanted=reference.action
                )

    def _time(self, item: Item) -> int:
        tokens, after = self.tokens, item.after
        if not self.references or self.references[-1].start != item.start:
            return after
        place = tokens.over_blanks(after, 1)
        if place > after and tokens.is_word(place, _SPENT):
            place = tokens.over_blanks(place + 1, 1)
        if place == after or tokens.text(place) != "@":
            return after
        found = time_at(self.text, tokens.starts[place] + 1, self.words.decimal_time)
        if not found:
            return after
        seconds, end = found
        self.references[-1] = self.references[-1]._replace(time=seconds)
        return bisect_left(tokens.starts, end, place)

    def _suffix(self, after: int) -> int:
        """`as wontfix` says how the items before it are closed, up to one that has words
        of its own; the token after it, or 0.
        """
        tokens = self.tokens
        if (
            not self.statement
            or self.statement.action not in _CLOSING
            or fold(tokens.text(after + 1)) != "as"
        ):
            return 0
        if tokens.kind(after) != BLANK or tokens.kind(after + 2) != BLANK:
            return 0
        word = fold(tokens.text(after + 3))
        if word not in self.tables.suffixes:
            return 0
        for place in self.statement.places[self.statement.settled :]:
            reference = self.references[place]
            if reference.action in _CLOSING:
                why = f"{reference.why}, as {word}"
                self.references[place] = reference._replace(
                    action=self.tables.suffixes[word], why=why
                )
        return after + 4


def _after_refusal(item: Item) -> int:
    """Where to go on after what is no reference: a key may be a part of a path, the
    text of a link is text.
    """
    if item.listed:
        return 0
    return item.first + 1 if item.link and item.issue is None else item.after
