"""What a commit message says about issues: `find_references`, and `scan` for what lies
beside it.

Pure, without I/O, in time linear in the text. Dead text is masked in place, then each
paragraph that could hold a reference becomes tokens and is read once from left to
right. The rules and the reasons for them are in `docs/grammar.md`.
"""

import re
from collections import Counter
from typing import Final, NamedTuple

from oberonc.grammar.masks import Span, mask, merge_subject
from oberonc.grammar.paragraph import Paragraph
from oberonc.grammar.reference import Note, Reference
from oberonc.grammar.smart import smart_commands
from oberonc.grammar.stretches import REAPPLIED, UNDONE, Stretches
from oberonc.grammar.tables import Tables, fold, tables
from oberonc.grammar.vocabulary import CHANGES, DEFAULT, Words

_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]*(?=\n)")
#: What a near miss in dead text looks like; how far before it a verb is looked for, and
#: among how many words.
_HASH: Final = re.compile(r"#[1-9][0-9]{0,9}(?!\w)")
_WORD: Final = re.compile(r"[^\W\d_]+")
_NEAR: Final = 30
_WORDS: Final = 3


#: Punctuation as it is written with Chinese and Japanese, character for character.
_WIDE: Final = str.maketrans("：，、；（）［］？！。＃＆", ":,,;()[]?!.#&")


class Scan(NamedTuple):
    """All that was found in a message."""

    references: list[Reference]
    warnings: list[Note]
    near_misses: list[Note]
    #: The message was longer than `Words.max_scan`, or held more than
    #: `Words.max_references`.
    cut: bool
    #: Tokens, look-backs and masked characters: the work it took.
    steps: int


def find_references(text: str, words: Words = DEFAULT) -> list[Reference]:
    """The issues that *text* speaks of, in order, each with the action it asks for."""
    return scan(text, words).references


def scan(text: str, words: Words = DEFAULT) -> Scan:
    """*text* read with *words*: references, warnings, near misses."""
    known = tables(words)
    whole = len(text)
    text = _limited(text, words.max_scan)
    cut = len(text) < whole
    warnings = (
        [Note(len(text), whole, f"only the first {len(text)} characters were read")]
        if cut
        else []
    )
    if not known.trigger.search(text) and "＃" not in text:
        return Scan([], warnings, [], cut, 1)
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")
    if not text.isascii():
        text = text.translate(_WIDE)
    found = _read(text, known, cut)
    references, opposed = _without_contradictions(found.references)
    return Scan(
        references,
        warnings + found.warnings + opposed,
        found.near_misses,
        cut or found.cut,
        found.steps,
    )


def _limited(text: str, limit: int) -> str:
    """*text* up to *limit*, without the word that the limit would cut in two."""
    if len(text) <= limit:
        return text
    place = max(text.rfind(" ", 0, limit + 1), text.rfind("\n", 0, limit + 1))
    return text[: max(place, 0)]


def _read(text: str, known: Tables, cut: bool) -> Scan:
    words = known.words
    masked = mask(text, cut)
    stretches = Stretches(masked.live)
    merge_end = merge_subject(masked.live)
    result = Scan([], [], _dead_references(text, masked.spans), False, 0)
    steps = masked.steps
    for begin, end in _paragraphs(masked.live):
        room = words.max_references - len(result.references)
        if room <= 0 or not known.trigger.search(masked.live, begin, end):
            continue
        paragraph = Paragraph(
            text, masked.live, begin, end, known, stretches, merge_end
        )
        paragraph.read(room)
        merge_end = paragraph.merge_end
        smart, remarks = smart_commands(masked.live, paragraph.references, known)
        result.references.extend(smart[:room])
        result.warnings.extend(paragraph.warnings + remarks)
        result.near_misses.extend(paragraph.near_misses)
        steps += paragraph.tokens.steps
    full = len(result.references) >= words.max_references
    if full:
        last = result.references[-1]
        result.warnings.append(
            Note(
                last.start,
                last.end,
                f"only the first {words.max_references} references count",
            )
        )
    near_misses = [
        _with_wanted(note, text, known) for note in sorted(result.near_misses)
    ]
    return result._replace(
        near_misses=near_misses, cut=full, steps=steps + stretches.steps
    )


def _paragraphs(live: str) -> list[tuple[int, int]]:
    """Where the paragraphs of *live* begin and end; no rule reaches from one into
    another.
    """
    breaks = [match.start() for match in _PARAGRAPH_END.finditer(live)]
    return list(zip([0, *breaks], [*breaks, len(live)], strict=True))


def _dead_references(text: str, spans: list[Span]) -> list[Note]:
    """What would have been a reference if it were not dead."""
    notes = []
    for span in spans:
        for match in _HASH.finditer(text, span.start, span.end):
            start = _word_before(
                text, max(span.start, match.start() - 20), match.start()
            )
            written = " ".join(text[start : match.end()].split())
            notes.append(Note(start, match.end(), f"'{written}' is dead: {span.why}"))
    return notes


def _with_wanted(note: Note, text: str, known: Tables) -> Note:
    """*note* with the change of state that a verb close before its end would have asked
    for, on the same line.
    """
    line = text[max(0, note.start - _NEAR) : note.end].rpartition("\n")[2]
    actions = [
        known.verbs.known.get(word) for word in _WORD.findall(fold(line))[-_WORDS:]
    ]
    return note._replace(
        wanted=next((action for action in reversed(actions) if action in CHANGES), None)
    )


def _word_before(text: str, begin: int, place: int) -> int:
    """The start of the word that stands, after one blank, before *place*; *place* when
    there is none.
    """
    start = place - 1
    while start > begin and text[start - 1].isalpha():
        start -= 1
    return (
        start
        if start >= begin and text[place - 1] in " \n" and start < place - 1
        else place
    )


def _without_contradictions(
    references: list[Reference],
) -> tuple[list[Reference], list[Note]]:
    """*references* where an issue that is asked to change in two ways does not change;
    and warnings.

    A message that both fixes an issue and quotes the title of that fix as undone leaves
    the issue as it is, too.
    """
    wanted: dict[tuple[str | None, str | None, str], set[str]] = {}
    for reference in references:
        if reference.action in CHANGES:
            wanted.setdefault(reference[1:4], set()).add(
                f"{reference.action} {reference.argument or ''}"
            )
    undone = _undone(references)
    opposed = {issue for issue, changes in wanted.items() if len(changes) > 1}
    if not opposed and undone.isdisjoint(wanted):
        return references, []
    kept, warnings = [], []
    for reference in references:
        if reference.action in CHANGES and reference[1:4] in opposed:
            warnings.append(
                Note(
                    reference.start,
                    reference.end,
                    f"{reference.action}, and the opposite elsewhere",
                )
            )
            why = f"{reference.why}: opposite changes in one message"
            reference = reference._replace(
                action="reference", why=why, wanted=reference.action
            )
        elif reference.action == "close" and reference[1:4] in undone:
            why = f"{reference.why}: undone in the same message"
            reference = reference._replace(action="reference", why=why, wanted="close")
        kept.append(reference)
    return kept, warnings


def _undone(references: list[Reference]) -> set[tuple[str | None, str | None, str]]:
    """The issues whose fix the message quotes as undone, and not as brought back after
    that.
    """
    undone = Counter(
        reference[1:4]
        for reference in references
        if reference.wanted and reference.why.endswith(UNDONE)
    )
    if undone:
        undone -= Counter(
            reference[1:4]
            for reference in references
            if reference.why.endswith(REAPPLIED)
        )
    return set(undone)
