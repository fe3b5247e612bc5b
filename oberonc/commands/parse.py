"""`oberonc parse`: what the grammar sees in a commit message or a history, and why."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from oberonc.admin import tracker_kinds
from oberonc.commands import (
    Session,
    example,
    json_flag,
    offer,
    pass_session,
    read_message,
    show,
    show_json,
)
from oberonc.errors import BadInput, UsageError
from oberonc.grammar.message import Scan, scan
from oberonc.grammar.reference import Note, Reference
from oberonc.grammar.vocabulary import Words
from oberonc.grammar.words import PRESETS, words_for
from oberonc.source.git import Git
from oberonc.source.repository import find_git_dir
from oberonc.text import counted, visible

#: Commits read by one git child; samples and rules a summary shows; characters of a
#: line beside a reference.
BATCH = 500
SAMPLES = 3
RULES = 12
MARGIN = 50

_READ = (
    "log",
    "-z",
    "--encoding=UTF-8",
    "--no-show-signature",
    "--no-color",
    "--no-notes",
    "--format=%H%n%B",
)


#: What people write who do not know of `#`.
_BARE = re.compile(
    r"\b(fix(?:e[sd])?|close[sd]?|resolve[sd]?|refs|references) ([1-9][0-9]{0,6})\b",
    re.IGNORECASE,
)


@click.command(
    "parse",
    epilog=example(
        'echo "great, all done, fixes #42" | oberonc parse',
        "oberonc parse --rev HEAD --words gitlab",
        "oberonc parse --log v1.0..main --words jira --key PROJ",
    ),
)
@click.option("--rev", metavar="REV", help="The message of this commit.")
@click.option(
    "--log",
    "log_range",
    metavar="RANGE",
    help="All messages of this history, summed up.",
)
@click.option(
    "--words",
    "kind",
    metavar="KIND",
    shell_complete=offer("words"),
    default="local",
    show_default=True,
    help="A tracker's kind: its words.",
)
@click.option(
    "--key",
    "keys",
    metavar="KEY",
    multiple=True,
    help="A project key: PROJ of PROJ-12. May be repeated.",
)
@json_flag
@pass_session
def command(
    session: Session,
    rev: str | None,
    log_range: str | None,
    kind: str,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the references of a commit message on stdin, each with its action and the
    rule that decided.

    Nothing is done to any issue: with --log it shows what oberonc would have done to a
    project, and all that it would have refused to close, with the reason.
    """
    if rev is not None and log_range is not None:
        raise UsageError("--rev and --log exclude each other")
    words = _words(session, kind, keys)
    if log_range is not None:
        summary = _sum_up(log_range, words)
        show_json(summary) if as_json else _show_summary(summary)
        return
    text = read_message() if rev is None else _message(rev)
    found = scan(text, words)
    show_json(
        [as_object(reference) for reference in found.references]
    ) if as_json else _show(text, found)


def as_object(reference: Reference) -> dict[str, Any]:
    """*reference* for programs; the argument, and what was kept back, only where there
    is such a thing.
    """
    return {
        name: value
        for name, value in reference._asdict().items()
        if value is not None or name not in ("argument", "wanted")
    }


def _words(session: Session, kind: str, keys: tuple[str, ...]) -> Words:
    options = {"keys": list(keys)} if keys else {}
    try:
        if kind in PRESETS:  # needs no configuration
            return words_for(kind, options)
        return tracker_kinds.words(session.reach, kind, options)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _message(rev: str) -> str:
    git = Git(find_git_dir())
    oid = git.peel(rev)
    if not oid:
        raise BadInput(f"'{rev}' names no commit in {git.git_dir}")
    return git.read(*_READ, "-1", oid, "--").removesuffix("\0").partition("\n")[2]


# One message


def _show(text: str, found: Scan) -> None:
    for reference in found.references:
        _show_place(text, reference, f"{_spoken(reference)}  ({reference.why})")
    for title, notes in (("warning", found.warnings), ("not read", found.near_misses)):
        for note in notes:
            _show_place(text, note, f"{title}: {note.text}")
    if not found.references:
        show("no references")
        bare = _BARE.search(text)
        if bare:
            verb, number = bare.groups()
            show(f"'{verb} {number}' has no # before the number: {verb} #{number}")


def _spoken(reference: Reference) -> str:
    """*reference* in a few words: `close owner/name#12, 1:30 h`."""
    name = (
        f"{reference.key}-{reference.issue}"
        if reference.key
        else f"{reference.repository or ''}#{reference.issue}"
    )
    time = (
        ""
        if reference.time is None
        else f", {reference.time // 3600}:{reference.time // 60 % 60:02} h"
    )
    argument = "" if reference.argument is None else f": {reference.argument}"
    return f"{reference.action} {name}{time}{argument}"


def _show_place(text: str, place: Reference | Note, remark: str) -> None:
    """The line of *place*, with *place* underlined, and a remark."""
    before, inside, after = _around(text, place.start, place.end)
    show(f"  {before}{inside}{after}")
    show(f"  {' ' * len(before)}{'^' * max(1, len(inside))} {remark}")


def _around(text: str, start: int, end: int) -> tuple[str, str, str]:
    """What stands before, at and after a place on its line, cut to a terminal's width
    and safe to show.
    """
    head = text[max(0, start - MARGIN) : start].rpartition("\n")[2]
    inside = text[start : min(end, start + 2 * MARGIN)].partition("\n")[0]
    tail = (
        text[end : end + MARGIN].partition("\n")[0]
        if "\n" not in text[start:end]
        else ""
    )
    return _flat(head), _flat(inside), _flat(tail.rstrip("\r"))


def _flat(text: str) -> str:
    return visible(text).replace("\t", " ")


# A history


def _sum_up(log_range: str, words: Words) -> dict[str, Any]:
    git = Git(find_git_dir())
    oids = git.read("rev-list", "--end-of-options", log_range, "--").split()
    actions: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    samples: dict[str, list[dict[str, str]]] = {}
    refused: list[dict[str, str]] = []
    speaking = 0
    for oid, message in _messages(git, oids):
        found = scan(message, words)
        speaking += bool(found.references)
        notes.update(warnings=len(found.warnings), near_misses=len(found.near_misses))
        refused += [
            {"commit": oid, **_refused(message, place)} for place in _kept_back(found)
        ]
        for reference in found.references:
            actions[reference.action] += 1
            rules[f"{reference.action}: {reference.why.partition(', item ')[0]}"] += 1
            shown = samples.setdefault(reference.action, [])
            if len(shown) < SAMPLES:
                shown.append(
                    {
                        "commit": oid,
                        "reference": _spoken(reference),
                        "line": _line(message, reference),
                    }
                )
    return {
        "range": log_range,
        "commits": len(oids),
        "commits_with_references": speaking,
        "actions": dict(actions.most_common()),
        "rules": dict(rules.most_common(RULES)),
        "warnings": notes["warnings"],
        "near_misses": notes["near_misses"],
        "refused": refused,
        "samples": samples,
    }


def _kept_back(found: Scan) -> list[Reference | Note]:
    """What asks for a change of state that the grammar does not make."""
    places: list[Reference | Note] = [*found.references, *found.near_misses]
    return sorted(
        (place for place in places if place.wanted), key=lambda place: place.start
    )


def _refused(message: str, place: Reference | Note) -> dict[str, str]:
    why, wanted = (
        place.text if isinstance(place, Note) else place.why,
        place.wanted or "",
    )
    number = " ".join(message[place.start : place.end].split())
    return {
        "wanted": wanted,
        "reference": number,
        "why": why,
        "line": _line(message, place),
    }


def _messages(git: Git, oids: list[str]) -> Iterator[tuple[str, str]]:
    """Commit id and message of *oids*, with a progress bar on a terminal."""
    with click.progressbar(
        length=len(oids),
        label="reading",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        for first in range(0, len(oids), BATCH):
            batch = oids[first : first + BATCH]
            for record in git.read(
                *_READ, "--no-walk=unsorted", "--stdin", lines=batch
            ).split("\0"):
                oid, _, message = record.partition("\n")
                if oid:
                    yield oid, message
            bar.update(len(batch))


def _line(message: str, place: Reference | Note) -> str:
    return "".join(_around(message, place.start, place.end)).strip()


def _show_summary(summary: dict[str, Any]) -> None:
    show(
        f"{counted(summary['commits'], 'commit')}, {summary['commits_with_references']} with references"
    )
    for action, count in summary["actions"].items():
        show(f"\n{action}: {count}")
        for sample in summary["samples"][action]:
            show(f"  {sample['commit'][:10]} {sample['reference']}: {sample['line']}")
    if summary["refused"]:
        show(f"\nrefused, though a verb asks for it: {len(summary['refused'])}")
    for each in summary["refused"]:
        show(
            f"  {each['commit'][:10]} {each['wanted']} {visible(each['reference'])}: {each['line']}  ({each['why']})"
        )
    if summary["rules"]:
        show("\nwhat decided, most often:")
    for rule, count in summary["rules"].items():
        show(f"  {count:6} {rule}")
    show(
        f"\n{counted(summary['warnings'], 'warning')},"
        f" {counted(summary['near_misses'], 'near miss', 'near misses')}; `oberonc parse --rev` shows them"
    )
