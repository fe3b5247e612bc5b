"""Try a message: what the grammar reads in it, and why."""

from typing import Any, Final, NamedTuple

from oberonc.grammar.message import scan
from oberonc.grammar.reference import Note, Reference
from oberonc.piston import Problem
from oberonc.text import one_line
from oberonc.web.daemon import kinds, words_of
from oberonc.web.page.frame import Asked, Shown, Verbatim

#: Characters of a message that is read.
LONGEST: Final = 64 * 1024
#: Findings that are shown: a message may have thousands that are nearly one.
MOST_SHOWN: Final = 300
EXAMPLE: Final = (
    "great, all done, fixes #42\n\nhm, `fixes #9` needs more work, references #37\n"
)


class Piece(NamedTuple):
    """A part of the message; *number* is the finding that it belongs to, 0 for none."""

    text: str
    number: int
    kind: str


def show(asked: Asked) -> Shown:
    """The form, with an example."""
    return _shown(asked, EXAMPLE, "local", "", [], {})


def read(asked: Asked) -> Shown:
    """What a message says. Raises Problem."""
    message = asked.form.get("message", [""])[0].replace("\r\n", "\n")
    kind, keys = asked.field("words") or "local", asked.field("keys")
    if len(message) > LONGEST:
        raise Problem(422, f"A message to try has at most {LONGEST} characters.")
    try:
        options = {"keys": keys.replace(",", " ").split()} if keys else {}
        found = scan(message, words_of(asked.config, kind, options))
    except ValueError as error:
        return _shown(asked, message, kind, keys, [], {"wrong": one_line(str(error))})
    findings = sorted(
        [
            *map(_reference, found.references),
            *(_note(note, "warning") for note in found.warnings),
            *(_note(note, "missed") for note in found.near_misses),
        ],
        key=lambda one: (one["start"], one["end"]),
    )
    more = len(findings) - MOST_SHOWN
    findings = findings[:MOST_SHOWN]
    for number, one in enumerate(findings, 1):
        one["number"] = number
    return _shown(asked, message, kind, keys, findings, {"tried": True, "more": more})


def _reference(found: Reference) -> dict[str, Any]:
    name = f"{found.key}-{found.issue}" if found.key else f"#{found.issue}"
    time = (
        ""
        if found.time is None
        else f"{found.time // 3600}:{found.time // 60 % 60:02} h"
    )
    return {
        "start": found.start,
        "end": found.end,
        "kind": found.action,
        "what": f"{found.repository or ''}{name}",
        "why": found.why,
        "more": " ".join(filter(None, (found.argument, time))),
    }


def _note(note: Note, kind: str) -> dict[str, Any]:
    row = {"start": note.start, "end": note.end, "kind": kind, "what": ""}
    return row | {"why": note.text, "more": ""}


def pieces(message: str, findings: list[dict[str, Any]]) -> list[Piece]:
    """*message* cut at the places of *findings*; where two overlap, the first has it."""
    found, at = [], 0
    for one in findings:
        start, end = max(one["start"], at), min(one["end"], len(message))
        if start >= end:
            continue
        if start > at:
            found.append(Piece(message[at:start], 0, ""))
        found.append(Piece(message[start:end], one["number"], one["kind"]))
        at = end
    return [*found, Piece(message[at:], 0, "")]


def _shown(
    asked: Asked,
    message: str,
    kind: str,
    keys: str,
    findings: list[dict[str, Any]],
    more: Any,
) -> Shown:
    context = {
        "message": Verbatim(message),
        "kinds": kinds(asked.config),
        "kind": kind,
        "keys": keys,
        "findings": findings,
        "pieces": pieces(message, findings),
        **more,
    }
    return Shown("try.html", context, 422 if "wrong" in more else 200)
